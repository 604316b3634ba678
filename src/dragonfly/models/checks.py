"""What is looked at when a checkpoint has been read (that every tensor fits, where an answer ends), and a choice handed in."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from dragonfly.models import conversion


def end_at_turns(model: Any, name: str) -> None:
    """Released generation configurations stop at the end of the text only, which a chat answer never reaches."""
    released = conversion.read_released(name)
    if released is not None:
        end_of_text = released.get("eos_token_id")
        model.generation_config.eos_token_id = conversion.end_ids(name, end_of_text) or None
        model.generation_config.pad_token_id = end_of_text


def refuse_faults(name: str, info: dict[str, Any]) -> None:
    """Raise one line that names every tensor that is missing, unexpected or of another shape."""
    faults = [
        f"{kind} {', '.join(sorted(str(key[0]) if isinstance(key, tuple) else str(key) for key in keys)[:5])}"
        + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        for kind, keys in (
            ("missing", info["missing_keys"]),
            ("unexpected", info["unexpected_keys"]),
            ("mis-shaped", info["mismatched_keys"]),
        )
        if keys
    ]
    if faults:
        raise ValueError(f"checkpoint '{name}' does not fit the model: {'; '.join(faults)}")


def check_selected(selected_high: Tensor, expected: tuple[int, int]) -> None:
    """The number kept is part of the encoder configuration (placeholders are counted from it), so no caller may change it."""
    if selected_high.shape != expected:
        raise ValueError(
            f"selected_high has shape {tuple(selected_high.shape)}, this encoder keeps {expected[1]} high sub-images of each of "
            f"{expected[0]} pictures: give {expected}"
        )
