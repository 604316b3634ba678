"""Draw docs/images/architecture.png: the flow of the paper's Figure 1, from the layout of a generated image.

python scripts/draw_architecture.py [PRESET] [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from dragonfly.vision import make_layout
from dragonfly.vision.presets import get_preset
from dragonfly.visualization.levels import draw_levels

TARGET = Path(__file__).parents[1] / "docs" / "images" / "architecture.png"


def street() -> Image.Image:
    """A street with a house, a shop sign and a number plate: things to see at every level."""
    image = Image.new("RGB", (960, 640), (176, 212, 240))
    pen = ImageDraw.Draw(image)
    pen.ellipse((790, 50, 880, 140), fill=(255, 214, 90))
    pen.polygon([(0, 360), (220, 190), (430, 360)], fill=(126, 158, 140))
    pen.polygon([(300, 360), (620, 150), (960, 360)], fill=(104, 138, 122))
    pen.rectangle((0, 360, 960, 640), fill=(142, 178, 104))
    pen.rectangle((0, 500, 960, 640), fill=(92, 94, 100))
    for x in range(30, 960, 150):
        pen.rectangle((x, 564, x + 80, 574), fill=(236, 232, 214))
    pen.rectangle((90, 270, 390, 500), fill=(214, 138, 104))
    pen.polygon([(70, 270), (240, 170), (410, 270)], fill=(140, 66, 56))
    for x in (120, 210, 300):
        pen.rectangle((x, 300, x + 56, 360), fill=(232, 240, 250), outline=(90, 60, 50), width=4)
    pen.rectangle((200, 400, 270, 500), fill=(98, 62, 44))
    pen.rectangle((290, 410, 376, 440), fill=(250, 246, 232), outline=(60, 50, 40), width=2)
    pen.text((333, 425), "BAKERY", fill=(60, 40, 30), font=ImageFont.load_default(18), anchor="mm")
    pen.rounded_rectangle((560, 440, 830, 540), 18, fill=(52, 96, 176))
    pen.polygon([(610, 440), (650, 385), (750, 385), (790, 440)], fill=(66, 116, 204))
    pen.polygon([(626, 438), (656, 398), (696, 398), (696, 438)], fill=(222, 238, 250))
    pen.polygon([(706, 438), (706, 398), (744, 398), (774, 438)], fill=(222, 238, 250))
    for x in (620, 770):
        pen.ellipse((x - 34, 510, x + 34, 578), fill=(30, 32, 36))
        pen.ellipse((x - 14, 530, x + 14, 558), fill=(170, 174, 180))
    pen.rectangle((668, 500, 724, 518), fill=(250, 250, 250))
    pen.text((696, 509), "DF 406", fill=(20, 20, 20), font=ImageFont.load_default(13), anchor="mm")
    return image


def main(preset: str = "v1", target: str | Path = TARGET) -> None:
    image = street()
    page = draw_levels(image, make_layout((image.height, image.width), get_preset(preset).spec))
    page.quantize(128).save(target, optimize=True)
    print(f"{target}: {page.width} x {page.height} pixels")


if __name__ == "__main__":
    main(*sys.argv[1:])
