"""A desk asks the same at every size, its boxes are exact, and nothing else on it could be meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragonfly.data import Manifest
from dragonfly.research.synthetic import SPECS, DatasetOptions, write_dataset
from dragonfly.research.synthetic.documents import desk, make_desk
from dragonfly.research.synthetic.documents.page import KINDS, Document

SIZES = {name: SPECS[name].desk for name in ("documents-1k", "documents-2k", "documents-4k")}


def offset(small: Document, large: Document) -> tuple[float, float]:
    """How far the paper that is asked about has moved, by the first box of evidence."""
    pairs = zip(small.questions, large.questions, strict=True)
    one, other = next((a.evidence[0], b.evidence[0]) for a, b in pairs if a.evidence)
    return other[0] - one[0], other[1] - one[1]


@pytest.mark.parametrize("index", range(3))
def test_the_same_is_asked_at_every_size_and_shown_pixel_by_pixel(index: int) -> None:
    desks = {name: make_desk(replace(SPECS[name], typefaces="bundled"), "test", 7, index) for name in SIZES}
    first = desks["documents-1k"]
    left, top, right, bottom = around(first)
    for name, drawn in desks.items():
        width, height = drawn.image.size
        assert max(width, height) == SIZES[name]
        assert width / height == pytest.approx(first.image.width / first.image.height, rel=0.01)
        assert (drawn.family, drawn.template) == (first.family, first.template)
        assert [(q.text, q.answer, q.kind, q.detail_px) for q in drawn.questions] == [
            (q.text, q.answer, q.kind, q.detail_px) for q in first.questions
        ]
        across, down = offset(first, drawn)
        for one, other in zip(first.questions, drawn.questions, strict=True):
            moved = [(a + across, b + down, c + across, d + down) for a, b, c, d in one.evidence]
            assert len(other.evidence) == len(moved) and np.allclose(other.evidence, moved)
        shown = drawn.image.crop((round(left + across), round(top + down), round(right + across), round(bottom + down)))
        assert np.array_equal(np.asarray(shown), np.asarray(first.image.crop((left, top, right, bottom))))


def around(drawn: Document) -> tuple[int, int, int, int]:
    """A whole-pixel box around all evidence."""
    boxes = [box for question in drawn.questions for box in question.evidence]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return int(min(lefts)), int(min(tops)), int(max(rights)), int(max(bottoms))


def test_papers_lie_apart_and_none_could_be_meant_for_the_one_that_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    laid: list[tuple[float, float, float, float]] = []
    families: list[str] = []
    lay, draw = desk._lay, desk.draw_kind
    monkeypatch.setattr(desk, "_lay", lambda *given: laid.append(lay(*given)) or laid[-1])

    def drawing(*given: object) -> Document:
        paper = draw(*given)  # pyright: ignore[reportArgumentType]
        families.append(paper.family)
        return paper

    monkeypatch.setattr(desk, "draw_kind", drawing)
    spec = replace(SPECS["documents-4k"], typefaces="bundled")
    for index in range(4):
        laid.clear()
        families.clear()
        drawn = make_desk(spec, "dev", 3, index)
        others = families[-(len(laid) - 1) :]
        assert len(laid) > 6
        assert not {drawn.family, *desk.LIKE.get(drawn.family, ())} & set(others)
        assert all(question.text.startswith(f"On the {KINDS[drawn.family].topic.thing}: ") for question in drawn.questions)
        for number, box in enumerate(laid):
            assert box[0] >= desk.GAP and box[1] >= desk.GAP
            assert box[2] <= drawn.image.width - desk.GAP and box[3] <= drawn.image.height - desk.GAP
            for other in laid[:number]:
                assert box[2] + desk.GAP <= other[0] or other[2] + desk.GAP <= box[0] or (
                    box[3] + desk.GAP <= other[1] or other[3] + desk.GAP <= box[1]
                )  # fmt: skip
        boxes = np.array([one.box for one in drawn.text_annotations])
        inside = [(boxes[:, 0] >= a) & (boxes[:, 1] >= b) & (boxes[:, 2] <= c) & (boxes[:, 3] <= d) for a, b, c, d in laid]
        assert np.any(inside, axis=0).all()  # every character lies on a paper


def test_covered_bounds_the_papers_beside_the_one_that_is_asked_about() -> None:
    spec = replace(SPECS["documents-2k"], typefaces="bundled")
    alone, among = (make_desk(replace(spec, covered=share), "test", 1, 0) for share in (0.0, 0.6))
    assert [q.text for q in alone.questions] == [q.text for q in among.questions]
    assert len(alone.text_annotations) < len(among.text_annotations)


def test_a_data_set_of_desks_is_written_like_any_other(tmp_path: Path) -> None:
    plan = DatasetOptions("documents-1k", "test", 2, 5)
    manifest = Manifest.open(write_dataset(plan, tmp_path / "data"))
    again = write_dataset(plan, tmp_path / "again", workers=1).read_bytes()
    assert manifest.path.read_bytes() == again
    rows = list(manifest)
    assert {row.meta["spec"] for row in rows} == {"documents-1k"} and len({row.images for row in rows}) == 2
    assert all(row.meta["kind"] != "describe" for row in rows)
    assert sum(bool(row.evidence and row.evidence[0]) for row in rows) > len(rows) / 2
