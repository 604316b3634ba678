"""A document from (spec, split, seed, index): its kind, template and content are drawn, then it is scanned and asked about."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dragonfly.vision.layout import Box

from ..document import row_random
from ..document_questions import Question
from ..document_spec import SynthSpec
from ..draw_context import TextAnnotation
from ..facts import split_of
from . import crowded, forms, invoices, panels, plots, receipts, tables
from .concepts import FORM, INFO, INVOICE, LABEL, MONEY, PANEL
from .flow import Order
from .questions import Topic, ask_document
from .scan import draw_scan, scan
from .sheet import Sheet, Span, runs_box


@dataclass(frozen=True)
class Kind:
    """A kind of page: how often it is drawn, how, what it offers to a template, and how it was scanned."""

    weight: float
    draw: Callable[[Order], Sheet]
    options: dict[str, tuple[str, ...]]
    topic: Topic
    scans: dict[str, float]


_PAPER = {"screen": 0.08, "flatbed": 0.3, "bright": 0.3, "fax": 0.12, "phone": 0.2}
_TILL = {"screen": 0.04, "flatbed": 0.22, "bright": 0.48, "fax": 0.1, "phone": 0.16}
_SCREEN = {"screen": 0.7, "flatbed": 0.15, "phone": 0.15}
_CAMERA = {"screen": 0.1, "flatbed": 0.2, "phone": 0.7}
KINDS: dict[str, Kind] = {
    "receipt": Kind(
        3.5,
        receipts.draw_receipt,
        receipts.OPTIONS,
        Topic(
            "receipt",
            ("receipt", "bill", "slip", "sales slip"),
            row="item",
            rows="items",
            measures=("price", "amount"),
            concepts=INFO | MONEY,
        ),
        _TILL,
    ),
    "invoice": Kind(
        1.2,
        invoices.draw_invoice,
        invoices.OPTIONS,
        Topic(
            "invoice",
            ("invoice", "bill", "letter"),
            row="item",
            rows="items",
            measures=("amount", "unit price"),
            concepts=INVOICE | MONEY,
        ),
        {**_PAPER, "screen": 0.3},
    ),
    "form": Kind(
        1.3,
        forms.draw_form,
        forms.FORM_OPTIONS,
        Topic("form", ("form", "sheet", "record"), "field", "fields", concepts=FORM),
        _PAPER,
    ),
    "table": Kind(
        1.2,
        tables.draw_table,
        tables.OPTIONS,
        Topic("table", ("table", "sheet", "list"), row="row", rows="rows", measures=()),
        {**_PAPER, "screen": 0.3},
    ),
    "chart": Kind(
        1.4,
        plots.draw_plot,
        plots.OPTIONS,
        Topic("chart", ("chart", "graph", "plot", "diagram"), row="category", rows="categories"),
        _SCREEN,
    ),
    "panel": Kind(
        0.8,
        panels.draw_panel,
        panels.OPTIONS,
        Topic("panel", ("panel", "display", "dashboard"), "instrument", "instruments", concepts=PANEL),
        _CAMERA,
    ),
    "label": Kind(
        0.9, forms.draw_label, forms.LABEL_OPTIONS, Topic("label", ("label", "sticker", "tag"), concepts=LABEL), _CAMERA
    ),
}
CROWDED = Kind(
    1.0, crowded.draw_crowded, crowded.OPTIONS, Topic("page", ("page", "sheet", "document"), concepts=INFO | MONEY), _PAPER
)
"""Of the specification that pre-trains a tower."""


@dataclass(frozen=True)
class Document:
    """A scanned page, with all that is known of it; boxes are in its pixels.

    Args:
        image: mode "L" or "RGB".
        questions: with answers and evidence.
        text_annotations: characters, words, lines, keys and values.
        family: the kind of page.
        template: the parts of its layout.
        quality: for its JPEG file.
    """

    image: Image.Image
    questions: tuple[Question, ...]
    text_annotations: tuple[TextAnnotation, ...]
    family: str
    template: str
    quality: int


def draw_template(rng: random.Random, kind: str, options: dict[str, tuple[str, ...]], split: str) -> dict[str, str]:
    """A choice for each option; a hash gives every combination to one split, so no layout is in two."""
    while True:
        template = {name: rng.choice(choices) for name, choices in options.items()}
        if split_of(f"{kind}/{'/'.join(template.values())}") == split:
            return template


def make_document(spec: SynthSpec, split: str, seed: int, index: int) -> Document:
    """Draw the document number `index` of a split. ValueError for an unknown split."""
    rng = row_random(spec, split, seed, index)
    weights = {name: kind.weight for name, kind in KINDS.items() if not spec.kinds or name in spec.kinds}
    name = "crowded" if spec.crowded else rng.choices(list(weights), list(weights.values()))[0]
    return draw_kind(rng, name, spec, split)


def draw_kind(rng: random.Random, name: str, spec: SynthSpec, split: str) -> Document:
    """A document of the kind `name`."""
    kind = CROWDED if name == "crowded" else KINDS[name]
    template = draw_template(rng, name, kind.options, split)
    order = Order(rng, split, spec.typefaces, template, rng.randrange(8), rng.choice((".", ".", ".", ",.", ",")))
    sheet = kind.draw(order)
    how = draw_scan(rng, kind.scans)
    image, bend = scan(rng, sheet, how)
    boxes: list[Box] = [(row[0], row[1], row[2], row[3]) for row in np.round(bend.boxes(sheet.boxes), 1).tolist()]
    questions = ask_document(rng, sheet, boxes, kind.topic, split)
    return Document(image, questions, annotated(sheet, boxes), name, f"{name}/{order.style}", how.quality)


def annotated(sheet: Sheet, boxes: list[Box]) -> tuple[TextAnnotation, ...]:
    """All that is printed, and the blanks within lines; the words of a key or value also tell what they belong to."""
    found = [TextAnnotation(box, char, "char") for char, box in zip(sheet.chars, boxes, strict=True)]
    found += _blanks(sheet, boxes)
    owners: dict[int, Span] = {}
    for span in sheet.spans:
        if span.kind in ("key", "value") and span.partner:
            owners.update((at, span) for first, last in span.runs for at in range(first, last))
    for span in sheet.spans:
        of = owners.get(span.runs[0][0]) if span.kind == "word" else span if span.partner else None
        box = runs_box(boxes, span.runs)
        if of is None:
            found.append(TextAnnotation(box, span.label, span.kind))
        else:
            found.append(TextAnnotation(box, span.label, span.kind, of.other, runs_box(boxes, of.runs + of.partner)))
    return tuple(found)


def _blanks(sheet: Sheet, boxes: list[Box]) -> list[TextAnnotation]:
    """A character " " between any two neighbouring words of a line: a model that copies a text copies its blanks."""
    ends = {first: last for span in sheet.spans if span.kind == "word" for first, last in span.runs}
    found: list[TextAnnotation] = []
    for span in sheet.spans:
        if span.kind == "line":
            ((first, last),) = span.runs
            while first < last and (first := ends[first]) < last:
                left, right = boxes[first - 1], boxes[first]
                gap = (min(left[2], right[0]), min(left[1], right[1]), max(left[2], right[0]), max(left[3], right[3]))
                found.append(TextAnnotation(gap, " ", "char"))
    return found
