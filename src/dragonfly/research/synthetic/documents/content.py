"""What documents say: names, addresses, items, codes, dates and amounts. Names, items and codes belong to one split by a hash."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from ..facts import split_of


def _read() -> dict[str, tuple[str, ...]]:
    """The sections of words.txt."""
    text = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
    sections = (section.partition("]") for section in text.split("[")[1:])
    return {name: tuple(word for word in words.replace("\n", "").split("|") if word) for name, _, words in sections}


WORDS = _read()
_LEGAL = (
    "",
    "",
    "",
    " SDN BHD",
    " SDN. BHD.",
    " PTE LTD",
    " LTD",
    " LLC",
    " INC.",
    " CO.",
    " & SONS",
    " ENTERPRISE",
    " (M) SDN BHD",
    " PLC",
)
_ROADS = ("Street", "Road", "Avenue", "Lane", "Drive", "Jalan", "St.", "Rd.", "Ave", "Square", "Way", "Taman")
_SIZES = (
    "",
    "",
    "",
    "",
    "500G",
    "1KG",
    "250ML",
    "1L",
    "2L",
    "12PCS",
    "6x1",
    "100G",
    "A4",
    "50M",
    "NO.2",
    "XL",
    "330ML",
    "10S",
    "60CM",
    "20MM",
    "5KG",
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


def of_split(split: str, make: Callable[[], str]) -> str:
    """What `make` returns first that belongs to the split."""
    for _ in range(2000):
        if split_of((text := make()).lower()) == split:
            return text
    raise AssertionError(f"nothing of split {split} in 2000 attempts; the last was {text!r}")  # pyright: ignore


def invented(rng: random.Random) -> str:
    """A word that no language has, so that it must be read."""
    parts = (
        rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "s", "l", "m"))
        for _ in range(rng.randint(2, 3))
    )
    return "".join(parts)


def sample(rng: random.Random, split: str) -> str:
    """An invented name of a thing."""
    return of_split(split, lambda: invented(rng).capitalize())


def shop(rng: random.Random, split: str) -> str:
    def make() -> str:
        first = rng.choice(WORDS["shop"]) if rng.random() < 0.55 else invented(rng).capitalize()
        second = f" {rng.choice(WORDS['shop'])}" if rng.random() < 0.25 else ""
        return f"{first}{second} {rng.choice(WORDS['trade'])}{rng.choice(_LEGAL)}"

    return of_split(split, make)


def person(rng: random.Random, split: str) -> str:
    def make() -> str:
        last = rng.choice(WORDS["last name"]) if rng.random() < 0.7 else invented(rng).capitalize()
        return f"{first_name(rng)} {last}"

    return of_split(split, make)


def first_name(rng: random.Random) -> str:
    return rng.choice(WORDS["first name"])


def town(rng: random.Random) -> str:
    return (
        rng.choice(WORDS["town"])
        if rng.random() < 0.6
        else invented(rng).capitalize() + rng.choice(("ton", "ville", "field", "burg", ""))
    )


def street(rng: random.Random) -> str:
    name = rng.choice(WORDS["street"]) if rng.random() < 0.6 else invented(rng).capitalize()
    return f"{name} {rng.choice(_ROADS)}"


def address(rng: random.Random) -> list[str]:
    """Two to four lines."""
    number = rng.choice(
        (
            f"{rng.randint(1, 400)}",
            f"No. {rng.randint(1, 99)}",
            f"Lot {rng.randint(1, 900)}",
            f"{rng.randint(1, 99)}-{rng.randint(1, 20)}",
        )
    )
    lines = [f"{number}, {street(rng)},", f"{digits(rng, 5)} {town(rng)}"]
    if rng.random() < 0.5:
        lines.insert(
            1,
            rng.choice(
                (f"{town(rng)} Industrial Park,", f"{rng.randint(1, 9)}/F {street(rng)},", f"Section {rng.randint(2, 40)},")
            ),
        )
    if rng.random() < 0.4:
        lines[-1] += ","
        lines.append(f"{town(rng)}.")
    return lines


def phone(rng: random.Random) -> str:
    return rng.choice(
        (
            f"{digits(rng, 2, '0')}-{digits(rng, 4)} {digits(rng, 4)}",
            f"({digits(rng, 3)}) {digits(rng, 3)}-{digits(rng, 4)}",
            f"+{rng.randint(20, 99)} {digits(rng, 2)} {digits(rng, 7)}",
            f"{digits(rng, 2, '0')}-{digits(rng, 8)}",
        )
    )


def item(rng: random.Random, split: str) -> str:
    def make() -> str:
        words = [rng.choice(WORDS["goods"]) if rng.random() < 0.8 else invented(rng)]
        if rng.random() < 0.65:
            words.insert(0, rng.choice(WORDS["kinds of goods"]) if rng.random() < 0.7 else invented(rng))
        if size := rng.choice(_SIZES):
            words.append(size)
        return " ".join(words)

    return of_split(split, make)


def digits(rng: random.Random, count: int, first: str = "123456789") -> str:
    return rng.choice(first) + "".join(rng.choice("0123456789") for _ in range(count - 1))


def code(rng: random.Random, split: str) -> str:
    """A document number: digits, often behind letters."""

    def make() -> str:
        head = "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 3)))
        return rng.choice(
            (
                digits(rng, rng.randint(4, 9)),
                head + digits(rng, rng.randint(3, 8)),
                f"{head}-{digits(rng, rng.randint(3, 6))}",
                f"{digits(rng, 3)}/{digits(rng, 4)}",
                f"{digits(rng, 2)}-{digits(rng, 5)}",
                f"#{digits(rng, rng.randint(3, 6))}",
            )
        )

    return of_split(split, make)


def date(rng: random.Random, style: int) -> str:
    """A date; all of a document are in one of eight styles."""
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(2003, 2031)
    name = _MONTHS[month - 1]
    return (
        f"{day:02d}/{month:02d}/{year}",
        f"{day:02d}-{month:02d}-{year}",
        f"{year}-{month:02d}-{day:02d}",
        f"{day:02d}/{month:02d}/{year % 100:02d}",
        f"{day:02d}.{month:02d}.{year}",
        f"{day:02d} {name} {year}",
        f"{name} {day}, {year}",
        f"{day:02d}-{name.upper()}-{year}",
    )[style]


def clock(rng: random.Random) -> str:
    hour, minute, second = rng.randint(6, 22), rng.randint(0, 59), rng.randint(0, 59)
    half = f"{(hour - 1) % 12 + 1}:{minute:02d} {'AM' if hour < 12 else 'PM'}"
    return rng.choice((f"{hour:02d}:{minute:02d}", f"{hour:02d}:{minute:02d}:{second:02d}", half))


def money(cents: int, style: str) -> str:
    """An amount as "12.50", "1,012.50" or "12,50", as the style `.`, `,.` or `,` says."""
    text = f"{abs(cents) / 100:,.2f}" if style == ",." else f"{abs(cents) / 100:.2f}"
    return ("-" if cents < 0 else "") + (text.replace(".", ",") if style == "," else text)


def price(rng: random.Random) -> int:
    """The price of an item in cents."""
    top = rng.choice((1_000, 3_000, 10_000, 40_000))
    cents = rng.randint(50, top)
    return cents if rng.random() < 0.5 else cents // 10 * 10
