"""The examples of `--help`, run as printed, in a folder where the files that they name lie."""

from __future__ import annotations

import io
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from PIL import Image

from dragonfly.cli import application
from tests import tiny
from tests.cli.conftest import Run
from tests.conftest import golden_directories
from tests.lens.family_models import saved
from tests.training import small

ROOT = Path(__file__).parents[2]
ELSEWHERE = "data sets, a model to train, or hours"
# What cannot run here, each with what it waits for. Their words are parsed like all others.
NOT_RUN = {
    "train": ELSEWHERE,
    "merge": ELSEWHERE,
    "eval": ELSEWHERE,
    "audit": ELSEWHERE,
    "rescore": ELSEWHERE,
    "report": ELSEWHERE,
    "curate": ELSEWHERE,
    "reproduce": ELSEWHERE,
    "serve": "a server does not end; tests/serving",
    'ask scan.png "Is there a fracture?" --server http://gpu-box:8000': "a server; tests/serving/test_clients.py asks one",
    "browse": ELSEWHERE,
    "ablate": ELSEWHERE,
    "lab": ELSEWHERE,
    "inspect": ELSEWHERE,
    "synth": "20,000 pages",
    "push ./mine me/my-dragonfly --license mit": "the hub; tests/inference/test_push.py sends to a stand-in",
}


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


COMMANDS = dict(commands(typer.main.get_command(application())))


def lines(command: Any) -> list[str]:
    """The examples of a command, as its help has them."""
    text = command.help.partition("Examples:")[2]
    found = [line.strip() for line in text.splitlines()]
    return [line for line in found if line.startswith(("dragonfly ", "cat ", "torchrun "))]


EXAMPLES = [(name, line) for name, command in COMMANDS.items() for line in lines(command)]


def test_every_command_has_examples_and_a_line_for_each_exception() -> None:
    assert [name for name, command in COMMANDS.items() if not lines(command)] == []
    assert len(EXAMPLES) > 40


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_it_is_printed_whole_and_parsed(run: Run, name: tuple[str, ...], line: str) -> None:
    assert len(line) <= 76 or name[0] in NOT_RUN
    program, *words = shlex.split(line.rpartition(" | ")[2])
    if program != "dragonfly":
        return  # torchrun's
    assert tuple(words[: len(name)]) == name
    COMMANDS[name].make_context(name[-1], words[len(name) :])  # unknown options and missing arguments raise


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples name: scans, a PDF of two pages, a model, its parts, questions."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "scans").mkdir()
    receipt = ROOT / "examples" / "images" / "receipt.png"
    for name in ("scan.png", "before.png", "after.png", "scans/a.png", "scans/b.png"):
        shutil.copy(receipt, folder / name)
    with Image.open(receipt) as image:
        image.convert("RGB").save(folder / "receipt.jpg")
        image.convert("RGB").resize((3000, 2000)).save(folder / "big.tif")
        image.convert("RGB").save(folder / "scan.pdf", save_all=True, append_images=[image.convert("RGB")])
    model = tiny.model(tiny.config())
    for name in ("my-model", "mine"):
        model.save_pretrained(folder / name)
        tiny.processor(tiny.config()).save_pretrained(folder / name)
    saved("qwen2_5_vl", folder / "qwen")
    (folder / "rows.jsonl").write_text(json.dumps({"id": 1, "image": "scan.png", "question": "The total?"}) + "\n")
    parts = small.parts(folder / "parts")
    for name, part in {"siglip": "tower", "clip": "tower", "llama": "language_model", "qwen3": "language_model"}.items():
        shutil.copytree(parts[part], folder / name)
    return folder


RUN = [(name, line) for name, line in EXAMPLES if name[0] not in NOT_RUN and line.removeprefix("dragonfly ") not in NOT_RUN]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "line"), RUN)
def test_it_runs(
    run: Run, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: tuple[str, ...], line: str
) -> None:
    monkeypatch.chdir(workplace)
    piped, _, command = line.rpartition(" | ")
    data = Path(shlex.split(piped)[1]).read_bytes() if piped else b"Anything?\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    if "Llama" in line:
        released = [folder / "v2" for folder in golden_directories() if (folder / "v2").is_dir()]
        if not released:
            pytest.skip("no recorded checkpoint in the released format")
        monkeypatch.chdir(tmp_path)
        shutil.copytree(released[0] / "checkpoint", "Llama-3.1-8B-Dragonfly-v2")
        shutil.copytree(released[0] / "clip", "clip")  # the tower, which its configuration names
    outcome = run(*shlex.split(command)[1:])
    assert outcome.code == 0, outcome.err
    assert outcome.out or outcome.err
