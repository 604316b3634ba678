"""Accuracy and not plumbing alone: a model that reads a mark only where its pixels are handed over one by one.

The mark is a small faint disc with one magenta pixel in it. Reduced, the pixel mixes with its neighbours and cannot be read, but
the disc still tints its surroundings: that is all that attention and comparisons have to go by, as a word too small to read is
still a dark speck. Tokens are the real processors'.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dragonfly.lens import METHODS, Lens
from dragonfly.lens.methods import NEUTRAL
from dragonfly.lens.reader import Reader, Said
from tests.lens.conftest import pair_of

PIXEL = (255, 0, 255)
IMAGES = 8


def planted(seed: int, width: int, radius: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """An image of grey noise, 4:3, with a mark, and the mark's box."""
    rng, height = np.random.default_rng(seed), width * 3 // 4
    noise = rng.integers(100, 156, (height // 5, width // 5, 1), dtype=np.uint8).repeat(3, axis=2)
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.NEAREST)
    x, y = int(rng.integers(2 * radius, width - 2 * radius)), int(rng.integers(2 * radius, height - 2 * radius))
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(150, 110, 110))
    image.putpixel((x, y), PIXEL)
    return image, (x - radius, y - radius, x + radius + 1, y + radius + 1)


def reddish(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image, dtype=np.float64)
    return np.maximum(0, pixels[..., 0] - pixels[..., 1])


class Seeing(Reader):
    """Sees colours: the mark's pixel as it is, and tints in 32 x 32 places of a whole image."""

    def answer(
        self, views: Sequence[tuple[str, Image.Image]], question: str, options: Any, tokens: int, max_new_tokens: int
    ) -> Said:
        read = any((np.asarray(self.resized(image)) == PIXEL).all(axis=2).any() for _, image in views)
        logprob = -0.01 if read else -2.0
        return Said("magenta" if read else "grey", (7,), (logprob,), tokens, "stop", None)  # type: ignore[arg-type]

    def choose(self, views: Sequence[tuple[str, Image.Image]], question: str, tokens: int) -> Any:
        tints = np.array([reddish(self.resized(image)).sum() / (image.width * image.height) for _, image in views])
        return np.exp(40 * tints) / np.exp(40 * tints).sum()

    def attention(self, image: Image.Image, question: str, tokens: int) -> Any:
        if question == NEUTRAL:
            return np.full((32, 32), 1 / 1024)
        tints = reddish(self.resized(image).resize((32, 32), Image.Resampling.BOX))
        return (1 + tints) / (1 + tints).sum()

    def resized(self, image: Image.Image) -> Image.Image:
        """As the processor encodes it: families with a tile's side reduce a larger view to it."""
        if self.side is None or max(image.size) <= self.side:
            return image
        return image.resize((min(self.side, image.width), min(self.side, image.height)), Image.Resampling.BICUBIC)


def accuracy(family: str, method: str, max_tokens: int, width: int, radius: int) -> float:
    lens = Lens(pair_of(family), method)
    side = lens.reader.side
    lens.reader = Seeing(*pair_of(family), "seeing")
    assert lens.reader.side == side
    right = 0
    for seed in range(IMAGES):
        image, box = planted(seed, width, radius)
        answer = lens.ask(image, "Which colour?", max_tokens=max_tokens, max_calls=5, evidence=[box])
        assert answer.image_tokens <= max_tokens
        right += answer.text == "magenta"
    return right / IMAGES


@pytest.mark.parametrize(("family", "max_tokens", "width", "radius"), [("qwen2_5_vl", 1024, 1800, 18), ("internvl", 150, 640, 6)])
def test_looking_closer_beats_the_controls_at_equal_budget(family: str, max_tokens: int, width: int, radius: int) -> None:
    found = {method: accuracy(family, method, max_tokens, width, radius) for method in METHODS}
    assert found["oracle"] == 1.0
    assert found["downsample"] == 0.0
    assert found["attention"] >= 0.75
    assert found["search"] >= 0.75
    for control in ("random", "centre"):
        assert found[control] <= 0.5
        assert min(found["attention"], found["search"]) > found[control]


class Pointing(Seeing):
    """Always finds the last part the likeliest."""

    def choose(self, views: Sequence[tuple[str, Image.Image]], question: str, tokens: int) -> Any:
        return np.eye(len(views))[-1]


def test_a_search_that_may_compare_once_looks_at_what_the_whole_does_not_show_of_the_part() -> None:
    pixels = np.full((640, 640, 3), 200, dtype=np.uint8)
    pixels[560:600:2, 520:560] = pixels[20:60:2, 20:60] = 0  # stripes in the last quarter, and as many in the first
    lens = Lens(pair_of("internvl"), "search")
    lens.reader = Pointing(*pair_of("internvl"), "pointing")
    answer = lens.ask(Image.fromarray(pixels), "Which?", max_tokens=150, max_calls=2)
    assert answer.calls == 2
    boxes = [view.box for view in answer.views[1:]]
    assert any(left <= 540 < right and top <= 580 < bottom for left, top, right, bottom in boxes)
    assert all(left >= 300 and top >= 300 for left, top, _, _ in boxes)


def test_a_gate_looks_closer_only_where_the_whole_is_unsure() -> None:
    lens = Lens(pair_of("gemma3"), "gate", threshold=0.5)
    lens.reader = Seeing(*pair_of("gemma3"), "seeing")
    image, _ = planted(0, 640, 6)
    unsure = lens.ask(image, "Which colour?", max_tokens=60)
    assert (unsure.calls, len(unsure.views) > 1) == (2, True)
    lens.threshold = 0.1  # exp(-2) is above it
    sure = lens.ask(image, "Which colour?", max_tokens=60)
    assert (sure.calls, len(sure.views), sure.text) == (1, 1, "grey")
