# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Checkpoints: read strictly (every tensor there and fitting), and `convert`, which writes one that loads everywhere.

A converted directory holds the weights under our names (safetensors), config, processor, tokenizer, chat template, generation
configuration and `dragonfly.json`, which says what it was made from. It is written whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from dragonfly.files import atomic_directory, result_header, sha256
from dragonfly.models import released
from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.models.connector import OPTIONAL, optional_modules
from dragonfly.models.origin import write_origin
from dragonfly.vision.inputs import reads_question
from dragonfly.vision.spec import EncoderSpec

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# In the order in which transformers looks for weights; only the first kind that is there is read.
WEIGHT_FILES = ("model*.safetensors", "pytorch_model*.bin")
HUB = ("cache_dir", "local_files_only", "revision", "subfolder", "token")  # where else a checkpoint may lie
_promised: ContextVar[Collection[str]] = ContextVar("promised", default=())


def end_at_turns(model: Any, name: str) -> None:
    """Released generation configurations stop at the end of the text only, which a chat answer never reaches."""
    config = released.read_released(name)
    if config is not None:
        end_of_text = config.get("eos_token_id")
        model.generation_config.eos_token_id = released.end_ids(name, end_of_text) or None
        model.generation_config.pad_token_id = end_of_text


@contextmanager
def held_to_its_config(name: str, options: Mapping[str, Any]) -> Generator[None]:
    """While the checkpoint `name` is read: the optional modules that its own config.json asks for may not be missing.

    Those that only a configuration given at load asks for may; they are new. A released checkpoint has none.

    Raises:
        ValueError: where a configuration given at load chooses sub-images in another context than the checkpoint has learned.
    """
    own = released.read_config(name, **{key: options[key] for key in HUB if key in options})
    ours = own.get("model_type") == DragonflyConfig.model_type and not released.is_released(own)
    spec, given = DragonflyConfig.from_dict(own).spec if ours else None, options.get("config")
    if spec is not None and isinstance(given, DragonflyConfig):
        _refuse_another_context(name, spec, given.spec)
    token = _promised.set(() if spec is None else optional_modules(spec, 1))
    try:
        yield
    finally:
        _promised.reset(token)


def _refuse_another_context(name: str, own: EncoderSpec, wanted: EncoderSpec) -> None:
    if reads_question(own) and reads_question(wanted) and own.selection.context != wanted.selection.context:
        raise ValueError(
            f"checkpoint '{name}' has learned to choose with selection.context '{own.selection.context}', and its query "
            f"projection does not fit '{wanted.selection.context}'; leave selection.context out"
        )


def keys_that_may_be_new() -> list[str]:
    """Patterns of the tensors that the checkpoint being read need not hold."""
    return optional_keys(name for name in OPTIONAL if name not in _promised.get())


def optional_keys(names: Iterable[str] = OPTIONAL) -> list[str]:
    """Patterns of the tensors of optional modules."""
    return [rf"(^|\.){name}\." for name in names]


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


@dataclass(frozen=True)
class Converted:
    """What was written: preset, numbers of tensors and parameters, bytes of all files."""

    source: str
    target: str
    preset: str | None
    dtype: str
    tensors: int
    parameters: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def summary(self) -> str:
        return (
            f"{self.tensors} tensors, {self.parameters:,} parameters in {self.dtype}, {self.bytes / 1e6:,.1f} MB, "
            f"preset {self.preset or 'none'}"
        )


def convert(src: str | Path, dst: str | Path, *, preset: str | None = None, dtype: str | torch.dtype | None = None) -> Converted:
    """Write the checkpoint `src` as a Dragonfly directory `dst`.

    Args:
        src: a directory in the released format, or one of ours.
        dst: the new directory; may exist only if it is empty.
        preset: overrules the preset that the checkpoint has or that follows from its tower.
        dtype: of the weights (float32, bfloat16, float16); as stored if not given.

    Raises:
        ValueError: if `src` is no checkpoint directory, is of another family, does not fit or lies inside `dst`, `dst` is not
            empty, or `dtype` is none of the three.
    """
    from dragonfly.models.modeling_dragonfly import DragonflyForConditionalGeneration  # which reads checkpoints by this module
    from dragonfly.models.processing_dragonfly import DragonflyProcessor

    src, dst = Path(src), Path(dst)
    if not (src / "config.json").is_file():
        raise ValueError(f"cannot convert {src}: no config.json there; name a checkpoint directory")
    if (kind := _model_type(src)) != "dragonfly":
        raise ValueError(f"cannot convert {src}: it holds a model of type {kind!r:.60}, not 'dragonfly'; name a Dragonfly's")
    if dst.resolve() in (src.resolve(), *src.resolve().parents):
        raise ValueError(f"cannot convert {src} into {dst}: the checkpoint lies in it; name another directory")
    weights = _weight_files(src)
    with atomic_directory(dst) as folder:
        model = DragonflyForConditionalGeneration.from_pretrained(src, preset=preset, dtype=_dtype(dtype))
        processor = DragonflyProcessor.from_pretrained(src, preset=preset)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        write_origin(folder, _record(src, weights, model.config.preset))
        report = Converted(
            source=str(src),
            target=str(dst),
            preset=model.config.preset,
            dtype=str(model.dtype).removeprefix("torch."),
            tensors=len(model.state_dict()),
            parameters=model.num_parameters(),
            bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        )
    return report


def _model_type(folder: Path) -> Any:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot convert {folder}: config.json cannot be read ({error}); copy the checkpoint again") from None
    return config.get("model_type") if isinstance(config, dict) else None


def _weight_files(folder: Path) -> list[Path]:
    found = next((files for pattern in WEIGHT_FILES if (files := sorted(folder.glob(pattern)))), [])
    if not found:
        raise ValueError(f"cannot convert {folder}: no weights there ({', '.join(WEIGHT_FILES)}); name a checkpoint directory")
    return found


def _dtype(dtype: str | torch.dtype | None) -> str | torch.dtype:
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise ValueError(f"unknown dtype '{dtype}'; use one of {', '.join(DTYPES)}")
        return DTYPES[dtype]
    return dtype or "auto"


def _record(src: Path, weights: list[Path], preset: str | None) -> dict[str, Any]:
    header = result_header()
    return {
        "preset": preset,
        "source": src.resolve().name,  # the name alone: where it lay on this machine is nobody else's business
        "source_sha256": {file.name: sha256(file) for file in weights},
        **{key: header[key] for key in ("date", "commit", "dirty", "versions")},
    }
