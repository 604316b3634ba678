"""docs/fidelity.md names every item once, decides it, and lists only tests that exist."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

ITEMS = 33
WITHOUT_A_TEST = {27, 28}  # faults of training scripts that have no counterpart here
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[tuple[int, str, str, str]]:
    text = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
    return [(int(number), *rest) for number, *rest in ROW.findall(text)]  # pyright: ignore[reportReturnType]


def test_every_item_stands_once_and_in_order() -> None:
    assert [number for number, *_ in rows()] == list(range(1, ITEMS + 1))


def test_every_item_is_decided() -> None:
    undecided = [number for number, _, here, _ in rows() if not re.match(r"(KEEP|FIX|NOTE)\b", here)]
    assert undecided == []


def test_every_item_has_a_test_or_says_why_not() -> None:
    bare = {number for number, _, _, tests in rows() if not TEST.search(tests)}
    assert bare == WITHOUT_A_TEST
    assert all(tests.startswith("none: ") for number, _, _, tests in rows() if number in bare)


def test_every_listed_test_exists() -> None:
    listed = {match for *_, tests in rows() for match in TEST.findall(tests)}
    missing = [f"{file}::{name}" for file, name in sorted(listed) if name not in functions(file)]
    assert missing == []


def functions(file: str) -> set[str]:
    path = ROOT / file
    if not path.is_file():
        return set()
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}
