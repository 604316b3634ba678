"""`import dragonfly` and every help are light: neither torch nor transformers is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "numpy", "PIL")
REPORT = "import sys; print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
HELP = "from dragonfly.__main__ import main; assert main({words}) == 0; "


def loaded(code: str) -> str:
    """The heavy packages that a fresh interpreter has loaded after `code`."""
    program = code + REPORT.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "code", ["import dragonfly; dir(dragonfly); ", HELP.format(words=["--help"]), HELP.format(words=["ask", "--help"])]
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert loaded(code) == "[]"


def test_the_check_can_fail() -> None:
    assert loaded("import dragonfly.imaging; ") == "['numpy', 'PIL']"
