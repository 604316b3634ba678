"""The printed area of an image: a scanner's blank margins take pixels from what is to be read. Pillow alone, whole numbers.

Only looks; `make_layout` takes the area, and all boxes stay in pixels of the whole image.
"""

from __future__ import annotations

from PIL import Image, ImageFilter

from dragonfly.vision.layout import Area, SubImageLayout, make_layout
from dragonfly.vision.pyramid import whole_size
from dragonfly.vision.spec import EncoderSpec

SIDE = 320  # longer side of the copy that is looked at
CONTRAST = 22  # grey levels from the ground to be something
LEAST = 0.012  # share of a row or column that must be something; specks and lines of dirt are not
BORDER = 0.02  # of the image's longer side, left around what is there
FRAME = 0.02  # of each side, at the image's edges: scanners leave shadows there
SMALLEST = 0.2  # of each side: a smaller area is not believed


def printed_area(image: Image.Image) -> Area | None:
    """(left, top, right, bottom) around everything that stands out from the ground; None for all of the image."""
    scale = min(1.0, SIDE / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    grey = image.convert("L").resize((width, height), Image.Resampling.BOX).filter(ImageFilter.MedianFilter(3))
    ground = _median(grey.histogram())
    ink = grey.point([255 if abs(level - ground) > CONTRAST else 0 for level in range(256)])
    frame = (round(width * FRAME), round(height * FRAME))
    inner = Image.new("L", ink.size)
    box = (frame[0], frame[1], width - frame[0], height - frame[1])
    inner.paste(ink.crop(box), box[:2])
    columns = _span(inner.resize((width, 1), Image.Resampling.BOX))
    rows = _span(inner.resize((1, height), Image.Resampling.BOX))
    if columns is None or rows is None:
        return None
    border = BORDER * max(image.size)
    left, right = _around(columns, image.width / width, border, image.width)
    top, bottom = _around(rows, image.height / height, border, image.height)
    if right - left < SMALLEST * image.width or bottom - top < SMALLEST * image.height:
        return None
    return None if (left, top, right, bottom) == (0, 0, *image.size) else (left, top, right, bottom)


def image_layout(image: Image.Image, spec: EncoderSpec) -> SubImageLayout:
    """The layout of an image, or of the slide that it is a reduced copy of: of its printed area alone if the encoder trims."""
    size = whole_size(image, spec.slides)
    area = printed_area(image) if spec.trim else None
    if area is not None and size != (image.height, image.width):
        across, down = size[1] / image.width, size[0] / image.height
        area = (
            int(area[0] * across),
            int(area[1] * down),
            min(size[1], round(area[2] * across)),
            min(size[0], round(area[3] * down)),
        )
    return make_layout(size, spec, area)


def _median(histogram: list[int]) -> int:
    seen, half = 0, sum(histogram) / 2
    for level, count in enumerate(histogram):
        seen += count
        if seen >= half:
            return level
    return 255


def _span(line: Image.Image) -> tuple[int, int] | None:
    """From the first to behind the last pixel of a line of shares that is large enough."""
    return (
        None
        if (box := line.point([255 if level / 255 > LEAST else 0 for level in range(256)]).getbbox()) is None
        else ((box[0], box[2]) if line.height == 1 else (box[1], box[3]))
    )


def _around(span: tuple[int, int], step: float, border: float, side: int) -> tuple[int, int]:
    """The span in source pixels, with its border, cut to the image."""
    return max(0, int(span[0] * step - border)), min(side, round(span[1] * step + border))
