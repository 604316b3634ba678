"""What an image says: keys with values, before and after they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from .page_record import Box


@dataclass(frozen=True)
class Fact:
    """`key` as questions name it, its `value`, and where both were drawn (source pixels)."""

    key: str
    value: str
    box: Box | None = None
    detail_px: float = 0.0  # height of its capitals, or of its smallest speck, in source pixels

    @property
    def number(self) -> int | None:
        """The value as a number, where it is one."""
        return int(self.value) if self.value.isdigit() else None
