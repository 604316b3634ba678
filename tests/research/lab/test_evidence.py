from __future__ import annotations

from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragonfly.data import Manifest
from dragonfly.research.lab import evidence
from dragonfly.vision.layout import make_layout
from dragonfly.vision.presets import PRESETS
from tests.research.lab import small

LAYOUT = make_layout((small.HEIGHT, small.WIDTH), PRESETS["v1"].spec)


def test_the_layout_is_the_one_these_numbers_are_for():
    assert LAYOUT.levels[-1].grid == (4, 6)
    assert LAYOUT.level_boxes("high")[7] == (16.0, 16.0, 32.0, 32.0)


def test_a_centre_belongs_to_one_sub_image_also_on_an_edge():
    assert evidence.needed(LAYOUT, [small.cell(1, 2)]) == {8}
    assert evidence.needed(LAYOUT, [(14.0, 2.0, 18.0, 6.0)]) == {1}  # centre at x = 16, the left edge of the second
    assert evidence.needed(LAYOUT, [small.cell(0, 0), small.cell(3, 5)]) == {0, 23}


def test_covered_asks_for_every_box_and_area_counts_parts():
    two = [small.cell(0, 0), small.cell(3, 5)]
    assert evidence.covered(LAYOUT, two, (0, 5, 23))
    assert not evidence.covered(LAYOUT, two, (0, 5))
    assert evidence.area_share(LAYOUT, two, (0, 5)) == pytest.approx(0.5)
    assert evidence.area_share(LAYOUT, [(12.0, 4.0, 28.0, 8.0)], (1,)) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("boxes", "keep", "scope", "expected"),
    [
        ([(1, 2)], 1, "region", 1 / 6),
        ([(1, 2)], 3, "region", 1 / 2),
        ([(0, 0), (1, 1)], 1, "region", 0.0),  # two of one region, one kept
        ([(0, 0), (1, 1)], 3, "region", comb(4, 1) / comb(6, 3)),
        ([(0, 0), (3, 5)], 3, "region", 1 / 4),
        ([(0, 0), (3, 5)], 3, "image", comb(22, 1) / comb(24, 3)),
        ([(0, 0)], 24, "image", 1.0),
    ],
)
def test_the_expectation_of_random_is_exact(boxes: list, keep: int, scope: evidence.Scope, expected: float):
    found = evidence.random_covered(LAYOUT, [small.cell(*box) for box in boxes], keep, scope)
    assert found == pytest.approx(expected)


@given(keep=st.integers(1, 6), box=st.tuples(st.floats(0, 80), st.floats(0, 50), st.floats(1, 16), st.floats(1, 14)))
def test_the_expected_area_is_the_kept_share(keep: int, box: tuple[float, float, float, float]):
    left, top, width, height = box
    found = evidence.random_area(LAYOUT, [(left, top, left + width, top + height)], keep, "region")
    assert found == pytest.approx(keep / 6)


def test_an_empty_box_is_refused():
    with pytest.raises(ValueError, match=r"evidence \[\(4, 4, 4, 9\)\] has no area; a box is \(left, top, right, bottom\)"):
        evidence.area_share(LAYOUT, [(4, 4, 4, 9)], (0,))


def test_only_turns_with_evidence_are_located(tmp_path: Path):
    turns = [("One?", "1", [small.cell(0, 0)]), ("Whole?", "2", []), ("Two?", "3", [small.cell(1, 1)])]
    folder = small.manifest(tmp_path / "m", [small.sample(tmp_path, "a", turns, kind="word")])
    found = list(evidence.located(Manifest.open(folder)))
    assert [(q.id, q.text, q.answer, q.evidence) for q in found] == [
        ("a#0", "One?", "1", (small.cell(0, 0),)),
        ("a#2", "Two?", "3", (small.cell(1, 1),)),
    ]
    assert found[0].meta["kind"] == "word"
    assert len(evidence.read_located(folder, limit=1)) == 1


def test_data_without_evidence_is_refused(tmp_path: Path):
    folder = small.manifest(tmp_path / "m", [small.sample(tmp_path, "a", [("Whole?", "2", [])])])
    with pytest.raises(ValueError, match="has no evidence: no row says which boxes hold its answer"):
        evidence.read_located(folder)
