# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Checkpoints in the released format: read as they are, or converted once.

A released directory's config.json holds no vision configuration, only `image_encoder`: the name or the folder of the tower.
Its tensors have other names, and its processor files say nothing of Dragonfly's geometry. Everything here translates such
a directory's descriptions; the tensors are renamed by transformers while they load (`WEIGHT_RENAMES`).
What the released code did, and which of it is kept, stands in docs/fidelity.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.core_model_loading import WeightConverter, WeightRenaming
from transformers.utils.hub import cached_file

from dragonfly.models.tower import tower_config
from dragonfly.vision.presets import RELEASED_BY_TOWER
from dragonfly.vision.towers import KNOWN_TOWERS

# The image placeholder and the sub-image separator of the released checkpoints (docs/fidelity.md, item 13).
RELEASED_IMAGE_TOKEN = "<|reserved_special_token_0|>"
RELEASED_SEPARATOR_TOKEN = "<|reserved_special_token_1|>"
END_OF_TURN = "<|eot_id|>"


def _renames(prefix: str) -> list[WeightConverter | WeightRenaming]:
    """Released tensor names on the left, ours on the right."""
    return [
        WeightRenaming(source_patterns=r"^image_encoder\.vision_model\.", target_patterns=f"{prefix}vision_tower."),
        WeightRenaming(source_patterns=r"^vision_embed_tokens\.", target_patterns=f"{prefix}multi_modal_projector."),
        WeightRenaming(source_patterns=r"^language_model\.model\.", target_patterns=f"{prefix}language_model."),
        WeightRenaming(source_patterns=r"^language_model\.lm_head\.", target_patterns="lm_head."),
    ]


WEIGHT_RENAMES = _renames("model.")  # for DragonflyForConditionalGeneration
BASE_WEIGHT_RENAMES = _renames("")  # for DragonflyModel, which has no head


def is_released(config: dict[str, Any]) -> bool:
    """Whether a config.json is in the released format."""
    return config.get("model_type") == "dragonfly" and "image_encoder" in config and not config.get("vision_config")


def translate_config(config: dict[str, Any], folder: str | None, preset: str | None = None) -> dict[str, Any]:
    """A released config.json in our form.

    Kept: the language model (`text_config` as found, docs/fidelity.md item 30), the special ids, dtype and architecture.
    Dropped: the top-level copies of language-model fields and the tower's unused defaults.

    Args:
        config: the parsed config.json.
        folder: the checkpoint's directory or name, to look for the tower in and beside it.
        preset: overrules the preset that the tower implies.

    Raises:
        ValueError: if the tower cannot be found, or no preset belongs to it and none is given.
    """
    vision = resolve_tower(config["image_encoder"], folder)
    text = dict(config["text_config"])
    tied = bool(config.get("tie_word_embeddings", False))
    translated: dict[str, Any] = {
        "model_type": "dragonfly",
        "architectures": ["DragonflyForConditionalGeneration"],
        "vision_config": vision.to_dict(),
        "text_config": {**text, "tie_word_embeddings": tied},
        "preset": preset or _preset_of(vision),
        "tie_word_embeddings": tied,
    }
    for name in ("torch_dtype", "dtype", "bos_token_id", "eos_token_id", "pad_token_id", "name_or_path"):
        if config.get(name) is not None:
            translated[name] = config[name]
    if folder is not None:
        translated.update(_special_ids(folder))
    return translated


def _preset_of(vision: PreTrainedConfig) -> str:
    key = (vision.image_size, vision.patch_size)
    if key not in RELEASED_BY_TOWER:
        known = ", ".join(f"{name} for {size} px / {patch} px" for (size, patch), name in RELEASED_BY_TOWER.items())
        raise ValueError(
            f"no released preset has a tower of {key[0]} px sub-images with {key[1]} px patches ({known}); say preset='...'"
        )
    return RELEASED_BY_TOWER[key]


def resolve_tower(image_encoder: str, folder: str | None) -> PreTrainedConfig:
    """The vision configuration that a released config.json means by `image_encoder`.

    Looked for as a known name, an absolute path, inside the checkpoint, and beside it; never on the network.

    Raises:
        ValueError: if none of these has it; the message lists the places.
    """
    if image_encoder in KNOWN_TOWERS:
        return tower_config(KNOWN_TOWERS[image_encoder])
    path = Path(image_encoder)
    places = [path] if path.is_absolute() else []
    if folder is not None and not path.is_absolute() and ".." not in path.parts:
        places += [Path(folder) / path, Path(folder).resolve().parent / path]
    for place in places:
        if (place / "config.json").is_file():
            return tower_config(json.loads((place / "config.json").read_text(encoding="utf-8")))
    looked = ", ".join(str(place / "config.json") for place in places) or "no folder"
    raise ValueError(
        f"the checkpoint names the vision tower '{image_encoder}', which is neither known ({', '.join(KNOWN_TOWERS)}) "
        f"nor found (looked for {looked}); put the tower's folder there"
    )


def read_config(name_or_path: str, **hub: Any) -> dict[str, Any]:
    """A checkpoint's own config.json as it stands; empty where there is none. `hub`: transformers' `revision`, `token`, ..."""
    try:
        return PreTrainedConfig.get_config_dict(name_or_path, **hub)[0]
    except OSError:
        return {}


def read_released(name_or_path: str) -> dict[str, Any] | None:
    """The config.json of a checkpoint in the released format; None for any other, or where there is none."""
    config = read_config(name_or_path)
    return config if is_released(config) else None


def translate_processor(values: dict[str, Any]) -> dict[str, Any]:
    """A released processor_config.json (or the lack of one) in our form."""
    kept = {key: value for key, value in values.items() if key in ("processor_class", "chat_template")}
    tokens = {"image_token": RELEASED_IMAGE_TOKEN, "separator_token": RELEASED_SEPARATOR_TOKEN}
    return {**kept, **tokens, "block_first": True}


def end_ids(folder: str, end_of_text: int | None) -> list[int]:
    """Where an answer ends: at the end of the turn, then at the end of the text (docs/fidelity.md, item 21)."""
    end_of_turn = _added_tokens(folder).get(END_OF_TURN)
    return [token for token in (end_of_turn, end_of_text) if token is not None]


def _special_ids(folder: str) -> dict[str, int]:
    """Ids of placeholder and separator, from the tokenizer files of the checkpoint."""
    added = _added_tokens(folder)
    names = {"image_token_id": RELEASED_IMAGE_TOKEN, "separator_token_id": RELEASED_SEPARATOR_TOKEN}
    return {key: added[token] for key, token in names.items() if token in added}


def _added_tokens(name_or_path: str) -> dict[str, int]:
    """Special tokens and their ids; empty where the checkpoint has no tokenizer file."""
    listed = _json(name_or_path, "tokenizer.json").get("added_tokens")
    if listed is not None:
        return {token["content"]: token["id"] for token in listed}
    decoder = _json(name_or_path, "tokenizer_config.json").get("added_tokens_decoder", {})
    return {token["content"]: int(index) for index, token in decoder.items()}


def _json(name_or_path: str, file: str) -> dict[str, Any]:
    """A JSON file of a directory, or of a hub checkpoint that transformers has at hand."""
    place = cached_file(
        name_or_path,
        file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return json.loads(Path(place).read_text(encoding="utf-8")) if place else {}
