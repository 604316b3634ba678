"""`dragonfly ask`: the answer on stdout, everything else on stderr, every fault one line and 2."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from dragonfly.inference import load
from dragonfly.vision.layout import make_layout
from tests import tiny
from tests.cli.conftest import Outcome, Run
from tests.imaging.images import animated, encoded, exif
from tests.inference.test_images import ODD
from tests.inference.test_loading import FAULTS, copy  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
KEYS = ["text", "token_ids", "confidence", "prompt_tokens", "layouts", "selections", "timings", "notes", "finish"]


def refused(outcome: Outcome, *said: str) -> None:
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1
    for words in said:
        assert words in outcome.err


def test_the_answer_and_nothing_else(ask: Run, saved_model: Path, image: Path) -> None:
    outcome = ask(image, "What is it?")
    expected = load(saved_model).ask(image, "What is it?", max_new_tokens=4).text
    assert outcome == (0, expected + "\n", "")
    assert ask("Only text?", "--no-image").code == 0


def test_json(ask: Run, saved_model: Path, image: Path) -> None:
    outcome = ask(image, image, "What?", "--json", "--temperature", "1e-4", "--system", "Be brief.")
    assert (outcome.code, outcome.err) == (0, "")
    data = json.loads(outcome.out)
    assert list(data) == KEYS
    assert [list(item) for item in data["selections"]] == [["image", "index", "box", "score", "kept", "region"]] * 48
    layout = make_layout((64, 96), load(saved_model).model.config.spec)
    assert [item["box"] for item in data["selections"][:24]] == [list(box) for box in layout.level_boxes("high")]
    assert [item["num_image_tokens"] for item in data["layouts"]] == [layout.num_image_tokens] * 2
    assert len(data["token_ids"]) == 4 and data["finish"] == "length" and 0 < data["confidence"] < 1


def test_overrides(ask: Run, image: Path) -> None:
    data = json.loads(ask(image, "What?", "--json", "--set", "model.selection.keep=1").out)
    assert sum(item["kept"] for item in data["selections"]) == 4
    refused(ask(image, "What?", "--set", "model.selection.kep=1"), "did you mean 'model.selection.keep'?")
    refused(ask(image, "What?", "--set", "model.preset=v11"), "did you mean 'v1'?")


def test_zoom_writes_one_image_each(ask: Run, image: Path, tmp_path: Path) -> None:
    outcome = ask(image, "What?", "--zoom", tmp_path / "where.png")
    assert (outcome.code, outcome.err) == (0, f"zoom image: {tmp_path / 'where.png'}\n")
    with Image.open(tmp_path / "where.png") as drawn:
        assert drawn.format == "PNG" and drawn.width >= 600
    assert ask(image, image, "What?", "--zoom", tmp_path / "two.png").code == 0
    assert {path.name for path in tmp_path.glob("two*")} == {"two-1.png", "two-2.png"}
    refused(
        ask("Only text?", "--no-image", "--zoom", tmp_path / "none.png"),
        "--zoom draws where the model looked",
        "no image is given",
    )


def _bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = [struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


BAD_IMAGES = {
    "not an image": (b"hello there", "is not an image"),
    "truncated PNG": (encoded(tiny.image(90, 90), "PNG")[:200], "is a damaged or truncated PNG file"),
    "0 bytes": (b"", "is empty (0 bytes)"),
    "decompression bomb": (_bomb(), "40000 x 40000 = 1,600,000,000 pixels, over the limit"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_bad_images(ask: Run, tmp_path: Path, kind: str) -> None:
    data, said = BAD_IMAGES[kind]
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    refused(ask(path, "What?"), str(path), said)


@pytest.mark.parametrize("kind", [*ODD, "EXIF"])
def test_odd_images_are_answered_and_told(ask: Run, tmp_path: Path, kind: str) -> None:
    turned = encoded(tiny.image(60, 40), "JPEG", exif=exif(6))
    data, note, _ = ODD.get(kind, (turned, "turned by EXIF orientation 6", ""))
    path = tmp_path / "odd"
    path.write_bytes(data)
    outcome = ask(path, "What?", "--json")
    assert outcome.code == 0
    assert outcome.err.startswith(f"note: {path}: ") and outcome.err.endswith(note.removeprefix("bytes: ") + "\n")
    with Image.open(path) as stored:
        size = list(stored.size)  # PIL's order
    assert json.loads(outcome.out)["layouts"][0]["size"] == (size if kind == "EXIF" else size[::-1])


@pytest.mark.parametrize("fault", FAULTS)
def test_checkpoint_faults(run: Run, copy: Path, fault: str) -> None:  # noqa: F811
    spoil, said = FAULTS[fault]
    spoil(copy)
    said = said.replace("not 'dragonfly'", "which takes no images with its questions")  # `ask` tries a lens for other types
    refused(run("ask", "What?", "--no-image", "--model", copy), str(copy), said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], 'nothing to ask; write: dragonfly ask IMAGE "QUESTION"'),
        (["IMAGE", " "], 'nothing to ask; write: dragonfly ask IMAGE "QUESTION"'),
        (["no-such.png", "What?"], "no-such.png does not exist; check the path"),
        (["IMAGE"], "the last word is the question, and"),
        (["What?", "IMAGE"], "the last word is the question, and"),
        (["What?", "--modle", "x"], "No such option: --modle (Possible options: --method, --model) (see `dragonfly ask --help`)"),
        (["What?", "--max-new-tokens", "0"], "max_new_tokens must be an integer of at least 1, got 0"),
        (["What?", "--top-p", "2"], "top_p must be a number above 0 and at most 1, got 2.0"),
        (["What?", "--temperature", "hot"], "Invalid value for '--temperature'"),
        (["What?", "--stop", ""], "stop must be one or more texts that are not empty"),
        (["What?", "-o", "x.jsonl"], "--output is for the answers of --batch"),
        (["--batch", "rows.jsonl"], "--batch needs a file for the answers: -o answers.jsonl"),
        (["--batch", "rows.jsonl", "-o", "x.jsonl", "--zoom", "z.png"], "--zoom is for one question"),
        (["--batch", "rows.jsonl", "-o", "x.jsonl", "What?"], "--batch reads its questions from the file"),
        (["--batch", "no-such.jsonl", "-o", "x.jsonl"], "no such file: no-such.jsonl; give a JSONL file"),
        (["x" * 5000, "--no-image", "--model", "no-such-model"], "no model directory 'no-such-model' (--model names it)"),
        (["What?"], "no image is given, only a question; write: dragonfly ask IMAGE"),
        (["IMAGE", "What?", "--no-image"], "--no-image asks without an image, and"),
        (["scna.png"], "'scna.png' is named like an image, of which there is none"),
        (["IMAGE", "b.png"], "'b.png' is named like an image, of which there is none"),
        (["IMAGE", "What", "is", "it?"], "no file of that name: 'What'; images come first, the question last and in quotes"),
        (["."], "the last word is the question, and '.' is a folder"),
        (["*.nothing", "What?"], "no image in '*.nothing'; images end in .png"),
        (
            ["http://example.com/a.png", "What?"],
            "is a URL, and fetching is off; download it and give the path, or allow it: --allow",
        ),
        (["IMAGE", "What?", "--max-pixels", "100"], "has 96 x 64 = 6,144 pixels, over the limit of 100; make it smaller or, if"),
        (["IMAGE", "What?", "--scores"], "--scores writes the policy's scores into the zoom image; say where it goes: --zoom"),
    ],
)
def test_slips_show_before_a_model_is_loaded(run: Run, image: Path, words: list[str], said: str) -> None:
    words = [str(image) if word == "IMAGE" else word for word in words]
    refused(run("ask", *words, *([] if "--model" in words else ["--model", "unloadable"])), said)


def test_batch(run: Run, saved_model: Path, image: Path, tmp_path: Path) -> None:
    rows, output = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    questions = [{"question": "A?", "image": image.name}, {"question": "B?", "image": "late.png"}, {"question": "C?"}]
    rows.write_text("\n".join(map(json.dumps, questions)), encoding="utf-8")
    command = ["ask", "--batch", rows, "-o", output, "--model", saved_model, "--max-new-tokens", 3]
    first = run(*command)
    assert (first.code, first.out) == (1, "")
    assert first.err.endswith(f"3 rows: 2 answered, 1 with errors -> {output}\n")
    tiny.image(30, 30).save(tmp_path / "late.png")
    second = run(*command)
    assert second.code == 0 and second.err.startswith("2 of 3 answered before; resuming\n")
    records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [list(record) for record in records] == [["id", *KEYS]] * 3
    assert {record["id"] for record in records} == {1, 2, 3}
    refused(run(*command[:3], "-o", rows, *command[5:]), "is the file of the questions")
    again = run(*command[:4], tmp_path / "again.jsonl", *command[5:], "--reuse-prompts")
    repeated = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text(encoding="utf-8").splitlines()]
    assert again.code == 0 and {one["id"]: one["text"] for one in repeated} == {one["id"]: one["text"] for one in records}
    refused(run("ask", image, "A?", "--reuse-prompts"), "--reuse-prompts is for the questions of --batch")


def test_a_real_process(saved_model: Path, tmp_path: Path) -> None:
    """Nothing but the answer on stdout and nothing but the note on stderr, while all that is loaded can write to both."""
    path = tmp_path / "moving.gif"
    path.write_bytes(animated("GIF", 2))
    command = [sys.executable, "-m", "dragonfly", "ask", path, "What?", "--model", saved_model, "--max-new-tokens", "2", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, f"note: {path}: animated GIF: first of 2 frames\n")
    assert list(json.loads(done.stdout)) == KEYS


def test_the_bundled_model_says_what_it_knows(run: Run, saved_model: Path, image: Path) -> None:
    note = "note: nano, the bundled model, knows synthetic documents alone"
    assert note in run("ask", image, "Is there a fracture?").err
    assert note in run("ask", image, "A?", "--model", "nano", "--max-new-tokens", 2).err
    assert note not in run("ask", "What is 1?", "--no-image", "--max-new-tokens", 2).err  # no image that could be mistaken
    assert note not in run("ask", image, "A?", "--model", saved_model, "--max-new-tokens", 2).err


def test_the_bundled_model_for_scans_says_how_often_it_errs(run: Run, image: Path) -> None:
    asked = run("ask", image, image, "A?", "--model", "nano-scans", "--max-new-tokens", 2)
    assert asked.code == 0 and "about half of the dates, fewer totals and no names of shops are right" in asked.err
    assert "note: nano-scans has learned from one image a question" in asked.err
    for half, name in (("dev", "nano_scans"), ("kept", "nano_scans_kept")):
        found = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))[f"receipts_{half}"]
        right = {kind: one["image"] for kind, one in found.items()}
        assert 45 <= right["date"] <= 65 and 35 <= right["total"] <= right["date"] and right["company"] == 0


def test_the_bundled_model_says_that_it_knows_questions_about_one_image(run: Run, saved_model: Path, image: Path) -> None:
    note = "note: nano has learned from one image a question"
    assert note in run("ask", image, image, "A?", "--max-new-tokens", 2).err
    assert note not in run("ask", image, "A?", "--max-new-tokens", 2).err
    assert note not in run("ask", image, image, "A?", "--each", "--max-new-tokens", 2).err
    assert note not in run("ask", image, image, "A?", "--model", saved_model, "--max-new-tokens", 2).err


def test_an_answer_cannot_command_the_terminal(ask: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragonfly.inference.engine.Engine.text", lambda *_: ("a\x1b[2Jb", False))
    assert ask("Only text?", "--no-image").out == "a\ufffd[2Jb\n"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_zoom_writes_the_format_of_the_suffix(ask: Run, image: Path, tmp_path: Path, suffix: str) -> None:
    assert ask(image, "What?", "--zoom", tmp_path / f"where{suffix}").code == 0
    with Image.open(tmp_path / f"where{suffix}") as drawn:
        assert drawn.format == {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}[suffix]


@pytest.mark.parametrize("command", ["ask", "zoom"])
def test_an_output_destroys_no_input_and_nothing_that_is_no_image(run: Run, saved_model: Path, image: Path, command: str) -> None:
    def write(target: Path) -> Outcome:
        words = [image, "What?", "--zoom", target] if command == "ask" else [image, "-o", target]
        return run(command, *words, "--model", saved_model)

    before, notes = image.read_bytes(), image.with_name("notes.png")
    link = image.with_name("link.png")
    link.symlink_to(image)
    notes.write_text("mine")
    refused(write(image), "is the image itself and would be overwritten; name another file")
    refused(write(link), "is the image itself")
    refused(write(notes), "exists and is no image, so it is not overwritten")
    refused(write(image.with_name("README.md")), "use one of .png, .jpg, .jpeg, .webp")
    refused(write(image.with_name("x.gif")), "use one of .png")
    assert image.read_bytes() == before and notes.read_text() == "mine"
