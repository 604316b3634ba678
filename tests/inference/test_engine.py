"""The Engine: alone, in a batch, sampled and stopped; its numbers are recomputed by hand."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from PIL import Image

from dragonfly.inference import Answer, Engine, Row
from dragonfly.vision.layout import make_layout
from tests import tiny
from tests.inference.conftest import Say

LONG: dict[str, Any] = {"max_new_tokens": 12}


def same(a: Answer, b: Answer) -> bool:
    """All but timings and the last digits of a sum in another order."""
    assert a.confidence == pytest.approx(b.confidence, rel=1e-3)
    scores = [[s.score for s in row] for row in a.selections], [[s.score for s in row] for row in b.selections]
    for one, other in zip(*scores, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4)
    kept = [[(s.index, s.box, s.kept, s.region) for row in answer.selections for s in row] for answer in (a, b)]
    return (
        (a.text, a.token_ids, a.prompt_tokens, a.layouts, a.notes, a.finish)
        == (b.text, b.token_ids, b.prompt_tokens, b.layouts, b.notes, b.finish)
    ) and kept[0] == kept[1]


def test_a_mixed_batch_equals_one_by_one(engine: Engine, images: list[Image.Image]) -> None:
    rows = [
        Row(images[0], "What is it?"),
        Row(None, "A question without an image, and longer than the others?"),
        Row([images[1], images[2]], "Which?", system="Be brief."),
        Row(images[2], "Where?"),
    ]
    batch = engine.ask_batch(rows, **LONG)
    assert len({answer.token_ids for answer in batch}) == 4
    for row, answer in zip(rows, batch, strict=True):
        assert same(engine.ask(row.images, row.question, system=row.system, **LONG), answer)
    assert all(same(a, b) for a, b in zip(engine.ask_batch(rows, batch_size=3, **LONG), batch, strict=True))


def test_what_the_template_writes_before_an_answer_is_no_part_of_it(engine: Engine, images: list[Image.Image], say: Say) -> None:
    template = str(engine.processor.chat_template).replace(
        "{%- generation -%}", '{%- generation -%}{{- "[no\nthought]" if loop.last -}}'
    )
    other = Engine(engine.model, tiny.processor(chat_template=template))
    with say("[no\nthought]It is red."):
        assert other.ask(images[0], "What?", max_new_tokens=30).text == "It is red."
    with say("[no\nthought]It is red."):
        stream = other.stream(images[0], "What?", max_new_tokens=30)
        assert "".join(stream) == "It is red." == stream.answer.text  # pyright: ignore[reportOptionalMemberAccess]
    with say("red [no\nthought]"):
        assert other.ask(images[0], "What?", max_new_tokens=30).text == "red [no\nthought]"


def test_confidence_is_the_probability_of_the_least_sure_token(engine: Engine, images: list[Image.Image]) -> None:
    answer = engine.ask(images[0], "What is it?", max_new_tokens=7)
    content: Any = [{"type": "image", "image": images[0]}, {"type": "text", "text": "What is it?"}]
    inputs: Any = engine.processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    prompt = inputs["input_ids"].shape[1]
    new = torch.tensor([answer.token_ids])
    inputs["input_ids"] = torch.cat([inputs["input_ids"], new], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        probabilities = engine.model(**inputs).logits.softmax(-1)[0, prompt - 1 : -1]
    chosen = probabilities.gather(1, new.T)[:, 0]
    assert torch.equal(probabilities.argmax(1), new[0])
    assert answer.confidence == pytest.approx(float(chosen.min()), rel=1e-3)
    assert chosen.min() < chosen.max()
    assert answer.prompt_tokens == prompt
    assert 0 < answer.confidence < 0.9  # a random model is not sure; 1.0 would be broken


def test_prompt_tokens_count_the_image(engine: Engine, images: list[Image.Image]) -> None:
    without = engine.ask(None, "What is it?", max_new_tokens=1)
    one = engine.ask(images[0], "What is it?", max_new_tokens=1)
    two = engine.ask(images[:2], "What is it?", max_new_tokens=1)
    assert one.prompt_tokens - without.prompt_tokens == one.layouts[0].num_image_tokens == 17 * 18
    assert two.prompt_tokens - one.prompt_tokens == two.layouts[1].num_image_tokens
    assert (without.layouts, without.selections) == ((), ())


def test_layouts_and_selections_follow_the_images(engine: Engine, images: list[Image.Image]) -> None:
    answer = engine.ask(images, "Which?", max_new_tokens=1)
    assert [layout.size for layout in answer.layouts] == [(64, 96), (120, 40), (64, 64)]
    for image, layout, selection in zip(images, answer.layouts, answer.selections, strict=True):
        assert layout == make_layout((image.height, image.width), engine.model.config.spec)
        assert [item.box for item in selection] == list(layout.level_boxes("high"))
        assert [item.region for item in selection] == list(layout.regions)
        assert [item.index for item in selection] == list(range(24))
        inputs = engine.processor.image_processor([image], return_tensors="pt")
        inputs.pop("layouts")
        with torch.no_grad():
            chosen = engine.model.get_image_features(**inputs).selection
        assert [item.index for item in selection if item.kept] == chosen.indices[0].tolist()
        assert [item.score for item in selection] == pytest.approx(chosen.scores[0].tolist(), rel=1e-4, abs=1e-4)
        for region in range(4):  # what is kept scores at least as high as what is not
            mates = [item for item in selection if item.region == region]
            kept = sorted((item.score or 0 for item in mates), reverse=True)[:3]
            assert sorted((item.score or 0 for item in mates if item.kept), reverse=True) == kept


def test_timings(engine: Engine, images: list[Image.Image]) -> None:
    engine.cache.clear()
    timings = engine.ask(images[0], "What?", max_new_tokens=2).timings
    assert set(timings) == {"images", "encode", "generate", "total"}
    assert 0 < max(timings[key] for key in ("images", "encode", "generate")) <= timings["total"]
    assert set(engine.ask(None, "What?", max_new_tokens=2).timings) == {"generate", "total"}


def test_sampling_is_reproducible_and_knows_no_batch_mates(engine: Engine, images: list[Image.Image]) -> None:
    sampling: dict[str, Any] = {"max_new_tokens": 10, "temperature": 1.5, "seed": 7}
    rows = [Row(images[1], "Which?"), Row(images[0], "What?"), Row(None, "Who?")]
    alone = engine.ask(images[0], "What?", **sampling)
    batch = engine.ask_batch(rows, **sampling)
    assert alone.token_ids == batch[1].token_ids == engine.ask(images[0], "What?", **sampling).token_ids
    assert alone.token_ids != engine.ask(images[0], "What?", **{**sampling, "seed": 8}).token_ids
    assert alone.token_ids != engine.ask(images[0], "What?", max_new_tokens=10).token_ids
    greedy = engine.ask(images[0], "What?", max_new_tokens=10)
    assert engine.ask(images[0], "What?", **{**sampling, "top_p": 1e-6}).token_ids == greedy.token_ids


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_global_random_state_is_untouched(engine: Engine, temperature: float) -> None:
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    engine.ask(None, "Who?", max_new_tokens=3, temperature=temperature, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_threads_that_sample_at_once_draw_as_one_alone(engine: Engine) -> None:
    questions = [f"Question {n}?" for n in range(8)]
    sampling: dict[str, Any] = {"max_new_tokens": 8, "temperature": 1.5, "seed": 7}
    alone = [engine.ask(None, question, **sampling).token_ids for question in questions]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda question: engine.ask(None, question, **sampling).token_ids, questions * 4))
    assert together == alone * 4


def test_images_that_do_not_fit_are_refused_before_any_is_encoded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "encode", lambda *_: pytest.fail("encoded"))
    image = tiny.image(20, 20)
    with pytest.raises(ValueError, match=r"\d+ of 1000 images take \d+ tokens and the model takes \d+; ask with fewer images"):
        engine.ask([image] * 1000, "What?")
    with pytest.raises(ValueError, match=r"of 1000 images take"):
        engine.chat([image] * 1000)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_an_error_and_no_answer(engine: Engine, value: float) -> None:
    weight: Any = engine.model.get_output_embeddings().weight
    with torch.no_grad():
        before = weight[7].clone()
        weight[7] = value
    try:
        with pytest.raises(ValueError, match=r"the logits of .* are not finite, so it has no answer"):
            engine.ask(None, "Who?", max_new_tokens=3)
    finally:
        with torch.no_grad():
            weight[7] = before


def test_finish_and_the_end_of_turn(engine: Engine, say: Say) -> None:
    with say("Yes."):
        answer = engine.ask(None, "Is it?", max_new_tokens=20)
    assert (answer.text, answer.finish, answer.token_ids[-1], len(answer.token_ids)) == ("Yes.", "stop", 4, 5)
    with say("Yes."):
        short = engine.ask(None, "Is it?", max_new_tokens=4)
    assert (short.text, short.finish, len(short.token_ids)) == ("Yes.", "length", 4)
    assert len(engine.ask(None, "Is it?", max_new_tokens=1).token_ids) == 1


def test_a_stop_string_over_several_tokens(engine: Engine, say: Say) -> None:
    with say("one\nEND two"):
        answer = engine.ask(None, "Count?", stop=("\nEND", "never"))
    assert (answer.text, answer.finish) == ("one", "stop")
    assert len(answer.token_ids) == len("one\nEND") and 4 not in answer.token_ids


def test_a_stop_string_of_letters_that_are_several_tokens_each(engine: Engine, say: Say) -> None:
    with say("größer 日本 und mehr"):
        answer = engine.ask(None, "Was?", stop="日本")
    assert (answer.text, answer.finish) == ("größer ", "stop")
    assert len(answer.token_ids) == len("größer 日本".encode())


def test_a_stop_string_does_not_begin_in_the_prompt(engine: Engine, say: Say) -> None:
    """The prompt ends with two line feeds, so the answer "\nA" would complete "\n\n\nA"."""
    with say("\nA. Yes"):
        answer = engine.ask(None, "Is it?", stop="\n\n\nA")
    assert (answer.text, answer.finish) == ("\nA. Yes", "stop")


def test_a_row_that_has_stopped_keeps_its_text_while_others_go_on(engine: Engine, say: Say) -> None:
    """After the first row's stop string its mates still run; what is put there must not count."""
    options: dict[str, Any] = {"stop": ("ab", "xabc"), "max_new_tokens": 30}
    with say("xabc and more", "a longer answer"):
        first, second = engine.ask_batch([Row(None, "One?"), Row(None, "Two?")], **options)
    with say("xabc and more"):
        alone = engine.ask(None, "One?", **options)
    assert first.text == alone.text == "x"
    assert first.token_ids == alone.token_ids and len(alone.token_ids) == 3
    assert second.text == "a longer answer"


def test_policies_without_scores_give_none(engine: Engine, saved_model: Any, images: list[Image.Image]) -> None:
    from dragonfly.inference import load

    for policy, kept in (("uniform", 12), ("random", 12), ("all", 24)):
        other = load(saved_model, overrides=[f"model.selection.policy={policy}"])
        (selection,) = other.ask(images[0], "What?", max_new_tokens=1).selections
        assert sum(item.kept for item in selection) == kept
        assert {item.score for item in selection} == {None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be an integer of at least 1, got 0"),
        ({"max_new_tokens": 2.5}, "max_new_tokens must be an integer of at least 1, got 2.5"),
        ({"max_new_tokens": True}, "max_new_tokens must be an integer of at least 1, got True"),
        ({"temperature": -0.1}, "temperature must be a number of at least 0, got -0.1"),
        ({"temperature": float("nan")}, "temperature must be a number of at least 0, got nan"),
        ({"top_p": 0}, "top_p must be a number above 0 and at most 1, got 0"),
        ({"seed": -1}, "seed must be an integer of at least 0, below 2**63, got -1"),
        ({"stop": ("a", "")}, "stop must be one or more texts that are not empty, got ''"),
        ({"max_tokens": 5}, "unknown option: 'max_tokens' .*did you mean 'max_new_tokens'"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_options_that_cannot_be_meant(engine: Engine, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("**", r"\*\*")):
        engine.ask_batch([Row(None, "Who?")], **options)


@pytest.mark.parametrize("token", ["<image>", "<separator>", "<|eot_id|>"])
def test_a_control_token_in_the_text_is_refused(engine: Engine, images: list[Image.Image], token: str) -> None:
    with pytest.raises(ValueError, match=f"the text contains '{re.escape(token)}', which is a control token"):
        engine.ask(images[0], f"What does {token} mean?")


def test_a_prompt_that_is_too_long(engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"the prompt has 50\d\d tokens and the model takes 4096; ask with fewer images"):
        engine.ask(None, "x" * 5000)


def test_images_in_all_their_forms_are_one(engine: Engine, tmp_path: Any, images: list[Image.Image]) -> None:
    path = tmp_path / "image.png"
    images[0].save(path)
    forms = [images[0], path, str(path), path.read_bytes(), [path], (str(path),)]
    answers = [engine.ask(form, "What?", max_new_tokens=3) for form in forms]
    assert {answer.token_ids for answer in answers} == {answers[0].token_ids}
    assert tiny.image(96, 64, seed=1).tobytes() == images[0].tobytes()
