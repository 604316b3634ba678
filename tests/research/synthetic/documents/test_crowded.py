"""Crowded pages show every character; strips show what they are asked about, at the scale of a page's sub-images."""

from __future__ import annotations

import random
import string
from collections import Counter

from dragonfly.research.synthetic.dataset import make_views
from dragonfly.research.synthetic.document_questions import ABSENT
from dragonfly.research.synthetic.document_spec import SPECS
from dragonfly.research.synthetic.documents import make_document
from dragonfly.research.synthetic.documents.strips import cut_strips

CROWDED, STRIPS = SPECS["documents-crowded"], SPECS["documents-strips"]


def test_a_few_crowded_pages_show_every_printable_character_and_more_text_than_documents() -> None:
    crowded = [make_document(CROWDED, "train", 1, index) for index in range(6)]
    seen = Counter(note.label for page in crowded for note in page.text_annotations if note.kind == "char")
    assert set(string.ascii_letters + string.digits + " ") <= seen.keys()
    assert len(set(string.punctuation) - seen.keys()) < 8
    usual = [make_document(SPECS["documents"], "train", 1, index) for index in range(6)]
    assert sum(seen.values()) > 1.5 * sum(note.kind == "char" for page in usual for note in page.text_annotations)
    words = Counter(note.label.lower() for page in crowded for note in page.text_annotations if note.kind == "word")
    assert sum(count == 1 for count in words.values()) > 0.7 * len(words)  # nothing to be learned by heart
    assert all(page.questions and page.family == "crowded" for page in crowded)


def test_crowded_layouts_belong_to_one_split() -> None:
    templates = {
        split: {make_document(CROWDED, split, 2, index).template for index in range(4)} for split in ("train", "dev", "test")
    }
    assert not templates["train"] & (templates["dev"] | templates["test"]) and not templates["dev"] & templates["test"]


def test_a_strip_answers_what_it_is_asked() -> None:
    count = 0
    for index in range(12):
        page = make_document(SPECS["documents"], "train", 3, index)
        width, height = page.image.size
        for strip in cut_strips(random.Random(index), page.image, page.questions, page.text_annotations, 4):
            count += 1
            columns = {9: 4, 6: 6, 4: 9}[rows := min((9, 6, 4), key=lambda rows: abs(height / rows - strip.image.height))]
            assert abs(strip.image.height - height / rows) <= 1
            assert abs(strip.image.width - min(width, 4 * width / columns)) <= 1
            shown = {note.label for note in strip.text_annotations}
            assert any(question.evidence for question in strip.questions)
            for question in strip.questions:
                assert question.kind not in ("count", "describe") and not question.form.startswith("cell")
                for left, top, right, bottom in question.evidence:
                    assert 0 <= left < right <= strip.image.width and 0 <= top < bottom <= strip.image.height
                if question.kind == "read":
                    assert question.answer in shown
                if not question.evidence:
                    assert question.answer in (ABSENT, "no")
    assert count > 12


def test_strips_are_a_specification_of_their_own() -> None:
    views = [view for index in range(3) for view in make_views(STRIPS, "dev", 1, index)]
    again = [view for index in range(3) for view in make_views(STRIPS, "dev", 1, index)]
    assert [view.questions for view in views] == [view.questions for view in again]
    assert all(view.images[0].width > view.images[0].height for view in views)
