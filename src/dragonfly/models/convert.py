"""`convert`: a checkpoint in the released format (or any of ours) becomes one directory that loads everywhere.

The new directory holds the weights under our names (safetensors), config, processor, tokenizer, chat template, generation
configuration and `dragonfly.json`, which says what it was made from. It is written whole or not at all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from dragonfly import __version__
from dragonfly.files import ORIGIN, atomic_directory, result_header, sha256, write_json
from dragonfly.models.modeling_dragonfly import DragonflyForConditionalGeneration
from dragonfly.models.processing_dragonfly import DragonflyProcessor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# In the order in which transformers looks for weights; only the first kind that is there is read.
WEIGHT_FILES = ("model*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True)
class Report:
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


def convert(src: str | Path, dst: str | Path, *, preset: str | None = None, dtype: str | torch.dtype | None = None) -> Report:
    """Write the checkpoint `src` as a Dragonfly directory `dst`.

    Args:
        src: a directory in the released format, or one of ours.
        dst: the new directory; may exist only if it is empty.
        preset: overrules the preset that the checkpoint has or that follows from its tower.
        dtype: of the weights (float32, bfloat16, float16); as stored if not given.

    Raises:
        ValueError: if `src` is no checkpoint directory or does not fit, lies inside `dst`, `dst` is not empty, or `dtype` is
            none of the three.
    """
    src, dst = Path(src), Path(dst)
    if not (src / "config.json").is_file():
        raise ValueError(f"cannot convert {src}: no config.json there; name a checkpoint directory")
    if dst.resolve() in (src.resolve(), *src.resolve().parents):
        raise ValueError(f"cannot convert {src} into {dst}: the checkpoint lies in it; name another directory")
    weights = _weight_files(src)
    with atomic_directory(dst) as folder:
        model = DragonflyForConditionalGeneration.from_pretrained(src, preset=preset, dtype=_dtype(dtype))
        processor = DragonflyProcessor.from_pretrained(src, preset=preset)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        write_json(folder / ORIGIN, _record(src, weights, model.config.preset))
        report = Report(
            source=str(src),
            target=str(dst),
            preset=model.config.preset,
            dtype=str(model.dtype).removeprefix("torch."),
            tensors=len(model.state_dict()),
            parameters=model.num_parameters(),
            bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        )
    return report


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
        "version": __version__,
        "preset": preset,
        "source": src.resolve().name,  # the name alone: where it lay on this machine is nobody else's business
        "source_sha256": {file.name: sha256(file) for file in weights},
        **{key: header[key] for key in ("date", "commit", "dirty", "versions")},
    }
