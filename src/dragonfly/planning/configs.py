# pyright: reportUnknownMemberType=false
"""config.json of a tower, a language model or a Dragonfly model, found and read as plain JSON: no torch, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from dragonfly.config import nearest

ConfigValues = Mapping[str, Any]

# Names that families have for the same number; the first is used here.
ALIASES = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "intermediate_size": ("ffn_dim", "n_inner"),
    "max_position_embeddings": ("n_positions",),
    "num_experts": ("num_local_experts",),
}


def read_config(name: str | Path, known: Mapping[str, ConfigValues], what: str) -> dict[str, Any]:
    """The values of a config.json.

    Args:
        name: a known name, a directory, the path of a config.json, or a hub name that was downloaded before.
        known: configurations that are built in.
        what: what is looked for, for the message: `language model`.

    Raises:
        ValueError: one line, if there is none or it is no model's.
    """
    if str(name) in known:
        return dict(known[str(name)])
    path = Path(name).expanduser()
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        path = _downloaded(str(name))
    if path is None:
        seen = f"unknown {what} {nearest(str(name), known)}" if known else f"there is no {what} '{name}'"
        raise ValueError(
            f"{seen}; or give the path of a config.json, of its directory, or the name of a model that was downloaded from the "
            "hub before"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values["model_type"], str):
            raise ValueError("its model_type is no text")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not a model's config.json (a JSON object with a model_type): {error}") from None
    return values


def _downloaded(name: str) -> Path | None:
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return Path(found) if isinstance(found, str) else None


def part(values: ConfigValues, name: str) -> dict[str, Any]:
    """A composite's half (`text_config`, `vision_config`) by itself, with the type that a nested one may leave out."""
    inner = values.get(name)
    if not isinstance(inner, Mapping):
        return dict(values)
    half = dict(cast("Mapping[str, Any]", inner))
    outer = str(values.get("model_type", ""))
    suffix = {"text_config": "_text", "vision_config": "_vision_model"}[name]
    half.setdefault("model_type", f"{outer}{suffix}")
    return half


def canonical(values: ConfigValues) -> dict[str, Any]:
    """The same with this module's names where a family has its own."""
    named = dict(values)
    for name, others in ALIASES.items():
        for other in others:
            if named.get(name) is None and named.get(other) is not None:
                named[name] = named[other]
    return named


def completed(values: ConfigValues, required: tuple[str, ...]) -> dict[str, Any]:
    """The values with `required` among them; transformers, which takes seconds to import, is asked only for what is missing.

    Raises:
        ValueError: if transformers does not know the type, or its defaults lack a key.
    """
    named = canonical(values)
    if all(key in named for key in required):
        return named
    from transformers import AutoConfig

    kind = str(named.get("model_type"))
    own = {key: value for key, value in values.items() if key != "model_type"}
    try:
        named = canonical(AutoConfig.for_model(kind, **own).to_dict())
    except Exception as error:  # of its own and of huggingface_hub's classes
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"transformers cannot read a configuration of type '{kind}': {reason}") from None
    if missing := [key for key in required if named.get(key) is None]:
        raise ValueError(f"a configuration of type '{kind}' has no {', '.join(missing)}, which its size follows from")
    return named
