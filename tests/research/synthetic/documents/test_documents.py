"""What a document promises: the same from the same coordinates, annotations that agree, and answers that the page gives."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from dragonfly.research.synthetic import ABSENT, SPECS
from dragonfly.research.synthetic.documents import make_document
from dragonfly.research.synthetic.documents.flow import Order
from dragonfly.research.synthetic.documents.page import KINDS, Document, draw_kind, draw_template
from dragonfly.research.synthetic.documents.questions import CELLS, Asker
from dragonfly.research.synthetic.documents.receipts import draw_receipt
from dragonfly.research.synthetic.documents.scan import Scan, scan
from dragonfly.research.synthetic.documents.sheet import Sheet, runs_box
from dragonfly.research.synthetic.documents.typefaces import typefaces, typefaces_note
from dragonfly.research.synthetic.draw_context import TextAnnotation
from dragonfly.research.synthetic.facts import split_of
from dragonfly.vision.layout import Box

SPEC = replace(SPECS["documents"], typefaces="bundled")
SPLITS = ("train", "dev", "test")


@cache
def drawn(kind: str, split: str = "train", count: int = 4) -> list[Document]:
    return [draw_kind(random.Random(f"{kind}/{index}"), kind, SPEC, split) for index in range(count)]


@cache
def sheet_of(kind: str, seed: int, split: str = "train") -> Sheet:
    rng = random.Random(f"{kind} {seed}")
    template = draw_template(rng, kind, KINDS[kind].options, split)
    return KINDS[kind].draw(Order(rng, split, "bundled", template, rng.randrange(8), "."))


def of_kind(document: Document, kind: str) -> list[TextAnnotation]:
    return [annotation for annotation in document.text_annotations if annotation.kind == kind]


def printed(document: Document) -> list[TextAnnotation]:
    """The characters that left ink."""
    return [char for char in of_kind(document, "char") if char.label != " "]


def inside(inner: Box, outer: Box) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def test_a_document_follows_from_its_coordinates_alone() -> None:
    first, again = (make_document(SPEC, "train", 3, 11) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.questions, first.text_annotations, first.quality) == (again.questions, again.text_annotations, again.quality)
    others = [make_document(SPEC, *where) for where in (("dev", 3, 11), ("train", 4, 11), ("train", 3, 12))]
    assert all(other.text_annotations != first.text_annotations for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_annotations_agree_with_each_other(kind: str) -> None:
    """A word is a run of characters and its box theirs; keys and values name each other; all lies in the image."""
    for document in drawn(kind):
        width, height = document.image.size
        chars = printed(document)
        text = "".join(annotation.label for annotation in chars)
        at = 0
        for word in of_kind(document, "word"):
            assert text[at : at + len(word.label)] == word.label
            boxes = np.array([annotation.box for annotation in chars[at : at + len(word.label)]])
            assert word.box == (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
            at += len(word.label)
        assert at == len(text)
        for annotation in document.text_annotations:
            left, top, right, bottom = annotation.box
            assert 0 <= left <= right <= width and 0 <= top < bottom <= height and (left < right or annotation.label == " ")
            assert annotation.around is None or inside(annotation.box, annotation.around)
        values = {(value.other, value.label) for value in of_kind(document, "value")}
        assert all((key.label, key.other) in values for key in of_kind(document, "key"))


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_a_blank_between_any_two_words_of_a_line(kind: str) -> None:
    for document in drawn(kind, count=2):
        blanks = [char for char in of_kind(document, "char") if char.label == " "]
        lines = of_kind(document, "line")
        assert len(blanks) == sum(len(line.label.split()) - 1 for line in lines)
        for blank in blanks:  # from the end of a word to the beginning of another
            starts, ends = ({round(side, 1) for word in of_kind(document, "word") for side in (word.box[at],)} for at in (0, 2))
            assert {blank.box[0], blank.box[2]} & ends and {blank.box[0], blank.box[2]} & starts


@pytest.mark.parametrize("kind", KINDS)
def test_every_box_holds_ink_after_the_scan(kind: str) -> None:
    """What cannot be told from its ground at all is rarer than one character in fifty, however faded the page."""
    faint = total = 0
    for document in drawn(kind):
        pixels = np.asarray(document.image.convert("L")).astype(int)
        for annotation in printed(document):
            left, top, right, bottom = (round(side) for side in annotation.box)
            area = pixels[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1]
            faint += area.max() - area.min() < 12
            total += 1
    assert total > 300 and faint < total / 50


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_stands_in_its_evidence(kind: str) -> None:
    """What is read is the text of a value whose box is evidence; an owner is the key beside such a value."""
    for document in drawn(kind):
        values = of_kind(document, "value")
        for question in document.questions:
            shown = [value for value in values if value.box in question.evidence]
            if question.kind == "read":
                assert question.answer in {value.label for value in shown}, question
            elif question.kind == "next to":
                owned = [value for value in shown if value.other == question.answer]
                assert owned and any(value.label.lower() in question.text.lower() for value in owned), question
            elif question.kind == "absent":
                assert question.answer == ABSENT and not question.evidence
            assert all(word.lower() in question.text.lower() for word in question.about)


@pytest.mark.parametrize("kind", KINDS)
def test_yes_and_no_are_as_common_and_true(kind: str) -> None:
    for document in drawn(kind):
        counts = Counter((question.form, question.answer) for question in document.questions if question.kind == "yes/no")
        forms = {form for form, _ in counts}
        # A question that two facts answer differently is left out, which may take one side of a pair.
        assert all(abs(counts[form, "yes"] - counts[form, "no"]) <= 1 for form in forms)
        for question in document.questions:
            if question.form in ("holds", "cell holds"):
                shown = [value.label for value in of_kind(document, "value") if value.box in question.evidence]
                said = any(
                    re.search(rf"(?<![\w.,]){re.escape(label.lower())}(?![\w.,]\w)", question.text.lower()) for label in shown
                )
                assert said == (question.answer == "yes"), (question, shown)


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_owners_are_unambiguous(kind: str) -> None:
    for seed in range(5):
        sheet = sheet_of(kind, seed)
        asker = Asker(random.Random(0), sheet, sheet.boxes, KINDS[kind].topic, "train")
        names = [name for entry in asker.fields for name in asker.names[id(entry)]]
        assert len(set(names)) == len(names)
        assert len({(cell.key, cell.col) for cell in asker.cells}) == len(asker.cells)
        for entry in asker.fields:
            if asker.once(entry):
                assert sum(other.value.lower() == entry.value.lower() for other in sheet.entries) == 1


@pytest.mark.parametrize("kind", ["larger", "most"])
def test_comparisons_follow_from_the_numbers(kind: str) -> None:
    forms = ("larger", "smaller") if kind == "larger" else ("most", "least")
    found = 0
    for family in KINDS:
        for document in drawn(family):
            values = {value.box: value for value in of_kind(document, "value")}
            for question in document.questions:
                if question.form in forms:
                    shown = [values[box] for box in question.evidence if box in values]
                    one_mark = all(value.label.count(".") + value.label.count(",") <= 1 for value in shown)
                    if one_mark and len({value.other for value in shown}) == 2:
                        numbers = [float(re.sub(r"[^\d.]", "", value.label.replace(",", "."))[-12:] or 0) for value in shown]
                        signed = {
                            value.other: number * (-1 if "-" in value.label else 1)
                            for value, number in zip(shown, numbers, strict=True)
                        }
                        pick = max if question.form == "larger" else min
                        assert question.answer == pick(signed, key=lambda key: signed[key]), (question, signed)
                        found += 1
                    assert question.answer in {value.other for value in shown}
    assert kind == "most" or found > 5


def test_the_sums_of_a_receipt_are_right() -> None:
    for seed in range(15):
        rng = random.Random(seed)
        template = draw_template(rng, "receipt", KINDS["receipt"].options, "train")
        sheet = draw_receipt(Order(rng, "train", "bundled", template, rng.randrange(8), "."))
        amounts = {entry.concept: entry.number or 0 for entry in sheet.entries if entry.form == "money"}
        sold = sum(entry.number or 0 for entry in sheet.entries if entry.col in ("price", "amount"))
        extra = sum(amounts.get(name, 0) for name in ("discount", "service", "tax", "delivery", "tip", "rounding"))
        assert amounts["total"] == sold + extra and amounts.get("subtotal", sold) == sold
        assert amounts.get("cash", amounts["total"]) - amounts["total"] == amounts.get("change", 0)
        counted = [(entry.number, entry.value) for entry in sheet.entries if entry.form == "money"]
        assert all(f"{abs(number or 0) / 100:.2f}" in value for number, value in counted)


def test_a_shop_s_name_has_any_width_and_stands_below_other_lines_at_times() -> None:
    """Real receipts have owners, stamps and emblems above it: who answers the first line is wrong there."""
    first, widths = [], []
    for seed in range(60):
        sheet = sheet_of("receipt", seed)
        (name,) = [entry for entry in sheet.entries if entry.form == "company"]
        left, top, right, _ = runs_box(sheet.boxes, name.runs)
        first.append(min(box[1] for box in sheet.boxes) >= top - 1)
        widths.append((right - left) / sheet.size[0])
    assert 0.25 < sum(first) / len(first) < 0.6
    assert min(widths) < 0.45 and sum(width > 0.6 for width in widths) > 9


def test_the_kinds_of_question_are_balanced() -> None:
    """Owners are as common as values to within a half, and what is absent is no rarity."""
    counts = Counter(question.kind for kind in KINDS for document in drawn(kind) for question in document.questions)
    total = sum(counts.values())
    assert 0.6 < counts["next to"] / counts["read"] < 1.4
    assert 0.15 < counts["yes/no"] / total < 0.4 and 0.08 < counts["absent"] / total < 0.25
    assert counts["compare"] / total > 0.03 and counts["count"] / total > 0.01


def test_layouts_and_texts_belong_to_one_split() -> None:
    templates = {split: {document.template for kind in KINDS for document in drawn(kind, split, 2)} for split in SPLITS}
    assert not templates["train"] & templates["dev"] and not templates["train"] & templates["test"]
    for split in SPLITS:
        for seed in range(3):
            for entry in sheet_of("receipt", seed, split).entries:
                if entry.form == "company":
                    assert split_of(entry.value.lower()) == split
                elif entry.form in CELLS:
                    assert split_of(entry.key.lower()) == split


def test_the_answer_is_read_from_the_last_box_of_the_evidence() -> None:
    asked = 0
    for index in range(10):
        page = make_document(SPEC, "train", 9, index)
        for question in page.questions:
            if question.kind in ("read", "next to") and question.evidence:
                left, top, right, bottom = question.evidence[-1]
                within = [
                    one.label
                    for one in page.text_annotations
                    if one.kind == "char"
                    and left <= (one.box[0] + one.box[2]) / 2 <= right
                    and top <= (one.box[1] + one.box[3]) / 2 <= bottom
                ]
                asked += 1
                assert set(question.answer.replace(" ", "")) <= set(within), (question, within)
    assert asked > 40


def test_a_bright_scanner_drives_paper_to_white() -> None:
    white = {}
    for kind in ("flatbed", "bright"):
        shares = []
        for seed in range(8):
            rng = random.Random(seed)
            sheet = Sheet((300, 200))
            image, _ = scan(rng, sheet, Scan(kind, 80))
            shares.append(np.mean(np.asarray(image.convert("L")) >= 250))
        white[kind] = float(np.mean(shares))
    assert white["bright"] > 0.8 > white["flatbed"]


def test_receipts_may_be_drawn_alone() -> None:
    assert {make_document(SPECS["documents-receipts"], "train", 4, index).family for index in range(8)} == {"receipt"}


def test_texts_are_of_a_size_that_can_be_read() -> None:
    heights = [
        box.box[3] - box.box[1]
        for kind in KINDS
        for document in drawn(kind)
        for box in of_kind(document, "char")
        if box.label.isupper() or box.label.isdigit()
    ]
    assert 11 <= np.median(heights) <= 20 and np.percentile(heights, 3) > 8
    sizes = [document.image.size for document in drawn("receipt")]
    assert all(400 <= width <= 1150 and height > width * 0.7 for width, height in sizes)


def test_the_packages_typefaces_serve_every_style() -> None:
    bundled, installed = typefaces("bundled"), typefaces("installed")
    assert all(len(paths) > 0 for paths in bundled.values())
    assert all(set(bundled[style]) <= set(installed[style]) for style in bundled)
    assert "install fonts-liberation" in typefaces_note("bundled")
