"""The objective `shared_prefix`: questions on an image in one sequence, each asked by itself: the image, then a segment each.

As turns of one conversation, an earlier question and its answer stand in a later one's prompt, and a model learns to copy
(`data.grouping`). A segment sees what all share and itself, so it is trained exactly as if it were its own row, while the images
are paid for once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from dragonfly.config import Config
from dragonfly.data import IGNORE_INDEX, BadSample, Collator, EncodedDataset, Mixture, Sample, encode, to_messages
from dragonfly.data.batch import POSITIONS
from dragonfly.training import Objective, Recipe, TrainingSetup
from dragonfly.training.modules import MODULES
from dragonfly.training.objective import answer_setup, encoded, supervised_logits
from dragonfly.turns import tokens_in

from .attention_supervision import (
    AttentionSupervision,
    answer_targets,
    attention_faults,
    attention_supervision_loss,
    attention_targets,
    supervise,
)
from .metric_thresholds import MetricThreshold, MetricThresholds, threshold_faults

Turn = list[Mapping[str, Any]]
PER_TOKEN = {"segment_ids": 0, "attention_targets": 0, "answer_targets": 0}
"""What examples hold beside `encode`'s, one value per token, and its padding."""


class SharedPrefix(Config):
    """Questions grouped on an image (`group_questions`) share it and do not see each other.

    `attention_supervision`: where attention is told to look, by `eager` or `sdpa`, with all sub-images kept or the oracle's.
    `thresholds`: what the run must have reached.
    """

    name: Literal["shared_prefix"] = "shared_prefix"
    attention_supervision: AttentionSupervision | None = None
    thresholds: list[MetricThreshold] = Field(default_factory=list[MetricThreshold])


def encode_shared_prefix(
    processor: Any,
    messages: Sequence[Mapping[str, Any]],
    images: Sequence[Any],
    *,
    max_length: int | None = None,
    evidence: Sequence[Sequence[Any]] = (),
    **processor_kwargs: Any,
) -> dict[str, Any]:
    """As `encode` with `train_on="assistant"`, every turn a conversation of its own that begins with the same images.

    What all turns share is the first user message up to its last text: images, and text before it. Returns what `encode`
    does, and `segment_ids` (tokens,): 0 where all share, else the number of the segment, from 1. `num_truncated` counts the
    segments left out for `max_length`. ValueError where images stand before the text whatever the template says, or the
    choice of sub-images depends on the question: the images are then not the same for all.
    """
    if processor.block_first or processor.asks:
        reason = "chooses sub-images by the question" if processor.asks else "puts images before the begin-of-text token"
        raise ValueError(
            f"objective 'shared_prefix' is for models whose images are the same for every question; this one {reason}"
        )
    turns = one_turn_each(messages)
    every = [box for turn in evidence for box in turn]
    first = encode(processor, turns[0], images, evidence=[every] if every else (), **processor_kwargs)
    if max_length is not None and len(first["input_ids"]) > max_length:
        raise BadSample(
            "too-long", f"the first question takes {len(first['input_ids'])} tokens, max_length is {max_length}; raise it"
        )
    if len(turns) == 1:
        return {**first, "segment_ids": torch.zeros_like(first["input_ids"])}
    texts = [rendered(processor, turn) for turn in turns]
    common = _common(texts)
    ids, labels = list(first["input_ids"].tolist()), list(first["labels"].tolist())
    shared = len(ids) - (len(texts[0][0]) - common)
    if ids[shared:] != texts[0][0][common:] or any(label != IGNORE_INDEX for label in labels[:shared]):
        raise ValueError(
            "the chat template writes a turn otherwise with images than without; objective 'shared_prefix' cannot share them"
        )
    segment_ids = [0] * shared + [1] * (len(ids) - shared)
    left_out = 0
    for number, (tokens, answers) in enumerate(texts[1:], start=2):
        tail = tokens[common:]
        if max_length is not None and len(ids) + len(tail) > max_length:
            left_out += 1
            continue
        ids += tail
        labels += [token if trained else IGNORE_INDEX for token, trained in zip(tail, answers[common:], strict=True)]
        segment_ids += [number] * len(tail)
    sequences = {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels, "segment_ids": segment_ids}
    return {**first, **{name: torch.tensor(values) for name, values in sequences.items()}, "num_truncated": left_out}


def one_turn_each(messages: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """Every turn as a conversation: the system message, what all share, the turn's own text, its answer."""
    system = [message for message in messages[:1] if message["role"] == "system"]
    turns = messages[len(system) :]
    *shared, own = turns[0]["content"]
    asked = [[own], *(turn["content"] for turn in turns[2::2])]
    return [
        [*system, {"role": "user", "content": [*shared, *question]}, answer]
        for question, answer in zip(asked, turns[1::2], strict=True)
    ]


def rendered(processor: Any, turn: Turn) -> tuple[list[int], list[int]]:
    """Ids of a turn, an image being one placeholder, and which of them are the answer's."""
    text, spans = processor.answers(turn)
    output = processor.tokenizer(text, add_special_tokens=not processor.writes_bos([text]), return_offsets_mapping=True)
    return list(output["input_ids"]), tokens_in(output["offset_mapping"], spans)


def _common(rows: Sequence[tuple[list[int], list[int]]]) -> int:
    """Tokens with which all rows begin, up to the last one before an answer: from it a segment's answer is told."""
    same = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*(ids for ids, _ in rows), strict=False)))
    return min([same, *(answers.index(1) - 1 for _, answers in rows if 1 in answers)])


def shared_prefix_inputs(
    segment_ids: Tensor, attention_mask: Tensor, attention: str, position_ids: Tensor | None = None
) -> dict[str, Tensor]:
    """What makes a language model read segments.

    Args:
        segment_ids: (batch, length), 0 where shared, else the segment's number; a segment's tokens stand together, after what is
            shared.
        attention_mask: (batch, length), 0 for padding, which stands on the right.
        attention: the language model's implementation; `eager` adds the mask to the scores, any other takes a boolean one.
        position_ids: (batch, length) of packed rows, 0 where one begins.

    Returns:
        attention_mask (batch, 1, length, length), and position_ids (batch, length): every segment resumes where its row's shared
        part ends.
    """
    length, device = segment_ids.shape[1], segment_ids.device
    rows = 1 - attention_mask if position_ids is None else (position_ids == 0).cumsum(dim=1)  # padding is rows of its own
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    row = (rows[:, :, None] == rows[:, None, :]) & causal
    same = row & (segment_ids[:, :, None] == segment_ids[:, None, :])
    shared = row & (segment_ids == 0)[:, None, :]
    within = same.sum(dim=-1) - 1
    positions = torch.where(segment_ids > 0, shared.sum(dim=-1) + within, within)
    mask = (same | shared)[:, None]
    if attention == "eager":
        mask = torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, torch.finfo(torch.float32).min)
    return {"attention_mask": mask, "position_ids": positions}


def _options(recipe: Recipe) -> SharedPrefix:
    return cast(SharedPrefix, recipe.objective)


def _faults(recipe: Recipe) -> list[str]:
    options = _options(recipe)
    faults = threshold_faults(recipe, options.thresholds)
    if recipe.data.train_on != "assistant":
        faults.append("objective 'shared_prefix' trains answers; it goes with data.train_on=assistant")
    if options.attention_supervision is not None:
        faults += attention_faults(recipe, "attention_supervision", ("sdpa", "eager"))
        if recipe.data.tower_cache is not None:
            faults.append("attention_supervision looks where images are cut, and data.tower_cache opens none; leave one out")
        if recipe.data.packing is not None:
            faults.append("attention_supervision counts an answer's place by its own row; leave data.packing out")
    return faults


def _encode(
    options: SharedPrefix, max_length: int | None, processor: Any, sample: Sample, images: Sequence[Any]
) -> dict[str, Any]:
    messages = to_messages(sample)
    example = encode_shared_prefix(processor, messages, images, max_length=max_length, evidence=sample.evidence)
    if options.attention_supervision is None:
        return example
    told = {"attention_targets": attention_targets(processor, example, sample, images)}
    if options.attention_supervision.answer is not None:
        told["answer_targets"] = answer_targets(processor, example, sample, images)
    return {**example, **told}


def _examples(recipe: Recipe, rows: Sequence[Sample] | Mixture, processor: Any) -> EncodedDataset:
    return encoded(recipe, rows, processor, partial(_encode, _options(recipe), recipe.data.max_length))


def _collator(processor: Any) -> Collator:
    return Collator(processor.tokenizer.pad_token_id, more=PER_TOKEN)


def _inputs(supervised: bool, model: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
    """What the model is given: the segments as a mask and positions, made where the model is."""
    text = model.config.get_text_config()
    given = (batch["segment_ids"], batch["attention_mask"], text._attn_implementation, batch.get(POSITIONS))
    segments = shared_prefix_inputs(*given)
    more: dict[str, Any] = supervised_logits(batch["labels"]) if model.training else {}
    if supervised and model.training:
        more["output_attentions"] = True
    return {**{key: value for key, value in batch.items() if key not in PER_TOKEN}, **segments, **more}


def _supervision_loss(options: AttentionSupervision, image_token_id: int, outputs: Any, batch: Mapping[str, Any]) -> Tensor:
    placeholders = batch["input_ids"] == image_token_id
    given = (batch["attention_targets"], batch["segment_ids"], batch["labels"], placeholders, batch.get("answer_targets"))
    return options.weight * attention_supervision_loss(options, outputs.attentions, *given)


def _build(recipe: Recipe, model: Any, processor: Any, rows: Any) -> TrainingSetup:
    options = _options(recipe)
    supervision = options.attention_supervision
    if supervision is not None:
        supervise(supervision, model)
    return replace(
        answer_setup(recipe, model, processor, rows),
        inputs=partial(_inputs, supervision is not None),
        extra_loss=partial(_supervision_loss, supervision, processor.image_token_id) if supervision else None,
        callbacks=(MetricThresholds(options.thresholds),),
    )


SHARED_PREFIX = Objective(
    SharedPrefix,
    frozenset(MODULES) - {"query_projection"},
    _build,
    _faults,
    _examples,
    _collator,
    turns_seen=False,
    packs=True,
    may_change=frozenset({"thresholds"}),
)
