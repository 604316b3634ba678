"""What a tower with an OCR head reads: the words of a page's finest level, and the text of lines whose boxes are known.

A measure of the tower by itself, before any language model is there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from dragonfly.vision.layout import Box

from .patch_ocr_head import PatchOcrModel, load_head
from .text_annotations import NOTHING

BATCH = 16  # sub-images
NEAR = 0.3  # share of a line's middle that a row of patches must hold to be read for it
LETTER = 2.5  # what a letter of another word must explain of what patches say, in nats


@dataclass(frozen=True)
class ReadWord:
    """What neighbours of one row of patches say together, with the blanks around it.

    Args:
        first: column of the first patch, counted over the page; `last` of the last.
        certain: likelihood that it says what it says.
    """

    first: int
    last: int
    text: str
    certain: float


@dataclass(frozen=True)
class PageText:
    """The text of an image.

    Args:
        words: of every row of patches of the finest level.
        columns: patches of a row.
        area: the part of the image, in source pixels, that the rows and columns cover evenly.
        together: columns that are read in one row: those of a sub-image, which words do not leave, or 1.
    """

    words: list[list[ReadWord]]
    columns: int
    area: Box
    together: int = 1

    def along(self, rows: Sequence[int]) -> list[ReadWord]:
        """The words of print that lies across some rows: of each sub-image those of the row that is surest to say something."""
        blocks: list[dict[int, list[ReadWord]]] = []
        for row in rows:
            blocks.append({})
            for word in self.words[row]:
                blocks[-1].setdefault(word.first // self.together, []).append(word)
        chosen: list[ReadWord] = []
        for block in sorted({at for words in blocks for at in words}):
            chosen += max((words.get(block, []) for words in blocks), key=_said)
        return chosen

    def line(self, box: Box) -> str:
        """The text within a line's box (source pixels): what stands along its middle."""
        left, top, right, bottom = self.area
        across, down = self.columns / (right - left), len(self.words) / (bottom - top)
        middle = ((box[1] + box[3]) / 2 - top) * down - 0.5
        upper = int(middle // 1)
        shares = ((upper, 1 - (middle - upper)), (upper + 1, middle - upper))
        near = [row for row, share in shares if share > NEAR and 0 <= row < len(self.words)]
        first = max(0, int((box[0] - left) * across))
        last = min(self.columns - 1, int((box[2] - left) * across - 1e-6))
        return joined([word for word in self.along(near) if first <= (word.first + word.last) / 2 <= last])


def joined(words: Sequence[ReadWord]) -> str:
    """Their text, a blank between words that are apart."""
    apart = ["" if after.first == word.last + 1 else " " for word, after in pairwise(words)]
    return "".join(word.text + gap for word, gap in zip(words, [*apart, ""], strict=False)).strip()


def _said(words: Sequence[ReadWord]) -> float:
    return sum(word.certain * (word.last - word.first + 1) for word in words)


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
        """The text of an image: the words that its patches spell, or, of a head that spells none, the characters in them."""
        inputs = self.images(images=[image], encoder=self.encoder, return_tensors="pt")
        layout = inputs["layouts"][0]
        finest, side = layout.levels[-1], self.images.spec.patch_side
        pixels = inputs["pixel_values"][0][-finest.num_sub_images :]
        likely = torch.cat([self._likelihoods(part) for part in pixels.split(BATCH)])  # (sub_images, patches, columns, classes)
        page = likely.unflatten(1, (side, side)).unflatten(0, finest.grid).transpose(1, 2).flatten(2, 3).flatten(0, 1)
        words = [self._words(row, side) for row in page]
        first, last = finest.box(0), finest.box(finest.num_sub_images - 1)
        return PageText(words, page.shape[1], (*first[:2], *last[2:]), side if self.classes.slots else 1)

    def _likelihoods(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logarithms, of the characters near each patch and then of its word's."""
        tokens = self.model.vision_tower(pixel_values=pixels).last_hidden_state[:, -(self.images.spec.patch_side**2) :]
        logits = self.model.head(tokens).float().split(self.classes.sizes, -1)
        return torch.stack(logits[1 : self.classes.spelled.stop], dim=2).log_softmax(dim=-1)

    def _words(self, row: torch.Tensor, side: int) -> list[ReadWord]:
        """The words of a row of patches, (patches, columns, classes); what a sub-image's edge cuts is two of them."""
        near = [self._text(patch) for patch in row[:, : self.classes.near]]
        if not self.classes.slots:
            certain = row[:, 0, NOTHING].exp()
            return [ReadWord(at, at, text, float(1 - certain[at])) for at, text in enumerate(near) if text]
        words: list[ReadWord] = []
        for start in range(0, len(row), side):
            for first, last, said in _divided(row[start : start + side, self.classes.near :]):
                if text := self._text(said):
                    certain = said.amax(dim=-1)[: len(text) + 1].sum() / (last - first + 1)
                    if self.classes.near:
                        text = self._placed(row[start + first : start + last + 1, : self.classes.near], said)
                    # A word that an edge cuts goes on behind it, unless a blank is seen there.
                    before = "" if first == 0 and not near[start].startswith(" ") else " "
                    after = "" if last == side - 1 and not near[start + last].endswith(" ") else " "
                    words.append(ReadWord(start + first, start + last, before + text + after, float(certain.exp())))
        return words

    def _placed(self, near: torch.Tensor, said: torch.Tensor) -> str:
        """The likeliest word of neighbours that spell it together, (slots, classes), and each show some of it, (patches, near,
        classes): every letter lies in one of them.
        """
        if " " in self.classes.characters:
            near = _without_blanks(near, 1 + self.classes.characters.index(" "))
        letters, which = (near[:, :, None] + said)[..., NOTHING + 1 :].max(dim=-1)  # (patches, near, slots)
        (count, room), slots = near.shape[:2], len(said)
        values, ends = letters.tolist(), near[:, :, NOTHING].tolist()
        best, shown = [0.0, *[-math.inf] * slots], list[list[int]]()  # by letters so far; of each patch how many it shows
        for patch in range(count):
            before, best, own = best, [-math.inf] * (slots + 1), [0] * (slots + 1)
            for done, earlier in enumerate(before):
                score = earlier
                for number in range(min(room, slots - done) + 1):
                    score += values[patch][number - 1][done + number - 1] if number else 0.0
                    whole = score + (ends[patch][number] if number < room else 0.0)
                    if whole > best[done + number]:
                        best[done + number], own[done + number] = whole, number
            shown.append(own)
        stops = [*said[:, NOTHING].tolist(), 0.0]
        length = max(range(slots + 1), key=lambda number: best[number] + stops[number])
        text = ""
        for patch in range(count - 1, -1, -1):
            for at in range(shown[patch][length] - 1, -1, -1):
                length -= 1
                text = self.classes.characters[int(which[patch, at, length])] + text
        return text

    def _text(self, classes: torch.Tensor) -> str:
        """The characters up to the first that is nothing, of (columns, classes)."""
        text = ""
        for number in classes.argmax(dim=-1).tolist():
            if number == NOTHING:
                break
            text += self.classes.characters[number - 1]
        return text


def _without_blanks(near: torch.Tensor, blank: int) -> torch.Tensor:
    """Logarithms of characters in patches, (patches, near, classes), without a blank before a word; one after it is nothing."""
    nothing = torch.full_like(near[:, :1], -math.inf)
    nothing[..., NOTHING] = 0.0
    led = near[:, 0].argmax(dim=-1) == blank
    near = torch.where(led[:, None, None], torch.cat([near[:, 1:], nothing], dim=1), near)
    near[..., NOTHING] = torch.logaddexp(near[..., NOTHING], near[..., blank])
    near[..., blank] = -math.inf
    return near


def _divided(patches: torch.Tensor) -> list[tuple[int, int, torch.Tensor]]:
    """The shortest text that explains what neighbours say: (first, last, summed logarithms) of each of its words and gaps, of
    (patches, slots, classes).

    A word that its patches say differently costs what they lose when all say the likeliest; another word costs its letters.
    """
    sums = torch.cat([torch.zeros_like(patches[:1]), patches]).cumsum(dim=0)
    between = sums[None] - sums[:, None]  # of the patches from one to before another, said together
    letters = (between.argmax(dim=-1) != NOTHING).int().cumprod(dim=-1).sum(dim=-1)
    costs = (LETTER * letters - between.amax(dim=-1).sum(dim=-1)).tolist()
    best, begins = [0.0], [0]
    for end in range(1, len(sums)):
        ways = [best[first] + costs[first][end] for first in range(end)]
        begins.append(min(range(end), key=ways.__getitem__))
        best.append(ways[begins[-1]])
    found: list[tuple[int, int, torch.Tensor]] = []
    end = len(patches)
    while end:
        found.append((begins[end], end - 1, sums[end] - sums[begins[end]]))
        end = begins[end]
    return found[::-1]


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
