"""Questions on a page that each choose what they see are trained exactly as if each were its own row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import dragonfly
from dragonfly.data import BadSample, Collator, encode
from dragonfly.research.curriculum import HOOKS
from dragonfly.research.curriculum.attention_supervision import AttentionSupervision, supervise
from dragonfly.research.curriculum.page_questions import PER_TOKEN, Supervised, encode_page_questions, page_inputs
from dragonfly.research.curriculum.patch_labels import LEAST_COVER, cover
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
        Recipe.load("nano/scan-full", ["objective={name: answer}"], hooks=HOOKS)


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


def question_model() -> tuple[Any, Any]:
    """A small model that chooses four of 24 high sub-images by the question, at full density, each met in its place."""
    choice = {"policy": "question", "scope": "image", "keep": 4, "context": "row"}
    encoder = {**(tiny.config("v1", tower="siglip").encoder or {}), "selection": choice}
    settings = tiny.config("v1", tower="siglip", encoder=encoder)
    return tiny.model(settings), tiny.processor(settings)


def test_questions_are_told_their_words_places_and_patches() -> None:
    model, processor = question_model()
    image, spec = tiny.image(96, 64, seed=3), processor.image_processor.spec
    layout = processor.image_processor([image], return_tensors="pt")["layouts"][0]
    boxes = layout.level_boxes("high")
    (left, top, right, bottom), side = boxes[7], spec.patch_side
    across = (right - left) / side
    answer = (right - 1.6 * across, top, right + 0.7 * across, bottom)  # two columns of patches, one of the next sub-image
    evidence = [[boxes[0], answer], [], [boxes[20]]]
    named = [["total"], ["tax"], []]
    example = encode_page_questions(processor, conversation(TURNS), [image], evidence=evidence, named=named)
    batch = Collator(0, more=PER_TOKEN)([example])
    supervised = Supervised(AttentionSupervision(words=0, places=1, answer=1, heads=1, weight=2.0))
    given = supervised.inputs(model, batch)
    told, ids = supervised.told, given["input_ids"]
    own_words = told["attention_targets"].bool() & ~told["placeholders"]
    words = [processor.tokenizer.decode(row[own]) for row, own in zip(ids, own_words, strict=True)]
    assert [word.strip() for word in words] == ["total", "tax", ""]
    chosen = given["mm_encoder_outputs"]["image"].selection.indices
    patches = [torch.zeros(len(ids), chosen.shape[1], side * side, dtype=torch.long) for _ in range(2)]
    truth = cover(torch.tensor(boxes, dtype=torch.float64), torch.tensor([answer], dtype=torch.float64), spec)[0].flatten(1)
    last = cover(torch.tensor(boxes, dtype=torch.float64), torch.tensor([boxes[20]], dtype=torch.float64), spec)[0].flatten(1)
    for question, places, shown in ((0, {0, 7, 8}, truth), (2, {20}, last)):
        assert places <= set(chosen[question].tolist())
        for at, sub_image in enumerate(chosen[question].tolist()):
            patches[0][question, at] = sub_image in places
            patches[1][question, at] = (shown[sub_image] > LEAST_COVER).long()
    for name, expected in zip(("attention_targets", "answer_targets"), patches, strict=True):
        assert told[name][told["placeholders"]].tolist() == expected.flatten().tolist(), name


def test_what_they_are_told_is_learned_from_the_attention_they_pay() -> None:
    """The loss is the mean of what each answer's positions miss, layer by layer, of attention over all that they see."""
    model, processor = question_model()
    options = AttentionSupervision(words=0, places=1, answer=1, heads=1, weight=2.0)
    supervise(options, model)
    boxes = processor.image_processor([tiny.image()], return_tensors="pt")["layouts"][0].level_boxes("high")
    evidence, named = [[boxes[0]], [], [boxes[20]]], [["total"], ["tax"], []]
    example = encode_page_questions(processor, conversation(TURNS), [tiny.image()], evidence=evidence, named=named)
    supervised = Supervised(options)
    model.train()
    given = supervised.inputs(model, Collator(0, more=PER_TOKEN)([example]))
    outputs = model(**given)
    told, width = supervised.told, given["input_ids"].shape[1]
    says = torch.nn.functional.pad(told["labels"][:, 1:] != -100, (0, 1))
    terms = []
    for layer, targets in (
        (0, (told["attention_targets"] > 0) & ~told["placeholders"]),
        (1, (told["attention_targets"] > 0) & told["placeholders"]),
        (1, told["answer_targets"] > 0),
    ):
        weights = outputs.attentions[layer][:, 0]
        assert weights.shape[2] > width and torch.allclose(
            weights[says].sum(dim=-1), torch.ones(1)
        )  # what they share is seen too
        missed = [
            -weights[row, at, -width:][targets[row]].sum().log() for row, at in says.nonzero().tolist() if targets[row].any()
        ]
        terms.append(torch.stack(missed).mean())
    torch.testing.assert_close(supervised.loss(outputs, {}), 2.0 * torch.stack(terms).mean())


@pytest.mark.parametrize(
    ("change", "said"),
    [("objective.evidence=false", "told by the evidence"), ("attention={text_config: eager}", "set attention=")],
)
def test_without_evidence_or_sdpa_nobody_can_be_told(change: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Recipe.load("nano/scan-ask", [change], hooks=HOOKS)
