"""Rows that join and leave between two tokens get the answers that they get alone; what is known is not read again."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dragonfly.inference import Answer, Engine, Options
from dragonfly.inference import Row as Question
from dragonfly.inference.clock import Clock
from dragonfly.inference.continuous import ContinuousBatch, Row
from dragonfly.inference.engine import conversation_of
from dragonfly.inference.prefixes import Prefixes
from tests import tiny
from tests.models import families

IMAGES = [tiny.image(96, 64, seed=1), tiny.image(40, 120, seed=2)]
CASES: list[tuple[list[Any], str, Options]] = [
    ([], "Go on.", Options(9)),
    ([IMAGES[0]], "What is it?", Options(3)),
    ([IMAGES[0]], "What is it, and where, and why?", Options(7)),
    ([], "Draw.", Options(6, temperature=1.5, seed=4)),
    ([IMAGES[1], IMAGES[0]], "Which?", Options(1)),
    ([IMAGES[0]], "Draw it.", Options(6, temperature=1.2, top_p=0.8, seed=9)),
    ([], "Go on.", Options(12, stop=("a", "e"))),
]


def small(head: str = "llama") -> Engine:
    settings = tiny.config(preset="low-only", head=head)
    return Engine(tiny.model(settings), tiny.processor(settings))


def of_family(name: str) -> Engine:
    settings = tiny.config(preset="low-only", text_config=families.config(name).to_dict())
    return Engine(tiny.model(settings), tiny.processor(settings))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return small()


def rows_of(engine: Engine, cases: list[tuple[list[Any], str, Options]]) -> list[Row]:
    found: list[Row] = []
    for images, question, options in cases:
        encoded = engine.encode(images)
        turns = conversation_of(Question(None, question), encoded)
        prompt = engine.prompt([turns], [encoded])["input_ids"][0].tolist()
        found.append(Row(prompt, encoded, options))
    return found


def run(together: ContinuousBatch, rows: list[Row], room: int) -> list[Answer]:
    waiting = list(rows)
    while waiting or together.rows:
        free = room - len(together.rows)
        together.join(waiting[:free])
        waiting = waiting[free:]
        if together.rows:
            together.step()
    return [together.answer(row) for row in rows]


def alone(engine: Engine, cases: list[tuple[list[Any], str, Options]]) -> list[Answer]:
    found: list[Answer] = []
    for images, question, options in cases:
        encoded = engine.encode(images)
        turns = conversation_of(Question(None, question), encoded)
        found += engine.answer_conversations([turns], [encoded], options, Clock())
    return found


@pytest.mark.parametrize(("head", "room", "known"), [("llama", 3, 2**20), ("qwen2", 7, 0)])
def test_each_row_is_answered_as_alone(head: str, room: int, known: int) -> None:
    engine = small(head)
    together = ContinuousBatch(engine, Prefixes(block=4, max_bytes=known))
    expected = alone(engine, CASES)
    for _ in range(2):  # the second time, most of the prompts is known
        for answer, wanted in zip(run(together, rows_of(engine, CASES), room), expected, strict=True):
            assert (answer.text, answer.token_ids, answer.finish) == (wanted.text, wanted.token_ids, wanted.finish)
            assert answer.logprobs == pytest.approx(wanted.logprobs, abs=1e-4)
            assert answer.prompt_tokens == wanted.prompt_tokens and answer.selections == wanted.selections


def test_what_is_known_is_not_read_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    together, read = ContinuousBatch(engine, Prefixes(block=4)), list[int]()
    forward = together._forward

    def watched(*given: Any, **inputs: Any) -> Any:
        if "inputs_embeds" in inputs:
            read.append(inputs["inputs_embeds"].shape[1])
        return forward(*given, **inputs)

    monkeypatch.setattr(together, "_forward", watched)
    for question in ("What is it?", "Where is it?", "Where is it?"):
        run(together, rows_of(engine, [([IMAGES[0]], question, Options(2))]), 1)
    assert read[0] > 50
    assert read[1] < read[0] - 20 and read[2] <= 4


def test_questions_on_one_image_read_it_once_though_they_join_together(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [([IMAGES[0]], question, Options(5)) for question in ("What is it?", "Where is it, and why?", "Who?")]
    rows, expected, read = rows_of(engine, cases), alone(engine, cases), list[tuple[int, int]]()
    together = ContinuousBatch(engine, Prefixes(block=4))
    forward = together._forward

    def watched(*given: Any, **inputs: Any) -> Any:
        if "inputs_embeds" in inputs:
            read.append(tuple(inputs["inputs_embeds"].shape[:2]))
        return forward(*given, **inputs)

    monkeypatch.setattr("dragonfly.inference.continuous._SHARED", 8)
    monkeypatch.setattr(together, "_forward", watched)
    assert [one.token_ids for one in together.run(rows)] == [one.token_ids for one in expected]
    assert read[0][0] == 1 and read[0][1] > 17 and sum(number for number, _ in read) == 3
    assert all(length < read[0][1] for _, length in read[1:])


def test_rows_that_are_dropped_disturb_no_other(engine: Engine) -> None:
    together = ContinuousBatch(engine)
    rows = rows_of(engine, CASES[:4])
    together.join(rows)
    together.step()
    together.drop([rows[0], rows[3]])
    while together.rows:
        together.step()
    assert together.answer(rows[2]).token_ids == alone(engine, CASES[2:3])[0].token_ids
    assert len(rows[0].ids) == len(rows[3].ids) == 2 and together._slots.states is None


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_rows_of_unlike_lengths_come_and_go(attention: str) -> None:
    engine = small()
    engine.model.set_attn_implementation(attention)
    expected = alone(engine, CASES)
    rows = rows_of(engine, CASES)
    together = ContinuousBatch(engine)
    for row in rows:  # one by one, so that each joins others that have gone on
        together.join([row])
        if together.rows:
            together.step()
    while together.rows:
        together.step()
    assert [together.answer(row).token_ids for row in rows] == [answer.token_ids for answer in expected]


@pytest.mark.parametrize("name", ["gpt2", "opt", "granite", "mixtral", "phi"])
def test_families_answer_as_alone(name: str) -> None:
    engine = of_family(name)
    assert ContinuousBatch.fits(engine)
    answers = run(ContinuousBatch(engine), rows_of(engine, CASES[:3]), 2)
    assert [one.token_ids for one in answers] == [one.token_ids for one in alone(engine, CASES[:3])]


@pytest.mark.parametrize("name", ["bloom", "falcon, alibi", "deepseek_v3", "gpt_neo", "bamba", "gemma2"])
def test_it_does_not_fit_other_positions_keys_of_other_forms_and_windows(name: str) -> None:
    assert not ContinuousBatch.fits(of_family(name))


def test_it_fits_where_every_layer_sees_all_and_nothing_but_the_model_chooses() -> None:
    assert not ContinuousBatch.fits(small("mistral"))  # a sliding window
    engine = small()
    assert ContinuousBatch.fits(engine)
    engine.model.generation_config.repetition_penalty = 1.3
    assert not ContinuousBatch.fits(engine)


def test_logits_that_are_not_finite_are_no_answer() -> None:
    engine = small()
    engine.model.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        ContinuousBatch(engine).join(rows_of(engine, CASES[:1]))


class TestPrefixes:
    def test_two_prompts_share_what_is_equal_from_the_start(self) -> None:
        prefixes = Prefixes(block=2)
        first, other = torch.randn(7, 4), torch.randn(7, 4)
        branch = torch.cat([first[:5], other[5:]])
        states = torch.randn(4, 7, 3, 8)
        prefixes.keep(prefixes.names(first), states)
        for embeds, most, known in ((first, 6, 6), (first, 5, 4), (branch, 6, 4), (other, 6, 0), (first[:1], 0, 0)):
            found = prefixes.longest(prefixes.names(embeds), most)
            assert (0 if found is None else found.shape[1]) == known
            assert found is None or torch.equal(found, states[:, :known])

    def test_the_oldest_go_and_beginnings_outlive_what_follows(self) -> None:
        prefixes = Prefixes(block=1, max_bytes=4 * 2 * 4 * 4)  # four blocks of two (1, 1, 4) floats
        embeds = torch.randn(3, 4)
        names = prefixes.names(embeds)
        prefixes.keep(names, torch.randn(2, 3, 1, 4))
        late = torch.randn(3, 4)
        prefixes.keep(prefixes.names(late), torch.randn(2, 3, 1, 4))
        assert len(prefixes) == 4
        known = prefixes.longest(names, 3)
        assert known is not None and known.shape[1] == 1
