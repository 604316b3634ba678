"""Where the model looked: one image of the source, the answer, and the sub-images that were looked at closely.

Everything is drawn from a `SubImageLayout`. The same input gives the same bytes, its height is at most `longest(width)`, and the
source is not changed. Knows no model, no file, and not which policy chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from PIL import Image

from dragonfly.vision.layout import Box, LevelLayout, SubImageLayout
from dragonfly.vision.spec import LevelName
from dragonfly.vision.tiling import cut
from dragonfly.visualization.page import (
    ANSWER,
    MAX_ASPECT,
    MAX_WIDTH,
    MIN_WIDTH,
    NUMBER,
    QUESTION,
    SMALL,
    SURE,
    Measures,
    Page,
    arrange,
    line_number_room,
    number_height,
)
from dragonfly.visualization.pen import ACCENT, FAINT, INK, PADDING, PAPER, Pen, Rect, Type, line_height

DIM = 0.66  # share of its light that a sub-image keeps when it is seen at lower resolution only

Contributions = Mapping[tuple[LevelName, int], float]


def draw_zoom(
    image: Image.Image,
    layout: SubImageLayout,
    kept: Sequence[int] | None = None,
    scores: Sequence[float] | None = None,
    *,
    question: str = "",
    answer: str = "",
    sure: str = "",
    contributions: Contributions | None = None,
    detail: float = 1.0,
    width: int = 1280,
) -> Image.Image:
    """Draw the source with what was looked at closely, the answer, and each of these sub-images enlarged.

    Args:
        image: the image that the layout was made for, or a slide's reduced copy; other modes are converted to RGB.
        layout: from `make_layout`.
        kept: raster indices of the high sub-images that reach the language model, as many as the layout keeps; None where
            it keeps all.
        scores: one per high sub-image, kept or not; written beside the numbers.
        question, answer, sure: the words beside the image; what is empty is left out.
        contributions: what the answer owes to a sub-image, by level and raster index; drawn as bars.
        detail: of the image's resolution along a side, what was read closely had at least this share; 1 is all of it.
        width: of the drawing in pixels, `MIN_WIDTH` to `MAX_WIDTH`.

    Raises:
        ValueError: if the image is not of the layout's size, the indices or the number of scores do not fit the layout, or
            the width is out of range.
    """
    if not MIN_WIDTH <= width <= MAX_WIDTH:
        raise ValueError(f"width must be {MIN_WIDTH} to {MAX_WIDTH} pixels, got {width}")
    chosen, values = _check_kept(layout, kept), _check_scores(layout, scores)
    image = image if image.mode == "RGB" else image.convert("RGB")
    crops = [Image.fromarray(pixels) for pixels in cut(image, layout, chosen, fill=PADDING)]
    close, coarse = _shown(layout, chosen, crops)
    measures = Measures(width)
    texts = [(question, QUESTION, 4), (answer, ANSWER, 8), (sure, SURE, 2)]
    page = arrange(
        image.size,
        measures,
        [one for one in texts if one[0].strip()],
        caption(layout, bars=contributions is not None, scores=values is not None, detail=detail),
        [one.aspect for one in close] if len(close) > 1 or layout.num_kept_high else [],
        1 / layout.levels[-1].grid[1],
        [one.aspect for one in coarse],
        _coarse_heading(layout),
        bars=contributions is not None,
    )
    pen = Pen(Image.new("RGB", page.size, PAPER), Type(width))
    _draw_source(pen, image, layout, chosen, page, measures)
    for words, colour in zip([*page.texts, page.caption], _colours(page), strict=True):
        pen.say(list(words.lines), words.at, measures.font(words.size), colour)
    _draw_close(pen, close[: len(page.close)], page, measures, values)
    pen.say(list(page.coarse_heading.lines), page.coarse_heading.at, measures.font(SMALL), FAINT)
    for one, rect in zip(coarse, page.coarse, strict=True):
        _paste(pen, one, rect)
        pen.outline(rect, FAINT, 1)
    if contributions is not None:
        _draw_bars(pen, [*zip(close, page.close, strict=False), *zip(coarse, page.coarse, strict=True)], contributions, measures)
    return pen.page


@dataclass(frozen=True)
class Shown:
    """A sub-image that the language model is given: its level, raster index, source box and pixels as the tower gets them."""

    level: LevelName
    index: int
    box: Box
    crop: Image.Image

    @property
    def aspect(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) / (bottom - top)


def _shown(layout: SubImageLayout, kept: Sequence[int], crops: Sequence[Image.Image]) -> tuple[list[Shown], list[Shown]]:
    """The sub-images of the finest level that there is, and those of the coarser ones."""
    found: list[Shown] = []
    rest = iter(crops)
    for level in layout.levels:
        for index in kept if level.name == "high" else range(level.num_sub_images):
            found.append(Shown(level.name, index, level.box(index), next(rest)))
    finest = layout.levels[-1].name
    return [one for one in found if one.level == finest], [one for one in found if one.level != finest]


def _check_kept(layout: SubImageLayout, kept: Sequence[int] | None) -> tuple[int, ...]:
    count, expected = layout.count("high"), layout.num_kept_high
    indices = range(count) if kept is None else sorted(int(index) for index in kept)
    if len(set(indices)) != expected or len(indices) != expected or any(not 0 <= index < count for index in indices):
        seen = "none" if kept is None else str(list(indices))
        raise ValueError(f"this layout keeps {expected} of {count} high sub-images; pass their indices as kept, got {seen}")
    return tuple(indices)


def _check_scores(layout: SubImageLayout, scores: Sequence[float] | None) -> list[float] | None:
    if scores is None:
        return None
    values = [float(score) for score in scores]
    if len(values) != layout.count("high"):
        raise ValueError(f"expected one score for each of the {layout.count('high')} high sub-images, got {len(values)}")
    return values if len(set(values)) > 1 else None  # equal scores say nothing


def caption(layout: SubImageLayout, *, bars: bool = False, scores: bool = False, detail: float = 1.0) -> str:
    """The drawing in one line, for somebody who sees one for the first time."""
    highs, kept = layout.count("high"), layout.num_kept_high
    count = layout.levels[-1].num_sub_images
    how = "at full resolution" if detail == 1 else f"at {100 * detail:.0f} % of full resolution or more"
    if highs and kept < highs:
        rest = "seen at lower resolution" if len(layout.levels) > 1 or layout.num_pooled_remainders else "not seen"
        parts = [f"Bright: read {how} ({kept} of {highs}). Dimmed: {rest}."]
    elif count > 1:
        parts = [f"All of it was read {how}, in {count} sub-images."]
    else:
        parts = [f"The whole image was read at {layout.resolution} x {layout.resolution} pixels."]
    if scores:
        parts.append("Beside a number: the score that chose it.")
    if bars:
        parts.append("Bars: what the answer owes to each; hatched: it speaks against the answer.")
    height, width = layout.size
    stretch = max(width / height, height / width) / MAX_ASPECT
    if stretch > 1:
        parts.append(f"Drawn {stretch:.1f} times too {'high' if width > height else 'wide'}.")
    if any(right > width or bottom > height for _, _, right, bottom in layout.boxes):
        parts.append("Grey is padding beyond the image.")
    return " ".join(parts)


def _coarse_heading(layout: SubImageLayout) -> str:
    low, mid = layout.level("low"), layout.level("mid")
    parts = ["the whole image"] if low else []
    if mid and mid is not layout.levels[-1]:
        parts.append(f"its {mid.num_sub_images} parts (grey lines)")
    return f"Also seen, at lower resolution: {' and '.join(parts)}"


def _colours(page: Page) -> list[tuple[int, int, int]]:
    return [*(INK if words.size == ANSWER else FAINT for words in page.texts), FAINT]


def _draw_source(
    pen: Pen, image: Image.Image, layout: SubImageLayout, kept: tuple[int, ...], page: Page, measures: Measures
) -> None:
    """The image: what was left out dimmed, the mid regions as grey lines, what was kept outlined, its number at the left."""
    left, top, right, bottom = page.image
    size = (right - left, bottom - top)
    shown = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    high = layout.level("high")
    rects = {index: on_image(box, layout.size, size) for index, box in enumerate(layout.level_boxes("high"))}
    for index, rect in rects.items():
        if rect and index not in kept:
            shown.paste(shown.crop(rect).point(lambda value: value * DIM), rect)
    pen.page.paste(shown, (left, top))
    if high and layout.level("mid"):
        for box in layout.level_boxes("mid"):
            if rect := on_image(box, layout.size, size):
                pen.edges(_moved(rect, left, top), page.image, FAINT)
    finest = layout.levels[-1]
    marked = list(kept) if high else list(range(finest.num_sub_images)) if finest.num_sub_images > 1 else []
    bright = {index: rect for index in marked if (rect := on_image(finest.box(index), layout.size, size))}
    stroke = measures.stroke if len(bright) < finest.num_sub_images else 1
    if stroke > 1:  # a light hairline parts the frames from dark pixels; it ends where two kept sub-images meet
        for rect in bright.values():
            pen.outline(_grown(_moved(rect, left, top), stroke // 2 + 1), PAPER, 1)
        for rect in bright.values():
            pen.page.paste(shown.crop(rect), (rect[0] + left, rect[1] + top))
    for rect in bright.values():
        pen.outline(_moved(rect, left, top), ACCENT, stroke)
    _draw_numbers(pen, finest, bright, marked, page, measures)


def _draw_numbers(
    pen: Pen, finest: LevelLayout, bright: dict[int, Rect], marked: list[int], page: Page, measures: Measures
) -> None:
    """At the left of each row of sub-images the numbers of those that were kept, so that nothing in the image is covered."""
    font = measures.font(NUMBER)
    for _, group in groupby(bright, key=lambda index: index // finest.grid[1]):
        row = list(group)
        first, last = marked.index(row[0]) + 1, marked.index(row[-1]) + 1
        text = str(first) if first == last else f"{first}, {last}" if last == first + 1 else f"{first}-{last}"
        while font.getlength(text) > line_number_room(measures) + measures.margin // 2 and ", " in text:
            text = text.replace(", ", "-")
        _, upper, _, lower = bright[row[0]]
        x = page.image[0] - measures.gap - round(font.getlength(text))
        y = page.image[1] + (upper + lower - line_height(font)) // 2
        pen.say([text], (max(2, x), y), font, ACCENT)


def _draw_close(pen: Pen, close: Sequence[Shown], page: Page, measures: Measures, scores: list[float] | None) -> None:
    """The sub-images of the finest level, enlarged, each under its number."""
    font, small = measures.font(NUMBER), measures.font(SMALL)
    for number, (one, rect) in enumerate(zip(close, page.close, strict=True), start=1):
        at = (rect[0], rect[1] - number_height(measures))
        pen.say([str(number)], at, font, ACCENT)
        score = f"{scores[one.index]:.3g}" if scores is not None and one.level == "high" else ""
        x = at[0] + round(font.getlength(f"{number} "))
        if score and x + small.getlength(score) <= rect[2]:
            pen.say([score], (x + measures.gap // 2, at[1] + measures.px(4)), small, FAINT)
        _paste(pen, one, rect)
        pen.outline(rect, ACCENT, max(1, measures.stroke // 2))


def _paste(pen: Pen, one: Shown, rect: Rect) -> None:
    """What the tower was given, in the shape that it has in the image."""
    size = (rect[2] - rect[0], rect[3] - rect[1])
    pen.page.paste(one.crop.resize(size, Image.Resampling.BICUBIC), (rect[0], rect[1]))


def _draw_bars(pen: Pen, placed: Sequence[tuple[Shown, Rect]], contributions: Contributions, measures: Measures) -> None:
    """Under each sub-image a bar as long as its contribution, of the greatest one's that fills the width."""
    values = [contributions.get((one.level, one.index), 0.0) for one, _ in placed]
    greatest = max(map(abs, values), default=0.0) or 1.0
    high = measures.px(12, 4)
    for (one, rect), value in zip(placed, values, strict=True):
        top = rect[3] + measures.gap // 2
        across = round((rect[2] - rect[0]) * abs(value) / greatest)
        colour = ACCENT if one.level == placed[0][0].level else FAINT
        pen.bar((rect[0], top, rect[0] + across, top + high), colour, hatched=value < 0)


def on_image(box: Box, source: tuple[int, int], size: tuple[int, int]) -> Rect | None:
    """A source box in the pixels of an image drawn at `size` (width, height), clipped; None if nothing of it lies on it.

    `source` is the image's (height, width).
    """
    (height, width), (across, down) = source, size
    left, right = (round(min(x, width) * across / width) for x in (box[0], box[2]))
    top, bottom = (round(min(y, height) * down / height) for y in (box[1], box[3]))
    return (left, top, right, bottom) if left < right and top < bottom else None


def _grown(rect: Rect, by: int) -> Rect:
    return (rect[0] - by, rect[1] - by, rect[2] + by, rect[3] + by)


def _moved(rect: Rect, x: int, y: int) -> Rect:
    return (rect[0] + x, rect[1] + y, rect[2] + x, rect[3] + y)
