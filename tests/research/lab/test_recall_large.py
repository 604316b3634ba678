"""What `benchmarks/recall_large.py` calls found: shown, and large enough to be read."""

from __future__ import annotations

import json
import re
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


RESULT = json.loads((ROOT / "benchmarks" / "results" / "recall_large.json").read_text(encoding="utf-8"))
DESKS = {"empty desk": "alone", "half covered": "among"}
CUTS = {"fixed grid of 24": "fixed", "following grid": "following", "preset `v1-any`": "v1-any"}


def percent(score: dict[str, Any], interval: bool = True) -> str:
    value, low, high = (f"{100 * score[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]" if interval else value


def test_the_table_of_desks_is_its_result_file(script: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "synthetic.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| (empty desk|half covered) \| (.*), `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    assert len(found) == 18
    for desk, cut, policy, cells in found:
        sizes = RESULT["recall"][DESKS[desk]][CUTS[cut]][policy]
        assert cells.split(" | ") == [percent(sizes[size], policy != "oracle") for size in script["SIZES"]], (desk, cut, policy)


def test_what_the_documents_say_of_any_size_is_its_result_file(script: dict[str, Any]) -> None:
    told = " ".join((ROOT / "docs" / "synthetic.md").read_text(encoding="utf-8").split())
    first, *_, last = script["SIZES"]
    alone, whole = (RESULT[name]["alone"]["v1-any"] for name in ("recall", "recall_whole"))
    gained = {key: -100 * value for key, value in alone["residual"]["lost from 1K to 8K"].items()}
    assert f"gains {gained['value']:.1f} points [{gained['high']:.1f}, {gained['low']:.1f}] with 17 encoder passes" in told
    assert set(RESULT["encoder_passes"]["v1-any"].values()) == {17}
    times = [f"{RESULT['choosing_ms']['v1-any']['residual'][size]:.0f}" for size in script["SIZES"]]
    assert f"takes {', '.join(times[:3])} and {times[3]} ms of one core at 1K, 2K, 4K and 8K" in told
    times = [f"{RESULT['choosing_ms']['following']['residual'][size]:.0f}" for size in (first, last)]
    assert f"choosing takes {times[0]} ms at 1K and {times[1]} ms at 8K" in told
    kept = {
        policy: [f"{100 * whole[policy][size]['value']:.1f} %" for size in (first, last)] for policy in ("residual", "oracle")
    }
    assert f"for {kept['residual'][0]} of the questions at 1K and {kept['residual'][1]} at 8K on an empty desk" in told
    assert f"for {kept['oracle'][0]} and {kept['oracle'][1]} under `oracle`" in told
    following = RESULT["recall_whole"]["alone"]["following"]["oracle"]
    assert all(following[size]["value"] == 1.0 for size in script["SIZES"])
    lost = [RESULT["recall"]["among"][cut]["residual"]["lost from 1K to 8K"]["value"] for cut in ("following", "v1-any")]
    assert f"loses {100 * lost[0]:.1f} points on the following grid and {100 * lost[1]:.1f} under `v1-any`" in told
    lens = " ".join((ROOT / "docs" / "lens.md").read_text(encoding="utf-8").split())
    among = RESULT["recall"]["among"]["v1-any"]
    ends = [f"{100 * found['residual'][size]['value']:.1f} %" for found in (alone, among) for size in (first, last)]
    assert f"for {ends[0]} of the questions at 1K and {ends[1]} at 8K, among other papers for {ends[2]} and {ends[3]}" in lens
