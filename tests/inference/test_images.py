"""Odd but valid images through the Engine: taken, told, and treated as the model's own training did."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragonfly.inference import Engine, load
from tests import tiny
from tests.imaging.images import animated, encoded, exif

GREY = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
ALPHA = np.dstack([np.full((40, 60, 3), 200, np.uint8), np.zeros((40, 60), np.uint8)])
ROTATED = encoded(tiny.image(60, 40), "JPEG", exif=exif(6))


@pytest.fixture(scope="module")
def released(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The same weights under a released preset's image policy."""
    return load(saved_model, overrides=["model.preset=v1-released"])


def png(array: Any) -> bytes:
    return encoded(Image.fromarray(array), "PNG")


def selection(engine: Engine, image: Any) -> list[float]:
    return [item.score or 0.0 for item in engine.ask(image, "What?", max_new_tokens=1).selections[0]]


ODD: dict[str, tuple[bytes, str, str]] = {
    "animated GIF": (animated("GIF", 3), "bytes: animated GIF: first of 3 frames", "bytes: animated GIF: first of 3 frames"),
    "16-bit grey": (png(GREY), "bytes: 16-bit grey scaled to 8 bits", "bytes: 16-bit grey cut at 255"),
    "CMYK": (encoded(tiny.image(60, 40).convert("CMYK"), "JPEG"), "CMYK converted to RGB", "CMYK converted to RGB"),
    "alpha": (png(ALPHA), "bytes: alpha blended on white", "bytes: alpha dropped"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_images_are_taken_and_told(engine: Engine, released: Engine, kind: str) -> None:
    data, ours, theirs = ODD[kind]
    for model, note in ((engine, ours), (released, theirs)):
        answer = model.ask(data, "What?", max_new_tokens=2)
        assert any(note in said for said in answer.notes), answer.notes
        assert len(answer.token_ids) == 2


def test_what_the_model_sees(engine: Engine, released: Engine) -> None:
    eight = np.round(GREY / 257).astype(np.uint8)
    white = Image.new("RGB", (60, 40), "white")
    first = Image.open(io.BytesIO(ODD["animated GIF"][0])).convert("RGB")
    assert selection(engine, ODD["16-bit grey"][0]) == pytest.approx(selection(engine, png(eight)), rel=1e-4)
    cut = png(np.minimum(GREY, 255).astype(np.uint8))
    assert selection(released, ODD["16-bit grey"][0]) == pytest.approx(selection(released, cut), rel=1e-4)
    assert selection(engine, ODD["alpha"][0]) == pytest.approx(selection(engine, white), rel=1e-4)
    opaque = Image.new("RGB", (60, 40), (200, 200, 200))
    assert selection(released, ODD["alpha"][0]) == pytest.approx(selection(released, opaque), rel=1e-4)
    assert selection(engine, ODD["animated GIF"][0]) == pytest.approx(selection(engine, first), rel=1e-4)


def test_orientation_is_honoured_in_ours_and_ignored_in_released(engine: Engine, released: Engine) -> None:
    ours, theirs = (model.ask(ROTATED, "What?", max_new_tokens=1) for model in (engine, released))
    assert ours.layouts[0].size == (60, 40)
    assert theirs.layouts[0].size == (40, 60)
    assert ours.notes == ("bytes: turned by EXIF orientation 6",) and theirs.notes == ()
    right, bottom = (max(item.box[edge] for item in ours.selections[0]) for edge in (2, 3))
    assert (right, bottom) == (40.0, 60.0)  # boxes are in pixels after orientation


def test_tiny_and_long_images(engine: Engine) -> None:
    for size in ((1, 1), (1, 400), (400, 1)):
        answer = engine.ask(Image.new("RGB", size, "red"), "What?", max_new_tokens=1)
        assert answer.layouts[0].size == (size[1], size[0])
