"""Questions on a page that each choose what they see are trained exactly as if each were its own row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import dragonfly
from dragonfly.data import BadSample, Collator, encode
from dragonfly.research.curriculum import HOOKS
from dragonfly.research.curriculum.page_questions import PER_TOKEN, encode_page_questions, page_inputs
from dragonfly.research.curriculum.shared_prefix import one_turn_each
from dragonfly.research.synthetic import DatasetOptions, write_dataset
from dragonfly.training import Recipe, run
from tests import tiny

TURNS = [("What is the total?", "47"), ("tax?", "not in the picture"), ("Which field shows 12, please", "rent")]


ROLES = ("user", "assistant")


def conversation(turns: list[tuple[str, str]]) -> list[dict[str, Any]]:
    pairs = [pair for turn in turns for pair in zip(ROLES, turn, strict=True)]
    said = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in pairs]
    return [{**said[0], "content": [{"type": "image"}, *said[0]["content"]]}, *said[1:]]


@pytest.fixture
def nano() -> Any:
    engine = dragonfly.load(device="cpu")
    engine.model.float()
    return engine


def test_a_question_is_its_own_row(nano: Any) -> None:
    model, processor = nano.model, nano.processor
    pages = [(conversation(TURNS), tiny.image(200, 300)), (conversation(TURNS[1:]), tiny.image(300, 200, seed=3))]
    batch = Collator(0, more=PER_TOKEN)([encode_page_questions(processor, messages, [image]) for messages, image in pages])
    alone = [encode(processor, turn, [image]) for messages, image in pages for turn in one_turn_each(messages)]
    rows = Collator(0)(alone)
    parameters = list(model.model.language_model.layers.parameters())
    gradients = []
    for given in (page_inputs(model, batch), rows):
        loss = model(**given).loss
        gradients.append((loss.detach(), torch.autograd.grad(loss, parameters)))
    (loss, ours), (expected, theirs) = gradients
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_each_question_is_shown_what_it_chooses(nano: Any) -> None:
    image = tiny.image(200, 300)
    example = encode_page_questions(nano.processor, conversation(TURNS), [image])
    given = page_inputs(nano.model, Collator(0, more=PER_TOKEN)([example]))
    shown = given["mm_encoder_outputs"]["image"].pooler_output
    assert len(shown) == len(TURNS) and any(not torch.equal(shown[0], one) for one in shown[1:])


def test_a_question_is_shown_its_evidence_and_the_best_of_its_choice(nano: Any) -> None:
    """As if it had been handed that choice: the evidence first, however little it looks like it, then what scores best."""
    base, processor, image = nano.model.model, nano.processor, tiny.image(200, 300)
    batch = Collator(0, more=PER_TOKEN)([encode_page_questions(processor, conversation(TURNS), [image])])
    inputs = {name: batch[name] for name in ("pixel_values", "sub_image_regions", "sub_image_positions") if name in batch}
    asked = processor.question_inputs([TURNS[0][0]])
    scores = base.get_image_features(**inputs, **asked).selection.scores[0]
    kept, worst, best = processor.image_processor.spec.selection.keep, int(scores.argmin()), scores.argsort(descending=True)
    chosen = [*best[: kept - 1].flip(0).tolist(), worst]  # nano's order: what scores best comes last
    box = processor.image_processor([image], return_tensors="pt")["layouts"][0].level_boxes("high")[worst]
    example = encode_page_questions(processor, conversation(TURNS), [image], evidence=[[box], [], []])
    assert example["evidence"].unique().tolist() == [0, 1 << worst]
    assert set(example["segment_ids"][example["evidence"] > 0].tolist()) == {1}
    shown = page_inputs(nano.model, Collator(0, more=PER_TOKEN)([example]))["mm_encoder_outputs"]["image"].pooler_output
    before = page_inputs(nano.model, batch)["mm_encoder_outputs"]["image"].pooler_output
    handed = base.get_image_features(**inputs, selected_high=torch.tensor([chosen])).pooler_output[0]
    torch.testing.assert_close(shown[0], handed[-len(shown[0]) :])
    assert not torch.equal(shown[0], before[0])
    torch.testing.assert_close(list(shown[1:]), list(before[1:]))  # without evidence a question has its own choice


def test_what_does_not_fit_is_left_out(nano: Any) -> None:
    image = tiny.image(200, 300)
    whole = encode_page_questions(nano.processor, conversation(TURNS), [image])
    cut = encode_page_questions(nano.processor, conversation(TURNS), [image], max_length=len(whole["input_ids"]) - 1)
    assert (whole["num_truncated"], cut["num_truncated"]) == (0, 1) and int(cut["segment_ids"].max()) == 2
    short = encode_page_questions(nano.processor, conversation(TURNS), [image], longest=1)  # the shortest stays, however long
    assert short["num_truncated"] == 2 and int(short["segment_ids"].max()) == 1
    assert "tax?" in nano.tokenizer.decode(short["input_ids"])
    with pytest.raises(BadSample, match="no question fits"):
        encode_page_questions(nano.processor, conversation(TURNS), [image], max_length=60)


def test_a_model_that_does_not_choose_is_refused() -> None:
    with pytest.raises(ValueError, match="a model that chooses by the question; this one's policy is 'similarity'"):
        encode_page_questions(tiny.processor(tiny.config("v1")), conversation(TURNS), [tiny.image()])


@pytest.mark.parametrize("change", ["trainable=[multi_modal_projector]", "data.eval={name: dev, path: x}", "data.train_on=all"])
def test_what_it_cannot_train_is_said_before_anything_is_read(change: str) -> None:
    with pytest.raises(ValueError, match="page_questions"):
        Recipe.load("nano/natural", [change], hooks=HOOKS)


def test_the_options_of_another_objective_are_not_taken_for_typing_errors() -> None:
    with pytest.raises(
        ValueError, match=r"attention_supervision\.words'; it goes with another 'objective' than this; leave it out"
    ):
        Recipe.load("nano/scan-full", ["objective={name: page_questions}"], hooks=HOOKS)


def test_the_recipe_trains_the_bundled_model(tmp_path: Path) -> None:
    pages = write_dataset(DatasetOptions("nano", "train", 4, 1, language="natural"), tmp_path / "pages").parent
    changes = [
        "init_from.checkpoint=nano",
        f"data.train=[{{name: pages, path: {pages}, group_questions: 4}}]",
        *("steps=2", "batch.global_size=4", "batch.per_device=2", "save.every=null", "log.every=1"),
        f"output={tmp_path / 'out'}",
    ]
    after = dragonfly.load(run(Recipe.load("nano/natural", changes, hooks=HOOKS)), device="cpu").model.state_dict()
    before = dragonfly.load(device="cpu").model.float().state_dict()
    changed = {name for name in before if not torch.equal(before[name].float(), after[name].float())}
    assert changed and all(name.startswith(("model.language_model.layers", "model.language_model.norm")) for name in changed)
