"""Parts of an encoder configuration: frozen plain data, of which every fault is one line."""

from __future__ import annotations

import re
from typing import Any, Self, get_args

from pydantic import ValidationError

from dragonfly.config import Config, nearest


class SpecPart(Config):
    """A part of an encoder configuration: frozen, hashable, and every fault is one line of a ValueError."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ValueError(_one_line(error, type(self))) from None

    def with_changes(self, **changes: Any) -> Self:
        """The same with some fields changed, checked as if new."""
        return type(self)(**{**dict(self), **changes})


def _one_line(error: ValidationError, model: type[Config]) -> str:
    """What pydantic found, as sentences in one line that name the key, what was seen and what is legal."""
    owner = {"LevelSpec": "level", "SelectionSpec": "selection"}.get(model.__name__, "encoder")
    sentences: list[str] = []
    for fault in sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden"):
        *above, key = [str(step) for step in fault["loc"]] or [""]
        section, given, kind = ".".join([owner, *above]), fault["input"], fault["type"]
        if kind == "extra_forbidden":
            sentences.append(f"{section} key {nearest(key, model.model_fields)}")
        elif kind == "missing":
            sentences.append(f"{section} lacks '{key}'; it has {', '.join(given) or 'nothing'}")
        elif kind == "literal_error":
            name = ".".join([*([owner] if owner == "selection" else []), *above, key])
            sentences.append(f"{name} {nearest(str(given), get_args(model.model_fields[key].annotation))}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            named = re.sub(r"^(level|selection)(?= key| lacks)", f"{section}.{key}", message)  # by the part's own `_one_line`
            sentences.append(named if kind == "value_error" else f"{section}.{key}: {message} (got {given!r:.80})")
    return "; ".join(dict.fromkeys(sentences))
