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


class SavesItsShim:
    """A class that writes the shim wherever it is saved; first among the bases."""

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> Any:
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        write_text(Path(save_directory) / SHIM.name, SHIM.read_text(encoding="utf-8"))
        parent: Any = super()
        return parent.save_pretrained(save_directory, *args, **kwargs)

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = None) -> None:
        """Nothing: transformers would copy a file of this package, and what that imports, in place of the shim."""
