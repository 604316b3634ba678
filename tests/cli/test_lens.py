"""`dragonfly ask` of a model of another family, and of any under a budget of image tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dragonfly.lens import Lens
from tests.cli.conftest import Run
from tests.cli.test_ask import refused
from tests.lens.family_models import llava_next
from tests.lens.seen import noise


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("llava-next")
    for part in llava_next():
        part.save_pretrained(directory)
    return directory


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.png"
    noise(900, 700).save(path)
    return path


def test_a_model_of_another_family_answers_and_shows_where_it_looked(run: Run, other: Path, large: Path, tmp_path: Path) -> None:
    zoom = tmp_path / "where.png"
    outcome = run(
        "ask",
        large,
        "What?",
        "--model",
        other,
        "--max-tokens",
        400,
        "--max-new-tokens",
        3,
        "--zoom",
        zoom,
        "--json",
        "--device",
        "cpu",
    )
    said = json.loads(outcome.out)
    expected = Lens(other, device="cpu").ask(large, "What?", max_tokens=400, max_new_tokens=3)
    assert outcome.code == 0
    assert said["token_ids"] == list(expected.token_ids)
    assert [tuple(view["box"]) for view in said["views"]] == [view.box for view in expected.views]
    assert (said["method"], said["calls"]) == ("attention", 3)
    assert said["image_tokens"] == expected.image_tokens <= 400
    with Image.open(zoom) as drawn:
        assert drawn.width == 1280


def test_each_image_of_several_is_asked_by_itself(run: Run, other: Path, large: Path) -> None:
    options = ("--model", other, "--method", "downsample", "--max-new-tokens", 2, "--device", "cpu")
    outcome = run("ask", large, large, "What?", *options, "--each", "--json")
    assert [json.loads(line)["calls"] for line in outcome.out.splitlines()] == [1, 1]
    refused(run("ask", large, large, "What?", *options), "a lens looks at one image, and 2 are given", "--each")


def test_our_own_model_looks_closer_when_it_is_told_to(run: Run, large: Path) -> None:
    outcome = run(
        "ask", large, "What?", "--max-tokens", 300, "--method", "centre", "--max-new-tokens", 2, "--json", "--device", "cpu"
    )
    assert outcome.code == 0
    assert json.loads(outcome.out)["image_tokens"] <= 300


def test_slips_are_one_line(run: Run, other: Path, large: Path, tmp_path: Path) -> None:
    asked = ("ask", large, "What?", "--model", other)
    refused(run(*asked, "--why"), "--why is not there for a model of another family")
    refused(run(*asked, "--set", "model.selection.keep=2"), "--set is not there")
    refused(run(*asked, "--temperature", 0.5), "--temperature is not there")
    refused(run(*asked, "--method", "zoom"), "method 'zoom' is not one of", "attention")
    refused(run(*asked, "--method", "oracle"), "needs the boxes of the evidence")
    refused(run(*asked, "--max-tokens", 7), "max_tokens 7 is too few", "the smallest view")
    refused(run(*asked, "--max-calls", 2), "method 'attention' needs 3 calls")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": 1, "question": "What?"}\n')
    refused(
        run("ask", "--batch", rows, "-o", tmp_path / "out.jsonl", "--max-tokens", 9), "--max-tokens is for a question", "--batch"
    )
    refused(
        run("ask", large, "What?", "--server", "http://nowhere", "--method", "random"), "--method is for a question", "--server"
    )
