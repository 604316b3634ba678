"""One picture, from its coordinates (spec, split, seed, index).

Promises that nothing else decides what is drawn. Chooses family, style, grid and facts, draws them, and asks about them.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace

from PIL import Image

from .arrange import draw_field, room
from .cells import Cell, Cells, choose_cells, draw_cells, title_cells
from .charts import draw_chart, draw_panel
from .decor import Ground, decorate
from .facts import Fact
from .families import FAMILIES, Family, draw_family, make_facts
from .fonts import Face, face
from .page import Box, Mark, Page
from .papers import add_light, draw_look, make_paper
from .questions import Question, ask
from .sheet import Sheet
from .spec import SPLITS, SynthSpec
from .styles import STYLES, Style
from .things import draw_specks, draw_thing

TITLE_SHARE = 0.35  # of the pictures
_ICON = {"pie": 18.0, "dial": 18.0, "sideways": 14.0}  # pixels beside a value that its mark takes, at least


@dataclass(frozen=True)
class Drawn:
    """A picture with all that is known of it. Boxes are in its own pixels; `quality` is for its JPEG file.

    `absent` are keys that could have been drawn and were not.
    """

    image: Image.Image
    facts: tuple[Fact, ...]
    marks: tuple[Mark, ...]
    questions: tuple[Question, ...]
    family: str
    template: str
    quality: int
    cells: Cells
    absent: tuple[str, ...]


def row_random(spec: SynthSpec, split: str, seed: int, index: int, purpose: str = "picture") -> random.Random:
    """The one source of chance at these coordinates. ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"split '{split}' is not one of: {', '.join(SPLITS)}")
    digest = hashlib.sha256(f"{spec.name}/{split}/{seed}/{index}/{purpose}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def make_picture(spec: SynthSpec, split: str, seed: int, index: int) -> Drawn:
    """The picture at these coordinates. ValueError for an unknown split."""
    rng = row_random(spec, split, seed, index)
    name = draw_family(rng)
    family, style = FAMILIES[name], rng.choice(STYLES[name][split])
    cells = draw_cells(rng, spec)
    look = draw_look(rng, style.paper)
    page = Page(make_paper(rng, style.paper, look, cells.size))
    title = title_cells(rng, cells) if rng.random() < TITLE_SHARE else []
    chosen = choose_cells(rng, cells, spec, title)
    decorate(name, Ground(rng, page.draw, look, cells, {*title, *chosen}))
    sheet = Sheet(rng, page, style, look, _face(rng, spec, style, name, cells), not family.shapes and rng.random() < 0.5)
    facts, absent = _facts(sheet, name, split, len(chosen), cells)
    if title:
        _draw_title(sheet, cells, title, name)
    drawn = tuple(_draw_facts(sheet, name, cells, chosen, facts))
    questions = ask(rng, drawn, absent, family, split)
    image = add_light(rng, page.image)
    return Drawn(image, drawn, tuple(page.marks), questions, name, style.name, rng.randint(80, 95), cells, tuple(absent))


def _face(rng: random.Random, spec: SynthSpec, style: Style, name: str, cells: Cells) -> Face:
    """A face of the style, as high as drawn or so much smaller that enough keys fit into a cell."""
    family, scale = FAMILIES[name], cells.cell_size[0] / spec.cell
    least, most = spec.detail[0] * scale, spec.detail[1] * scale * (0.83 if name == "chart" else 1.0)
    chosen, cap = rng.choice(style.faces), rng.uniform(least, most)
    wanted = 26 if spec.crowded else spec.facts[1] + 6
    while cap > least and not _roomy(family, style, face(chosen, cap), cells, wanted):
        cap = max(least, cap - 0.5)
    return face(chosen, cap)


def _roomy(family: Family, style: Style, type_face: Face, cells: Cells, wanted: int) -> bool:
    """Whether the cells hold `wanted` of the family's keys, and values of three digits."""
    enough = family.shapes or len(_fitting(family, style, type_face, cells)) >= wanted
    return enough and type_face.width("000") <= _value_room(style, cells)


def _value_room(style: Style, cells: Cells) -> float:
    return room(style, cells.cell_size[1]) - _ICON.get(style.arrangement, 0.0)


def _fitting(family: Family, style: Style, type_face: Face, cells: Cells) -> list[str]:
    """The keys that one line of a cell can hold."""
    limit = room(style, cells.cell_size[1])
    return [key for key in family.keys if family.shapes or type_face.width(key.capitalize()) <= limit]


def _facts(sheet: Sheet, name: str, split: str, count: int, cells: Cells) -> tuple[list[Fact], list[str]]:
    keys = set(_fitting(FAMILIES[name], sheet.style, sheet.face, cells))
    limit = _value_room(sheet.style, cells)
    return make_facts(
        sheet.rng, FAMILIES[name], split, count, keys.__contains__, lambda value: sheet.face.width(value) <= limit
    )


def _draw_title(sheet: Sheet, cells: Cells, title: list[Cell], text: str) -> None:
    """The page's name across the cells of its title, as large as they allow."""
    row, col = title[0]
    left, top, right, bottom = cells.box(row, col, len(title))
    cap = (bottom - top) * 0.5
    while face(sheet.face.name, cap).width(text) > right - left - 8:
        cap -= 1
    large = face(sheet.face.name, cap)
    x = (left + right - large.width(text)) / 2
    sheet.page.text(x, (top + bottom + cap) / 2, text.capitalize(), large, sheet.look.ink)


def _draw_facts(sheet: Sheet, name: str, cells: Cells, chosen: list[Cell], facts: list[Fact]) -> list[Fact]:
    """The facts, each drawn into its cell, now with their boxes."""
    largest = max((fact.number or 0 for fact in facts), default=1) or 1
    radius = sheet.rng.uniform(5.0, 7.0)
    drawn = []
    for fact, cell in zip(facts, chosen, strict=False):
        box, key, detail = cells.box(*cell), sheet.printed(fact.key), sheet.face.cap
        share = (fact.number if fact.number is not None else largest / 2) / largest
        if name == "specks":
            found, detail = draw_specks(sheet, box, key, fact.value, radius), 2 * radius
        elif name == "shapes":
            found = draw_thing(sheet, box, key, fact.value)
        elif name == "chart":
            found = draw_chart(sheet, box, key, fact.value, share)
        elif name == "panel":
            found = draw_panel(sheet, box, key, fact.value, share)
        else:
            found = draw_field(sheet, box, key, fact.value)
        drawn.append(replace(fact, box=_padded(found, box), detail_px=round(detail, 2)))
    return drawn


def _padded(box: Box, cell: Box) -> Box:
    """The box with a pixel around it, within its cell."""
    left, top, right, bottom = box
    return max(left - 1, cell[0]), max(top - 1, cell[1]), min(right + 1, cell[2]), min(bottom + 1, cell[3])
