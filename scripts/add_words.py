"""Write a model with more words: those of a data set's questions, each a token of its own.

    python scripts/add_words.py build/nano/mean build/nano/data/asked build/nano/worded

Which words, and where their embeddings begin, is the matter of `dragonfly.research.curriculum.more_words`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor

from dragonfly.data import Manifest
from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.models.origin import write_origin
from dragonfly.research.curriculum.more_words import more_words, with_words
from dragonfly.research.synthetic.language.other_names import known_words

AS_TYPED = 5  # a rarer spelling of a common word stays letters


def add_words(source: Path, data: Path, target: Path) -> int:
    """Write the model of `source` to `target` with the words of `data`; how many there are."""
    model: Any = DragonflyForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
    processor: Any = AutoProcessor.from_pretrained(source)
    texts = ((sample.messages[0].text, sample.messages[1].text) for sample in Manifest.open(data))
    words = more_words(texts, processor.tokenizer.get_vocab(), as_typed=AS_TYPED)
    model, processor = with_words(model, processor, words, names_of=known_words())
    model.save_pretrained(target)
    processor.save_pretrained(target)
    write_origin(target, {"begun_from": str(source), "more_words": len(words)})
    return len(words)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    print(f"{sys.argv[3]}: {add_words(*map(Path, sys.argv[1:]))} more words")
