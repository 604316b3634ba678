"""Where everything stands on a zoom image: pure geometry, from sizes and counts alone.

The image is large, at the left, or on top where it is wide. Beside or below it stand the words, then the sub-images that were
looked at closely, enlarged, then those of the coarser levels. All measures are pixels of the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dragonfly.visualization.pen import Font, Rect, font_of, line_height, wrap

MIN_WIDTH, MAX_WIDTH = 480, 2400
MAX_ASPECT = 6.0  # a longer strip is drawn with stretched sides, and the caption says so
WIDE = 1.8  # width over height, from where the image takes the whole width
CELL_ASPECT = 2.5  # a longer sub-image is drawn with stretched sides
HERO = 0.6  # share of the width that an image takes which is not wide
ENLARGED = 1.25  # over its size in the image; what is not enlarged as much beside it stands below, larger


@dataclass(frozen=True)
class Measures:
    """Fonts and spacing for a drawing of a given width; spacing in steps of 4 at 1280."""

    width: int

    @property
    def longest(self) -> int:
        """The greatest height of the drawing."""
        return max(2400, round(1.875 * self.width))

    def px(self, pixels: float, least: int = 1) -> int:
        return max(least, round(pixels * self.width / 1280))

    @property
    def margin(self) -> int:
        return self.px(32)

    @property
    def gap(self) -> int:
        return self.px(12)

    @property
    def stroke(self) -> int:
        return self.px(2, 2)

    def font(self, size: float) -> Font:
        return font_of(self.px(size, 8))


QUESTION, ANSWER, SURE, CAPTION, NUMBER, SMALL = 26, 38, 24, 21, 24, 18  # sizes of type at a width of 1280


@dataclass(frozen=True)
class Words:
    """Lines of text, the first one's top left corner, and their size."""

    lines: tuple[str, ...]
    at: tuple[int, int]
    size: float


@dataclass(frozen=True)
class Page:
    """Where things stand.

    Args:
        size: (width, height) of the drawing.
        image: the source image.
        texts: question, answer and how sure, as far as they are given.
        caption: the line that explains the drawing.
        close: one rectangle for each sub-image looked at closely, in reading order; its number stands above it.
        coarse: one for each sub-image of the coarser levels, in order.
        coarse_heading: the line above these.
    """

    size: tuple[int, int]
    image: Rect
    texts: tuple[Words, ...]
    caption: Words
    close: tuple[Rect, ...]
    coarse: tuple[Rect, ...]
    coarse_heading: Words


def arrange(
    size: tuple[int, int],
    measures: Measures,
    texts: Sequence[tuple[str, float, int]],
    caption: str,
    close: Sequence[float],
    share: float,
    coarse: Sequence[float],
    coarse_heading: str,
    *,
    bars: bool = False,
) -> Page:
    """The page of an image.

    Args:
        size: (width, height) of the image.
        texts: (text, size of type, most lines) in order.
        close: width over height of each sub-image looked at closely.
        share: of the image's width that one of them has.
        coarse: width over height of each sub-image of the coarser levels.
        bars: whether a bar stands under each sub-image.
    """
    width, margin, gap = measures.width, measures.margin, measures.gap
    left, top, right = margin + line_number_room(measures), margin, width - margin
    extra = measures.px(14) + gap // 2 if bars else 0
    aspect = min(max(size[0] / size[1], 1 / MAX_ASPECT), MAX_ASPECT)
    is_wide = aspect >= WIDE or not (texts or close)
    across = min(right - left if is_wide else round(HERO * width), round(0.62 * width * aspect))
    image = (left, top, left + across, top + max(1, round(across / aspect)))
    wanted = ENLARGED * share * across

    # Few sub-images stand beside the words (wide) or under them (not wide); many below everything, over the whole width.
    cells: tuple[Rect, ...] = ()
    column = (left, image[3] + 2 * gap) if is_wide else (image[2] + margin, top)
    half = (right - left) // 2 - gap
    words, under = _flow(texts, column, half if is_wide else right - column[0], measures)
    if close and (texts or not is_wide):
        beside = (right - half, column[1], right, column[1] + round(0.3 * width))
        panel = beside if is_wide else (column[0], under + gap, right, max(image[3], under + round(0.25 * width)))
        cells = _fit(close, panel, measures, extra)
        cells = cells if cells and cells[0][2] - cells[0][0] >= wanted else ()
    if is_wide and not cells:
        words, under = _flow(texts, column, right - left, measures)

    small: list[Rect] = []
    above = Words((), (left, top), SMALL)
    thumbs = measures.px(120) + 2 * line_height(measures.font(SMALL))
    if coarse and close and not cells and not is_wide:  # there is room beside the image
        above, small, under = _thumbnails(coarse, coarse_heading, (column[0], under + gap, right), measures, extra)
    bottom = max([image[3], under, *(cell[3] + extra for cell in cells)])
    about = wrap(caption, right - left, measures.font(CAPTION))
    note = Words(tuple(about), (left, bottom + gap), CAPTION)
    bottom = note.at[1] + len(about) * line_height(measures.font(CAPTION))
    if close and not cells:
        reserved = margin + (0 if small or not coarse else thumbs + extra + 2 * gap)
        cells = _below(close, (left, bottom + gap, right, measures.longest - reserved), wanted, measures, extra)
        bottom = max(cell[3] + extra for cell in cells)
    if coarse and not small:
        above, small, bottom = _thumbnails(coarse, coarse_heading, (left, bottom + 2 * gap, right), measures, extra)
    return Page((width, min(bottom + margin, measures.longest)), image, tuple(words), note, cells, tuple(small), above)


def line_number_room(measures: Measures) -> int:
    """Width of the column at the left of the image, where numbers stand."""
    return measures.px(64, 30)


def number_height(measures: Measures) -> int:
    return line_height(measures.font(NUMBER))


def _flow(texts: Sequence[tuple[str, float, int]], at: tuple[int, int], room: int, measures: Measures) -> tuple[list[Words], int]:
    """Texts one under the other, each cut to its number of lines, and where they end."""
    x, y = at
    found: list[Words] = []
    for text, size, most in texts:
        font = measures.font(size)
        lines = wrap(text[:2000], room, font)
        if len(lines) > most:
            lines = [*lines[: most - 1], f"{lines[most - 1][:-3]}..."]
        found.append(Words(tuple(lines), (x, y), size))
        y += len(lines) * line_height(font) + measures.gap
    return found, y if found else at[1]


def _fit(close: Sequence[float], panel: Rect, measures: Measures, extra: int) -> tuple[Rect, ...]:
    """Cells as large as the panel allows, in as many columns as that takes."""
    left, top, right, bottom = panel
    above, aspect = number_height(measures), _cell_aspect(close)

    def side(columns: int) -> int:
        rows = -(-len(close) // columns)
        high = (bottom - top - (rows - 1) * measures.gap) // rows - above - extra
        return min((right - left - (columns - 1) * measures.gap) // columns, round(high * aspect))

    columns = max(range(1, len(close) + 1), key=side)
    return _cells(len(close), columns, (left, top), side(columns), aspect, above, extra, measures) if side(columns) > 0 else ()


def _below(close: Sequence[float], room: Rect, wanted: float, measures: Measures, extra: int) -> tuple[Rect, ...]:
    """Cells over the whole width, enlarged over the image where the page is long enough."""
    left, top, right, bottom = room
    above, aspect, gap = number_height(measures), _cell_aspect(close), measures.gap
    columns = max(1, min(len(close), int((right - left + gap) // (max(wanted, measures.px(150)) + gap))))

    def side() -> int:
        return max(2, (right - left - (columns - 1) * gap) // columns)

    def height() -> int:
        return -(-len(close) // columns) * (above + round(side() / aspect) + extra + gap)

    while columns < len(close) and height() > bottom - top:
        columns += 1
    return _cells(len(close), columns, (left, top), side(), aspect, above, extra, measures)


def _cells(
    count: int, columns: int, at: tuple[int, int], side: int, aspect: float, above: int, extra: int, measures: Measures
) -> tuple[Rect, ...]:
    high = max(1, round(side / aspect))
    found: list[Rect] = []
    for index in range(count):
        row, column = divmod(index, columns)
        x, y = at[0] + column * (side + measures.gap), at[1] + row * (above + high + extra + measures.gap) + above
        found.append((x, y, x + side, y + high))
    return tuple(found)


def _thumbnails(
    aspects: Sequence[float], heading: str, room: tuple[int, int, int], measures: Measures, extra: int
) -> tuple[Words, list[Rect], int]:
    """A heading, thumbnails of one height beside each other, smaller where they would not fit, and where they end."""
    left, top, right = room
    font, gap = measures.font(SMALL), measures.gap
    words = Words(tuple(wrap(heading, right - left, font)), (left, top), SMALL)
    top += len(words.lines) * line_height(font) + gap // 2
    widths = [min(max(aspect, 1 / CELL_ASPECT), CELL_ASPECT) for aspect in aspects]
    high = max(1, min(measures.px(120), int((right - left - (len(widths) - 1) * gap) / sum(widths))))
    found: list[Rect] = []
    for wide in widths:
        across = max(1, int(high * wide))
        found.append((left, top, left + across, top + high))
        left += across + gap
    return words, found, top + high + extra


def _cell_aspect(close: Sequence[float]) -> float:
    return min(max(close[0], 1 / CELL_ASPECT), CELL_ASPECT)
