"""Write a model whose language model has more layers and answers as it did: a silent copy behind each layer named, or behind all.

    python scripts/add_layers.py build/nano/tempered-6 build/nano/deeper [0 1 2 3]

What a copy is, is the matter of `dragonfly.research.curriculum.more_layers`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor

from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.models.origin import write_origin
from dragonfly.research.curriculum.more_layers import with_layers


def add_layers(source: Path, target: Path, behind: list[int]) -> int:
    """Write the model of `source` to `target` with more layers; how many it has then."""
    model: Any = DragonflyForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
    processor: Any = AutoProcessor.from_pretrained(source)
    model = with_layers(model, behind or range(model.config.text_config.num_hidden_layers))
    model.save_pretrained(target)
    processor.save_pretrained(target)
    write_origin(target, {"begun_from": str(source), "layers": model.config.text_config.num_hidden_layers})
    return model.config.text_config.num_hidden_layers


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print(f"{sys.argv[2]}: {add_layers(Path(sys.argv[1]), Path(sys.argv[2]), [int(one) for one in sys.argv[3:]])} layers")
