"""Token ids and their labels, born together from one rendering of the conversation.

Promises that a label is either its own token's id or `IGNORE_INDEX`, that no image token, separator or padding is
ever trained on, and that a length limit never cuts an image. The processor is handed in; no model class is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from dragonfly.turns import TurnError

from .errors import BadSample

IGNORE_INDEX = -100

SEQUENCE_KEYS = ("input_ids", "attention_mask", "labels", "assistant_masks", "token_type_ids", "mm_token_type_ids")
"""What has one value per token in a processor's output; every other tensor has one row per image."""

TrainOn = Literal["assistant", "all"]


def encode(
    processor: Any,
    messages: Sequence[Mapping[str, Any]],
    images: Sequence[Any],
    *,
    train_on: TrainOn = "assistant",
    max_length: int | None = None,
    evidence: Sequence[Sequence[Any]] = (),
    **processor_kwargs: Any,
) -> dict[str, Any]:
    """One conversation as a training example.

    Returns input_ids, attention_mask and labels, each (tokens,); the processor's per-image tensors, one row per
    image; and `num_truncated`, the trailing question-and-answer turns left out for `max_length`. Messages are those
    of `to_messages`, `images` their loaded_images in order. `assistant` trains what the processor's assistant mask covers: the
    answers, end of turn included; `all` trains what follows the first begin-of-text token, as the released models were trained.
    `evidence` is the sample's (boxes per answer, on the first image); the processor is given that of the turns that stay,
    where it says that it wants any.
    `BadSample`: chat-template when the template refuses the conversation or its answers cannot be found, too-long when the first
    turn does not fit, control-token when a text holds one of the tokenizer's.
    """
    if train_on not in ("assistant", "all"):
        raise ValueError(f"train_on is {train_on!r}; accepted: assistant, all")
    _refuse_control_tokens(processor, messages)
    answers = sum(message["role"] == "assistant" for message in messages)
    options = dict(processor_kwargs)
    if getattr(processor, "wants_evidence", False) and images:
        boxes = [box for turn in evidence[:answers] for box in turn]
        options["evidence"] = [boxes, *[[] for _ in images[1:]]]
    try:
        output = processor.apply_chat_template(
            _filled(messages, images),
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            return_tensors="pt",
            processor_kwargs=options,
        )
    except TurnError as error:
        raise BadSample("chat-template", str(error)) from None
    example = {key: value[0] if key in SEQUENCE_KEYS else value for key, value in output.items()}
    assistant = torch.as_tensor(example.pop("assistant_masks")).bool()
    ends = [end for _, end in runs(assistant)]
    if len(ends) != answers and (train_on == "assistant" or max_length is not None):
        raise ValueError(
            f"the chat template marks {len(ends)} answers where the conversation has {answers}; "
            "put {% generation %} ... {% endgeneration %} around each answer and its end of turn"
        )
    if max_length is not None and len(example["input_ids"]) > max_length:
        kept = min(sum(end <= max_length for end in ends), answers - 1)
        if kept < 1:
            first = ends[0] if answers > 1 else len(example["input_ids"])
            raise BadSample("too-long", f"the first turn takes {first} tokens, max_length is {max_length}; raise it")
        turns, loaded_images = _kept_turns(messages, kept)
        # Rendered anew rather than cut: that is right wherever a layout puts its images.
        limits: dict[str, Any] = {"train_on": train_on, "max_length": max_length, "evidence": evidence}
        shorter = encode(processor, turns, images[:loaded_images], **limits, **processor_kwargs)
        return {**shorter, "num_truncated": shorter["num_truncated"] + answers - kept}
    example["labels"] = supervise(
        example["input_ids"],
        assistant_mask=assistant if train_on == "assistant" else None,
        bos_token_id=processor.tokenizer.bos_token_id,
        image_token_id=processor.image_token_id,
        separator_token_id=processor.separator_token_id,
    )
    return {**example, "num_truncated": 0}


def supervise(
    input_ids: Tensor,
    *,
    assistant_mask: Tensor | None,
    bos_token_id: int | None,
    image_token_id: int,
    separator_token_id: int | None,
) -> Tensor:
    """Labels (tokens,) of one unpadded row of ids: the answers where `assistant_mask` is given, else all after BOS.

    A tokenizer without BOS trains every text token under `all`. Image blocks are left out either way.
    """
    if assistant_mask is not None:
        trained = assistant_mask.clone()
    else:
        starts = (input_ids == bos_token_id).nonzero() if bos_token_id is not None else input_ids.new_zeros(0, 1)
        trained = torch.arange(len(input_ids)) > (int(starts[0]) if len(starts) else -1)
    trained &= ~image_mask(input_ids, image_token_id, separator_token_id)
    return torch.where(trained, input_ids, IGNORE_INDEX)


def image_mask(input_ids: Tensor, image_token_id: int, separator_token_id: int | None) -> Tensor:
    """(tokens,) bool: image tokens and the separators joined to them. A separator on its own is text."""
    image = input_ids == image_token_id
    block = image if separator_token_id is None else image | (input_ids == separator_token_id)
    mask = torch.zeros_like(image)
    for start, end in runs(block):
        mask[start:end] = bool(image[start:end].any())
    return mask


def runs(mask: Tensor) -> list[tuple[int, int]]:
    """[start, end) of each stretch of true values in a (tokens,) mask."""
    edges = torch.diff(mask.int(), prepend=torch.zeros(1, dtype=torch.int), append=torch.zeros(1, dtype=torch.int))
    starts, ends = (edges == 1).nonzero().flatten().tolist(), (edges == -1).nonzero().flatten().tolist()
    return list(zip(starts, ends, strict=True))


def _kept_turns(messages: Sequence[Mapping[str, Any]], answers: int) -> tuple[Sequence[Mapping[str, Any]], int]:
    """The messages up to the `answers`-th answer, and how many images they hold."""
    replies = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    kept = messages[: replies[answers - 1] + 1]
    return kept, sum(block["type"] == "image" for message in kept for block in message["content"])


def _filled(messages: Sequence[Mapping[str, Any]], images: Sequence[Any]) -> list[dict[str, Any]]:
    """The messages with each image block holding its image. `BadSample` where their numbers differ."""
    blocks = sum(block["type"] == "image" for message in messages for block in message["content"])
    if blocks != len(images):
        reason = "placeholder-without-image" if blocks > len(images) else "image-without-placeholder"
        raise BadSample(reason, f"{blocks} image placeholders, {len(images)} images")
    waiting = iter(images)
    return [
        {
            **message,
            "content": [
                {"type": "image", "image": next(waiting)} if block["type"] == "image" else dict(block)
                for block in message["content"]
            ],
        }
        for message in messages
    ]


def control_token_in(processor: Any, text: str) -> str | None:
    """A control token that `text` spells, or None. It would become one: a forged turn, or an image's place without one."""
    tokenizer = processor.tokenizer
    control = {processor.image_token, *tokenizer.all_special_tokens}
    control |= {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return next((token for token in sorted(control) if token and token in text), None)


def _refuse_control_tokens(processor: Any, messages: Sequence[Mapping[str, Any]]) -> None:
    for text in _texts(messages):
        if token := control_token_in(processor, text):
            raise BadSample("control-token", f"a text holds the control token {token}; remove it")


def _texts(messages: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    return (block["text"] for message in messages for block in message["content"] if block["type"] == "text")
