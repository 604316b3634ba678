"""A model saved under one version of transformers answers the same under another.

usage: cross_versions.py save FOLDER    write tiny models and what they say
       cross_versions.py load FOLDER    load them and compare
"""

import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tests import tiny
from transformers import AutoModelForImageTextToText, AutoProcessor

CASES: dict[str, dict[str, Any]] = {
    "v1": {},
    "v2": {"preset": "v2"},
    "siglip": {"tower": "siglip"},
    "tied": {"tie_word_embeddings": True},
    "qwen2": {"head": "qwen2"},
}


def says(model: Any, processor: Any) -> dict[str, torch.Tensor]:
    """Inputs, logits and greedy tokens for a question on an image."""
    text = processor.apply_chat_template(tiny.conversation("what?"), add_generation_prompt=True)
    inputs = dict(processor(text=text, images=[tiny.image()], return_tensors="pt"))
    with torch.no_grad():
        logits = model(**inputs).logits
    tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    return {**inputs, "logits": logits, "tokens": tokens}


def main(action: str, folder: Path) -> None:
    for name, changes in CASES.items():
        if action == "save":
            settings = tiny.config(**changes)
            model, processor = tiny.model(settings), tiny.processor(settings)
            model.save_pretrained(folder / name)
            processor.save_pretrained(folder / name)
            save_file({key: value.contiguous() for key, value in says(model, processor).items()}, folder / name / "says.st")
        else:
            model, processor = (cls.from_pretrained(folder / name) for cls in (AutoModelForImageTextToText, AutoProcessor))
            told, said = load_file(folder / name / "says.st"), says(model, processor)
            assert told.keys() == said.keys(), (name, sorted(told), sorted(said))
            for key, value in told.items():
                torch.testing.assert_close(said[key], value, msg=lambda text, name=name, key=key: f"{name}, {key}: {text}")
    print(f"transformers {transformers.__version__}: {action} {', '.join(CASES)}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
