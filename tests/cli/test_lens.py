"""`dragonfly ask` of a model of another family, and of any under a budget of image tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dragonfly.lens import Lens
from dragonfly.lens.reader import Reader
from tests.cli.conftest import Run
from tests.cli.test_ask import refused
from tests.lens.family_models import saved
from tests.lens.seen import noise


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("llava_next", tmp_path_factory.mktemp("llava-next"))


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


def test_a_zoom_image_does_not_call_a_reduced_close_up_full_resolution(
    run: Run, other: Path, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dragonfly.visualization import zoom

    captions: list[str] = []
    original = zoom.caption
    monkeypatch.setattr(zoom, "caption", lambda *given, **more: captions.append(original(*given, **more)) or captions[-1])
    monkeypatch.setattr(Reader, "detail", lambda *_: 0.31)
    options = ("--model", other, "--method", "centre", "--max-tokens", 300, "--max-new-tokens", 1, "--device", "cpu")
    outcome = run("ask", large, "What?", *options, "--zoom", tmp_path / "where.png")
    assert "close-ups are shown at 31 % of the image's resolution and more" in outcome.err
    assert len(captions) == 1 and captions[0].startswith("Bright: read at 31 % of full resolution or more (")


def test_each_image_of_several_is_asked_by_itself(run: Run, other: Path, large: Path) -> None:
    options = ("--model", other, "--method", "downsample", "--max-new-tokens", 2, "--device", "cpu")
    outcome = run("ask", large, large, "What?", *options, "--each", "--json")
    assert [json.loads(line)["calls"] for line in outcome.out.splitlines()] == [1, 1]
    refused(run("ask", large, large, "What?", *options), "a lens looks at one image, and 2 are given", "--each")


def test_each_names_an_image_that_cannot_be_read_and_goes_on(run: Run, other: Path, large: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    options = ("--model", other, "--method", "downsample", "--max-new-tokens", 2, "--device", "cpu")
    outcome = run("ask", bad, large, "What?", *options, "--each", "--json")
    first, second = map(json.loads, outcome.out.splitlines())
    assert (outcome.code, first["image"]) == (1, str(bad)) and "error" in first
    assert second["calls"] == 1 and "2 images: 1 answered, 1 with errors" in outcome.err


@pytest.mark.parametrize("given", [True, False])
def test_a_batch_is_its_rows_one_by_one_and_resumes(run: Run, other: Path, large: Path, tmp_path: Path, given: bool) -> None:
    """A model of another family, and ours under a method: a line for each row, as of any batch."""
    noise(500, 300, seed=3).save(tmp_path / "other.png")
    rows = [
        {"id": "a", "image": large.name, "question": "What?"},
        {"id": "two", "images": [large.name, large.name], "question": "What?"},
        {"id": "b", "image": "other.png", "question": "Which?"},
        {"id": "gone", "image": "gone.png", "question": "What?"},
        {"id": "blind", "question": "Why?"},
        {"id": "system", "image": large.name, "question": "What?", "system": "Be brief."},
    ]
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = other if given else "nano"
    command = ("ask", "--batch", file, "-o", out, "--model", model, "--max-new-tokens", 3, "--device", "cpu")
    command += () if given else ("--method", "residual", "--max-tokens", 500)
    outcome = run(*command)
    assert outcome.code == 1 and "6 rows: 3 answered, 3 with errors" in outcome.err
    said = {line["id"]: line for line in map(json.loads, out.read_text().splitlines())}
    assert [*said] == [row["id"] for row in rows]
    assert "the question has 2 images" in said["two"]["error"] and "system message" in said["system"]["error"]
    assert "gone.png" in said["gone"]["error"]
    lens = Lens(model if given else None, "attention" if given else "residual", device="cpu")
    for key, image, question in (("a", large, "What?"), ("b", tmp_path / "other.png", "Which?"), ("blind", None, "Why?")):
        alone = lens.ask(image, question, max_tokens=1024 if given else 500, max_new_tokens=3)
        assert said[key]["token_ids"] == list(alone.token_ids)
        assert (said[key]["image_tokens"], said[key]["views"]) == (alone.image_tokens, alone.to_dict()["views"])
    whole = out.read_text().splitlines(keepends=True)
    out.write_text(whole[0] + whole[2][:20])  # stopped while it wrote a line
    again = run(*command)
    assert again.code == 1 and "1 of 6 answered before; resuming" in again.err
    resumed = {line["id"]: line for line in map(json.loads, out.read_text().splitlines())}
    for key, line in said.items():
        assert resumed[key].get("token_ids") == line.get("token_ids")
    assert resumed["a"] == said["a"]  # timings and all: it was not asked again


def test_our_own_model_looks_closer_when_it_is_told_to(run: Run, large: Path) -> None:
    outcome = run(
        "ask", large, "What?", "--max-tokens", 300, "--method", "centre", "--max-new-tokens", 2, "--json", "--device", "cpu"
    )
    assert outcome.code == 0
    assert json.loads(outcome.out)["image_tokens"] <= 300


def test_what_a_lens_does_not_reach_names_what_it_does(run: Run, other: Path, large: Path) -> None:
    said = (
        "holds a model of type 'llava_next', not 'dragonfly'",
        "what works with this one: dragonfly ask, serve, audit, eval --lens",
    )
    for words in (("chat", "--model", other), ("info", other), ("zoom", large, "--model", other)):
        refused(run(*words), *said)


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
    batch = ("ask", "--batch", rows, "-o", tmp_path / "out.jsonl", "--model", other)
    refused(run(*batch, "--reuse-prompts"), "--reuse-prompts is not there with a lens")
    refused(run(*batch, "--top-p", 0.5), "--top-p is not there")
    refused(
        run("ask", large, "What?", "--server", "http://nowhere", "--method", "random"), "--method is for a question", "--server"
    )
