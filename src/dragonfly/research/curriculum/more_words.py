# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""More words for a model whose tokenizer knows few: those of questions, and the words that it knows as people type them.

What a model reads out it spells, so no word becomes a token that an answer holds as it stands. A new word that is a known one in
another case begins near it, and so does another name of one; any other begins so small that the mean of a question (policy
`question`) is that of its known words, while the language model, which takes every token at one length, tells it from all
others. Its old tokens keep their numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from dragonfly.models import DragonflyProcessor

from .scratch import SPECIAL, splitter, tokenizer_of

LEAST = 40
"""A word that occurs less often in the questions is no token of its own."""

KNOWN, UNKNOWN = 0.7, 0.1
"""How much of the known word a new one begins with, and the length of what is its own, beside that of the words so far."""

BLANK = "Ġ"


def more_words(
    texts: Iterable[tuple[str, str]], vocabulary: Iterable[str], least: int = LEAST, as_typed: int | None = None
) -> list[str]:
    """New tokens, the commonest first.

    Args:
        texts: questions with their answers.
        vocabulary: the tokens so far.
        least: how often a word must occur.
        as_typed: how often in these very letters, where `least` counts it in small and in large ones; None for a count of
            these letters alone.
    """
    known = set(vocabulary)
    asked, answered = Counter[str](), set[str]()
    split: Any = splitter()
    for question, answer in texts:
        asked.update(word for word, _ in split.pre_tokenize_str(question))
        answered.update(word for word, _ in split.pre_tokenize_str(answer))
    counts: dict[str, int] = asked
    if as_typed is not None:
        together = Counter[str]()
        for word, count in asked.items():
            together[folded(word)] += count
        counts = {word: together[folded(word)] for word, count in asked.items() if count >= as_typed}
    familiar = {folded(token) for token in known if len(token) > 1}
    spelled = {folded(word) for word in answered} - familiar  # values: they are read letter by letter
    chosen = [
        word
        for word, count in counts.items()
        if count >= least
        and len(word) > 1
        and word not in known
        and word not in answered
        and word.lstrip(BLANK).isascii()
        and folded(word) not in spelled
        and word.lstrip(BLANK)
    ]
    return sorted(chosen, key=lambda word: (-asked[word], word))


def folded(token: str) -> str:
    return token.lstrip(BLANK).casefold()


def with_words(
    model: Any, processor: Any, words: list[str], seed: int = 0, names_of: Mapping[str, str] | None = None
) -> tuple[Any, Any]:
    """The model and the processor with `words` as further tokens. ValueError where the tokenizer is not one of `scratch`.

    `names_of`: known words by new ones that mean the same, both in small letters.
    """
    vocabulary: dict[str, int] = processor.tokenizer.get_vocab()
    names = sorted(vocabulary, key=vocabulary.__getitem__)
    tokenizer = tokenizer_of([*names[len(SPECIAL) + 256 :], *words])
    grown: dict[str, int] = tokenizer.get_vocab()
    if {name: grown.get(name) for name in names} != vocabulary:
        raise ValueError("this tokenizer was not learned by init_from.scratch: its tokens would change their numbers")
    before = model.get_input_embeddings().weight.detach()
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    after = model.get_input_embeddings().weight
    with torch.no_grad():
        after[len(names) :] = new_embeddings(before.float(), names, words, seed, names_of or {}).to(after.dtype)
    return model, DragonflyProcessor(processor.image_processor, tokenizer, chat_template=processor.chat_template)


def new_embeddings(before: Tensor, names: list[str], words: list[str], seed: int, names_of: Mapping[str, str]) -> Tensor:
    """(words, hidden): where the embeddings of new words begin, beside those of the tokens `names`."""
    generator = torch.Generator().manual_seed(seed)
    own = torch.randn(len(words), before.shape[1], generator=generator)
    first = len(SPECIAL) + 256
    own *= UNKNOWN * before[first:].norm(dim=1).mean() / own.norm(dim=1, keepdim=True)
    like: dict[tuple[str, bool], int] = {}
    for number, name in enumerate(names[first:], start=first):
        for blank in (True, False):  # the one with a blank before it where the new word has one, else either
            if (folded(name), blank) not in like or name.startswith(BLANK) == blank:
                like[folded(name), blank] = number
    for row, word in enumerate(words):
        at = like.get((names_of.get(folded(word), folded(word)), word.startswith(BLANK)))
        if at is not None:
            own[row] += KNOWN * before[at]
    return own
