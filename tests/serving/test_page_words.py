"""The page says how sure a model is in the words of the command."""

from __future__ import annotations

import re
from pathlib import Path

from dragonfly import serving
from dragonfly.inference.words import SURENESS


def test_the_page_has_the_words_and_bounds_of_the_command() -> None:
    script = (Path(serving.__file__).parent / "page" / "page.js").read_text(encoding="utf-8")
    (line,) = [line for line in script.splitlines() if "Very unsure" in line]
    bounds = [(float(least), words.lower()) for least, words in re.findall(r'value >= ([\d.]+) \? "([^"]+)"', line)]
    assert bounds == list(SURENESS[:-1])
    assert line.endswith(f': "{SURENESS[-1][1].capitalize()}";')
