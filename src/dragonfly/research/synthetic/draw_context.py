"""All that a family needs to draw a page: the page, its cells, style, colours and face."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .backgrounds import Look
from .fonts import Face
from .page_record import Box, Page
from .styles import Style

MARGIN = 2.0  # pixels between a fact and the border of its cell


@dataclass
class Sheet:
    """A page while facts are drawn on it. `case` changes how keys are printed."""

    rng: random.Random
    page: Page
    style: Style
    look: Look
    face: Face
    capitals: bool

    def printed(self, key: str) -> str:
        """A key as it stands on the page."""
        return key.capitalize() if self.capitals else key

    def spot(self, cell: Box, width: float, height: float) -> tuple[float, float]:
        """The left top corner of a block of this size, anywhere in the cell."""
        left, top, right, bottom = cell
        x = self.rng.uniform(left + MARGIN, max(left + MARGIN, right - MARGIN - width))
        y = self.rng.uniform(top + MARGIN, max(top + MARGIN, bottom - MARGIN - height))
        return x, y
