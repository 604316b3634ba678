# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
"""From the tower's output of images to what the language model is given of them: several images in one pass.

The products are small, and most of their cost is the call: a server of many clients chooses for all that wait at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from dragonfly.inference.answer import describe_selection
from dragonfly.inference.encoded import EncodedImage
from dragonfly.models import DragonflyModel
from dragonfly.models.connector import Views

_MOST = 64 * 2**20  # bytes of the tower's output that are put beside each other; of larger images the call costs next to nothing


def connected(
    model: DragonflyModel,
    images: Sequence[EncodedImage],
    questions: Tensor | None,
    early: Sequence[Sequence[int]] | None = None,
) -> list[EncodedImage]:
    """Select and project. Of the tower's output only the embeddings stay, where no other question can want more.

    Args:
        model: that encoded the images.
        images: with `views` and `counts`, as the tower left them.
        questions: (images, hidden) what each is asked, for policy `question`.
        early: the high sub-images that were kept before the tower, of each image.
    """
    found: dict[int, EncodedImage] = {}
    for group in _alike(images):
        together = _beside([view for place in group if (view := images[place].views) is not None])
        if questions is not None:
            together = replace(together, question=questions[group])
        counts = images[group[0]].counts
        assert counts is not None
        done = model.connect(together, counts)
        for row, place in enumerate(group):
            pick: Any = (early[place] if early else None, None)
            if done.selection is not None:
                pick = (done.selection.indices[row].tolist(), done.selection.scores[row].tolist())
            selection = describe_selection(images[place].layout, *pick)
            # A copy: a row that is kept must not keep its batch.
            tokens = done.tokens[row] if len(group) == 1 else done.tokens[row].clone()
            found[place] = replace(images[place], tokens=tokens, selection=selection, views=None, counts=None)
    return [found[place] for place in range(len(images))]


def _alike(images: Sequence[EncodedImage]) -> list[list[int]]:
    """Places of images with the same number of sub-images at each level, in groups that are not too large."""
    groups: list[list[int]] = []
    filling: dict[Any, list[int]] = {}
    for place, image in enumerate(images):
        group = filling.get(image.counts)
        if group is None or (len(group) + 1) * image.nbytes > _MOST:
            group = filling[image.counts] = []
            groups.append(group)
        group.append(place)
    return groups


def _beside(views: Sequence[Views]) -> Views:
    """Images in rows of one batch; each has one row, and all have the same parts."""
    if len(views) == 1:
        return views[0]
    parts: dict[str, Any] = {one.name: [getattr(view, one.name) for view in views] for one in fields(Views)}
    joined: dict[str, Any] = {name: None if rows[0] is None else torch.cat(rows) for name, rows in parts.items()}
    return Views(**joined)
