"""`benchmarks/recall_realdata.py` on a small receipt: where evidence comes from, and what the result file holds."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from dragonfly.inference import Engine
from tests import tiny
from tests.conftest import ROOT

SCRIPT = ROOT / "benchmarks" / "recall_realdata.py"
LINES = """10,10,60,10,60,20,10,20,A SHOP, INC.
10,22,50,22,50,30,10,30,1 MAIN STREET,
10,32,50,32,50,40,10,40,OLD TOWN
60,50,90,50,90,58,60,58,9.00
60,60,90,60,90,62,60,62,RM 9.00
10,50,50,50,50,58,10,58,DATE: 25/12/2018 8:13 PM
"""


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    before = [*sys.path]
    try:
        return runpy.run_path(str(SCRIPT))
    finally:
        sys.path[:] = before


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sample's layout: two scans, of which one is marked, four questions on it."""
    folder = tmp_path / "data" / "sroie_receipts_sample" / "dev"
    (folder / "images").mkdir(parents=True)
    rows = []
    for name in ("000", "624"):
        tiny.image(96, 64).save(folder / "images" / f"{name}.png")
        answers = {"company": "A SHOP INC", "address": "1 Main Street, Old Town", "total": "9.00", "date": "25/12/2018"}
        for field, answer in answers.items():
            row = {"id": f"sroie-{name}-{field}", "image": f"images/{name}.png", "question": f"{field}?", "answer": answer}
            rows.append({**row, "field": field})
    (folder / "qa.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_an_answer_is_where_its_line_is(script: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text(LINES)
    lines = script["read_lines"](tmp_path / "0.csv")
    assert lines[0] == ((10.0, 10.0, 60.0, 20.0), "A SHOP, INC.")
    printed = script["printed"]
    assert printed("a shop inc", lines) == [(10.0, 10.0, 60.0, 20.0)]
    assert printed("25/12/2018", lines) == [(10.0, 50.0, 50.0, 58.0)]
    assert printed("1 Main Street, Old Town", lines) == [(10.0, 22.0, 50.0, 30.0), (10.0, 32.0, 50.0, 40.0)]
    assert printed("9.00", lines) == [] == printed("not there", lines) == printed("", lines)
    assert script["read_lines"](tmp_path / "none.csv") == []


def test_evidence_is_from_the_lines_or_else_from_the_marks(script: dict[str, Any], folder: Path) -> None:
    samples, source = script["receipts"](folder)
    assert source == "boxes drawn by eye"
    assert [sample.id for sample in samples] == [f"sroie-000-{field}" for field in ("company", "address", "total", "date")]
    (folder / "box").mkdir()
    (folder / "box" / "624.csv").write_text(LINES)
    samples, source = script["receipts"](folder)
    assert source == "the competition's line boxes"
    assert [sample.id for sample in samples] == [f"sroie-624-{field}" for field in ("company", "address", "date")]
    assert samples[2].evidence == (((10.0, 50.0, 50.0, 58.0),),)


def test_the_marks_lie_in_their_scans_and_name_questions_once(script: dict[str, Any]) -> None:
    text_annotations = json.loads(script["TEXT_ANNOTATIONS"].read_text(encoding="utf-8"))["evidence"]
    fields = [tuple(name.split("-")[1:]) for name in text_annotations]
    assert len(fields) == 84 and {field for _, field in fields} == {"company", "date", "total", "address"}
    assert len({scan for scan, _ in fields}) == 21 and "624" not in {scan for scan, _ in fields}
    boxes = [box for some in text_annotations.values() for box in some]
    assert all(0 <= left < right <= 1080 and 0 <= top < bottom <= 1932 for left, top, right, bottom in boxes)


def test_recall_stands_beside_chance_and_names_no_folder(
    script: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "box").mkdir()
    for name in ("000", "624"):
        (folder / "box" / f"{name}.csv").write_text(LINES)
    main, output = script["main"], folder / "found.json"
    engine = Engine(tiny.model(), tiny.processor(), name=str(folder / "mine"))
    arguments = ["recall_realdata.py", str(folder.parents[1]), "--output", str(output)]
    for tower, given in ((False, arguments), (True, [*arguments, "--tower", "clip-b32", "--seeds", "2"])):
        monkeypatch.setattr(sys, "argv", given)
        monkeypatch.setitem(main.__globals__, "load", lambda *_, **__: engine)
        monkeypatch.setitem(main.__globals__, "tower_engine", lambda tower, seed: engine)
        main()
        found = json.loads(output.read_text())
        assert str(folder) not in output.read_text()
        assert found["data"]["questions"] == 6 and found["data"]["images"] == 2
        assert found["note"] == "Scanned receipts; the evidence is the competition's line boxes."
        assert found["kind"] == ("towers" if tower else "recall")
        one = found["seeds"][1] if tower else found
        assert {"random (exact)", "random", "uniform", "oracle", "similarity", "centred", "detail"} <= set(one["recall"]["3"])
        assert set(one["by"]["field"]) == {"company", "address", "date"}
    assert [seed["seed"] for seed in found["seeds"]] == [0, 1] and (found["tower"], found["random"]) == ("clip-b32", True)


def test_a_tower_is_random_by_its_seed_or_a_checkpoint(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones of CLIP's kind; the projector changes nothing, so summaries are the tower's own mean tokens."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel

    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    shape = {"model_type": "clip_vision_model", **sizes, "image_size": 16, "patch_size": 8}
    make = script["tower_engine"]
    monkeypatch.setitem(make.__globals__, "KNOWN_TOWERS", {script["SHAPES"]["clip-b32"]: shape})
    pixels = torch.randn(2, 3, 16, 16)
    found = [make("clip-b32", seed).model.model.embed_sub_images(pixels) for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1]) and not torch.allclose(found[0], found[2])
    tower = CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=16, patch_size=8)).eval()
    tower.save_pretrained(tmp_path / "tower")
    engine = make(str(tmp_path / "tower"), 0)
    with torch.no_grad():
        states = tower(pixel_values=pixels, output_hidden_states=True).hidden_states
        torch.testing.assert_close(engine.model.model.embed_sub_images(pixels), states[-2].mean(dim=1))
    assert engine.name == "tower"
    with pytest.raises(ValueError, match="no tower 'clip-b16'; accepted: clip-b32, clip-l14-336, or a directory"):
        make("clip-b16", 0)


def test_without_the_images_nothing_is_done(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["recall_realdata.py"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("DRAGONFLY_REALDATA", str(tmp_path))
    runpy.run_path(str(SCRIPT), run_name="__main__")
    line = capsys.readouterr().out
    assert line.startswith("skipped: no receipts at sroie_receipts_sample/dev in ") and line.count("\n") == 1
