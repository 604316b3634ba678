"""Embeddings that spell: a word is the sum of its characters' embeddings, each shifted by its place.

With this code one vector holds a whole word, and two things can be said in closed form instead of being learned: the
embedding of a new token of several characters, and a projector that begins as an OCR head put into words - a patch that
reads "tax" is projected near the embedding of the token "tax". Where patches also say what they belong to, that is added, turned
by half the width: looking something up is then one comparison of a word with what tokens belong to. Only a beginning: training
changes both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .patch_ocr_head import load_head
from .text_annotations import Classes

LOUDNESS = 1.0
"""Length of what a token says on average, in lengths of embeddings."""

ROWS = 0.5
"""Length of what a token says of its row, where it does, in lengths of embeddings."""

RIDGE = 1e-4
"""Ridge coefficient of the projector's least squares, relative to the mean of the Gram matrix's diagonal."""

STIFFNESS = 0.1
"""Ridge coefficient of the correction to the letters' vectors."""


@torch.no_grad()
def spell_embeddings(embeddings: Tensor, tokens: Sequence[str]) -> None:
    """Overwrite, in place, the row of every token of several characters by the shifted sum of its characters' rows.

    Args:
        embeddings: (vocabulary, hidden).
        tokens: the text of every row, blanks around it already taken away; "" for rows to be left alone.
    """
    single = {text: row for row, text in reversed(list(enumerate(tokens))) if len(text) == 1}
    for row, text in enumerate(tokens):
        if text and all(character in single for character in text) and single.get(text) != row:
            embeddings[row] = _spelled(embeddings, [single[character] for character in text])


@torch.no_grad()
def initialise_projector(model: Any, tokenizer: Any, folder: str | Path, rows: bool = False) -> None:
    """Set the projector to the linear map (ridge regression) from patch tokens to the embeddings of what the patches say.

    Fitted to the moments that the `patch_ocr` stage in `folder` saved. With `rows`, tokens also say in which row of their
    sub-image they stand: a key and its value stand in one.

    The head's own logits will not do: those of all that a patch does not say add up to far more than what it says.
    ValueError where `folder` holds no head.
    """
    tensors, classes = load_head(Path(folder))
    if "gram" not in tensors or (rows and "row_sums" not in tensors):
        raise ValueError(f"the OCR head in {folder} is of an earlier version, without moments; train that stage again")
    table: Tensor = model.get_input_embeddings().weight
    vectors = _vectors(classes, tokenizer, table)
    gram = tensors["gram"]
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    matrix = torch.linalg.solve(gram + ridge, tensors["class_sums"] @ vectors)  # (hidden of the tower + 1, hidden)
    length = ((matrix * (gram @ matrix)).sum() / gram[-1, -1]).sqrt()  # of what tokens say, on average
    loudness = table.float().norm(dim=-1).mean()
    matrix *= LOUDNESS * loudness / length
    if rows:
        said = _row_vectors(tensors["row_sums"].shape[1], table.shape[1]) * ROWS * loudness
        matrix += torch.linalg.solve(gram + ridge, tensors["row_sums"] @ said)
    projector = model.model.multi_modal_projector
    projector.weight.copy_(matrix[:-1].T)
    projector.bias.copy_(matrix[-1])


def _vectors(classes: Classes, tokenizer: Any, table: Tensor) -> Tensor:
    """(classes, hidden): what each class says in the space of embeddings; which characters lie in a patch is told by its word."""
    vectors = torch.zeros(sum(classes.sizes), table.shape[1])
    for row, name in enumerate(classes.names, start=1):
        ids = [i for word in name.split() for i in tokenizer(" " + word, add_special_tokens=False)["input_ids"]]
        vectors[row] = table[ids].float().sum(dim=0)
    start = row = sum(classes.sizes[: classes.spelled.start])
    for slot in range(classes.slots):
        for number, character in enumerate(classes.characters, start=1):
            ids = tokenizer(character, add_special_tokens=False)["input_ids"]
            vectors[row + number] = table[ids[-1]].float().roll(slot)
        row += 1 + len(classes.characters)
    _fit(vectors[start:row], classes, _words(tokenizer, table))
    if classes.bound:
        own = torch.cat([vectors[: classes.sizes[0]], vectors[start:row]])
        vectors[row:] = own.roll(table.shape[1] // 2, dims=1)
    return vectors


def _row_vectors(rows: int, width: int) -> Tensor:
    """(rows, width): unit vectors, the more alike the nearer two rows are, for a line may lie across two."""
    at = torch.arange(rows)
    values, axes = torch.linalg.eigh(torch.exp(-0.5 * (at[:, None] - at) ** 2))
    directions = torch.linalg.qr(torch.randn(width, rows, generator=torch.Generator().manual_seed(0)))[0]
    return axes * values.clamp(min=0).sqrt() @ directions.T


def _words(tokenizer: Any, table: Tensor) -> dict[str, Tensor]:
    """The embedding of every token that is a word of several letters, in small letters and with a capital."""
    words: dict[str, Tensor] = {}
    special = set(tokenizer.all_special_ids)
    for row in range(len(tokenizer)):
        text = tokenizer.decode([row])
        if row not in special and text.startswith(" ") and len(text) > 2 and text.strip().isalpha():
            words |= {word: table[row].float() for word in (text.strip(), text.strip().capitalize())}
    return words


def _fit(vectors: Tensor, classes: Classes, words: dict[str, Tensor]) -> None:
    """Move the vectors of slots and characters, in place and as little as need be, so that words sum to their embeddings.

    A language model that has been trained no longer spells its words; least squares finds letters from which it would.
    """
    spelled = {word: own for word, own in words.items() if set(word) <= set(classes.characters) and len(word) <= classes.slots}
    if not spelled:
        return
    width = 1 + len(classes.characters)
    letters = torch.zeros(len(spelled), len(vectors))
    for number, word in enumerate(spelled):
        for slot, place in enumerate(classes.classes(word, len(word))):
            letters[number, slot * width + place] = 1.0
    missing = torch.stack(list(spelled.values())) - letters @ vectors
    system = letters.T @ letters + STIFFNESS * torch.eye(len(vectors))
    vectors += torch.linalg.solve(system, letters.T @ missing)


def _spelled(embeddings: Tensor, rows: Sequence[int]) -> Tensor:
    """The shifted sum of the rows, as long as one of them is on average."""
    total = torch.stack([embeddings[row].roll(place) for place, row in enumerate(rows)]).sum(dim=0)
    length = embeddings[list(rows)].norm(dim=-1).mean()
    return total / total.norm() * length
