"""A close reader made of the bundled model, untrained, and one page of synthetic documents with its questions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dragonfly.inference.loading import bundled_model
from dragonfly.research.close_reader.model import close_reader
from dragonfly.research.close_reader.pages import Asked, Page
from dragonfly.research.close_reader.prompts import Prompts
from dragonfly.research.synthetic import SPECS, make_image


@pytest.fixture(scope="session")
def pair() -> tuple[Any, Any]:
    return close_reader(bundled_model())


@pytest.fixture
def prompts(pair: tuple[Any, Any]) -> Prompts:
    return Prompts(*pair)


@dataclass(frozen=True)
class Drawn(Page):
    """A page that lies in memory."""

    image: Image.Image = field(default_factory=lambda: Image.new("RGB", (1, 1)))

    def open(self) -> Image.Image:
        return self.image


@pytest.fixture(scope="session")
def page() -> Drawn:
    drawn = make_image(SPECS["nano"], "train", 5, 3)
    single = [one for one in drawn.questions if len(one.evidence) <= 1 and one.kind in ("read", "next to", "absent")]
    asked = tuple(Asked(one.text, one.answer, one.kind, one.evidence[0] if one.evidence else None) for one in single)
    return Drawn(Path("none"), asked, drawn.image)
