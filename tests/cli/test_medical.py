"""DICOM on the command line: series, labels, reports, warnings; and nothing of a header in any output but a report."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dragonfly.cli import images
from dragonfly.imaging import INTENDED_USE
from tests.cli.conftest import Run
from tests.cli.test_ask import refused
from tests.imaging.scans import PLANTED, hounsfield, series, written

PIXELS = np.random.default_rng(0).integers(-900, 900, (96, 128))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "IM000001"
    path.write_bytes(written(hounsfield(PIXELS, WindowCenter=40, WindowWidth=400, PixelSpacing=[0.5, 0.25])))
    return path


def test_nothing_of_a_header_reaches_an_output(
    ask: Run, run: Run, scan: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(scan.read_bytes().replace(b"-1024.0 ", b"Zebedee "))
    folder = series(tmp_path / "series", 3)
    outcomes = [
        ask(scan, "What is it?", "--zoom", tmp_path / "zoom.png", "--why", "--burned-in-check"),
        ask(scan, "What is it?", "--json"),
        ask(f"{folder}#slices=2", "What is it?", "--json"),
        ask(damaged, "What is it?"),
        ask(folder, "What is it?", "--each"),
        run("zoom", scan, "--preset", "v1", "-o", tmp_path / "layout.png", "--json"),
    ]
    assert [outcome.code for outcome in outcomes] == [0, 0, 0, 2, 0, 0]
    written_files = b"".join((tmp_path / name).read_bytes() for name in ("zoom.png", "layout.png"))
    said = "".join(outcome.out + outcome.err for outcome in outcomes) + caplog.text + written_files.decode("latin1")
    for name in (*PLANTED, *PLANTED[0].split("^"), "20240103", "Zebedee", "1.2.3.1"):
        assert name not in said
    with Image.open(tmp_path / "zoom.png") as drawn:
        assert not drawn.info.keys() - {"dpi"}


def test_an_answer_says_what_it_is_for_once(ask: Run, scan: Path) -> None:
    outcome = ask(scan, scan, "What is it?")
    assert outcome.err.count(INTENDED_USE) == 1 and "window 40,400 of the file" in outcome.err
    data = json.loads(ask(scan, "What is it?", "--json").out)
    assert f"{scan}: {INTENDED_USE}" in data["notes"]
    for item in data["selections"]:
        left, top, right, bottom = item["box"]
        assert item["box_mm"] == [left * 0.25, top * 0.5, right * 0.25, bottom * 0.5]


def test_a_report_is_written_and_says_what_it_copies(ask: Run, scan: Path, image: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.dcm"
    outcome = ask(scan, "What is it?", "--sr", target)
    assert outcome.code == 0 and f"structured report, with the identifiers of patient and study: {target}" in outcome.err
    assert PLANTED[1].encode() in target.read_bytes() and target.read_bytes()[128:132] == b"DICM"
    refused(ask(image, "What?", "--sr", target), "is no DICOM file, and a Structured Report is about DICOM images;")
    refused(ask(scan, "What?", "--sr", scan), "is the image itself and would be overwritten")
    refused(ask(scan, "What?", "--sr", image), "exists and is no DICOM, so it is not overwritten")
    refused(ask(scan, "What?", "--sr", target, "--each"), "--sr is for one question")


@pytest.mark.parametrize(("said", "warned"), [("YES", "says that text is burned in"), ("NO", ""), ("", "does not say whether")])
def test_burned_in_check(ask: Run, tmp_path: Path, said: str, warned: str) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(written(hounsfield(PIXELS, BurnedInAnnotation=said)))
    outcome = ask(path, "What?", "--burned-in-check")
    assert outcome.code == 0 and outcome.err.count("warning: ") == bool(warned) and warned in outcome.err
    assert "warning" not in ask(path, "What?").err


def test_a_series_is_one_image_and_its_files_are_asked_about_with_each(ask: Run, tmp_path: Path) -> None:
    folder = series(tmp_path / "series", 3)
    assert "slice 2 of 3, ordered by position; the middle one" in ask(folder, "What?").err
    assert len(ask(folder, "What?", "--each").out.splitlines()) == 3
    assert [Path(one.name).name for one in images.each([str(folder)], files=True)] == ["IM0", "IM1", "IM2"]
    assert [one.name for one in images.each([f"{folder}#slice=2-3"])] == [f"{folder}#slice={number}" for number in (2, 3)]
    series(tmp_path / "series2", 2, SeriesInstanceUID="1.2.77")
    refused(ask(tmp_path, "What?"), "holds 2 series (1: 3 CT images of 8 x 6; 2: 2 CT images of 8 x 6); choose one: #series=1")


def test_several_slices_stand_behind_their_labels(ask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dragonfly.inference.engine import Engine

    asked: list[str] = []
    whole = Engine.prompt

    def listening(self: Engine, conversations: list[list[dict[str, object]]], given: object) -> object:
        asked.append(json.dumps(conversations))
        return whole(self, conversations, given)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "prompt", listening)
    folder = series(tmp_path / "series", 4)
    assert ask(f"{folder}#slices=2", "What?").code == 0 and ask(f"{folder}#slice=2", "What?").code == 0
    assert '"slice 2 of 4: "}, {"type": "image"}, {"type": "text", "text": "slice 4 of 4: "}, {"type": "image"}' in asked[0]
    assert "slice 2" not in asked[1]
