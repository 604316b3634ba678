"""The flow of the paper's Figure 1 for one image: levels, vision tower, projector, selection or pooling, language model.

Every number is read from a `SubImageLayout`, so the drawing cannot differ from what the model does with such an image.
Knows no model: the boxes carry the words of the project, not the names of weights.
"""

from __future__ import annotations

from PIL import Image

from dragonfly.vision.layout import LevelLayout, SubImageLayout
from dragonfly.vision.resizing import resize, resizing
from dragonfly.vision.tiling import canvas
from dragonfly.visualization.pen import INK, PADDING, PALETTE, PAPER, Colour, Pen, Point, Type

WIDTH, ROW, TOP = 1500, 250, 64  # pixels: of the drawing, of one level's row, of the line of headings
SIDE = 196  # the longest side of a drawn level
MIDDLE = SIDE // 2  # from the top of a row to its arrows
BOX = 110  # width of the tower's and the projector's box
TINT: dict[str, Colour] = {"low": PALETTE[1], "mid": PALETTE[0], "high": PALETTE[2]}
SOURCE, LEVELS, TOWER, PROJECTOR, KEEP, TOKENS, MODEL = 20, 270, 540, 700, 860, 1090, 1330  # left edges
HEADINGS = {
    SOURCE: "Image",
    LEVELS: "Resized and cut",
    TOWER: "Vision tower",
    PROJECTOR: "Projector",
    KEEP: "Selection or pooling",
    TOKENS: "Tokens",
    MODEL: "Language model",
}


def draw_levels(image: Image.Image, layout: SubImageLayout) -> Image.Image:
    """Draw how an image becomes tokens, from its pixels to the language model.

    Args:
        image: the image that the layout was made for; other modes are converted to RGB.
        layout: from `make_layout`.

    Raises:
        ValueError: if the image is not of the layout's size.
    """
    if (image.height, image.width) != layout.size:
        raise ValueError(
            f"expected an image of height {layout.size[0]}, width {layout.size[1]}, got {image.height}, {image.width}"
        )
    image = image.convert("RGB")
    height = TOP + ROW * len(layout.levels)
    pen = Pen(Image.new("RGB", (WIDTH, height), PAPER), Type(1200))
    for left, text in HEADINGS.items():
        pen.say([text], (left, 20), pen.type.text)
    source = _draw_image(pen, image, TOP + ROW * (len(layout.levels) - 1) // 2 + MIDDLE)
    # One tower, one projector and one language model serve all levels: one box each over all rows.
    pen.box(["shared by", "all levels"], (TOWER, TOP, TOWER + BOX, height - 34))
    pen.box(["one linear", "map"], (PROJECTOR, TOP, PROJECTOR + BOX, height - 34))
    total = [str(layout.num_image_tokens), "image tokens", "", "and those", "of the text"]
    pen.box(total, (MODEL, TOP, MODEL + BOX + 30, height - 34))
    for row, level in enumerate(layout.levels):
        middle = TOP + row * ROW + MIDDLE
        _draw_level(pen, image, layout, level, middle)
        _draw_flow(pen, layout, level, middle)
        turn = LEVELS - 34
        pen.line([source, (turn, source[1]), (turn, middle)])
        pen.arrow((turn, middle), (LEVELS - 6, middle))
    return pen.page


def _draw_image(pen: Pen, image: Image.Image, middle: int) -> Point:
    """The source at the left edge; returns where its arrow starts."""
    drawn = _fit(image, (SIDE, pen.page.height - TOP - 60))
    top = middle - drawn.height // 2
    pen.page.paste(drawn, (SOURCE, top))
    pen.say([f"{image.width} x {image.height} pixels"], (SOURCE, top + drawn.height + 4), pen.type.small)
    return SOURCE + drawn.width + 6, middle


def _draw_level(pen: Pen, image: Image.Image, layout: SubImageLayout, level: LevelLayout, middle: int) -> None:
    """The level's canvas with its cuts, its caption, and the arrow to the tower."""
    pixels = canvas(resizing(image, Image.Resampling.BICUBIC), level, layout.resolution, PADDING)
    drawn = _fit(Image.fromarray(pixels), (SIDE, SIDE))
    (rows, cols), (width, height) = level.grid, drawn.size
    cuts = Pen(drawn, pen.type)
    for stroke, line in ((5, INK), (2, TINT[level.name])):
        for y in (min(row * height // rows, height - 1) for row in range(rows + 1)):
            cuts.line([(0, y), (width, y)], line, stroke)
        for x in (min(col * width // cols, width - 1) for col in range(cols + 1)):
            cuts.line([(x, 0), (x, height)], line, stroke)
    top = middle - height // 2
    pen.page.paste(drawn, (LEVELS, top))
    count, each = (f"{cols} x {rows} sub-images", "each ") if rows * cols > 1 else ("1 sub-image", "")
    caption = [f"{level.name}: {count}", f"{each}{layout.resolution} x {layout.resolution} pixels"]
    pen.say(caption, (LEVELS, top + height + 4), pen.type.small)
    pen.arrow((LEVELS + width + 6, middle), (TOWER - 4, middle))


def _draw_flow(pen: Pen, layout: SubImageLayout, level: LevelLayout, middle: int) -> None:
    """From the tower to the language model: what is kept of a level, and the tokens it becomes."""
    kept = layout.num_kept_high if level.name == "high" else level.num_sub_images
    pen.arrow((TOWER + BOX + 4, middle), (PROJECTOR - 4, middle))
    pen.arrow((PROJECTOR + BOX + 4, middle), (KEEP - 4, middle))
    pen.box(_reduction(layout, level, kept), (KEEP, middle - 50, KEEP + 180, middle + 50), TINT[level.name])
    pen.arrow((KEEP + 184, middle), (TOKENS - 4, middle))
    lines = -(-kept // 12)  # one small tile for each sub-image, at most 12 in a line
    top = middle - 9 * lines
    for i in range(kept):
        x, y = TOKENS + 6 + i % 12 * 14, top + i // 12 * 18
        pen.tile((x, y, x + 9, y + 13), TINT[level.name])
    total = f"{kept} x ({level.tokens} + 1 separator) = {kept * (level.tokens + 1)}"
    pen.say([total], (TOKENS + 6, top + 18 * lines + 2), pen.type.small)
    pen.arrow((TOKENS + 182, middle), (MODEL - 4, middle))


def _reduction(layout: SubImageLayout, level: LevelLayout, kept: int) -> list[str]:
    """What happens to a level's tokens, in words."""
    words = [f"selection keeps {kept}", f"of {level.num_sub_images} sub-images"] if kept < level.num_sub_images else []
    if level.tokens < max(other.tokens for other in layout.levels):
        words += ["mean-pooled to", f"{level.tokens} tokens each"]
    return words or ["all tokens kept"]


def _fit(image: Image.Image, room: tuple[int, int]) -> Image.Image:
    """The image as large as fits, its shape kept as far as whole pixels allow."""
    scale = min(room[0] / image.width, room[1] / image.height)
    size = (max(1, round(image.height * scale)), max(1, round(image.width * scale)))
    return resize(image, size, Image.Resampling.LANCZOS)
