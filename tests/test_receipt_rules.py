"""What plain rules find in the text of a receipt's patches."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dragonfly.research.curriculum.reading import PageText, ReadWord

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from receipt_rules import fields, rows_of

RECEIPT = (
    "3",
    "HAPPY SNACKS SDN BHD",
    "12 JALAN SS2, 47400 PJ",
    "DATE: 05/01/2018 10:22",
    "TEA 2 8.00",
    "CAKE 1 12.50",
    "SUB TOTAL 20.50",
    "TOTAL GST 1.16",
    "GRAND TOTAL RM 21.65",
    "CASH 50.00",
    "CHANGE 28.35",
)


def page(*lines: str, sure: float = 0.9) -> PageText:
    """Two characters a patch; an empty row of patches between two lines, as between printed ones."""
    rows = [line for printed in lines for line in (printed, "")]
    parts = [[line[at : at + 2] for at in range(0, len(line), 2)] for line in rows]
    words = [[ReadWord(at, at, part, sure) for at, part in enumerate(row)] for row in parts]
    return PageText(words, max(map(len, parts)), (0.0, 0.0, 1.0, 1.0))


def test_the_final_total_the_date_and_the_company_are_found() -> None:
    assert fields(page(*RECEIPT)) == {"total": "21.65", "date": "05/01/2018", "company": "HAPPY SNACKS SDN BHD"}


@pytest.mark.parametrize("said", ["2018-01-05", "05-01-18", "5.1.2018", "05 JAN 2018", "05JAN18"])
def test_dates_are_known_as_people_write_them(said: str) -> None:
    assert fields(page("SHOP OF TEA", f"ON {said} 10:22"))["date"] == said


@pytest.mark.parametrize("said", ["0123456/01/2018", "12/34", "1.50.20", "2018-01/05"])
def test_what_is_no_date_is_not_taken_for_one(said: str) -> None:
    assert fields(page("SHOP OF TEA", said))["date"] == ""


def test_a_letter_read_wrongly_does_not_hide_the_total() -> None:
    assert fields(page("TEA 9.00", "TQTAL 21.65", "CASH 50.00"))["total"] == "21.65"


def test_without_the_word_the_amount_that_occurs_most_is_the_total() -> None:
    assert fields(page("TEA 9.00", "TEA 9.00", "CASH 50.00"))["total"] == "9.00"


def test_nothing_is_made_up_of_an_empty_page() -> None:
    assert fields(page("", "")) == {"total": "", "date": "", "company": ""}


def test_print_that_lies_across_two_rows_of_patches_is_read_as_one() -> None:
    upper = [ReadWord(0, 0, "TO", 0.9), ReadWord(2, 2, "L ", 0.9)]
    lower = [ReadWord(1, 1, "TA", 0.9), ReadWord(2, 2, "1.", 0.4), ReadWord(3, 3, "50", 0.9)]
    texts = [row.text for row in rows_of(PageText([upper, lower], 4, (0.0, 0.0, 1.0, 1.0)))]
    assert texts == ["TO L", "TOTAL 50", "TA1.50"]
