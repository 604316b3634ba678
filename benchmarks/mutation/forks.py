"""Pytest runs in forks of a process that has imported what they need, each in a copy of the tree with one file changed.

Importing torch and transformers takes longer than most tests, so it happens once, before the forks. What is under test must be
imported in the forks alone: `preload` refuses to leave any of it behind.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import math
import os
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest
from mutation.lines import ROOT, Recorder

BUILD = ROOT / "build" / "mutants"
BASE = BUILD / "base"
"""The copy that is never changed."""

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}


class Chosen:
    """A pytest plugin: runs the tests that were chosen and keeps which failed."""

    def __init__(self, tests: Iterable[str]) -> None:
        self.tests = set(tests)
        self.failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self.tests]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.pytest_runtest_logreport(report)

    def pytest_runtest_logreport(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def result(self) -> dict[str, Any]:
        return {"failed": self.failed}


@dataclass
class Run:
    """One pytest run in a fork and in a copy of the tree, with one file of it changed or none."""

    files: list[str]
    plugin: Recorder | Chosen
    limit: float = math.inf  # seconds
    edit: tuple[Path, str] | None = None
    options: tuple[str, ...] = ()
    about: Any = None


@dataclass
class Outcome:
    code: int | None  # pytest's; None if the process died without a word, or was ended
    seconds: float
    timeout: bool
    result: dict[str, Any]

    @property
    def killed(self) -> bool:
        return self.code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)

    @property
    def killer(self) -> str:
        return next(iter(self.result.get("failed", [])), "its time" if self.timeout else "its import or end")


def finish(runs: Iterable[Run], copies: list[Path], scratch: Path) -> Iterator[tuple[Run, Outcome]]:
    """Each run and how it ended, as many at a time as there are copies. A copy is as before when its run has ended."""
    waiting, free = iter(runs), list(copies)
    going: dict[int, tuple[Run, Path, float]] = {}
    try:
        while True:
            while free and (run := next(waiting, None)):
                if not run.files:
                    yield run, Outcome(pytest.ExitCode.NO_TESTS_COLLECTED, 0.0, False, {})
                    continue
                copy = free.pop()
                going[_start(run, copy, scratch)] = run, copy, time.perf_counter()
            if not going:
                return
            time.sleep(0.02)
            for pid, (run, copy, begun) in list(going.items()):
                seconds = time.perf_counter() - begun
                ended = os.waitpid(pid, os.WNOHANG)[0] != 0
                if ended or seconds > run.limit:
                    del going[pid]
                    yield run, _outcome(run, copy, scratch / str(pid), seconds, timeout=not ended)
                    free.append(copy)
    finally:
        for pid in going:
            _end(pid)


def _start(run: Run, copy: Path, scratch: Path) -> int:
    if run.edit:
        (copy / run.edit[0]).write_text(run.edit[1], encoding="utf-8")
    return os.fork() or _in_child(run, copy, scratch)


def _end(pid: int) -> None:
    """End a run and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _outcome(run: Run, copy: Path, own: Path, seconds: float, timeout: bool) -> Outcome:
    """What the process left behind, cleared away, and the copy as it was."""
    pid = int(own.name)
    _end(pid)
    if timeout:
        os.waitpid(pid, 0)
    if run.edit:
        shutil.copy2(BASE / run.edit[0], copy / run.edit[0])  # with its time of change, by which compiled files hold
    report = own.with_suffix(".json")
    code, result = json.loads(report.read_text(encoding="utf-8")) if report.is_file() and not timeout else (None, {})
    shutil.rmtree(own, ignore_errors=True)
    return Outcome(code, seconds, timeout, result)


def _in_child(run: Run, copy: Path, scratch: Path) -> NoReturn:
    """Run pytest and leave its exit code and the plugin's findings in the scratch folder."""
    import hypothesis
    import torch

    own = scratch / str(os.getpid())
    try:
        os.setsid()
        log = os.open(BUILD / f"{copy.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(copy)
        ours = {ROOT, ROOT / "src", ROOT / "benchmarks"}
        sys.path[:] = [str(copy / "src"), str(copy), *(path for path in sys.path if Path(path).resolve() not in ours)]
        os.environ["PYTHONPATH"] = str(copy / "src")
        # A compiled mutant must never be taken for the source, nor for the next mutant.
        sys.dont_write_bytecode = copy != BASE
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1" if copy != BASE else ""
        sys.modules["__main__"] = ModuleType("__main__")  # what a test spawns must not run this program again
        torch.set_num_threads = lambda int: None  # the tests ask for two; the other core has a mutant of its own
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", derandomize=True, database=None, deadline=None, phases=phases)
        hypothesis.settings.load_profile("mutants")
        options = ["-q", "-m", "not slow", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", f"--rootdir={copy}"]
        options += ["-c", str(copy / "pyproject.toml"), f"--basetemp={own}", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = pytest.main([*options, *run.options, *run.files], plugins=[run.plugin])
        own.with_suffix(".json").write_text(json.dumps([int(code), run.plugin.result()]), encoding="utf-8")
        sys.stdout.flush()
    finally:
        os._exit(0)


def preload(modules: Iterable[str]) -> None:
    """Import what the tests import, but nothing that lies in this repository."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    if found := sorted(name for name in sys.modules if name.partition(".")[0] in ("dragonfly", "tests")):
        raise RuntimeError(f"{found[0]} is imported before any mutant is made, so mutants would not be seen")
