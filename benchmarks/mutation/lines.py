"""Which test executes which line of the package, and the CPU time of each: how `mutants.py` chooses the tests of a mutant.

`Recorder` traces one pytest run and `Record` answers from what it found. Lines that run while modules are imported belong to no
test, and so to any that comes near. Knows nothing of mutants, and of the package only where its sources and tests lie.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path("src", "dragonfly")
ENOUGH_CALLS = 30
"""Calls of one function in one test after which its lines are taken as known; tracing costs most in small, hot functions."""

Code = dict[int, tuple[CodeType, set[int]]]
"""The lines seen of each function, by its identity: code objects compare by content, which is slow."""


class Recorder:
    """A pytest plugin: which passing test executes which lines of our functions, and what it costs.

    What a fixture of wider scope executes belongs to every test that asks for it, though one test alone sets it up.
    """

    def __init__(self, source: Path) -> None:
        self.prefix = str(source)
        self.seen: Code = {}
        self.calls: dict[int, int] = {}
        self.tests: dict[str, dict[str, Any]] = {}
        self.shared: dict[str, dict[str, Any]] = {}
        self.apart = 0.0  # seconds that the running test spent on fixtures that others use too
        self.failed: set[str] = set()
        self.imported: dict[str, list[int]] = {}  # lines of functions that ran while the tests were collected

    def _call(self, frame: FrameType, event: str, argument: object) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(self.prefix) or not code.co_flags & 1:  # 1: a function, not a module or class body
            return None
        key = id(code)
        count = self.calls[key] = self.calls.get(key, 0) + 1
        if count > ENOUGH_CALLS:
            return None
        lines = self.seen.setdefault(key, (code, set()))[1]

        def line(frame: FrameType, event: str, argument: object) -> Any:
            lines.add(frame.f_lineno)
            return line

        return line

    def _start(self) -> Code:
        before, self.seen, self.calls = self.seen, {}, {}
        threading.settrace(self._call)
        sys.settrace(self._call)
        return before

    def _lines(self) -> dict[str, list[int]]:
        found: dict[str, set[int]] = defaultdict(set)
        for code, lines in self.seen.values():
            found[code.co_filename.removeprefix(self.prefix).lstrip(os.sep)] |= lines
        return {path: sorted(lines) for path, lines in found.items()}

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        self._start()

    def pytest_collection_finish(self) -> None:
        sys.settrace(None)
        self.imported = self._lines()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> Any:
        self._start()
        self.apart, begun = 0.0, _seconds()
        result = yield
        sys.settrace(None)
        definitions = item._fixtureinfo.name2fixturedefs.values()
        names = [_fixture_name(one[-1]) for one in definitions if one and one[-1].scope != "function"]
        if item.nodeid not in self.failed:
            seconds = _seconds() - begun - self.apart
            self.tests[item.nodeid] = {"seconds": round(seconds, 3), "shared": names, "lines": self._lines()}
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Any:
        if fixturedef.scope == "function":
            return (yield)
        before, begun, apart = self._start(), _seconds(), self.apart
        try:
            return (yield)
        finally:
            row = self.shared.setdefault(_fixture_name(fixturedef), {"seconds": 0.0, "lines": {}})
            for path, lines in self._lines().items():
                row["lines"][path] = sorted({*row["lines"].get(path, ()), *lines})
            seconds = _seconds() - begun
            row["seconds"] += seconds - (self.apart - apart)
            self.apart = apart + seconds
            self._start()
            self.seen = before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.failed.add(report.nodeid)

    def result(self) -> dict[str, Any]:
        places = (sys.prefix, sys.base_prefix)
        modules = [name for name, module in sys.modules.items() if (getattr(module, "__file__", None) or "").startswith(places)]
        found = {"tests": self.tests, "shared": self.shared, "imported": self.imported}
        return {**found, "unused": sorted(self.failed), "modules": modules}


def _seconds() -> float:
    """CPU time of this process and of those that it waited for: other people's load does not make a test dear."""
    return sum(os.times()[:4])


def _fixture_name(definition: Any) -> str:
    return f"{definition.baseid}::{definition.argname}"


class Record:
    """What the traced run found: tests by the line that they execute, and their cost."""

    def __init__(self, parts: list[dict[str, Any]]) -> None:
        self.tests: dict[str, dict[str, Any]] = {}
        self.shared: dict[str, float] = defaultdict(float)
        self.modules = list(dict.fromkeys(name for part in parts for name in part["modules"]))
        self.unused = sorted(name for part in parts for name in part["unused"])
        self.by_line: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.imported: dict[str, set[int]] = defaultdict(set)
        self.masks: dict[str, int] = defaultdict(int)  # of each test, a bit for each line that it executes
        for part in parts:
            for path, numbers in part["imported"].items():
                self.imported[path] |= set(numbers)
            for name, row in part["shared"].items():
                self.shared[name] = max(self.shared[name], row["seconds"])
            for name, row in part["tests"].items():
                self.tests[name] = row
                for lines in (row["lines"], *(part["shared"].get(one, {"lines": {}})["lines"] for one in row["shared"])):
                    for path, numbers in lines.items():
                        for number in numbers:
                            self.by_line[path][number].add(name)
        places = [tests for of_file in self.by_line.values() for tests in of_file.values()]
        for bit, tests in enumerate(places):
            for name in tests:
                self.masks[name] |= 1 << bit

    def covering(self, path: Path, lines: tuple[int, int] | None) -> set[str]:
        """Tests that execute one of the lines (first, last) of a source.

        Where these run only while modules are imported, or for None, all that may meet what they leave behind: those that
        execute any function of the source, or stand in the folder that mirrors its own.
        """
        file, near = str(path.relative_to(SOURCE)), mirrored(path)
        numbers = set(range(lines[0], lines[1] + 1)) if lines else set[int]()
        found = set[str]().union(*(self.by_line[file][number] for number in numbers & set(self.by_line[file])))
        if found or (lines and not numbers & self.imported[file]):
            return found
        return set[str]().union(*self.by_line[file].values()) | {name for name in self.tests if name.startswith(near)}

    def choose(self, path: Path, lines: tuple[int, int] | None, seconds: float) -> tuple[list[str], list[str], float]:
        """(chosen tests, their files in the order to run, seconds that they took).

        Three quarters of the time go to near tests and then to cheap ones, so that most mutants die early; the rest to tests
        that execute most of what these do not, since what a shared line does wrong may show only under one option.
        """
        near, paid = mirrored(path), set[str]()
        left = {name: self.cost(name, paid) for name in self.covering(path, lines)}
        chosen: dict[str, list[str]] = defaultdict(list)
        spent, met = 0.0, 0

        def take(name: str, limit: float) -> None:
            nonlocal spent, met
            more = self.cost(name, paid)
            if not chosen or spent + more <= limit:
                chosen[name.partition("::")[0]].append(name)
                del left[name]
                spent += more
                met |= self.masks[name]
                paid.update(self.tests[name]["shared"])

        for name in sorted(left, key=lambda name: (not name.startswith(near), left[name], name)):
            take(name, 0.75 * seconds)
        while left := {name: cost for name, cost in left.items() if spent + cost <= seconds and self.masks[name] & ~met}:
            take(max(left, key=lambda name: ((self.masks[name] & ~met).bit_count() / (left[name] + 0.01), name)), seconds)
        return [name for names in chosen.values() for name in names], list(chosen), spent

    def cost(self, name: str, paid: set[str]) -> float:
        """Seconds of a test, and of the fixtures that no test before it has paid for."""
        return self.tests[name]["seconds"] + sum(self.shared[one] for one in self.tests[name]["shared"] if one not in paid)


def mirrored(path: Path) -> str:
    """The folder of tests that mirrors a source's, or the nearest one above it that exists."""
    folder = Path("tests", *path.relative_to(SOURCE).parent.parts)
    while not (ROOT / folder).is_dir():
        folder = folder.parent
    return f"{folder.as_posix()}/"
