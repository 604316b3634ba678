"""Every command but `ask`: what it prints, what it writes, and its help."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image

import dragonfly
from dragonfly.__main__ import main
from dragonfly.cli import application
from dragonfly.inference import load
from dragonfly.models import PRESETS, checkpoints
from dragonfly.training.recipe import Recipe
from dragonfly.vision.layout import make_layout
from tests import tiny
from tests.cli.conftest import Run
from tests.cli.test_ask import refused
from tests.imaging.images import encoded, exif
from tests.training import small

COMMANDS = ("ask", "chat", "zoom", "plan", "presets", "info", "new", "doctor", "convert", "push")


def test_version_and_bare_call(run: Run) -> None:
    assert run("--version") == (0, f"{dragonfly.__version__}\n", "")
    bare = run()
    assert bare.code == 0 and all(command in bare.out for command in COMMANDS)
    refused(run("aks"), "No such command 'aks'")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_in_the_help_is_a_command(run: Run, command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0 and "Examples:" in outcome.out
    group: Any = typer.main.get_command(application())
    text = group.commands[command].help.partition("Examples:")[2]
    examples = [line.strip() for line in text.splitlines() if line.strip().startswith("dragonfly ")]
    assert examples
    for example in examples:
        assert len(example) <= 76 and example in outcome.out  # neither wrapped nor eaten as markup
        program, name, *words = shlex.split(example)
        assert (program, name) == ("dragonfly", command)
        parsed = group.commands[name].make_context(name, words)  # unknown options and missing arguments raise
        for setting in parsed.params.get("set") or ():
            assert re.fullmatch(r"model\.[\w.]+=\w+", setting)


def test_what_a_command_does_is_said_in_a_line_that_wraps_where_the_terminal_ends() -> None:
    for command in application().registered_commands:
        told = inspect.cleandoc(command.help or getattr(command.callback, "__doc__", "") or "")
        assert "\n" not in told.partition("\n\n")[0], told


def test_presets(run: Run) -> None:
    rows = json.loads(run("presets", "--json").out)
    assert [row["name"] for row in rows] == list(PRESETS)
    tokens = {row["name"]: row["tokens"] for row in rows}
    assert (tokens["low-only"], tokens["baseline-3"], tokens["v1"], tokens["v2"]) == (51, 25 * 51, 867, 2098)
    table = run("presets").out
    assert all(name in table for name in PRESETS)
    assert "openai/clip-vit-large-patch14-336" in table  # in a pipe nothing is shortened


@pytest.mark.parametrize(("preset", "size"), [("v1", (768, 1024)), ("v2", (3508, 2480)), ("v1-released", (100, 900))])
def test_plan_is_the_layout(run: Run, preset: str, size: tuple[int, int]) -> None:
    data = json.loads(run("plan", "--preset", preset, "--image", f"{size[1]}x{size[0]}", "--text-tokens", 10, "--json").out)
    layout = make_layout(size, PRESETS[preset].spec)
    assert data["size"] == list(size)
    assert (data["num_encoded"], data["num_kept"]) == (layout.num_sub_images, layout.num_kept)
    assert (data["num_image_tokens"], data["prompt_tokens"]) == (layout.num_image_tokens, layout.num_image_tokens + 10)
    assert [(level["name"], tuple(level["grid"])) for level in data["levels"]] == [(lv.name, lv.grid) for lv in layout.levels]
    text = run("plan", "--preset", preset, "--image", f"{size[1]}x{size[0]}").out
    assert f"{layout.num_image_tokens:,}" in text and "GFLOP" in text


def test_plan_faults(run: Run) -> None:
    refused(run("plan", "--preset", "v3", "--image", "10x10"), "unknown preset: 'v3'", "did you mean 'v2'")
    refused(run("plan", "--preset", "v1", "--image", "10"), "size '10' is not WIDTHxHEIGHT in pixels, such as 1024x768")
    refused(run("plan", "--preset", "v1", "--image", "0x10"), "size '0x10' is not WIDTHxHEIGHT")


def test_zoom_with_a_model(run: Run, saved_model: Path, image: Path, tmp_path: Path) -> None:
    target = tmp_path / "where.png"
    outcome = run("zoom", image, "-o", target, "--model", saved_model, "--json")
    assert (outcome.code, outcome.err) == (0, f"zoom image: {target}\n")
    data = json.loads(outcome.out)
    expected = load(saved_model).encode([image])[0].selection
    assert [item["index"] for item in data["selections"] if item["kept"]] == [item.index for item in expected if item.kept]
    with Image.open(target) as drawn:
        assert drawn.format == "PNG"


def test_zoom_with_a_preset(run: Run, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    selecting = run("zoom", image, "--preset", "v1")
    assert selecting.code == 0 and (tmp_path / "image.zoom.png").is_file()
    assert selecting.err.startswith("note: preset 'v1' keeps 12 of 24 high sub-images; a model chooses them")
    whole = run("zoom", image, "--preset", "v2", "-o", "v2.png", "--json")
    assert (whole.code, whole.err) == (0, "zoom image: v2.png\n")
    assert len(json.loads(whole.out)["selections"]) == 36
    refused(run("zoom", image, "--preset", "v9"), "unknown preset: 'v9'")
    refused(run("zoom", image, "--preset", "v1", "--set", "model.preset=v2"), "--preset draws a layout without a model")
    refused(run("zoom", "none.png", "--preset", "v1"), "none.png does not exist")
    refused(run("zoom", image, "-o", tmp_path, "--preset", "v2"), "it is a folder; name a file in it")


def test_zoom_with_a_preset_whose_pixels_choose(run: Run, tmp_path: Path) -> None:
    pixels = np.full((900, 1700, 3), 90, dtype=np.uint8)
    pixels[700:720:2, 1500:1560] = 250  # fine lines, and nothing else to see
    Image.fromarray(pixels).save(tmp_path / "desk.png")
    outcome = run("zoom", tmp_path / "desk.png", "--preset", "v1-any", "-o", tmp_path / "z.png", "--json")
    assert (outcome.code, outcome.err) == (0, f"zoom image: {tmp_path / 'z.png'}\n")
    said = json.loads(outcome.out)
    (layout,) = said["layouts"]
    assert layout["levels"][2]["grid"] == [6, 8] and (layout["num_kept"], layout["num_image_tokens"]) == (17, 867)
    kept = [one["box"] for one in said["selections"] if one["kept"]]
    assert len(kept) == 12 and any(
        left <= 1500 and right >= 1560 and top <= 700 and bottom >= 720 for left, top, right, bottom in kept
    )


def test_zoom_shows_the_image_as_the_model_sees_it(run: Run, saved_model: Path, tmp_path: Path) -> None:
    """A turned photograph: ours turns it, a released preset does not, and the drawing follows the layout."""
    path = tmp_path / "turned.jpg"
    path.write_bytes(encoded(tiny.image(60, 40), "JPEG", exif=exif(6)))
    for option in (["--preset"], ["--model", saved_model, "--set"]):
        for preset, size in (("v1", [60, 40]), ("v1-released", [40, 60])):
            name = preset if option == ["--preset"] else f"model.preset={preset}"
            outcome = run("zoom", path, *option, name, "-o", tmp_path / "z.png", "--json")
            assert outcome.code == 0, outcome.err
            assert json.loads(outcome.out)["layouts"][0]["size"] == size
            assert ("turned by EXIF orientation 6" in outcome.err) == (preset == "v1")


def test_info(run: Run, saved_model: Path) -> None:
    data = json.loads(run("info", saved_model, "--json").out)
    assert list(data) == [
        "model", "preset", "vision_tower", "language_model", "parameters", "sub_images", "tokens_per_image", "selection",
        "weights_mib", "dtype", "origin",
    ]  # fmt: skip
    text = run("info", saved_model)
    assert text.code == 0 and re.search(r"^an image takes +306 tokens$", text.out, re.MULTILINE)
    assert len(text.out.splitlines()) == 5 and str(saved_model) in text.out
    everything = run("info", saved_model, "--all").out
    assert re.search(r"^tokens per image +306$", everything, re.MULTILINE) and len(everything.splitlines()) == len(data)
    assert run("info", "nano").out == run("info").out
    refused(run("info", "./no-such-model"), "no model directory './no-such-model' (MODEL names it)")


def test_convert_hands_its_arguments_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Report:
        def to_dict(self) -> dict[str, Any]:
            return {"tensors": 3}

        def summary(self) -> str:
            return "3 tensors"

    calls: list[Any] = []
    monkeypatch.setattr(checkpoints, "convert", lambda *places, **options: calls.append((places, options)) or Report())
    assert run("convert", "src", tmp_path / "dst") == (0, f"{tmp_path / 'dst'}: 3 tensors\n", "")
    assert json.loads(run("convert", "src", "dst", "--preset", "v2", "--dtype", "float16", "--json").out) == {"tensors": 3}
    assert calls == [
        ((Path("src"), tmp_path / "dst"), {"preset": None, "dtype": None}),
        ((Path("src"), Path("dst")), {"preset": "v2", "dtype": "float16"}),
    ]


def test_chat(run: Run, saved_model: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gif = tmp_path / "moving.gif"
    frames = [tiny.image(40, 40, seed=n) for n in range(2)]
    frames[0].save(gif, save_all=True, append_images=frames[1:])
    lines = ["What?", "/add none.png", f"/add {gif}", "What is <image>?", "And?", "Sure?", "", "never asked"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    outcome = run("chat", image, "--model", saved_model, "--max-new-tokens", 3)
    chat = load(saved_model).chat(image)
    expected = [chat.ask("What?", max_new_tokens=3), chat.ask("And?", gif, max_new_tokens=3), chat.ask("Sure?", max_new_tokens=3)]
    assert (outcome.code, outcome.out) == (0, "".join(answer.text + "\n" for answer in expected))
    missing, placeholder, note = outcome.err.splitlines()  # said once, though the GIF stays in the conversation
    assert missing == "error: none.png does not exist; check the path"
    assert placeholder.startswith("error: the text contains '<image>'")
    assert note == f"note: {gif}: animated GIF: first of 2 frames"
    refused(run("chat", "none.png", "--model", "unloadable"), "none.png does not exist")


def test_a_model_that_forgets_says_so_once(run: Run, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("What?\nAnd the tax?\nAnd now?\n"))
    outcome = run("chat", image, "--max-new-tokens", 2)  # nano's template leaves out what was said before
    assert (outcome.code, len(outcome.out.splitlines())) == (0, 3)
    assert outcome.err.count("this model is asked every question by itself") == 1


def test_a_fault_of_the_program_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: Any) -> int:
        raise RuntimeError("bug")

    monkeypatch.setattr("dragonfly.cli.run", broken)
    with pytest.raises(RuntimeError, match="bug"):
        main(["presets"])


def test_interrupts_and_faults_of_files(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(error: BaseException) -> Any:
        def command(arguments: Any) -> int:
            raise error

        return command

    for error, code, said in (
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (PermissionError(13, "Permission denied", "x.png"), 2, "error: [Errno 13] Permission denied: 'x.png'\n"),
        (ValueError("two\nlines"), 2, "error: two lines\n"),
        (OSError(), 2, "error: OSError\n"),
    ):
        monkeypatch.setattr("dragonfly.cli.run", failing(error))
        assert main(["presets"]) == code
        assert capsys.readouterr().err == said


def test_a_reader_that_leaves_early_sees_no_traceback() -> None:
    """As in `dragonfly --version | true`: the pipe is closed before anything is written."""
    command = [sys.executable, "-m", "dragonfly", "--version"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_new_joins_what_it_is_given_and_plan_writes_nothing(run: Run, tmp_path: Path) -> None:
    parts = small.parts(tmp_path)
    given = ("new", "--tower", parts["tower"], "--language-model", parts["language_model"], "--preset", "low-only")
    planned = json.loads(run(*given, "--plan", "--json").out)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["language_model", "tower"]
    made = run(*given, "-o", tmp_path / "new", "--json")
    assert made.code == 0 and "the projector is new" in made.err
    recipe, *changes = shlex.split(made.err.rpartition("dragonfly train ")[2])
    advised = Recipe.load(recipe, changes)
    assert (advised.init_from.checkpoint, advised.model.preset) == (str(tmp_path / "new"), "low-only")
    facts = json.loads(made.out)
    assert facts.pop("model") == str(tmp_path / "new") and facts == planned
    template = tmp_path / "template.jinja"
    template.write_text("{# mine #}" + (tmp_path / "new" / "chat_template.jinja").read_text())
    assert run(*given, "-o", tmp_path / "told", "--chat-template", template).code == 0
    assert "{# mine #}" in (tmp_path / "told" / "chat_template.jinja").read_text()
    refused(run(*given), "give -o DIRECTORY to write a model, or --plan")
    refused(run(*given, "-o", tmp_path / "new"), "exists and is not empty")
    refused(run(*given, "-o", tmp_path / "other", "--chat-template", tmp_path / "none"), "cannot be read")
    refused(run(*given, "-o", tmp_path / "other", "--dtype", "int3"), "unknown dtype 'int3'")
    assert not (tmp_path / "other").exists()
