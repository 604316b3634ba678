"""A close reader made of the bundled model, untrained, and one page of synthetic documents with its questions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from dragonfly.installation import bundled_model
from dragonfly.research.close_reader.model import close_reader
from dragonfly.research.close_reader.pages import Page, pages
from dragonfly.research.close_reader.prompts import Prompts


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """More only wait for each other in a model this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def pair() -> tuple[Any, Any]:
    return close_reader(bundled_model())


@pytest.fixture
def prompts(pair: tuple[Any, Any]) -> Prompts:
    return Prompts(*pair)


@pytest.fixture(scope="session")
def page() -> Page:
    return next(iter(pages("train", 5, 1)))
