"""Faults of the released processor and trainer, restated so that their recordings can be checked.

None of it is in the package; the items are those of docs/fidelity.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

IGNORE = -100
FUTURE = 10  # `image_patches_indices` also covers ten tokens that were never generated (item 14)


def patch_indices(input_ids: Tensor, image_token_id: int) -> Tensor:
    """Item 14: which of its row's features each position takes, -1 elsewhere."""
    mask = input_ids == image_token_id
    indices = torch.where(mask, mask.cumsum(dim=1) - 1, -1)
    return torch.nn.functional.pad(indices, (0, FUTURE), value=-1)


def text_only(tokenizer: Any, texts: list[str], max_length: int | None = None) -> dict[str, Tensor]:
    """Item 18: end_of_text stays even on a prompt, the limit is the full one and cuts it off, padding is right."""
    rows = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in texts]
    return _padded([row[:max_length] for row in rows], tokenizer.eos_token_id)


def with_own_bos(tokenizer: Any, text: str, block: list[int], max_length: int) -> dict[str, Tensor]:
    """Item 24: a text with its own BOS gets a second one, and the last of them becomes end_of_text."""
    row = block + tokenizer(text)["input_ids"][: max_length // 2 - 1] + [tokenizer.eos_token_id]
    starts = [index for index, token in enumerate(row) if token == tokenizer.bos_token_id]
    if len(starts) > 1:
        row[starts[-1]] = tokenizer.eos_token_id
    return _padded([row], tokenizer.eos_token_id)


def labels(input_ids: Tensor, bos_token_id: int) -> Tensor:
    """Items 22 and 23: everything after the first BOS, padding included."""
    started = (input_ids == bos_token_id).cumsum(dim=1) > 0
    trained = torch.nn.functional.pad(started, (1, 0))[:, :-1]
    return torch.where(trained, input_ids, IGNORE)


def generate_positions(attention_mask: Tensor) -> Tensor:
    """Item 17: positions count real tokens; padding gets 1."""
    return (attention_mask.cumsum(-1) - 1).masked_fill(attention_mask == 0, 1)


@torch.no_grad()
def greedy(model: Any, input_ids: Tensor, attention_mask: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Item 18: greedy decoding that resumes after the padding on the right. No row may reach an end.

    Returns new ids (rows, steps) and their logits (rows, steps, vocabulary).
    """
    logits: list[Tensor] = []
    ids, mask = input_ids, attention_mask
    for _ in range(steps):
        output = model(input_ids=ids, attention_mask=mask, position_ids=generate_positions(mask))
        logits.append(output.logits[:, -1])
        ids = torch.cat([ids, logits[-1].argmax(-1, keepdim=True)], dim=1)
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
    return ids[:, input_ids.shape[1] :], torch.stack(logits, dim=1)


def until(ids: Tensor, stops: list[int]) -> Tensor:
    """Item 21: what stands after a row's first stop becomes the first stop of the list."""
    stopped = torch.isin(ids, torch.tensor(stops)).cumsum(dim=1) > 0
    after = torch.nn.functional.pad(stopped, (1, 0))[:, :-1]
    return torch.where(after, stops[0], ids)


def tensor_name(ours: str) -> str:
    """The released name of one of our tensors."""
    for prefix, released in (
        ("model.vision_tower.", "image_encoder.vision_model."),
        ("model.multi_modal_projector.", "vision_embed_tokens."),
        ("model.language_model.", "language_model.model."),
        ("lm_head.", "language_model.lm_head."),
    ):
        if ours.startswith(prefix):
            return released + ours.removeprefix(prefix)
    raise KeyError(ours)


def _padded(rows: list[list[int]], pad: int) -> dict[str, Tensor]:
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}
