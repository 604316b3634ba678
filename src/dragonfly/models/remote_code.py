"""What a saved model says to a program that has imported transformers alone.

`auto_map` names our classes in `dragonfly_auto.py`, which is saved beside the weights; that file imports this package. So the
Auto classes load a model with `trust_remote_code=True`, and refuse it by name without, instead of making something else of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragonfly.files import write_text

SHIM = Path(__file__).with_name("dragonfly_auto.py")


def auto_map(**classes: str) -> dict[str, str]:
    """Names of Auto classes with the names of our classes -> an `auto_map`."""
    return {auto: f"{SHIM.stem}.{name}" for auto, name in classes.items()}


def write_shim(folder: str | Path) -> None:
    """Put the shim beside what is saved in `folder`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_text(Path(folder) / SHIM.name, SHIM.read_text(encoding="utf-8"))


@classmethod
def keeps_its_shim(cls: Any, auto_class: Any = None) -> None:
    """In place of `register_for_auto_class`: with that, saving would copy a file of this package over the shim's place."""
