"""One image, from its coordinates (spec, split, seed, index).

Promises that nothing else decides what is drawn. Chooses family, style, grid and facts, draws them, and asks about them.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from .arrange import draw_field
from .augment import take
from .backgrounds import draw_look, make_paper
from .cells import Cells
from .charts import draw_chart, draw_panel
from .decor import Ground, decorate
from .document_questions import Question, ask
from .document_spec import SPLITS, SynthSpec
from .draw_context import Sheet
from .facts import Fact
from .families import FAMILIES, draw_family, with_values
from .fonts import face
from .layouts import Item, bound_layout, free_layout
from .page_record import Box, Page, TextAnnotation
from .plots import draw_plot
from .shapes import draw_specks, draw_thing, speck_radius
from .styles import draw_style


@dataclass(frozen=True)
class Drawn:
    """An image with all that is known of it. Boxes are in its own pixels; `quality` is for its JPEG file.

    `absent` are keys that could have been drawn and were not.
    """

    image: Image.Image
    facts: tuple[Fact, ...]
    text_annotations: tuple[TextAnnotation, ...]
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


def make_image(spec: SynthSpec, split: str, seed: int, index: int) -> Drawn:
    """The image at these coordinates. ValueError for an unknown split."""
    rng = row_random(spec, split, seed, index)
    name = draw_family(rng)
    family, style = FAMILIES[name], draw_style(rng, name, split)
    look = draw_look(rng, style.paper)
    layout = (free_layout if spec.sizes else bound_layout)(rng, spec, split, name, style)
    page = Page(make_paper(rng, style.paper, look, layout.cells.size))
    if not layout.plot:
        decorate(name, Ground(rng, page.draw, look, layout.cells, layout.used))
    sheet = Sheet(rng, page, style, look, layout.items[0].face, not family.shapes and rng.random() < 0.5)
    if layout.title:
        _draw_title(sheet, layout.title, name)
    if layout.plot:
        drawn = draw_plot(sheet, layout.plot, [item.fact for item in layout.items])
    else:
        drawn = _draw_facts(sheet, name, layout.items)
    image, moved = take(rng, spec, page.image, look)
    facts = tuple(replace(fact, box=moved(fact.box)) for fact in drawn if fact.box)
    text_annotations = tuple(
        replace(annotation, box=moved(annotation.box), around=moved(annotation.around) if annotation.around else None)
        for annotation in page.text_annotations
    )
    questions = ask(rng, facts, layout.absent, with_values(family, spec.values), split)
    return Drawn(
        image, facts, text_annotations, questions, name, style.name, rng.randint(*spec.quality), layout.cells, layout.absent
    )


def _draw_title(sheet: Sheet, box: Box, text: str) -> None:
    """The page's name, as large as its box allows."""
    left, top, right, bottom = box
    cap = (bottom - top) * 0.5
    while face(sheet.face.name, cap).width(text) > right - left - 8:
        cap -= 1
    large = face(sheet.face.name, cap)
    x = (left + right - large.width(text)) / 2
    sheet.page.text(x, (top + bottom + cap) / 2, text.capitalize(), large, sheet.look.ink)


def _draw_facts(sheet: Sheet, name: str, items: Sequence[Item]) -> list[Fact]:
    """The facts, each drawn into its slot, now with their boxes."""
    largest = max((item.fact.number or 0 for item in items), default=0) or 1
    drawn = []
    for item in items:
        fact, slot, sheet.face = item.fact, item.slot, item.face
        key, detail = sheet.printed(fact.key), sheet.face.cap
        first = len(sheet.page.text_annotations)
        share = (fact.number if fact.number is not None else largest / 2) / largest
        if name == "specks":
            found, detail = draw_specks(sheet, slot, key, fact.value), 2 * speck_radius(sheet, slot)
        elif name == "shapes":
            found = draw_thing(sheet, slot, key, fact.value)
        elif name == "chart":
            found = draw_chart(sheet, slot, key, fact.value, share)
        elif name == "panel":
            found = draw_panel(sheet, slot, key, fact.value, share)
        else:
            found = draw_field(sheet, slot, key, fact.value)
        sheet.page.bind(first, key, fact.value, found)
        drawn.append(replace(fact, box=_padded(found, slot), detail_px=round(detail, 2)))
    return drawn


def _padded(box: Box, slot: Box) -> Box:
    """The box with a pixel around it, within its slot."""
    left, top, right, bottom = box
    return max(left - 1, slot[0]), max(top - 1, slot[1]), min(right + 1, slot[2]), min(bottom + 1, slot[3])
