"""Write the mean of the weights of two models, of which the second was trained on from the first.

    python scripts/average.py build/nano/third build/nano/words build/nano/mean

The two ends of one run lie in one valley, and half way between them is often better than either (Wortsman et al. 2022, "Model
soups"). Configuration, processor and tokenizer are the second's. ValueError where their tensors differ in name or shape.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from dragonfly.files import ORIGIN, atomic_directory
from dragonfly.models.origin import read_origin, write_origin

WEIGHTS = "model.safetensors"
OTHERS = ("*.json", "*.jinja")
OF_THE_RUN = {ORIGIN, "run.json"}


def average(first: Path, second: Path, target: Path) -> None:
    """The mean, in the second's number format."""
    one, other = load_file(first / WEIGHTS), load_file(second / WEIGHTS)
    if {name: weight.shape for name, weight in one.items()} != {name: weight.shape for name, weight in other.items()}:
        raise ValueError(f"{first} and {second} hold different tensors; only models of one shape have a mean")
    mean = {name: ((one[name].float() + weight.float()) / 2).to(weight.dtype) for name, weight in other.items()}
    with atomic_directory(target) as folder:
        for file in (file for pattern in OTHERS for file in second.glob(pattern) if file.name not in OF_THE_RUN):
            shutil.copy(file, folder / file.name)
        save_file(mean, folder / WEIGHTS, metadata={"format": "pt"})
        origin = read_origin(second) or {}
        origin.pop("stages", None)  # the history is then told from both
        write_origin(folder, {**origin, "averaged": [str(first), str(second)]})


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    average(*map(Path, sys.argv[1:]))
