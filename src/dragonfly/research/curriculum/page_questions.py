# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The objective `page_questions`: many questions on an image, each of which chooses its high sub-images, at the price of few.

Under policy `question` the tokens of low and mid are the same for every question and those of high are not, so questions cannot
share a whole image (`shared_prefix`). Here the tower encodes a page once, the language model reads its low and mid once, and
each question goes on from there with its own high sub-images, exactly as if it were a row by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from dragonfly.config import Config
from dragonfly.data import IGNORE_INDEX, BadSample, Collator, EncodedDataset, Mixture, Sample, encode, to_messages
from dragonfly.data.grouping import PLACES
from dragonfly.models.connector import LevelCounts, Views, image_features
from dragonfly.models.outputs import CACHE
from dragonfly.models.query_projection import embed_questions
from dragonfly.training import Objective, Recipe, TrainingSetup
from dragonfly.training.objective import answer_setup, encoded
from dragonfly.vision.layout import Box, level_counts
from dragonfly.vision.trimming import image_layout

from .attention_supervision import (
    AttentionSupervision,
    about,
    attention_faults,
    attention_supervision_loss,
    named_words,
    shown_places,
    supervise,
)
from .patch_labels import LEAST_COVER, cover
from .shared_prefix import one_turn_each, rendered

PER_TOKEN = {"segment_ids": 0, "asked": 0, "evidence": 0, "named": 0, "answer": 0}
"""What examples hold beside `encode`'s, one value per token, and its padding."""

MAX_HIGH = 63
"""High sub-images that fit in the bits of an int64 without its sign."""


SIDES = 15
"""Bits of each side of a rectangle of patches."""


class PageQuestions(Config):
    """Questions grouped on an image (`group_questions`), each with the high sub-images that it chooses.

    `longest`: questions of more tokens are left out, because all of a batch are padded to its longest; a page's shortest stays.
    `evidence`: a question is shown the sub-images that hold its evidence, and as many more as are kept of those it chooses.
    It learns to tell them from others that look alike, and never to say what it cannot see.
    `attention_supervision`: where attention is told to look among them.
    """

    name: Literal["page_questions"] = "page_questions"
    longest: int | None = Field(default=None, gt=0)
    evidence: bool = False
    attention_supervision: AttentionSupervision | None = None


def encode_page_questions(
    processor: Any,
    messages: Sequence[Mapping[str, Any]],
    images: Sequence[Any],
    *,
    max_length: int | None = None,
    longest: int | None = None,
    evidence: Sequence[Sequence[Box]] = (),
    named: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """As `encode` with `train_on="assistant"`, every turn a conversation of its own that begins with the same image.

    Returns what `encode` does for the first turn, then the other turns' text; `segment_ids` (tokens,), 0 up to the end of the
    image and the number of the question, from 1, after it; and `asked` (tokens,), 1 where the question's own words stand. With
    the `evidence` of each turn (source pixels) also, in a question's tokens, `evidence` (tokens,) int64, the high sub-images that
    hold it as bits, and `answer` (tokens,) int64, the patches of its last box (`_rectangle`); with the words that name what is
    asked about, `named` for each turn, also `named` (tokens,), 1 at these.
    ValueError for a model that does not choose by the question, or a conversation that is not about one image.
    """
    if not processor.asks or len(images) != 1:
        raise ValueError(
            "objective 'page_questions' is for questions about one image each and a model that chooses by the question; "
            f"this one's policy is '{processor.image_processor.spec.selection.policy}' and a row has {len(images)} images; "
            "objective 'shared_prefix' is for models that show every question the same"
        )
    turns = one_turn_each(messages)
    first = encode(processor, turns[0], images)
    block = (first["input_ids"] == processor.image_token_id) | (first["input_ids"] == processor.separator_token_id)
    shared = int(block.nonzero()[-1]) + 1
    ids, labels = first["input_ids"][:shared].tolist(), [IGNORE_INDEX] * shared
    segment_ids, asked = [0] * shared, [0] * shared
    told: dict[str, list[int]] = {"evidence": [0] * shared, "answer": [0] * shared} if evidence else {}
    told |= {"named": [0] * shared} if named else {}
    places = _places(processor, images[0], evidence) if evidence else []
    asking = [processor.question_inputs([turn_text(turn)])["question_ids"][0].tolist() for turn in turns]
    bound = None if longest is None else max(longest, min(map(len, asking)))  # the shortest always stays
    left_out = 0
    for number, (turn, words) in enumerate(zip(turns, asking, strict=True)):
        tokens, answers = rendered(processor, turn)
        start = tokens.index(processor.image_token_id) + 1
        tail, trained = tokens[start:], answers[start:]
        too_long = bound is not None and len(words) > bound
        if too_long or (max_length is not None and len(ids) + len(tail) > max_length):
            left_out += 1
            continue
        if tail[: len(words)] != words:
            raise ValueError("the chat template puts something before the words of a question; they cannot be told apart")
        ids += tail
        labels += [token if own else IGNORE_INDEX for token, own in zip(tail, trained, strict=True)]
        segment_ids += [max(segment_ids) + 1] * len(tail)
        asked += [1] * len(words) + [0] * (len(tail) - len(words))
        if places:
            told["evidence"] += [places[number][0]] * len(tail)
            told["answer"] += [places[number][1]] * len(tail)
        if named:
            own, text = torch.ones(len(tail), dtype=torch.bool), processor.as_written(turn_text(turn))
            told["named"] += named_words(processor.tokenizer, torch.tensor(tail), own, text, named[number]).int().tolist()
    if left_out == len(turns):
        raise BadSample("too-long", f"no question fits beside the image's {shared} tokens, max_length is {max_length}; raise it")
    rows = {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels, "segment_ids": segment_ids, "asked": asked}
    rows |= told
    others = {name: value for name, value in first.items() if not name.startswith("question_")}
    return {**others, **{name: torch.tensor(values) for name, values in rows.items()}, "num_truncated": left_out}


def _places(processor: Any, image: Any, evidence: Sequence[Sequence[Box]]) -> list[tuple[int, int]]:
    """Of each question the high sub-images that hold its evidence, as bits, and the patches of its last box, 0 for none."""
    spec = processor.image_processor.spec
    layout = image_layout(image, spec)
    boxes = layout.level_boxes("high")
    if len(boxes) > MAX_HIGH:
        raise ValueError(f"objective 'page_questions' shows evidence among at most {MAX_HIGH} high sub-images, not {len(boxes)}")
    corners, areas = (
        torch.tensor(layout.positions[-len(boxes) :])[:, 1:] * spec.patch_side,
        torch.tensor(boxes, dtype=torch.float64),
    )
    told: list[tuple[int, int]] = []
    for places in evidence:
        bits = sum(1 << at for at, shown in enumerate(shown_places(boxes, places)) if shown)
        last = torch.tensor(places[-1:], dtype=torch.float64) if len(places) <= PLACES else torch.zeros(0, 4)
        told.append((bits, _rectangle(cover(areas, last, spec)[0], corners) if len(last) else 0))
    return told


def _rectangle(share: Tensor, corners: Tensor) -> int:
    """First row, row after the last, and columns likewise, of the patches that an area covers, in `SIDES` bits each; 0 for none.

    `share` (high, side, side) of each patch that it covers, `corners` (high, 2) row and column of each sub-image's first patch.
    """
    sub_image, *inside = (share > LEAST_COVER).nonzero().unbind(1)
    if not len(sub_image):
        return 0
    at = corners[sub_image] + torch.stack(inside, dim=1)
    (top, left), (bottom, right) = at.amin(dim=0).tolist(), at.amax(dim=0).tolist()
    return sum(value << number * SIDES for number, value in enumerate((top, bottom + 1, left, right + 1)))


def turn_text(turn: Sequence[Mapping[str, Any]]) -> str:
    """What the user says in a conversation of one turn."""
    user = next(message for message in turn if message["role"] == "user")
    return "".join(part["text"] for part in user["content"] if part["type"] == "text")


@dataclass(frozen=True)
class Segments:
    """The questions of a batch of pages as rows, each with the placeholders of its own sub-images, padded on the left.

    `ids`, `labels`, `asked` and `mask` are (questions, length); `page` (questions,) is the row of the batch that each belongs to;
    `evidence` (questions,) has a bit for each high sub-image that is shown whatever its score, `answer` (questions,) the patches
    of its answer, and `named` (questions, length) is 1 at the words for what is asked about.
    """

    ids: Tensor
    labels: Tensor
    asked: Tensor
    mask: Tensor
    page: Tensor
    evidence: Tensor | None
    answer: Tensor | None
    named: Tensor | None

    @classmethod
    def of(cls, batch: Mapping[str, Tensor], own: slice) -> Segments:
        """Of a collated batch in which `own` is the part of the image that each question brings by itself."""
        numbers = batch["segment_ids"]
        tokens = numbers.nonzero(as_tuple=True)  # of questions: their pages and places, in order
        keys = tokens[0] * (numbers.max() + 1) + numbers[tokens]
        _, question, lengths = torch.unique_consecutive(keys, return_inverse=True, return_counts=True)
        ends = lengths.cumsum(dim=0)
        page = tokens[0][ends - 1]
        shared, width = own.stop - own.start, own.stop - own.start + int(lengths.max())
        rows = torch.arange(len(lengths), device=ends.device)[:, None]
        first = width - lengths[:, None] - shared  # before it a row is padding
        image = rows, first + torch.arange(shared, device=ends.device)
        text = question, width + torch.arange(len(question), device=ends.device) - ends[question]

        def padded(values: Tensor, padding: int) -> Tensor:
            filled = values.new_full((len(lengths), width), padding)
            filled[image] = values[page, own]
            filled[text] = values[tokens]
            return filled

        ids, labels, asked = (
            padded(batch[name], padding) for name, padding in (("input_ids", 0), ("labels", IGNORE_INDEX), ("asked", 0))
        )
        mask = (torch.arange(width, device=ends.device) >= first).to(ids.dtype)
        evidence, answer = (batch[name][tokens][ends - 1] if name in batch else None for name in ("evidence", "answer"))
        named = padded(batch["named"], 0) if "named" in batch else None
        return cls(ids, labels, asked, mask, page, evidence, answer, named)

    @property
    def longest_answer(self) -> int:
        """Tokens of the longest answer, which all stand at the end of their rows."""
        return int((self.labels != IGNORE_INDEX).sum(dim=1).max())


def _segments(model: Any, batch: Mapping[str, Tensor]) -> tuple[Segments, LevelCounts, int]:
    """The questions of a batch, the sub-images of its pages, and how many tokens a page's questions share."""
    spec = model.model.spec
    counts = LevelCounts.of_number(batch["pixel_values"].shape[1], spec)
    end = int((batch["segment_ids"][0] == 1).nonzero()[0])  # where the first question begins
    shared = end - counts.kept * (spec.tokens("high") + 1)
    return Segments.of(batch, slice(shared, end)), counts, shared


def page_inputs(model: Any, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the model's forward is given; see `_inputs`."""
    return _inputs(model, batch, *_segments(model, batch))


def _inputs(model: Any, batch: Mapping[str, Tensor], segments: Segments, counts: LevelCounts, shared: int) -> dict[str, Any]:
    """Of each question its high sub-images and its words, after the page's low and mid.

    Tower, projector and embeddings get no gradient: they are frozen (`page_faults`). Logits are those of answers alone.
    """
    base: Any = model.model
    spec, pixels, codes = base.spec, batch["pixel_values"], batch["sub_image_regions"]
    with torch.no_grad():
        features = base.run_tower(pixels.flatten(0, 1)).last_hidden_state.unflatten(0, pixels.shape[:2])
        question = embed_questions(base.get_input_embeddings(), segments.ids, segments.asked)
        places = batch.get("sub_image_positions")
        places = None if places is None else places[segments.page]
        held = None if segments.evidence is None else _bits(segments.evidence, counts.high)
        views = Views(features[segments.page], codes[segments.page], places, question=question, held=held)
        connected = base.connect(views, counts)
    shown = connected.tokens
    whole = shown.shape[1] - counts.kept * spec.tokens("high")  # features of low and mid
    common = batch["input_ids"][:, :shared]
    first_of_page = torch.searchsorted(segments.page, torch.arange(len(common), device=segments.page.device))
    embeds = base.get_input_embeddings()(common)
    place = (common == model.config.image_token_id).unsqueeze(-1)
    embeds = embeds.masked_scatter(place, shown[first_of_page, :whole].to(embeds.dtype))
    cache = getattr(base.language_model(inputs_embeds=embeds, use_cache=True), CACHE)
    cache.batch_select_indices(segments.page)
    kept = segments.longest_answer + 1  # a token is told by the position before it
    return {
        "input_ids": segments.ids,
        "labels": segments.labels[:, -kept:],
        "logits_to_keep": kept,
        "attention_mask": torch.cat([segments.mask.new_ones(len(segments.mask), shared), segments.mask], dim=1),
        "position_ids": shared + (segments.mask.cumsum(dim=1) - 1).clamp(min=0),
        "mm_encoder_outputs": {"image": image_features([], list(shown[:, whole:].unbind()), connected.selection)},
        CACHE: cache,
    }


@dataclass
class Supervised:
    """Tells attention where to look; between its two steps it holds what the last batch is told."""

    options: AttentionSupervision
    told: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def inputs(self, model: Any, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        """`page_inputs`, with attention given."""
        segments, counts, shared = _segments(model, batch)
        given = _inputs(model, batch, segments, counts, shared)
        chosen = given["mm_encoder_outputs"]["image"].selection
        places = batch["sub_image_positions"][segments.page, -counts.high :, 1:]
        shown = segments.ids == model.config.image_token_id
        evidence, answer = told_patches(segments, chosen.indices, places, model.model.spec.patch_side)
        targets = segments.named.masked_scatter(shown, evidence.flatten()) if segments.named is not None else evidence
        self.told = {
            "attention_targets": targets,
            "answer_targets": torch.zeros_like(targets).masked_scatter(shown, answer.flatten()),
            "labels": segments.labels,
            "placeholders": shown,
        }
        return {**given, "output_attentions": True}

    def loss(self, outputs: Any, batch: Mapping[str, Any]) -> Tensor:
        """`attention_supervision_loss`: all that questions are told about comes after what they share."""
        own = self.told["labels"].shape[1]
        attentions = [one[..., -own:] if one.numel() else one for one in outputs.attentions]
        segment_ids = torch.zeros_like(self.told["labels"])
        return self.options.weight * attention_supervision_loss(self.options, attentions, segment_ids=segment_ids, **self.told)


def told_patches(segments: Segments, indices: Tensor, places: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """(questions, kept, patches) int64, 1 for those of a sub-image that holds the evidence, and for those of the answer.

    `indices` (questions, kept) of the sub-images shown, `places` (questions, high, 2) their rows and columns, `side` patches of
    a sub-image's side.
    """
    assert segments.evidence is not None and segments.answer is not None
    evidence = (segments.evidence[:, None] >> indices & 1)[..., None].expand(-1, -1, side * side)
    corner = places.gather(1, indices[..., None].expand(-1, -1, 2)) * side
    steps = torch.arange(side, device=indices.device)
    inside = []
    for axis in (0, 1):
        first, end = (segments.answer >> (2 * axis + part) * SIDES & ((1 << SIDES) - 1) for part in (0, 1))
        at = corner[..., axis, None] + steps
        inside.append((at >= first[:, None, None]) & (at < end[:, None, None]))
    return evidence, (inside[0][..., :, None] & inside[1][..., None, :]).flatten(2).long()


def _bits(numbers: Tensor, count: int) -> Tensor:
    """(n, count) bool, the lowest bits of (n,) numbers."""
    return (numbers[:, None] >> torch.arange(count, device=numbers.device) & 1).bool()


def page_faults(recipe: Recipe) -> list[str]:
    """What does not go together with the objective, a sentence each."""
    faults = []
    if recipe.data.train_on != "assistant":
        faults.append("objective 'page_questions' trains answers; it goes with data.train_on=assistant")
    if wrong := sorted(
        name for name in recipe.trainable if not name.startswith(("language_model.layers", "language_model.norm"))
    ):
        faults.append(
            "objective 'page_questions' encodes pages and chooses without gradients; trainable may name language_model.layers "
            f"and language_model.norm, not {', '.join(wrong)}"
        )
    if recipe.data.eval is not None:
        faults.append("objective 'page_questions' does not evaluate; leave data.eval out and measure the finished model")
    options = cast(PageQuestions, recipe.objective)
    if options.attention_supervision is not None:
        faults += attention_faults(recipe, "attention_supervision", ("sdpa",))
        if not options.evidence:
            faults.append("attention_supervision is told by the evidence; set objective.evidence to true")
    return faults


def _encode(
    options: PageQuestions, max_length: int | None, processor: Any, sample: Sample, images: Sequence[Any]
) -> dict[str, Any]:
    messages, told, asked = to_messages(sample), dict[str, Any](), sum(message.role == "user" for message in sample.messages)
    if options.evidence:
        told["evidence"] = sample.evidence or [()] * asked
    if options.attention_supervision is not None:
        told["named"] = [about(sample, number) for number in range(asked)]
    return encode_page_questions(processor, messages, images, max_length=max_length, longest=options.longest, **told)


def _examples(recipe: Recipe, rows: Sequence[Sample] | Mixture, processor: Any) -> EncodedDataset:
    options = cast(PageQuestions, recipe.objective)
    return encoded(recipe, rows, processor, partial(_encode, options, recipe.data.max_length))


def _collator(processor: Any) -> Collator:
    return Collator(processor.tokenizer.pad_token_id, more=PER_TOKEN)


def _build(recipe: Recipe, model: Any, processor: Any, rows: Any) -> TrainingSetup:
    if level_counts(processor.image_processor.spec) is None:
        raise ValueError("objective 'page_questions' needs an encoder under which all images have as many sub-images")
    setup, supervision = answer_setup(recipe, model, processor, rows), cast(PageQuestions, recipe.objective).attention_supervision
    if supervision is None:
        return replace(setup, inputs=page_inputs)
    spec = model.model.spec
    if spec.tokens("high") != spec.patch_side**2:
        raise ValueError("attention_supervision tells patches of the high level; this encoder pools them or adds prefix tokens")
    supervise(supervision, model)
    supervised = Supervised(supervision)
    return replace(setup, inputs=supervised.inputs, extra_loss=supervised.loss)


PAGE_QUESTIONS = Objective(
    PageQuestions, frozenset({"language_model"}), _build, page_faults, _examples, _collator, turns_seen=False
)
