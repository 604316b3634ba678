"""What is asked of scanned pages is counted by kind, beside another image and the commonest answer."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

from measure_reading import Page  # pyright: ignore[reportMissingImports]
from measure_scans import Row, how_sure, measure, receipt_rows, shown  # pyright: ignore[reportMissingImports]


class Knows:
    """Says what it knows of an image and a question, and looked at the left half of it."""

    def __init__(self, said: dict[tuple[str, str], str]) -> None:
        self.said = said

    def ask(self, image: str, question: str, **_: Any) -> Any:
        halves = [
            SimpleNamespace(box=(0.0, 0.0, 50.0, 100.0), score=1.0, kept=True),
            SimpleNamespace(box=(50.0, 0.0, 100.0, 100.0), score=0.5, kept=False),
        ]
        return SimpleNamespace(text=self.said.get((image, question), "nothing"), selections=[halves], confidence=0.9)


def test_kinds_are_counted_beside_another_image_and_the_commonest_answer() -> None:
    rows = [
        Row("a", "total?", "4.50", "total", (0.0, 0.0, 40.0, 10.0)),
        Row("b", "date?", "1 May", "date", (30.0, 0.0, 90.0, 10.0)),
        Row("c", "total?", "9.00", "total"),
        Row("d", "date?", "2 May", "date"),
    ]
    engine = Knows({("a", "total?"): "4.50", ("b", "date?"): "1 MAY", ("d", "date?"): "1 May", ("c", "total?"): "4.50"})
    found = measure(engine, rows)
    assert found["total"] == {
        "asked": 2,
        "image": 50.0,
        "another_image": 50.0,  # of "a" it is said of "c" too
        "commonest_answer": 50.0,
        "line_kept": 100.0,
        "line_in_four": 100.0,
        "of": 1,
    }
    assert (found["date"]["image"], found["date"]["another_image"]) == (50.0, 50.0)
    assert (found["date"]["line_kept"], found["date"]["of"]) == (0.0, 1)  # two thirds of that line lie in what was left out
    assert (found["all"]["asked"], found["all"]["image"], found["all"]["commonest_answer"]) == (4, 50.0, 50.0)
    assert found["all"]["calibration"] == {"bins": [{"answers": 4, "confidence": 0.9, "exact": 0.5}], "expected_error": 0.4}


def test_a_line_is_among_those_of_the_greatest_score() -> None:
    parts = [SimpleNamespace(box=(10.0 * at, 0.0, 10.0 * at + 10, 10.0), score=float(at), kept=at > 0) for at in range(6)]
    answer: Any = SimpleNamespace(selections=[parts])
    assert shown(answer, (12.0, 0.0, 18.0, 10.0)) and not shown(answer, (12.0, 0.0, 18.0, 10.0), 4)
    assert shown(answer, (21.0, 0.0, 39.0, 10.0), 4) and not shown(answer, (1.0, 0.0, 9.0, 10.0))


def test_an_answer_that_stands_in_two_lines_has_no_evidence() -> None:
    lines = [((0.0, 0.0, 9.0, 9.0), "TOTAL 4.50"), ((0.0, 10.0, 9.0, 19.0), "CASH 4.50"), ((0.0, 20.0, 9.0, 29.0), "1 may 2018")]
    answers = {"total": "4.50", "date": "1 MAY 2018", "address": "x"}
    page = Page(Image.new("L", (30, 30)), lines, answers, {name: f"the {name}?" for name in answers})
    rows = {row.kind: row for row in receipt_rows(iter([page]))}
    assert {row.question for row in rows.values()} == {"the total?", "the date?"} and rows.keys() == {"total", "date"}
    assert rows["total"].evidence is None and rows["date"].evidence == lines[2][0]


def test_what_it_is_sure_of_is_told_apart() -> None:
    shares = ((10, 0.9, 0.8), (30, 0.85, 1.0), (40, 0.5, 0.1))
    bins = [{"answers": answers, "confidence": sure, "exact": exact} for answers, sure, exact in shares]
    said = how_sure({"bins": bins, "expected_error": 0.25})
    assert said.startswith("off by 25.0% (by chance ") and said.endswith(
        "of the 40 answers of confidence 0.8 or more, 95% are right"
    )
