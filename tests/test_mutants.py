"""benchmarks/mutants.py: which faults are planted, and that a seed plants the same ones again."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import mutants  # noqa: E402  # pyright: ignore[reportMissingImports]
from mutation.edits import changed_lines, mutated, mutations  # noqa: E402  # pyright: ignore[reportMissingImports]

SOURCE = '''"""A module about 3 things."""
import logging
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from here import there as three  # 3

log = logging.getLogger("3")


def ratio(a: "tuple[int, 3]", b: Literal[3] = 4, strict: bool = True) -> Literal[3]:
    """Not 3 + 3."""
    if a.count < b and not strict:
        raise ValueError(f"{a.count + 3} of {b - 3}" + str(3 + 3))
    log.info("%d", 3 + 3)
    a.total = (b + 1) / len(a)
    a.total += 5
    a.clear()
    message = f"{b}" + ("s" if b > 3 else "")
    return min(a.items[1:b]) if a.total else a.rest


class Thing:
    def __repr__(self) -> str:
        return str(3 + 3)
'''


def made(source: str = SOURCE) -> dict[tuple[str, str], int]:
    """(kind, what the line becomes) of every mutation that compiles, and its line."""
    return {(one.kind, changed_lines(source, one)[1]): one.line for one in mutations(source) if mutated(source, one) is not None}


def test_each_kind_of_fault_is_made_and_no_wording_is_touched() -> None:
    head = 'def ratio(a: "tuple[int, 3]", b: Literal[3] = {}, strict: bool = {}) -> Literal[3]:'
    assert made() == {
        ("default", head.format(5, True)): 11,
        ("default", head.format(4, False)): 11,
        ("negation", "if not (a.count < b and not strict):"): 13,
        ("comparison", "if a.count <= b and not strict:"): 13,
        ("boolean", "if a.count < b or not strict:"): 13,
        ("negation", "if a.count < b and strict:"): 13,
        ("statement", "pass"): 18,  # lines 16 and 17 become the same
        ("arithmetic", "a.total = (b - 1) / len(a)"): 16,
        ("constant", "a.total = (b + 2) / len(a)"): 16,
        ("arithmetic", "a.total = (b + 1) * len(a)"): 16,
        ("divisor", "a.total = (b + 1)"): 16,
        ("constant", "a.total += 6"): 17,
        ("swap", "return (a.rest) if (a.total) else (min(a.items[1:b]))"): 20,
        ("min-max", "return max(a.items[1:b]) if a.total else a.rest"): 20,
        ("constant", "return min(a.items[2:b]) if a.total else a.rest"): 20,
        ("slice", "return min(a.items[1:b + 1]) if a.total else a.rest"): 20,
    }
    assert sum(one.kind == "statement" for one in mutations(SOURCE)) == 3


def test_a_test_meets_a_fault_by_the_lines_of_its_statement_or_a_default_by_those_of_the_body() -> None:
    lines = {one.kind: one.lines for one in mutations(SOURCE)}
    assert (lines["default"], lines["comparison"], lines["swap"]) == ((12, 20), (13, 13), (20, 20))
    assert [one.lines for one in mutations("class A:\n    size: int = 3\n")] == [None]


def test_a_seed_draws_the_same_mutants_again() -> None:
    drawn = mutants.draw(["vision"], 3, ROOT)
    assert drawn == mutants.draw(["vision"], 3, ROOT) != mutants.draw(["vision"], 4, ROOT)
    for package, path, mutation in drawn[:50]:
        source = (ROOT / path).read_text(encoding="utf-8")
        text = mutated(source, mutation)
        assert package == "vision" and text is not None and text != source
        if mutation.kind != "statement":
            assert text.count("\n") == source.count("\n")  # what is reported is the line that stands there


def test_every_package_has_sources() -> None:
    found = [path for package in mutants.PACKAGES for path in mutants.sources(package, ROOT)]
    assert len(found) == len(set(found)) > 50
