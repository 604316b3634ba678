"""Where the model looked: one image of the source, its regions, and the sub-images that were kept.

Everything is drawn from a `SubImageLayout`. The same input gives the same bytes, no side is longer than `MAX_SIDE`, and the
source is not changed. Knows no model, no file, and not which policy chose.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from dragonfly.vision.layout import Box, SubImageLayout
from dragonfly.visualization.pen import PALETTE, PAPER, Colour, Pen, Rect, Type, line_height, wrap
from dragonfly.visualization.pyramid import Shown, draw_blocks, make_blocks, shrink, tag

MIN_WIDTH, MAX_SIDE = 480, 2400
MAX_ASPECT = 6.0  # a longer strip is drawn with stretched sides, and the legend says so
DIM = 0.3  # share of its light that a sub-image keeps when it is left out


def draw_zoom(
    image: Image.Image,
    layout: SubImageLayout,
    kept: Sequence[int] | None = None,
    scores: Sequence[float] | None = None,
    *,
    title: str | None = None,
    width: int = 1200,
) -> Image.Image:
    """Draw the source with its regions, and beside it (below it, if the image is wide) what the model was given.

    Args:
        image: the image that the layout was made for; other modes are converted to RGB.
        layout: from `make_layout`.
        kept: raster indices of the high sub-images that reach the language model, as many as the layout keeps; None where
            it keeps all.
        scores: one per high sub-image, kept or not; without them no ranks are drawn.
        title: at most two lines above, for example the question.
        width: of the drawing in pixels, `MIN_WIDTH` to `MAX_SIDE`.

    Raises:
        ValueError: if the image is not of the layout's size, the indices or the number of scores do not fit the layout, or
            the width is out of range.
    """
    if not MIN_WIDTH <= width <= MAX_SIDE:
        raise ValueError(f"width must be {MIN_WIDTH} to {MAX_SIDE} pixels, got {width}")
    chosen = _check_kept(layout, kept)
    high = _high_shown(layout, _check_scores(layout, scores))
    mid = [Shown(box, _colour(i), f"M{i}") for i, box in enumerate(layout.level_boxes("mid"))]
    image = image.convert("RGB")
    blocks = make_blocks(image, layout, mid, {index: high[index] for index in chosen})

    kind = Type(width)
    inner = width - 2 * kind.margin
    head = wrap((title or "")[:1000], inner, kind.head)  # more never fits two lines
    head = head if len(head) <= 2 else [head[0], f"{head[1][:-3]}..."]
    top = kind.margin + len(head) * line_height(kind.head)
    source, pyramid = _panels(image.size, kind, (kind.margin, top, width - kind.margin, MAX_SIDE * 9 // 10))
    # The legend stands under the source if that leaves it room, else under everything.
    beside = pyramid[0] > source[0] and source[2] - source[0] > width // 3
    at, across = (source[3], source[2] - source[0]) if beside else (max(source[3], pyramid[3]), inner)
    legend = [line for fact in _legend(layout, high) for line in wrap(fact, across, kind.text)]
    bottom = max(pyramid[3], at + kind.gap + len(legend) * line_height(kind.text)) + kind.margin

    pen = Pen(Image.new("RGB", (width, min(bottom, MAX_SIDE)), PAPER), kind)
    pen.say(head, (kind.margin, kind.margin // 2), kind.head)
    pen.say(["The image"], (source[0], top), kind.text)
    corner = (source[0], top + line_height(kind.text))
    size = (source[2] - corner[0], source[3] - corner[1])
    pen.page.paste(_draw_source(image, size, kind, mid=mid, high=high, kept=chosen), corner)
    draw_blocks(pen, blocks, pyramid)
    pen.say(legend, (kind.margin, at + kind.gap), kind.text)
    return pen.page


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


def _high_shown(layout: SubImageLayout, scores: list[float] | None) -> list[Shown]:
    """Every high sub-image with its region's colour and, where there are scores, its rank among its region's mates."""
    shown: list[Shown] = []
    for index, (box, region) in enumerate(zip(layout.level_boxes("high"), layout.regions, strict=True)):
        note = ""
        if scores is not None:
            mates = [mate for mate, other in enumerate(layout.regions) if other == region]
            better = [mate for mate in mates if (-scores[mate], mate) < (-scores[index], index)]
            note = f"#{len(better) + 1}  {scores[index]:.3g}"
        shown.append(Shown(box, _colour(region), str(index), note))
    return shown


def _colour(region: int) -> Colour:
    return PALETTE[region % len(PALETTE)]


def _legend(layout: SubImageLayout, high: list[Shown]) -> list[str]:
    """The drawing in words, for somebody who sees one for the first time."""
    mids, highs, kept = layout.count("mid"), layout.count("high"), layout.num_kept_high
    height, width = layout.size
    stretch = max(width / height, height / width) / MAX_ASPECT
    drawn = f", drawn {stretch:.1f} times too {'high' if width > height else 'wide'}" if stretch > 1 else ""
    parts = [
        f"The image has {width} x {height} pixels{drawn}.",
        f"Each sub-image is resized to {layout.resolution} x {layout.resolution} pixels.",
    ]
    if highs and kept < highs:
        parts.append(f"Kept {kept} of {highs} high sub-images (bright); the dark ones were left out.")
    elif highs:
        parts.append(f"All {highs} high sub-images were kept; nothing was left out.")
    names = f"M0 to M{mids - 1}" if mids > 1 else "M0"
    if mids and highs:
        parts.append(f"Frame colour: the mid sub-image ({names}) that a sub-image belongs to.")
    elif mids:
        parts.append(f"Framed: the mid sub-images, {names}. There is no high level.")
    if any(shown.note for shown in high):
        parts.append("#1: the highest score of its colour, with the score beside it.")
    if any(right > width or bottom > height for _, _, right, bottom in layout.boxes):
        parts.append("Grey is padding beyond the image.")
    parts.append(f"The language model reads {layout.num_image_tokens} tokens for this image.")
    return parts


def _panels(size: tuple[int, int], kind: Type, room: Rect) -> tuple[Rect, Rect]:
    """Where the source and the sub-images go, captions included: side by side, or one below the other for a wide image."""
    left, top, right, bottom = room
    width, line = right - left, line_height(kind.text)
    aspect = min(max(size[0] / size[1], 1 / MAX_ASPECT), MAX_ASPECT)
    if aspect >= 2:
        shown = min(width, round(0.42 * width * aspect))
        split = top + line + round(shown / aspect)
        under = split + kind.margin
        return (left, top, left + shown, split), (left, under, right, min(bottom, under + line + round(0.34 * width)))
    tall = min(bottom - top - line, round(0.8 * width))
    shown = min(round(0.5 * width), round(tall * aspect))
    beside = left + shown + kind.margin
    height = min(tall, max(round(shown / aspect), round(0.55 * width)))
    return (left, top, left + shown, top + line + round(shown / aspect)), (beside, top, right, top + line + height)


def _draw_source(
    image: Image.Image,
    size: tuple[int, int],
    kind: Type,
    *,
    mid: list[Shown],
    high: list[Shown],
    kept: tuple[int, ...],
) -> Image.Image:
    """The image at a size, left-out sub-images dark, kept ones and the regions framed and labelled."""
    shown_image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    inside = [(shown, _on_image(shown.box, image.size, size)) for shown in high]
    regions = [(shown, rect) for shown in mid if (rect := _on_image(shown.box, image.size, size))]
    bright = [(shown, rect) for shown, rect in (inside[index] for index in kept) if rect]
    for index, (_, rect) in enumerate(inside):
        if rect and index not in kept:
            shown_image.paste(shown_image.crop(rect).convert("L").point(lambda value: value * DIM).convert("RGB"), rect)
    pen = Pen(shown_image, kind)
    for shown, rect in bright:
        pen.frame(rect, shown.colour, max(1, kind.stroke - 1))
    for shown, rect in regions:
        pen.frame(rect, shown.colour, kind.stroke)
        if high:
            pen.badge(shown.label, rect, "tr", shown.colour)
    for shown, rect in bright if high else regions:
        tag(pen, shown, shrink(rect, kind.stroke + 1))
    return shown_image


def _on_image(box: Box, source: tuple[int, int], size: tuple[int, int]) -> Rect | None:
    """A source box in the drawn image's pixels, clipped; None if nothing of it lies on the image."""
    (width, height), (across, down) = source, size
    left, right = (round(min(x, width) * across / width) for x in (box[0], box[2]))
    top, bottom = (round(min(y, height) * down / height) for y in (box[1], box[3]))
    return (left, top, right, bottom) if left < right and top < bottom else None
