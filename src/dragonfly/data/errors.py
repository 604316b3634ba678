"""What is wrong with a row of data, and when there is too much of it.

Promises that a bad row is never dropped in silence: it becomes a `BadRow` that names its file, its number and one
short reason, and `check_bad` stops the run once their share passes the limit. Knows nothing of formats or images.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

_SHOWN = 5

T = TypeVar("T")


class BadSample(ValueError):
    """A sample that cannot be used. `reason` is one fixed word to count by, `detail` says what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class BadRow:
    """One unusable row of `file` (a path, or a data set's name): `row` counts from 0, in a .csv or .tsv as a spreadsheet does."""

    file: str
    row: int
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file} row {self.row}: {self.reason} ({self.detail})"


def check_bad(bad: Sequence[BadRow], total: float, max_bad_share: float) -> None:
    """Raise ValueError when more than `max_bad_share` (0 to 1) of `total` rows are bad; names the first few."""
    if not 0.0 <= max_bad_share <= 1.0:
        raise ValueError(f"max_bad_share is {max_bad_share}; give a share between 0 and 1")
    if len(bad) <= max_bad_share * total:
        return
    reasons = ", ".join(f"{reason} {count}" for reason, count in Counter(row.reason for row in bad).most_common())
    told: dict[Any, BadRow] = {}
    for row in bad:  # a file that is not understood is told once, not row by row
        told.setdefault((row.file, row.detail) if row.reason == "unknown-format" else (row.file, row.row), row)
    different = list(told.values())[:_SHOWN]
    first = "; ".join(str(row) for row in different)
    more = f"; and {len(bad) - len(different)} more" if len(bad) > len(different) else ""
    raise ValueError(
        f"{len(bad)} of {total:g} rows are bad, more than max_bad_share {max_bad_share:g} allows ({reasons}): "
        f"{first}{more}; repair or remove these rows, or raise data.max_bad_share"
    )


def count_bad(rows: Iterable[T | BadRow], max_bad_share: float) -> tuple[list[T], list[BadRow]]:
    """Split rows into the good and the bad; ValueError when the bad ones' share is above `max_bad_share`."""
    good: list[T] = []
    bad: list[BadRow] = []
    for row in rows:
        if isinstance(row, BadRow):
            bad.append(row)
        else:
            good.append(row)
    check_bad(bad, len(good) + len(bad), max_bad_share)
    return good, bad
