"""What the objective `patch_ocr` trains: a vision tower and a linear head that says what stands in each patch.

The head is saved beside the stage's model (`ocr_head.safetensors`, `ocr_head.json`), where a later stage may begin its projector
from it (`projector_init`); the model itself does not have it.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dragonfly.data import IGNORE_INDEX
from dragonfly.files import write_json

from .text_annotations import NOTHING, Classes

logger = logging.getLogger(__name__)

WEIGHTS, CLASSES = "ocr_head.safetensors", "ocr_head.json"


class PatchOcrModel(nn.Module):
    """A vision tower and a linear head over its tokens; `weight` is that of the class nothing, the others' is 1.

    `keep`: patches of a sub-image that go through the tower's layers in training, those that say something first; None for all.
    """

    def __init__(self, tower: nn.Module, hidden: int, classes: Classes, weight: float = 1.0, keep: int | None = None) -> None:
        super().__init__()
        self.vision_tower, self.classes, self.weight, self.keep = tower, classes, weight, keep
        self.head = nn.Linear(hidden, sum(classes.sizes))

    def forward(self, pixel_values: Tensor, labels: Tensor, num_items_in_batch: Any = None, **_: Any) -> dict[str, Tensor]:
        """Sub-images (n, 3, R, R) and classes (n, tokens, columns) -> the mean cross-entropy over what is not ignored.

        With `num_items_in_batch`, the sum over it: what several batches of one step share.
        """
        options: dict[str, Tensor] = {}
        if self.keep is not None and self.training:
            says = (labels > NOTHING).any(dim=-1) + torch.rand(labels.shape[:2], device=labels.device)
            options["patch_indices"] = says.topk(min(self.keep, labels.shape[1]), dim=1).indices
            labels = labels.gather(1, options["patch_indices"][..., None].expand(-1, -1, labels.shape[-1]))
        tokens = self.vision_tower(pixel_values=pixel_values, **options).last_hidden_state
        logits = self.head(tokens).float()
        columns = self._asked(labels).flatten(0, 1).unbind(-1)
        total = logits.new_zeros(())
        for at, (column, scores) in enumerate(zip(columns, logits.flatten(0, 1).split(self.classes.sizes, -1), strict=True)):
            weights = torch.ones(scores.shape[-1], device=scores.device)
            weights[NOTHING] = 1.0 if at in self._later else self.weight
            total = total + nn.functional.cross_entropy(scores, column, weights, ignore_index=IGNORE_INDEX, reduction="sum")
        count = (labels != IGNORE_INDEX).sum() if num_items_in_batch is None else num_items_in_batch
        return {"loss": total / count, "logits": logits}

    @property
    def _later(self) -> range:
        """The columns of a patch's second character and those behind it."""
        return range(2, 1 + self.classes.near)

    def _asked(self, labels: Tensor) -> Tensor:
        """Labels without those of further characters where there is no first: there is nothing that could end."""
        if self.classes.near < 2:
            return labels
        labels = labels.clone()
        further = labels[..., self._later.start : self._later.stop]
        further[labels[..., 1] == NOTHING] = IGNORE_INDEX
        return labels

    def begin_from(self, folder: str | None) -> None:
        """Take over the head of an earlier `patch_ocr` stage, where `folder` holds one that says the same classes."""
        if folder is not None and (Path(folder) / CLASSES).is_file():
            tensors, classes = load_head(Path(folder))
            weight, bias = tensors["weight"], tensors["bias"]
            # A head that does not spell words or bind yet has the first of the columns.
            slots = classes.slots or self.classes.slots
            if replace(classes, slots=slots, bound=self.classes.bound) == self.classes and (classes.slots or not classes.bound):
                with torch.no_grad():
                    self.head.weight[: len(weight)], self.head.bias[: len(bias)] = weight.float(), bias.float()
            else:
                logger.warning("the OCR head in %s says other classes than this data; a new one begins", folder)

    def predictions(self, logits: Tensor) -> Tensor:
        """The likeliest class of each column: (n, tokens, classes) -> (n, tokens, columns)."""
        return torch.stack([scores.argmax(dim=-1) for scores in logits.split(self.classes.sizes, -1)], dim=-1)

    def metrics(self, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Shares of what is right where something stands: `names`, `near`, of words `characters` and `words`, `others`."""
        shares, spelled = {}, self.classes.spelled
        columns = {"names": slice(0, 1), "near": slice(1, spelled.start), "characters": spelled}
        for name, chosen in columns.items():
            if (there := labels[..., chosen] > NOTHING).any():
                shares[name] = float((predictions[..., chosen] == labels[..., chosen])[there].mean())
        for name, chosen in {"words": spelled, "others": self.classes.other}.items():
            if (there := (labels[..., chosen] > NOTHING).any(axis=-1)).any():
                shares[name] = float((predictions[..., chosen] == labels[..., chosen]).all(axis=-1)[there].mean())
        return shares


@torch.no_grad()
def moments(patch_ocr: PatchOcrModel, examples: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The moments from which the least-squares map from tokens to their classes follows, summed over examples of `PatchDataset`.

    Returns:
        gram: (hidden + 1, hidden + 1), second moments of the tokens with a one appended; the last entry is their number.
        class_sums: (hidden + 1, classes), the sum of the tokens of each class.
        row_sums: (hidden + 1, side), of each row of patches.
    """
    width, parameter = patch_ocr.head.in_features + 1, patch_ocr.head.weight
    sums = {"gram": torch.zeros(width, width), "class_sums": torch.zeros(width, sum(patch_ocr.classes.sizes))}
    for example in examples:
        count, length = example["labels"].shape[:2]
        side = math.isqrt(length)
        rows = ((torch.arange(length) - (length - side * side)).clamp(min=0) // side).repeat(count)  # prefix tokens are not asked
        labels = example["labels"].flatten(0, 1)
        asked = (labels != IGNORE_INDEX).all(dim=-1)
        tokens = patch_ocr.vision_tower(pixel_values=example["pixel_values"].to(parameter)).last_hidden_state
        kept = tokens.flatten(0, 1).float().cpu()[asked]
        kept = torch.cat([kept, torch.ones(len(kept), 1)], dim=1)
        columns = zip(labels[asked].unbind(-1), patch_ocr.classes.sizes, strict=True)
        one_hot = torch.cat([nn.functional.one_hot(column, size) for column, size in columns], dim=-1)
        sums["gram"] += kept.T @ kept
        sums["class_sums"] += kept.T @ one_hot.float()
        by_row = kept.T @ nn.functional.one_hot(rows[asked], side).float()
        sums["row_sums"] = sums.get("row_sums", torch.zeros(width, side)) + by_row
    return sums


def save_head(patch_ocr: PatchOcrModel, folder: Path, examples: Iterable[Mapping[str, Tensor]]) -> None:
    """Write the head, what its classes mean, and the moments of some examples beside a model."""
    tensors = {**patch_ocr.head.state_dict(), **moments(patch_ocr.eval(), examples)}
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, str(folder / WEIGHTS))
    write_json(folder / CLASSES, asdict(patch_ocr.classes))


def load_head(folder: Path) -> tuple[dict[str, Tensor], Classes]:
    """Tensors (weight, bias, gram, class_sums) and classes of a head. ValueError where `folder` holds none."""
    if not (folder / CLASSES).is_file() or not (folder / WEIGHTS).is_file():
        raise ValueError(f"{folder} holds no OCR head ({WEIGHTS}); give the output of a stage with objective 'patch_ocr'")
    values = json.loads((folder / CLASSES).read_text(encoding="utf-8"))
    return load_file(str(folder / WEIGHTS)), Classes(**{**values, "names": tuple(values["names"])})
