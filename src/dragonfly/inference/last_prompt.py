# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""What the language model keeps of the last prompt, so that one which begins alike is read on from there.

The next question about an image begins with that image, and the next turn of a chat with the whole conversation: their keys and
values are the same numbers. They come out of matrix products of other shapes then, so the last bits of a logit may differ, and a
token with them where two are as good as equal: it is off unless `Engine.reuse_prompts` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


@dataclass(frozen=True)
class LastPrompt:
    """Keys and values of a prompt and its answer.

    Args:
        ids: the tokens that they belong to.
        features: of the images in them, in order.
        layers: keys and values of every layer, (1, heads, length, width) each.
    """

    ids: tuple[int, ...] = ()
    features: tuple[Tensor, ...] = ()
    layers: tuple[tuple[Tensor, Tensor], ...] = ()

    def shared(self, ids: Sequence[int], features: Sequence[Tensor], image_token: int | None) -> tuple[int, int]:
        """How many tokens, and how many images in them, a prompt begins with that are here already; never all of its tokens.

        An image is the same where its features are the very tensor, and is taken whole or not at all.
        """
        pairs = enumerate(zip(self.ids, ids, strict=False))
        length = next((place for place, (one, other) in pairs if one != other), min(len(self.ids), len(ids)))
        length = min(length, len(ids) - 1)
        places = [place for place, token in enumerate(ids) if token == image_token]
        inside = sum(place < length for place in places)
        same = next(
            (number for number, (one, other) in enumerate(zip(self.features, features, strict=False)) if one is not other),
            min(len(self.features), len(features)),
        )
        ends = [0, *accumulate(len(one) for one in features[:same])]
        images = max(number for number, end in enumerate(ends) if end <= inside)
        return min([length, *places[ends[images] : ends[images] + 1]]), images

    def cache(self, length: int, config: Any) -> DynamicCache:
        """A cache for `generate` that begins with the first `length` tokens; writing on in it changes nothing here."""
        cache = DynamicCache(config=config)
        for index, (keys, values) in enumerate(self.layers if length else ()):
            cache.update(keys[..., :length, :], values[..., :length, :], index)
        return cache

    @classmethod
    def of(cls, ids: Sequence[int], features: Sequence[Tensor], cache: DynamicCache) -> LastPrompt:
        """What `generate` has left in a cache; nothing where a layer forgets, as sliding windows and states do."""
        layers: list[Any] = list(cache.layers)
        if not layers or any(type(layer) is not DynamicLayer for layer in layers):
            return cls()
        length = layers[0].keys.shape[-2]
        return cls(tuple(ids[:length]), tuple(features), tuple((layer.keys, layer.values) for layer in layers))
