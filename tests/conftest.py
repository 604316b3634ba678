"""Shared by all tests: no network, few threads, and the folders with recorded or real data where they exist."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

pytest.register_assert_rewrite("tests.models.golden", "tests.models.golden_images", "tests.models.golden_training")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def golden_directories() -> list[Path]:
    """Recorded behaviour of the released models: `DRAGONFLY_GOLDEN` (one directory, or several), else the shared set."""
    named = os.environ.get("DRAGONFLY_GOLDEN")
    if named:
        return [Path(part) for part in named.split(os.pathsep)]
    return [SHARED / "golden" / "set_a"] if (SHARED / "golden" / "set_a").is_dir() else []


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Commands run in this process set our logger up for theirs; the next test finds it as it was."""
    logger = logging.getLogger("dragonfly")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random `v1` model with its processor, as a directory. Tests that change files copy it first."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.model().save_pretrained(folder)
    tiny.processor().save_pretrained(folder)
    return folder
