"""Questions on the same images in one sequence, each asked alone: the images once, then a segment for every question.

As turns of one conversation, an earlier question and its answer stand in a later one's prompt. "Is the tax 47?", "yes" tells
what the tax is: a model learns to copy, scores well in training and, asked alone, knows nothing. A segment sees what all share
and itself (`models.segments`), so it is trained exactly as if it were its own row, while the images are paid for once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import torch

from .encoding import IGNORE_INDEX, encode
from .errors import BadSample

Turn = list[Mapping[str, Any]]


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
        raise ValueError(f"data.shared_prefix is for models whose images are the same for every question; this one {reason}")
    turns = _one_turn_each(messages)
    every = [box for turn in evidence for box in turn]
    first = encode(processor, turns[0], images, evidence=[every] if every else (), **processor_kwargs)
    if max_length is not None and len(first["input_ids"]) > max_length:
        raise BadSample(
            "too-long", f"the first question takes {len(first['input_ids'])} tokens, max_length is {max_length}; raise it"
        )
    if len(turns) == 1:
        return {**first, "segment_ids": torch.zeros_like(first["input_ids"])}
    rendered = [_rendered(processor, turn) for turn in turns]
    common = _common(rendered)
    ids, labels = list(first["input_ids"].tolist()), list(first["labels"].tolist())
    shared = len(ids) - (len(rendered[0][0]) - common)
    if ids[shared:] != rendered[0][0][common:] or any(label != IGNORE_INDEX for label in labels[:shared]):
        raise ValueError(
            "the chat template writes a turn otherwise with images than without; data.shared_prefix cannot share them"
        )
    segment_ids = [0] * shared + [1] * (len(ids) - shared)
    left_out = 0
    for number, (tokens, said) in enumerate(rendered[1:], start=2):
        tail = tokens[common:]
        if max_length is not None and len(ids) + len(tail) > max_length:
            left_out += 1
            continue
        ids += tail
        labels += [token if trained else IGNORE_INDEX for token, trained in zip(tail, said[common:], strict=True)]
        segment_ids += [number] * len(tail)
    sequences = {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels, "segment_ids": segment_ids}
    return {**first, **{name: torch.tensor(values) for name, values in sequences.items()}, "num_truncated": left_out}


def _one_turn_each(messages: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """Every turn as a conversation: the system message, what all share, the turn's own text, its answer."""
    system = [message for message in messages[:1] if message["role"] == "system"]
    turns = messages[len(system) :]
    *shared, own = turns[0]["content"]
    asked = [[own], *(turn["content"] for turn in turns[2::2])]
    return [
        [*system, {"role": "user", "content": [*shared, *question]}, answer]
        for question, answer in zip(asked, turns[1::2], strict=True)
    ]


def _rendered(processor: Any, turn: Turn) -> tuple[list[int], list[int]]:
    """Ids of a turn, an image being one placeholder, and which of them are the answer's."""
    output = processor.tokenizer.apply_chat_template(
        turn,
        chat_template=processor.chat_template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return list(output["input_ids"]), list(output["assistant_masks"])


def _common(rows: Sequence[tuple[list[int], list[int]]]) -> int:
    """Tokens with which all rows begin, up to the last one before an answer: from it a segment's answer is told."""
    same = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*(ids for ids, _ in rows), strict=False)))
    return min([same, *(said.index(1) - 1 for _, said in rows if 1 in said)])
