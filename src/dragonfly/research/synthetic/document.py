"""One image from (spec, split, seed, index): family, style, layout and facts are chosen and drawn, then questions are made."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from dragonfly.vision.layout import Box

from .backgrounds import Ground, decorate, draw_look, make_paper
from .charts import draw_chart, draw_panel, draw_plot
from .document_questions import Question, ask, caption
from .document_spec import SPLITS, SynthSpec
from .draw_context import DrawContext, Look, Page, TextAnnotation
from .facts import FAMILIES, Fact, draw_family, with_values
from .fields import draw_field
from .fonts import face
from .layouts import Cells, Item, bound_layout, free_layout
from .shapes import draw_specks, draw_thing, speck_radius
from .styles import draw_style


@dataclass(frozen=True)
class Drawn:
    """An image and all that is known of it.

    Args:
        image: the image; all boxes are in its pixels.
        facts: what it says, with boxes.
        text_annotations: every character, word and shape on it.
        questions: about the facts, with answers and evidence.
        family: key of `FAMILIES`.
        template: the style's name.
        quality: for its JPEG file.
        cells: its grid.
        absent: keys that could have been drawn and were not.
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
    """The random generator of an image, seeded by a hash of all arguments. ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"split '{split}' is not one of: {', '.join(SPLITS)}")
    digest = hashlib.sha256(f"{spec.name}/{split}/{seed}/{index}/{purpose}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def make_image(spec: SynthSpec, split: str, seed: int, index: int) -> Drawn:
    """Draw the image number `index` of a split. ValueError for an unknown split."""
    rng = row_random(spec, split, seed, index)
    name = draw_family(rng)
    family, style = FAMILIES[name], draw_style(rng, name, split)
    look = draw_look(rng, style.paper)
    layout = (free_layout if spec.sizes else bound_layout)(rng, spec, split, name, style)
    page = Page(make_paper(rng, style.paper, look, layout.cells.size))
    if not layout.plot:
        decorate(name, Ground(rng, page.draw, look, layout.cells, layout.used))
    context = DrawContext(rng, page, style, look, layout.items[0].face, not family.shapes and rng.random() < 0.5)
    if layout.title:
        _draw_title(context, layout.title, name)
    if layout.plot:
        drawn = draw_plot(context, layout.plot, [item.fact for item in layout.items])
    else:
        drawn = _draw_facts(context, name, layout.items)
    image, moved = augment(rng, spec, page.image, look)
    facts = tuple(replace(fact, box=moved(fact.box)) for fact in drawn if fact.box)
    text_annotations = tuple(
        replace(annotation, box=moved(annotation.box), around=moved(annotation.around) if annotation.around else None)
        for annotation in page.text_annotations
    )
    if spec.caption:
        questions: tuple[Question, ...] = (caption(facts, family),)
    else:
        questions = ask(rng, facts, layout.absent, with_values(family, spec.values), split, language=spec.language)
    return Drawn(
        image, facts, text_annotations, questions, name, style.name, rng.randint(*spec.quality), layout.cells, layout.absent
    )


def _draw_title(context: DrawContext, box: Box, text: str) -> None:
    """Print the family's name as large as the box allows."""
    left, top, right, bottom = box
    cap = (bottom - top) * 0.5
    while face(context.face.name, cap).width(text) > right - left - 8:
        cap -= 1
    large = face(context.face.name, cap)
    x = (left + right - large.width(text)) / 2
    context.page.text(x, (top + bottom + cap) / 2, text.capitalize(), large, context.look.ink)


def _draw_facts(context: DrawContext, name: str, items: Sequence[Item]) -> list[Fact]:
    """Draw every fact into its slot; the facts with their boxes."""
    largest = max((item.fact.number or 0 for item in items), default=0) or 1
    drawn = []
    for item in items:
        fact, slot, context.face = item.fact, item.slot, item.face
        key, detail = context.printed(fact.key), context.face.cap
        first = len(context.page.text_annotations)
        share = (fact.number if fact.number is not None else largest / 2) / largest
        if name == "specks":
            found, detail = draw_specks(context, slot, key, fact.value), 2 * speck_radius(context, slot)
        elif name == "shapes":
            found = draw_thing(context, slot, key, fact.value)
        elif name == "chart":
            found = draw_chart(context, slot, key, fact.value, share)
        elif name == "panel":
            found = draw_panel(context, slot, key, fact.value, share)
        else:
            found = draw_field(context, slot, key, fact.value)
        context.page.bind(first, key, fact.value, found)
        drawn.append(replace(fact, box=_padded(found, slot), detail_px=round(detail, 2)))
    return drawn


def _padded(box: Box, slot: Box) -> Box:
    """The box, one pixel larger on every side where its slot allows."""
    left, top, right, bottom = box
    return max(left - 1, slot[0]), max(top - 1, slot[1]), min(right + 1, slot[2]), min(bottom + 1, slot[3])


def augment(rng: random.Random, spec: SynthSpec, image: Image.Image, look: Look) -> tuple[Image.Image, Callable[[Box], Box]]:
    """Rotate half of the pages, blur half, and light all, within the bounds of the spec.

    Returns:
        The image, and a function that takes a box of the page to its box in the image.
    """
    degrees = rng.uniform(-spec.turn, spec.turn) if rng.random() < 0.5 else 0.0
    if degrees:
        image = image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=look.paper)
    if spec.blur and rng.random() < 0.5:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0, spec.blur)))
    width, height = image.size
    return add_light(rng, image, spec.light), lambda box: turned(box, degrees, (height, width)) if degrees else box


def turned(box: Box, degrees: float, size: tuple[int, int]) -> Box:
    """The smallest upright box around a box that is rotated counter-clockwise about the middle of an image of `size`.

    Args:
        box: in pixels.
        degrees: of the rotation.
        size: (height, width) of the image; the result is cut to it.
    """
    middle_x, middle_y = size[1] / 2, size[0] / 2
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x - middle_x, y - middle_y) for x in (box[0], box[2]) for y in (box[1], box[3])]
    xs = [middle_x + x * cos + y * sin for x, y in corners]
    ys = [middle_y - x * sin + y * cos for x, y in corners]
    return max(0.0, min(xs)), max(0.0, min(ys)), min(float(size[1]), max(xs)), min(float(size[0]), max(ys))


def add_light(rng: random.Random, image: Image.Image, slope: float, grain: float = 7.0) -> Image.Image:
    """The image with a brightness gradient of up to `slope` grey levels each way, and noise of up to `grain` grey levels."""
    height, width = image.height, image.width
    noise = np.random.default_rng(rng.getrandbits(64))
    field = noise.integers(-128, 128, size=(height, width), dtype=np.int8) * np.float32(rng.uniform(0, grain) / 128)
    across, down = rng.uniform(-slope, slope), rng.uniform(-slope, slope)
    field += np.linspace(-across, across, width, dtype=np.float32)
    field += np.linspace(-down, down, height, dtype=np.float32)[:, None]
    pixels = np.add(np.asarray(image), field.astype(np.int16)[:, :, None], dtype=np.int16)
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))
