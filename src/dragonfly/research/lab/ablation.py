"""A whole study: every job that is not finished, alone or among several workers, then the report.

`report.md`, `result.json` and `pareto.png` in the study's folder cover the jobs that are finished; run again, they cover more.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from dragonfly.files import write_json, write_text

from .deadline import Deadline, OutOfTime
from .pareto import draw
from .report import report
from .results import collect
from .study import Study
from .trials import Say, StudyRun, do, plan

RESULT, REPORT, PLOT = "result.json", "report.md", "pareto.png"
WAIT = 2.0  # seconds between looks at jobs that others have


def run_study(
    study: Study,
    out: Path,
    *,
    variant: str | None = None,
    workers: int = 1,
    minutes: float | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Do or finish a study in `out` and return its result; one variant alone if named. Stops in order after `minutes`.

    Raises:
        ValueError: for a study that cannot be run, or a folder that holds another one.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    known = plan(study, out)
    jobs = study.jobs(variant)
    deadline = Deadline(minutes)
    if workers == 1:
        _work(known, jobs, deadline, say)
    else:
        _share(study, out, jobs, workers, minutes)
    result = collect(known)
    write(result, study, out)
    return result


def write(result: dict[str, Any], study: Study, out: Path) -> None:
    """result.json, and the page and the plot that follow from it."""
    if result["variants"]:
        draw(result, study.conclusions[0].measure if study.conclusions else next(iter(study.measures)), out / PLOT)
    write_json(out / RESULT, result)
    write_text(out / REPORT, report(result, PLOT if result["variants"] else None))


def _work(plan: StudyRun, jobs: list[tuple[str, int]], deadline: Deadline, say: Say) -> None:
    """Go through the jobs until none is left or the time is; what another worker has is waited for at the end."""
    waiting = list(jobs)
    try:
        while waiting:
            busy = [job for job in waiting if not do(plan, *job, deadline, say)]
            if len(busy) == len(waiting):
                deadline.check()
                time.sleep(WAIT)
            waiting = busy
    except OutOfTime:
        say("the time is up; the same command resumes from here")


def _share(study: Study, out: Path, jobs: list[tuple[str, int]], workers: int, minutes: float | None) -> None:
    """As `_work` in several processes, each with its part of the cores."""
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    each = [context.Process(target=_worker, args=(study, out, jobs, minutes, threads)) for _ in range(workers)]
    for process in each:
        process.start()
    for process in each:
        process.join()
    if failed := [process.exitcode for process in each if process.exitcode]:
        raise ValueError(f"{len(failed)} of {workers} workers failed (exit {failed[0]}); their faults stand above")


def _worker(study: Study, out: Path, jobs: list[tuple[str, int]], minutes: float | None, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    _work(plan(study, out), jobs, Deadline(minutes), print)
