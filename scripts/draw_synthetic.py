"""Draw `docs/images/synthetic.png`: one small page of each family of `nano`, and evidence boxes of one question each.

Run: python scripts/draw_synthetic.py [--out docs/images/synthetic.png]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from dragonfly.files import atomic_write  # noqa: E402
from dragonfly.research.synthetic import SPECS, Drawn, make_image  # noqa: E402
from dragonfly.research.synthetic.facts import FAMILIES  # noqa: E402
from dragonfly.research.synthetic.fonts import face  # noqa: E402

SEED, COLUMNS, TILE, CAPTION = 2, 3, (384, 256), 22


def pages() -> list[Drawn]:
    """The first landscape page of each family in the training split."""
    found: dict[str, Drawn] = {}
    for index in range(400):
        page = make_image(SPECS["nano"], "train", SEED, index)
        if page.cells.grid == (4, 6):
            found.setdefault(page.family, page)
    return [found[name] for name in FAMILIES]


def tile(page: Drawn) -> Image.Image:
    """The page with one of its questions under it, and a frame around what answers it."""
    asked = next(question for question in page.questions if len(question.evidence) == 1 and question.kind != "yes/no")
    image = page.image.copy()
    left, top, right, bottom = asked.evidence[0]
    ImageDraw.Draw(image).rectangle((left - 3, top - 3, right + 3, bottom + 3), outline=(220, 30, 120), width=2)
    whole = Image.new("RGB", (TILE[0], TILE[1] + CAPTION), "white")
    whole.paste(image.resize(TILE, Image.Resampling.LANCZOS))
    text = f"{asked.text}  {asked.answer}"
    ImageDraw.Draw(whole).text((4, TILE[1] + 15), text, font=face("sans", 10).font, fill=(30, 30, 30), anchor="ls")
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "synthetic.png")
    options = parser.parse_args()
    tiles = [tile(page) for page in pages()]
    width, height = TILE[0] + 8, TILE[1] + CAPTION + 8
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(tiles) // COLUMNS) * height), "white")
    for number, drawn in enumerate(tiles):
        sheet.paste(drawn, (number % COLUMNS * width, number // COLUMNS * height))
    small = sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4), Image.Resampling.LANCZOS)
    few = small.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)  # grain does not compress
    with atomic_write(options.out, "wb") as file:
        few.save(file, "PNG", optimize=True)


if __name__ == "__main__":
    main()
