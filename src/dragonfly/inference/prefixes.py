# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Keys and values of what prompts begin with: a second question about an image, or a chat's next turn, reads only what is new.

A prompt's embeddings are cut into blocks. The name of a block is a hash of all embeddings up to its end: two prompts share a
block where all before it and in it is equal, whatever it stands for. The blocks asked for last are kept, up to a number of bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256

import torch
from torch import Tensor


class Prefixes:
    """A bounded store of blocks, for one thread.

    Args:
        block: tokens of a block.
        max_bytes: of all keys and values kept; 0 keeps nothing.
    """

    def __init__(self, block: int = 8, max_bytes: int = 256 * 2**20) -> None:
        self.block, self.max_bytes, self.bytes = block, max_bytes, 0
        self._blocks: OrderedDict[bytes, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

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
        found: list[Tensor] = []
        for name in names[: most // self.block]:
            if name not in self._blocks:
                break
            found.append(self._blocks[name])
        for name in reversed(names[: len(found)]):  # a beginning outlives what follows it
            self._blocks.move_to_end(name)
        return torch.cat(found, dim=1) if found else None

    def keep(self, names: Sequence[bytes], states: Tensor) -> None:
        """Remember a prompt's keys and values, as `longest` gives them."""
        new = [place for place, name in enumerate(names) if name not in self._blocks]
        for place in reversed(new):
            self._blocks[names[place]] = part = states[:, place * self.block : (place + 1) * self.block].clone()
            self.bytes += part.nbytes
        while self.bytes > self.max_bytes:
            self.bytes -= self._blocks.popitem(last=False)[1].nbytes
