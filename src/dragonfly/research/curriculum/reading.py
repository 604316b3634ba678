"""What a tower with an OCR head reads: the text of every patch of a page's finest level, and of lines whose boxes are known.

A measure of the tower by itself, before any language model is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from dragonfly.vision.layout import Box

from .patch_ocr_head import PatchOcrModel, load_head
from .text_annotations import NOTHING

BATCH = 16  # sub-images
NEAR = 0.3  # share of a line's middle that a row of patches must hold to be read for it


@dataclass(frozen=True)
class PageText:
    """The text of every patch of an image.

    Args:
        cells: rows of patches of the finest level, each patch's text with its blanks.
        certain: the likelihood that a patch says something, in the same order.
        area: the part of the image, in source pixels, that the rows and columns cover evenly.
    """

    cells: list[list[str]]
    certain: list[list[float]]
    area: Box

    def line(self, box: Box) -> str:
        """The text within a line's box (source pixels): along its middle, of one or two rows the one surer of text."""
        left, top, right, bottom = self.area
        rows, columns = len(self.cells), len(self.cells[0])
        across, down = columns / (right - left), rows / (bottom - top)
        middle = ((box[1] + box[3]) / 2 - top) * down - 0.5
        upper = int(middle // 1)
        shares = ((upper, 1 - (middle - upper)), (upper + 1, middle - upper))
        near = [row for row, share in shares if share > NEAR and 0 <= row < rows]
        first = max(0, int((box[0] - left) * across))
        last = min(columns - 1, int((box[2] - left) * across - 1e-6))
        best = [max(near, key=lambda row: self.certain[row][column]) for column in range(first, last + 1)] if near else []
        return "".join(self.cells[row][column] for row, column in zip(best, range(first, last + 1), strict=False))


class Reader:
    """The tower of a model of stage `patch_ocr` with its head, both from the folder of that stage."""

    def __init__(self, folder: str | Path) -> None:
        from transformers import AutoProcessor

        from dragonfly.models import DragonflyForConditionalGeneration

        model: Any = DragonflyForConditionalGeneration.from_pretrained(str(folder), dtype=torch.float32)
        tensors, self.classes = load_head(Path(folder))
        self.model = PatchOcrModel(model.model.vision_tower, model.config.vision_config.hidden_size, self.classes).eval()
        self.model.head.load_state_dict({name: tensors[name].float() for name in ("weight", "bias")})
        self.images: Any = AutoProcessor.from_pretrained(str(folder)).image_processor
        self.encoder = {**self.images.encoder, "selection": {"policy": "all"}}

    @torch.inference_mode()
    def read(self, image: Image.Image) -> PageText:
        """The text of an image."""
        inputs = self.images(images=[image], encoder=self.encoder, return_tensors="pt")
        layout = inputs["layouts"][0]
        finest, side = layout.levels[-1], self.images.spec.patch_side
        pixels = inputs["pixel_values"][0][-finest.num_sub_images :]
        logits = torch.cat([self._near(part) for part in pixels.split(BATCH)])  # (sub_images, patches, near, classes)
        likelihood = logits.softmax(dim=-1)
        certain = 1 - likelihood[:, :, 0, NOTHING]
        said = logits.argmax(dim=-1)
        rows, columns = finest.grid
        texts = [[_text(patch, self.classes.characters) for patch in sub_image] for sub_image in said.tolist()]
        cells = [["" for _ in range(columns * side)] for _ in range(rows * side)]
        sure = [[0.0 for _ in range(columns * side)] for _ in range(rows * side)]
        for sub in range(finest.num_sub_images):
            top, left = sub // columns * side, sub % columns * side
            for patch in range(side * side):
                row, column = top + patch // side, left + patch % side
                cells[row][column], sure[row][column] = texts[sub][patch], float(certain[sub, patch])
        first, last = finest.box(0), finest.box(finest.num_sub_images - 1)
        return PageText(cells, sure, (*first[:2], *last[2:]))

    def _near(self, pixels: torch.Tensor) -> torch.Tensor:
        tokens = self.model.vision_tower(pixel_values=pixels).last_hidden_state[:, -(self.images.spec.patch_side**2) :]
        sizes = self.classes.sizes
        logits = self.model.head(tokens).float().split(sizes, -1)
        return torch.stack(logits[1 : 1 + self.classes.near], dim=2)


def _text(classes: Sequence[int], characters: str) -> str:
    """The characters up to the first that is nothing."""
    text = ""
    for number in classes:
        if number == NOTHING:
            break
        text += characters[number - 1]
    return text


def edits(one: str, other: str) -> int:
    """Insertions, deletions and replacements that make one text the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, start=1):
        previous, row[0] = row[0], at
        for place, char in enumerate(other, start=1):
            previous, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, previous + (letter != char))
    return row[-1]


def folded(text: str) -> str:
    """Capitals and no blanks: what a character error rate compares."""
    return "".join(text.upper().split())
