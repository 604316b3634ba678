"""A look at finished examples before an hour of training is spent: `audit` finds silent labelling mistakes, `show` prints one.

Judges from the example alone, without the code that made its labels: where answers open and end comes from `answer_marks`,
rendered apart. Knows the token ids that it is given and nothing of any model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from rich.text import Text
from torch import Tensor

from dragonfly.turns import read_marks

from .encoding import IGNORE_INDEX, image_mask, runs

STYLES = {"image": "blue", "prompt": "default", "trained": "bold green", "pad": "dim"}


@dataclass(frozen=True)
class AnswerMarks:
    """What stands around an answer: the text of its header, without blanks, and the ids at which generation stops."""

    header: str
    stops: frozenset[int]
    decode: Callable[[Sequence[int]], str]


def answer_marks(processor: Any) -> AnswerMarks:
    """How the processor's chat template opens and ends an answer, read from renderings of small conversations.

    ValueError if the template ends answers in no control token of the tokenizer: generation could not stop.
    """
    tokenizer = processor.tokenizer

    def render(messages: Sequence[Mapping[str, Any]], prompt: bool) -> str:
        return processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt)

    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    marks = read_marks(render, sorted({*added, *tokenizer.all_special_tokens} - {processor.image_token}), tokenizer.eos_token)
    stops = {tokenizer.convert_tokens_to_ids(marks.end), tokenizer.eos_token_id} - {None}
    return AnswerMarks(_without_blanks(marks.header), frozenset(stops), partial(tokenizer.decode, skip_special_tokens=False))


def audit(
    example: Mapping[str, Any],
    *,
    image_token_id: int,
    separator_token_id: int | None,
    marks: AnswerMarks,
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
    marks: AnswerMarks,
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
    example: Mapping[str, Any], image_token_id: int, separator_token_id: int | None, marks: AnswerMarks, train_on: str
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


def _turn_faults(ids: Tensor, trained: Tensor, images: Tensor, marks: AnswerMarks, train_on: str) -> list[str]:
    """A trained stretch begins after an answer's header (unless all is trained) and ends in a token at which generation stops.

    Images belong to the stretch that they touch: a question behind an image is still a question. Where all is trained, blanks
    may follow.
    """
    faults = []
    for start, end in runs(trained | images):
        if not trained[start:end].any():
            continue
        before = marks.decode(ids[max(0, start - len(marks.header) - 8) : start].tolist())
        if train_on == "assistant" and not _without_blanks(before).endswith(marks.header):
            faults.append(f"question supervised: the labels from token {start} do not begin after an answer's header")
        stops = [at for at in range(start, end) if int(ids[at]) in marks.stops]
        rest = ids[stops[-1] + 1 : end].tolist() if stops else []
        if not stops or (rest and (train_on == "assistant" or _without_blanks(marks.decode(rest)))):
            faults.append(f"turn end unsupervised: the labels up to token {end} do not end where generation stops")
    return faults


def _without_blanks(text: str) -> str:
    return "".join(text.split())


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
