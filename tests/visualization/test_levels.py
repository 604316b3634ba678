"""The flow drawing: its numbers are the layout's, it is deterministic, and every preset and shape can be drawn."""

from __future__ import annotations

import pytest
from PIL import Image

from dragonfly.vision import make_layout
from dragonfly.vision.presets import PRESETS
from dragonfly.visualization.levels import _reduction, draw_levels
from dragonfly.visualization.pen import Pen


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line of text that a drawing writes."""
    lines: list[str] = []
    write = Pen.say

    def record(self: Pen, text: list[str], *args: object, **kwargs: object) -> None:
        lines.extend(text)
        write(self, text, *args, **kwargs)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Pen, "say", record)
    return lines


@pytest.mark.parametrize("preset", PRESETS)
def test_the_numbers_are_the_layouts(preset: str, said: list[str]) -> None:
    layout = make_layout((60, 80), PRESETS[preset].spec)
    page = draw_levels(Image.new("RGB", (80, 60), (90, 120, 200)), layout)
    assert str(layout.num_image_tokens) in said and "80 x 60 pixels" in said
    totals = [int(line.rsplit("= ", 1)[1]) for line in said if "separator" in line]
    assert len(totals) == len(layout.levels) and sum(totals) == layout.num_image_tokens
    for level in layout.levels:
        rows, cols = level.grid
        count = f"{cols} x {rows} sub-images" if level.name != "low" else "1 sub-image"
        assert f"{level.name}: {count}" in said
    assert page.width == 1500 and page.height == 64 + 250 * len(layout.levels)


def test_what_happens_to_a_level_is_said() -> None:
    v1, v2 = (make_layout((60, 80), PRESETS[name].spec) for name in ("v1", "v2"))
    assert [_reduction(v1, level, kept) for level, kept in zip(v1.levels, (1, 4, 12), strict=True)] == [
        ["all tokens kept"],
        ["all tokens kept"],
        ["selection keeps 12", "of 24 sub-images"],
    ]
    assert _reduction(v2, v2.levels[2], 36) == ["mean-pooled to", "37 tokens each"]


@pytest.mark.parametrize("size", [(1, 1), (4000, 40), (40, 4000)])
def test_any_shape_and_the_same_bytes(size: tuple[int, int]) -> None:
    image = Image.new("L", size, 90)
    layout = make_layout((size[1], size[0]), PRESETS["v1"].spec)
    assert draw_levels(image, layout).tobytes() == draw_levels(image, layout).tobytes()
    assert image.mode == "L"


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an image of height 60, width 80, got 80, 60"):
        draw_levels(Image.new("RGB", (60, 80)), make_layout((60, 80), PRESETS["v1"].spec))
