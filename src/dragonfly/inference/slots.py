# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Keys and values of several rows in one tensor, each row from column 0 on: a new token is written where its row ends.

Nothing is padded, and nothing is moved when a row joins or grows. What lies beyond a row's end is left over, finite and masked:
a query sees the columns up to its own position. Where a row leaves, the last takes its place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_COLUMNS = 64  # are added so many at a time


class Slots:
    """For layers whose keys and values all have one shape; ValueError where they have not.

    `states`: (2 x layers, rows, columns, heads, width), each layer's keys before its values; None as long as no row runs.
    """

    def __init__(self, layers: int) -> None:
        self.layers = layers
        self.states: Tensor | None = None
        self._rows, self._columns = 0, 0

    def reserve(self, rows: int, columns: int, like: Tensor | None = None) -> None:
        """Room for so many. `like` are states of one row, (2 x layers, tokens, heads, width), where some are known already."""
        if rows > self._rows or columns > self._columns:
            self._rows = max(rows, self._rows)
            self._columns = max(self._columns, -(-columns // _COLUMNS) * _COLUMNS)
            if self.states is not None:
                _, rows, columns = self.states.shape[:3]
                grown = self.states.new_zeros(len(self.states), self._rows, self._columns, *self.states.shape[3:])
                grown[:, :rows, :columns] = self.states
                self.states = grown
        if self.states is None and like is not None:
            self.states = like.new_zeros(len(like), self._rows, self._columns, *like.shape[2:])

    def clear(self) -> None:
        """No row runs: the memory is free."""
        self.states, self._rows, self._columns = None, 0, 0

    def row(self, row: int, length: int) -> Tensor:
        """A view of a row's states, (2 x layers, length, heads, width)."""
        assert self.states is not None
        return self.states[:, row, :length]

    def move(self, row: int, to: int, length: int) -> None:
        """Put a row's states into another's place."""
        self.row(to, length).copy_(self.row(row, length))

    def cache(self, first: int, positions: Tensor, own: Tensor, columns: int) -> Cache:
        """What a model's forward pass writes to: the rows from `first` on.

        Args:
            positions: (rows, queries), the column of each query.
            own: (rows, queries), false where a query is padding, which is not written.
            columns: that are seen.
        """
        rows, width = positions.shape
        places = (torch.arange(first, first + rows, device=positions.device).unsqueeze(1) * self._columns + positions)[own]
        written = None if len(places) == rows * width else own.flatten().nonzero()[:, 0]
        seen = slice(first, first + rows), columns
        return Cache(layers=[_Layer(self, layer, *seen, places, written) for layer in range(self.layers)])

    def write(self, pair: int, places: Tensor, new: Tensor, written: Tensor | None) -> Tensor:
        """New states of some rows, (rows, heads, queries, width), to columns counted through all rows; returns the whole."""
        source = new.transpose(1, 2).flatten(0, 1)
        if self.states is None:
            self.states = source.new_zeros(2 * self.layers, self._rows, self._columns, *source.shape[1:])
        whole = self.states[pair]
        if source.shape[1:] != whole.shape[2:]:
            raise ValueError("keys and values differ in shape from layer to layer")
        whole.flatten(0, 1).index_copy_(0, places, source if written is None else source[written])
        return whole


class _Layer(DynamicLayer):
    """One layer of some rows, for one pass."""

    def __init__(self, slots: Slots, layer: int, rows: slice, columns: int, places: Tensor, written: Tensor | None) -> None:
        super().__init__()
        self.slots, self.layer, self.rows, self.columns, self.places, self.written = slots, layer, rows, columns, places, written

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Writes what is new, and returns all that these rows have, (rows, heads, columns, width)."""
        keys = self.slots.write(2 * self.layer, self.places, key_states, self.written)
        values = self.slots.write(2 * self.layer + 1, self.places, value_states, self.written)
        return tuple(whole[self.rows, : self.columns].transpose(1, 2) for whole in (keys, values))  # pyright: ignore[reportReturnType]

    def get_seq_length(self) -> int:
        """Of the row that has most, with what is new; masks and positions are given, so nothing is derived from it."""
        return self.columns
