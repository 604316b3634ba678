"""Images as a command line names them: folders, patterns, standard input, pages, addresses; and what a terminal is told."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dragonfly.inference import load
from dragonfly.inference.engine import Engine
from tests import tiny
from tests.cli.conftest import Run
from tests.cli.test_ask import refused
from tests.imaging.images import animated


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, one that is broken, and a note."""
    place = tmp_path / "scans"
    place.mkdir()
    for name in ("b", "a"):
        tiny.image(40, 30, seed=ord(name)).save(place / f"{name}.png")
    (place / "c.jpg").write_bytes(b"\xff\xd8\xff broken")
    (place / "notes.txt").write_text("mine")
    (place / ".hidden.png").write_text("mine")
    return place


@pytest.fixture
def answers(saved_model: Path) -> Any:
    """What the tiny model answers about an image, apart from the command line."""
    engine = load(saved_model)
    return lambda path: " ".join(engine.ask(path, "What?", max_new_tokens=4).text.split())


@pytest.mark.parametrize("way", ["folder", "pattern", "each"])
def test_each_image_gets_a_line_with_its_name(ask: Run, folder: Path, way: str, answers: Any) -> None:
    words = {"folder": [folder], "pattern": [folder / "*.[pj]*g"], "each": [folder / "a.png", folder / "b.png", folder / "c.jpg"]}
    outcome = ask(*words[way], "What?", *(["--each"] if way == "each" else []))
    assert outcome.code == 1  # one of them is broken, and the others are answered
    expected = "".join(f"{folder / name}\t{answers(folder / name)}\n" for name in ("a.png", "b.png"))
    assert outcome.out == expected
    left_out, *said = outcome.err.splitlines() if way == "folder" else ["", *outcome.err.splitlines()]
    assert ("1 file of" in left_out and "left out" in left_out) == (way == "folder")
    assert said[0].startswith(f"error: {folder / 'c.jpg'} is a damaged or truncated JPEG")
    assert said[1:] == ["3 images: 2 answered, 1 with errors"]


def test_each_image_in_json_and_with_its_zoom_image(ask: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "c.jpg").unlink()
    outcome = ask(folder, "What?", "--json", "--zoom", tmp_path / "z.png", "--why")
    assert outcome.code == 0
    records = [json.loads(line) for line in outcome.out.splitlines()]
    assert [record["image"] for record in records] == [str(folder / "a.png"), str(folder / "b.png")]
    assert all(record["why"]["contributions"] and record["token_ids"] for record in records)
    assert {file.name for file in tmp_path.glob("z*.png")} == {"z-1.png", "z-2.png"}
    refused(ask(tmp_path / "none", "What?"), "no file of that name")
    refused(ask(folder.parent, "What?", "--zoom", tmp_path / "z-1.png", "--no-image"), "--no-image asks without an image")


def test_several_images_are_asked_together_and_that_is_said(ask: Run, folder: Path) -> None:
    two = [folder / "a.png", folder / "b.png"]
    assert ask(*two, "What?").err == ""
    outcome = ask(*two, folder / "a.png", "What?", "--json")
    assert outcome.err == "note: one question about 3 images together; --each asks about each by itself\n"
    assert len(json.loads(outcome.out)["layouts"]) == 3


def test_standard_input(ask: Run, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def given(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    data = (folder / "a.png").read_bytes()
    expected = ask(folder / "a.png", "What?").out
    given(data)
    assert ask("-", "What?") == (0, expected, "")
    given(animated("GIF", 3))
    assert ask("-", "What?").err == "note: standard input: animated GIF: first of 3 frames\n"
    given(b"")
    refused(ask("-", "What?"), "standard input is empty (0 bytes)")
    given(data)
    monkeypatch.chdir(tmp_path)
    assert run("zoom", "-", "--preset", "v2").code == 0 and (tmp_path / "stdin.zoom.png").is_file()
    refused(run("chat", "-", "--model", "unloadable"), "chat reads your questions from standard input")


def test_pages_of_a_pdf(ask: Run, run: Run, saved_model: Path, tmp_path: Path) -> None:
    pages = [tiny.image(72, 36, seed=number) for number in range(2)]
    path = tmp_path / "scan.pdf"
    pages[0].save(path, "PDF", save_all=True, append_images=pages[1:], resolution=72)
    first = ask(path, "What?", "--json")
    assert first.err == f"note: {path}: PDF: page 1 of 2, drawn at 200 dpi; #2 after the name is the second\n"
    second = ask(f"{path}#2", "What?", "--json")
    assert second.err == f"note: {path}#2: PDF: page 2 of 2, drawn at 200 dpi\n"
    one, two = (json.loads(outcome.out) for outcome in (first, second))
    assert one["layouts"] == two["layouts"] and one["layouts"][0]["size"] == [100, 200]
    assert [item["score"] for item in one["selections"]] != [item["score"] for item in two["selections"]]
    refused(ask(f"{path}#3", "What?"), "is a PDF of 2 pages, counted from 1, and has no page 3")
    refused(ask(tmp_path / "none.pdf#1", "What?"), "none.pdf#1 does not exist; check the path")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"question": "What?", "image": "scan.pdf#2"}))
    assert run("ask", "--batch", rows, "-o", tmp_path / "out.jsonl", "--model", saved_model, "--max-new-tokens", 4).code == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["token_ids"] == two["token_ids"]


def test_training_and_evaluation_read_pages(tmp_path: Path) -> None:
    from dragonfly.data.readers import read
    from dragonfly.data.sample import Sample
    from dragonfly.imaging import load_image

    tiny.image(72, 36).save(tmp_path / "scan.pdf", "PDF", resolution=72)
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "b"}]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": "a", "image": "scan.pdf#1", "conversations": turns}) + "\n")
    (sample,) = read(tmp_path / "rows.jsonl")
    assert isinstance(sample, Sample)
    assert load_image(sample.images[0].source).notes == ("PDF: page 1 of 1, drawn at 200 dpi",)


def test_addresses_are_fetched_where_that_is_allowed(ask: Run, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    fetched: list[str] = []

    def fetch(url: str, policy: Any) -> bytes:
        fetched.append(url)
        return (folder / "a.png").read_bytes()

    monkeypatch.setattr("dragonfly.imaging.load.fetch", fetch)
    address = "https://example.com/a.png"
    assert ask(address, "What?", "--allow-urls") == (0, ask(folder / "a.png", "What?").out, "")
    assert fetched == [address]  # once
    refused(ask(address, "What?"), "fetching is off", "--allow-urls")


def test_a_larger_image_is_allowed_by_its_number_of_pixels(
    ask: Run, run: Run, saved_model: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with 9000 x 9000 under the default, here with a limit of 5000: what the refusal advises works."""
    small = "dragonfly.imaging.policy.DEFAULT_POLICY"
    from dragonfly.imaging import ImagePolicy

    for module in ("load", "policy"):
        monkeypatch.setattr(f"dragonfly.imaging.{module}.DEFAULT_POLICY", ImagePolicy(max_pixels=5000))
    monkeypatch.setattr("dragonfly.imaging.DEFAULT_POLICY", ImagePolicy(max_pixels=5000))
    monkeypatch.setattr("dragonfly.models.image_processing_dragonfly.DEFAULT_POLICY", ImagePolicy(max_pixels=5000))
    assert small
    said = ask(image, "What?").err
    advised = re.search(r"--max-pixels \d+", said)
    assert advised is not None
    option = advised[0].split()
    assert ask(image, "What?", *option).code == 0
    for words in ([image, "-o", tmp_path / "z.png", "--model", saved_model], [image, "-o", tmp_path / "z.png", "--preset", "v2"]):
        refused(run("zoom", *words), "over the limit of 5,000")
        assert run("zoom", *words, *option).code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("What?\n"))
    assert run("chat", image, "--model", saved_model, "--max-new-tokens", 2, *option).code == 0


def test_a_terminal_is_told_how_sure_how_long_and_where(ask: Run, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ask(image, "What?")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    shown = ask(image, "What?")
    assert shown.out == plain.out and plain.err == ""
    (line,) = shown.err.splitlines()
    assert re.fullmatch(
        r"(very |fairly )?(un)?sure, \d+ % · \d+\.\d s · looked closely at: [a-z, ]+; 12 of 24 · "
        r"cut off after 4 tokens \(--max-new-tokens\)",
        line,
    )
    both = ask(image, image, "What?").err
    assert "image 1: looked closely at:" in both and "image 2: looked closely at:" in both
    assert ask(image, "What?", "--json").err == ""


def test_scores_and_contributions_are_drawn_where_they_are_asked_for(
    ask: Run, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dragonfly.visualization import zoom

    drawn: list[tuple[Any, dict[str, Any]]] = []
    draw = zoom.draw_zoom

    def record(image: Any, layout: Any, kept: Any, scores: Any, **words: Any) -> Any:
        drawn.append((scores, words))
        return draw(image, layout, kept, scores, **words)

    monkeypatch.setattr(zoom, "draw_zoom", record)
    target = tmp_path / "z.png"
    outcome = ask(image, "What?", "--zoom", target, "--json")
    answer = json.loads(outcome.out)
    scores, words = drawn[-1]
    assert scores is None and words["contributions"] is None
    assert (words["question"], words["answer"]) == ("What?", answer["text"])
    assert words["sure"].endswith(f"{100 * answer['confidence']:.0f} %")
    told = json.loads(ask(image, "What?", "--zoom", target, "--scores", "--why", "--json").out)
    scores, words = drawn[-1]
    assert scores == [item["score"] for item in told["selections"]]
    expected = {(one["level"], one["index"]): one["value"] for one in told["why"]["contributions"]}
    assert words["contributions"] == expected and len(expected) == 17


def test_zoom_of_a_model_that_chooses_by_the_question_draws_all(run: Run, image: Path, tmp_path: Path) -> None:
    outcome = run("zoom", image, "-o", tmp_path / "where.png", "--json")
    assert outcome.code == 0 and "it chooses them by the question, so all are drawn" in outcome.err
    data = json.loads(outcome.out)
    assert all(item["kept"] for item in data["selections"]) and data["selections"]
    with Image.open(tmp_path / "where.png") as drawn:
        assert drawn.width == 1280


def test_zoom_in_eight_bits(run: Run, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def record(model: Any, **options: Any) -> Engine:
        asked.append(options)
        raise ValueError("seen")

    monkeypatch.setattr("dragonfly.inference.loading.load", record)
    refused(run("zoom", image, "--quantize", "int8"), "seen")
    assert asked[0]["quantization"] == "int8"
    refused(run("zoom", image, "--quantize", "int8", "--preset", "v2"), "--quantize is for a model's weights")
