# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Keys and values of what prompts begin with: a second question about an image, or a chat's next turn, reads only what is new.

A prompt's embeddings are cut into blocks. The name of a block is a hash of all embeddings up to its end: two prompts share a
block where all before it and in it is equal, whatever it stands for. The blocks asked for last are kept, up to a number of bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from itertools import takewhile

import torch
from torch import Tensor


class Prefixes:
    """A bounded store of blocks, for one thread. They lie in one piece of memory, which neither grows nor breaks up.

    Args:
        block: tokens of a block.
        max_bytes: of all keys and values kept; 0 keeps nothing.
    """

    def __init__(self, block: int = 8, max_bytes: int = 256 * 2**20) -> None:
        self.block, self.max_bytes = block, max_bytes
        self._places: OrderedDict[bytes, int] = OrderedDict()
        self._blocks: Tensor | None = None  # (blocks, 2 x layers, tokens, heads, width)

    def __len__(self) -> int:
        return len(self._places)

    def clear(self) -> None:
        """Forget all."""
        self._places.clear()

    def names(self, embeds: Tensor) -> list[bytes]:
        """One name for each whole block of a prompt's embeddings, (tokens, hidden)."""
        if not self.max_bytes:
            return []
        names, whole = [b""], len(embeds) // self.block
        rows = embeds[: whole * self.block].contiguous().view(torch.uint8).cpu().numpy()
        for start in range(0, len(rows), self.block):
            names.append(sha256(names[-1] + rows[start : start + self.block].tobytes()).digest())
        return names[1:]

    def longest(self, names: Sequence[bytes], most: int) -> Tensor | None:
        """Keys and values of the longest beginning that is known, at most so many tokens; None if none is.

        (2 x layers, tokens, heads, width), as `Slots` has them.
        """
        known = [*takewhile(self._places.__contains__, names[: most // self.block])]
        for name in reversed(known):  # a beginning outlives what follows it
            self._places.move_to_end(name)
        if not known or self._blocks is None:
            return None
        return self._blocks[[self._places[name] for name in known]].transpose(0, 1).flatten(1, 2)

    def keep(self, names: Sequence[bytes], states: Tensor) -> None:
        """Remember a prompt's keys and values, as `longest` gives them."""
        if self._blocks is None and names:
            one = states[:, : self.block]
            self._blocks = states.new_empty(self.max_bytes // (one.numel() * one.element_size()), *one.shape)
        if self._blocks is None or not len(self._blocks):
            return
        for number in reversed(range(len(names))):
            if names[number] not in self._places:
                full = len(self._places) == len(self._blocks)
                place = self._places.popitem(last=False)[1] if full else len(self._places)
                self._places[names[number]] = place
                self._blocks[place] = states[:, number * self.block : (number + 1) * self.block]
