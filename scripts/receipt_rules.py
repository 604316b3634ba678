"""What plain rules find on a receipt that a tower has read: total, date and company.

The baseline of a model that is asked for them. Nothing but the text of the page's rows of patches is known: no line's box, no
transcript, no question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dragonfly.research.curriculum.reading import PageText, edits, joined

MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
DAY = "(?:0?[1-9]|[12]\\d|3[01])"  # or a month
DATE = re.compile(
    r"(?<![\d.])(?:"
    rf"{DAY}([/.-]){DAY}\1(?:(?:19|20)?\d\d)"
    rf"|(?:19|20)\d\d([/-]){DAY}\2{DAY}"
    rf"|{DAY}[ -]?(?:{MONTHS})[A-Z]*[ ,-]*(?:19|20)?\d\d"
    r")(?!\d)"
)
AMOUNT = re.compile(r"(?<![\d.,])\d{1,3}(?:,?\d{3})*\.\d\d(?!\d)")
OTHERS = ("SUB", "TAX", "GST", "EXCL", "DISCOUNT", "QTY", "ITEM", "SAVING", "CHANGE")
FINAL = ("GRAND", "NETT", "NET", "ROUNDED", "PAYABLE", "DUE", "INCL", "SALES")
COMPANY = ("SDN", "BHD", "ENTERPRISE", "RESTAURANT", "TRADING")
HEAD = 0.25  # of a page's rows, where the company stands
LETTERS = 5  # at least, of a company


@dataclass(frozen=True)
class ReadRow:
    """A row of patches as it was read, in capitals.

    Args:
        place: in rows from the top.
        certain: the mean likelihood of its words.
    """

    place: float
    text: str
    certain: float


def rows_of(page: PageText) -> Iterator[ReadRow]:
    """Every row of patches, and every two neighbours as one of whose words the surer stay."""
    for upper in range(len(page.words)):
        for lower in (upper, upper + 1):
            words = page.along(sorted({upper, lower})) if lower < len(page.words) else []
            if words:
                text = " ".join(joined(words).upper().split())
                yield ReadRow((upper + lower) / 2, text, sum(word.certain for word in words) / len(words))


def fields(page: PageText) -> dict[str, str]:
    """`total`, `date` and `company` as they were read; "" for what is not found."""
    rows = list(rows_of(page))
    return {"total": _total(rows), "date": _date(rows), "company": _company(rows, len(page.words))}


def _value(amount: str) -> float:
    return float(amount.replace(",", ""))


def _has(text: str, words: Sequence[str]) -> bool:
    """Whether one of the words stands there, with a letter read wrongly in five."""
    return any(edits(word, said) <= len(word) // 5 for said in re.findall(r"[A-Z0-9]+", text) for word in words)


def _date(rows: Sequence[ReadRow]) -> str:
    found = [(row.certain, match.group()) for row in rows if (match := DATE.search(row.text))]
    return max(found)[1] if found else ""


def _total(rows: Sequence[ReadRow]) -> str:
    """The largest last amount of the rows that name a total best; without such rows the amount that occurs most."""
    named = []
    for row in rows:
        amounts = AMOUNT.findall(row.text)
        if amounts and _has(row.text, ("TOTAL", "AMOUNT")):
            rank = 2 * _has(row.text, ("TOTAL",)) + _has(row.text, FINAL) - 3 * _has(row.text, OTHERS)
            named.append((rank, _value(amounts[-1]), amounts[-1]))
    if named:
        return max(named)[2]
    counted = Counter(amount for row in rows for amount in AMOUNT.findall(row.text))
    return max(counted, key=lambda amount: (counted[amount], _value(amount))) if counted else ""


def _company(rows: Sequence[ReadRow], height: int) -> str:
    """Of the first rows, the first that looks like a company's name, or else the first with some letters."""
    head = [row for row in rows if row.place <= height * HEAD and len(re.findall("[A-Z]", row.text)) >= LETTERS]
    named = [row for row in head if _has(row.text, COMPANY)]
    first = (named or head)[:1]
    near = [row for row in head if first and abs(row.place - first[0].place) <= 1]  # the same print, read from other rows
    return max(near, key=lambda row: row.certain).text if near else ""
