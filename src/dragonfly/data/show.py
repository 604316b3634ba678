"""A training example as coloured text, so that a person sees what is trained before an hour of training is spent.

Promises that every token is accounted for, as text or in a count. Judges nothing: `audit` does.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from rich.text import Text
from torch import Tensor

from .encoding import IGNORE_INDEX, image_mask

STYLES = {"image": "blue", "prompt": "default", "trained": "bold green", "pad": "dim"}


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
