"""What comes back from a question: the text, how sure the model was, and which sub-images it was given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dragonfly.vision.layout import Box, SubImageLayout


@dataclass(frozen=True)
class SubImageScore:
    """One high sub-image: raster `index`, source `box`, the policy's `score` (None if it gave none), `kept`, `region`.

    `place` of those kept: how many the language model is given before it; None of the others.
    """

    index: int
    box: Box
    score: float | None
    kept: bool
    region: int
    place: int | None = None


@dataclass(frozen=True)
class Answer:
    """The outcome of one question.

    Args:
        text: the answer, without special tokens and cut at a stop string.
        token_ids: the generated ids, the end of turn included if it was reached.
        confidence: `confidence_of` these tokens. It says how sure the model was of its words, not whether they are true.
        prompt_tokens: length of the prompt, image tokens included.
        layouts: one per image, in the order given.
        selections: one per image: every high sub-image, kept or not.
        timings: seconds spent in `images` (decode and cut), `encode` (vision tower to selection), `generate`, and in `total`.
            In a batch they are the batch's, shared by its rows.
        notes: what was done to an image that a user should know ("animated GIF: first of 12 frames").
        finish: `stop` (the model or a stop string ended it) or `length` (max_new_tokens was reached).
        spacings: (height, width) of a pixel in millimetres, one per image, None where its file does not say.
        logprobs: of each generated id, its natural log-probability; not in `to_dict`, whose `confidence` sums them up.
    """

    text: str
    token_ids: tuple[int, ...]
    confidence: float
    prompt_tokens: int
    layouts: tuple[SubImageLayout, ...]
    selections: tuple[tuple[SubImageScore, ...], ...]
    timings: dict[str, float]
    notes: tuple[str, ...] = ()
    finish: str = "stop"
    logprobs: tuple[float, ...] = ()
    spacings: tuple[tuple[float, float] | None, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The form that JSON holds; `selections` is one flat list whose entries also name their `image`.

        `box` is in source pixels; `box_mm` the same in millimetres, where the file says how large a pixel is.
        """
        return {
            "text": self.text,
            "token_ids": list(self.token_ids),
            "confidence": self.confidence,
            "prompt_tokens": self.prompt_tokens,
            "layouts": [describe_layout(layout) for layout in self.layouts],
            "selections": [
                {
                    "image": image,
                    "index": item.index,
                    "box": list(item.box),
                    **self._millimetres(image, item.box),
                    "score": item.score,
                    "kept": item.kept,
                    "region": item.region,
                }
                for image, items in enumerate(self.selections)
                for item in items
            ],
            "timings": self.timings,
            "notes": list(self.notes),
            "finish": self.finish,
        }

    def _millimetres(self, image: int, box: Box) -> dict[str, list[float]]:
        spacing = self.spacings[image] if image < len(self.spacings) else None
        return {} if spacing is None else {"box_mm": _scaled(box, spacing)}


def _scaled(box: Box, spacing: tuple[float, float]) -> list[float]:
    height, width = spacing
    return [edge * (width, height)[place % 2] for place, edge in enumerate(box)]


def describe_layout(layout: SubImageLayout) -> dict[str, Any]:
    """A layout for JSON: size and grids are (height, width) and (rows, cols)."""
    return {
        "size": list(layout.size),
        "resolution": layout.resolution,
        "levels": [
            {"name": level.name, "grid": list(level.grid), "sub_images": level.num_sub_images, "tokens": level.tokens}
            for level in layout.levels
        ],
        "num_sub_images": layout.num_sub_images,
        "num_kept": layout.num_kept,
        "num_image_tokens": layout.num_image_tokens,
    }


def confidence_of(logprobs: Sequence[float]) -> float:
    """The probability of an answer's least sure token, 0 to 1: one wrong token makes a wrong answer. 0 where there is none.

    Of a short answer it tells right from wrong better than the geometric mean of all, which sure tokens raise, and unlike their
    product it does not vanish over a long one.
    """
    return math.exp(min(logprobs)) if logprobs else 0.0


def describe_selection(
    layout: SubImageLayout, indices: Sequence[int] | None, scores: Sequence[float] | None
) -> tuple[SubImageScore, ...]:
    """Every high sub-image of an image with its fate; `indices` None means that all are kept."""
    kept = range(len(layout.regions)) if indices is None else indices
    places = {index: place for place, index in enumerate(kept)}
    return tuple(
        SubImageScore(index, box, None if scores is None else float(scores[index]), index in places, region, places.get(index))
        for index, (box, region) in enumerate(zip(layout.level_boxes("high"), layout.regions, strict=True))
    )
