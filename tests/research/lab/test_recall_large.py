"""What `benchmarks/recall_large.py` calls found: shown, and large enough to be read."""

from __future__ import annotations

import runpy
import sys
from typing import Any

import pytest
from PIL import Image

from dragonfly.research.synthetic.document_questions import Question
from tests.conftest import ROOT

pytest.importorskip("dragonfly.lens")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    before = [*sys.path]
    try:
        return runpy.run_path(str(ROOT / "benchmarks" / "recall_large.py"))
    finally:
        sys.path[:] = before


def test_evidence_is_found_where_all_of_it_is_shown_and_readable(script: dict[str, Any]) -> None:
    question = Question("read", "value", "?", "1", ((10, 10, 20, 20), (110, 10, 120, 20)), detail_px=12.0)
    left, right = (0, 0, 50, 50), (100, 0, 150, 50)
    assert script["found"](question, [(left, 1.0), (right, 0.5)]) == 1.0
    assert script["found"](question, [(left, 1.0)]) == 0.0
    assert script["found"](question, [(left, 1.0), (right, 0.49)]) == 0.0  # capitals of less than 6 pixels


def test_whole_evidence_is_found_in_one_area(script: dict[str, Any]) -> None:
    question = Question("read", "value", "?", "1", ((40, 10, 60, 20),), detail_px=12.0)
    whole = script["CRITERIA"]["recall_whole"]
    halves = [((0, 0, 51, 50), 1.0), ((51, 0, 150, 50), 1.0)]
    assert script["found"](question, halves) == 1.0 and script["found"](question, halves, whole) == 0.0
    assert script["found"](question, [((40, 10, 60, 20), 1.0)], whole) == 1.0
    assert script["found"](question, [((40, 10, 60, 20), 0.49)], whole) == 0.0


def test_every_cut_keeps_its_number_of_areas_inside_the_image_and_the_oracle_finds_all(script: dict[str, Any]) -> None:
    image = Image.effect_noise((2048, 1536), 60).convert("RGB")
    evidence = ((1500.0, 1200.0, 1540.0, 1220.0), (1600.0, 1200.0, 1640.0, 1220.0))
    question = Question("read", "value", "?", "1", evidence, detail_px=20.0)
    for name, cut in script["CUTS"].items():
        one = cut(image, 4)
        for policy, choosing in one.policies().items():
            for kept in choosing():
                assert len(kept) == (12 if name == "v1-any" else 4), (name, policy)
                assert all(0 <= a < c <= 2048 and 0 <= b < d <= 1536 and 0 < scale <= 1 for (a, b, c, d), scale in kept)
        assert one.passes == (17 if name == "v1-any" else 5)
        assert script["found"](question, one.oracle(evidence)) == 1.0


def test_what_is_lost_from_1k_to_8k_is_of_the_same_questions(script: dict[str, Any]) -> None:
    *smaller, largest = script["SIZES"]
    told = {**{size: [[1.0, 0.0], [1.0]] for size in smaller}, largest: [[0.0, 0.0], [1.0]]}
    rows = {("alone", "fixed", "uniform", size): desks for size, desks in told.items()}
    found = script["summary"](rows)["alone"]["fixed"]["uniform"]
    assert found["documents-1k"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["lost from 1K to 8K"]["value"] == pytest.approx(1 / 3, abs=1e-4)
