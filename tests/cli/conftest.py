"""Commands run in this process: exit code, output, and errors as a user sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from dragonfly.__main__ import main
from tests import tiny


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    torch.set_num_threads(1)

    def command(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return command


@pytest.fixture
def ask(run: Run, saved_model: Path) -> Run:
    """`dragonfly ask` of the tiny model, four tokens long."""
    return lambda *arguments: run("ask", *arguments, "--model", saved_model, "--max-new-tokens", 4)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    tiny.image(96, 64, seed=1).save(path)
    return path
