"""A look at finished examples before an hour of training is spent: `audit` finds silent labelling mistakes, `show` prints one.

Judges from the example alone, without the code that made its labels: where answers open and close comes from `turn_tokens`,
rendered apart. Knows the token ids that it is given and nothing of any model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from rich.text import Text
from torch import Tensor

from .encoding import IGNORE_INDEX, image_mask, runs

STYLES = {"image": "blue", "prompt": "default", "trained": "bold green", "pad": "dim"}


@dataclass(frozen=True)
class TurnTokens:
    """The token ids that open an answer (its header) and those that close it (the end of turn)."""

    opens: tuple[int, ...]
    closes: tuple[int, ...]


def turn_tokens(processor: Any) -> TurnTokens:
    """How the processor's chat template opens and closes an answer, derived from renderings of a small conversation."""
    question = [{"role": "user", "content": [{"type": "text", "text": "question"}]}]
    answer = {"role": "assistant", "content": [{"type": "text", "text": "reply"}]}
    asked = processor.apply_chat_template(question, tokenize=False)
    opened = processor.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    whole = processor.apply_chat_template([*question, answer], tokenize=False)
    if not opened.startswith(asked) or opened == asked or "reply" not in whole:
        raise ValueError("the chat template adds no answer header for add_generation_prompt; audits need one")
    return TurnTokens(_ids(processor, opened.removeprefix(asked)), _ids(processor, whole.rpartition("reply")[2]))


def _ids(processor: Any, text: str) -> tuple[int, ...]:
    return tuple(processor.tokenizer(text, add_special_tokens=False)["input_ids"])


def audit(
    example: Mapping[str, Any],
    *,
    image_token_id: int,
    separator_token_id: int | None,
    marks: TurnTokens,
    train_on: str = "assistant",
    num_image_tokens: Sequence[int] | None = None,
) -> list[str]:
    """The faults of one example, padded or not; an empty list where there are none.

    `num_image_tokens` holds, for each image, the tokens that its layout promises, separators included.
    """
    faults, image_tokens = _row_faults(example, image_token_id, separator_token_id, marks, train_on)
    rows = _num_images(example)
    if num_image_tokens is not None:
        return faults + _run_faults(image_tokens, num_image_tokens) + _dropped(rows, len(num_image_tokens))
    if bool(image_tokens) != bool(rows):
        faults.append(f"images dropped: {rows} rows of pixel_values for {image_tokens} image tokens")
    return faults


def audit_batch(
    batch: Mapping[str, Any],
    num_image_tokens: Sequence[Sequence[int]],
    *,
    image_token_id: int,
    separator_token_id: int | None,
    marks: TurnTokens,
    train_on: str = "assistant",
) -> list[str]:
    """The faults of a collated batch, each with its row; `num_image_tokens` holds for each row what `audit` takes."""
    expected = [len(row) for row in num_image_tokens]
    if len(batch["input_ids"]) != len(expected):
        return [f"rows: {len(batch['input_ids'])} in the batch, {len(expected)} expected"]
    faults = _dropped(_num_images(batch), sum(expected))
    for number, promised in enumerate(num_image_tokens):
        row = {key: batch[key][number] for key in ("input_ids", "attention_mask", "labels")}
        row_faults, image_tokens = _row_faults(row, image_token_id, separator_token_id, marks, train_on)
        faults += [f"row {number}: {fault}" for fault in row_faults + _run_faults(image_tokens, promised)]
    return faults


def _row_faults(
    example: Mapping[str, Any], image_token_id: int, separator_token_id: int | None, marks: TurnTokens, train_on: str
) -> tuple[list[str], int]:
    """The faults of one row's labels, and how many image tokens it has."""
    ids, labels = torch.as_tensor(example["input_ids"]), torch.as_tensor(example["labels"])
    if ids.shape != labels.shape:
        return [f"shift: {len(ids)} ids but {len(labels)} labels"], 0
    present = torch.as_tensor(example.get("attention_mask", torch.ones_like(ids))).bool()
    trained = labels != IGNORE_INDEX
    images = image_mask(ids, image_token_id, separator_token_id) & present
    faults = [] if trained.any() else ["no supervision: every label is ignored"]
    for mask, fault in (
        (trained & (labels != ids), "shift: {} labels are not their own token's id"),
        (trained & ~present, "padding supervised: {} labels on padding"),
        (trained & images, "image supervised: {} labels on image tokens"),
    ):
        if count := int(mask.sum()):
            faults.append(fault.format(count))
    return faults + _turn_faults(ids, trained & present, images, marks, train_on), int(images.sum())


def _num_images(example: Mapping[str, Any]) -> int:
    pixels = example.get("pixel_values")
    return 0 if pixels is None else len(pixels)


def _run_faults(image_tokens: int, promised: Sequence[int]) -> list[str]:
    if image_tokens == sum(promised):
        return []
    return [f"image run cut: {image_tokens} image tokens, the layouts promise {sum(promised)}"]


def _dropped(rows: int, images: int) -> list[str]:
    return [] if rows == images else [f"images dropped: {rows} rows of pixel_values for {images} images"]


def _turn_faults(ids: Tensor, trained: Tensor, images: Tensor, marks: TurnTokens, train_on: str) -> list[str]:
    """A trained stretch begins after an answer's header (unless all is trained) and ends with its end of turn.

    Images belong to the stretch that they touch: a question behind an image is still a question.
    """
    faults = []
    for start, end in runs(trained | images):
        if not trained[start:end].any():
            continue
        header = tuple(ids[max(0, start - len(marks.opens)) : start].tolist())
        if train_on == "assistant" and header != marks.opens:
            faults.append(f"question supervised: the labels from token {start} do not begin after an answer's header")
        if not _closed(tuple(ids[start:end].tolist()), marks.closes):
            faults.append(f"turn end unsupervised: the labels up to token {end} do not include the end of turn")
    return faults


def _closed(trained: tuple[int, ...], closes: tuple[int, ...]) -> bool:
    """Whether the stretch ends in the end of turn; what a template writes after its first mark may stay untrained."""
    return any(trained[-length:] == closes[:length] for length in range(1, len(closes) + 1))


def show(processor: Any, example: Mapping[str, Any]) -> Text:
    """The example as text for a terminal, coloured by what each token is: image, prompt, trained or pad.

    Images and padding are given as counts; everything else is decoded as it stands, control tokens included.
    """
    ids = torch.as_tensor(example["input_ids"])
    present = torch.as_tensor(example.get("attention_mask", torch.ones_like(ids))).bool()
    trained = torch.as_tensor(example["labels"]) != IGNORE_INDEX
    images = image_mask(ids, processor.image_token_id, processor.separator_token_id)
    kinds = torch.where(trained, 2, torch.where(~present, 3, torch.where(images, 0, 1)))  # STYLES, in order
    text, names = Text(), list(STYLES)
    for start, end in _stretches(kinds):
        kind = names[int(kinds[start])]
        if kind in ("image", "pad"):
            text.append(f"[{kind} x {end - start}]", STYLES[kind])
        else:
            text.append(processor.tokenizer.decode(ids[start:end], skip_special_tokens=False), STYLES[kind])
    return text


def _stretches(kinds: Tensor) -> list[tuple[int, int]]:
    edges = [0, *(torch.diff(kinds).nonzero().flatten() + 1).tolist(), len(kinds)]
    return [(start, end) for start, end in pairwise(edges) if start < end]
