"""Shared by all tests: no network, few threads, and the folders with recorded or real data where they exist."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

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
