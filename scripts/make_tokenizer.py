"""The tokenizer of the models that read pages: control tokens, bytes, and the small words that people ask with. Written once.

Run: python scripts/make_tokenizer.py [--output FILE]

A word is a token if the grammar asks with it often, or a page's keys are called so. All else, and so what answers copy from a
page, is spelled byte by byte, digits one by one. The chat template (`reader.jinja`) writes questions in small letters.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from dragonfly.research.curriculum.scratch import TOKENIZER, word_tokenizer  # noqa: E402
from dragonfly.research.synthetic.dataset import make_views  # noqa: E402
from dragonfly.research.synthetic.document_spec import SPECS  # noqa: E402
from dragonfly.research.synthetic.documents import concepts  # noqa: E402

INDICES = {"documents": 400, "nano": 600}
SEED = 9001  # no data set is made with it
WORDS, FIRST = 700, 60
WORD = re.compile(r"[a-z]{2,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=TOKENIZER)
    counts, first = Counter[str](), Counter[str]()
    for name, number in INDICES.items():
        spec = SPECS[name]
        for index in range(number):
            for view in make_views(spec.__class__(**{**vars(spec), "language": "natural"}), "train", SEED, index):
                for question in view.questions:
                    words = WORD.findall(question.text.lower())
                    counts.update(words)
                    first.update(words[:1])
    tables = (concepts.MONEY, concepts.INFO, concepts.INVOICE, concepts.FORM, concepts.LABEL, concepts.PANEL)
    names = {word for table in tables for one in table.values() for name in one.names for word in WORD.findall(name.lower())}
    common = sorted(counts.keys() - names, key=lambda word: (-counts[word], word))
    chosen = sorted(names) + common[: WORDS - len(names)]
    begin = sorted(first, key=lambda word: (-first[word], word))[:FIRST]
    tokenizer = word_tokenizer([f" {word}" for word in chosen] + begin)
    tokenizer.backend_tokenizer.save(str(parser.parse_args().output))
    rarest = counts[common[WORDS - len(names) - 1]]
    print(f"{len(tokenizer)} tokens: {len(names)} words of keys, {len(chosen) - len(names)} others (the rarest {rarest} times)")


if __name__ == "__main__":
    main()
