"""Run a study: every job that is not finished, in one process or several, then the report.

A sweep (`dragonfly lab sweep`) evaluates one checkpoint under many encoders; an ablation (`dragonfly ablate`) trains them.
`result.json`, `report.md` and `pareto.png` in the study's folder cover the finished jobs; a later run covers more.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from dragonfly.evaluation import Judge
from dragonfly.files import write_json, write_text

from .deadline import Deadline, OutOfTime
from .report import draw, report
from .results import collect
from .study import Study
from .trials import Say, StudyRun, do, holder, prepare

RESULT, REPORT, PLOT = "result.json", "report.md", "pareto.png"
WAIT = 2.0  # seconds between two attempts at jobs that other workers hold


def run_sweep(study: Study, out: Path, **options: Any) -> dict[str, Any]:
    """`run_study` for a study that trains nothing; ValueError for one that does."""
    if study.recipe is not None:
        raise ValueError(f"study '{study.name}' trains its variants; run it with `dragonfly ablate {study.name} -o DIR`")
    return run_study(study, out, **options)


def run_ablation(study: Study, out: Path, **options: Any) -> dict[str, Any]:
    """`run_study` for a study that trains its variants; ValueError for one that does not."""
    if study.recipe is None:
        raise ValueError(f"study '{study.name}' trains nothing; run it with `dragonfly lab sweep {study.name} -o DIR`")
    return run_study(study, out, **options)


def run_study(
    study: Study,
    out: Path,
    *,
    variant: str | None = None,
    workers: int = 1,
    minutes: float | None = None,
    judge: Judge | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Run or resume a study and write its report.

    Args:
        study: the study.
        out: its folder; what is finished there is not done again.
        variant: run this variant alone; None for all.
        workers: processes that share the jobs.
        minutes: stop cleanly after so long, with what is done on the disk; None for no limit.
        judge: grades the replies to judged test sets.
        say: receives one line of progress at a time.

    Returns:
        The content of `result.json`; `unfinished` names the jobs that are left.

    Raises:
        ValueError: for a study that cannot be run, or a folder that holds another one.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    jobs = study.jobs(variant)
    known = prepare(study, out, judge)
    if workers == 1:
        _work(known, jobs, Deadline(minutes), say)
    else:
        _share(study, out, jobs, workers, minutes, judge)
    result = collect(known)
    write(result, study, out)
    return result


def write(result: dict[str, Any], study: Study, out: Path) -> None:
    """Write result.json and the report and plot that follow from it."""
    if result["variants"]:
        draw(result, study.conclusions[0].measure if study.conclusions else next(iter(study.measures)), out / PLOT)
    write_json(out / RESULT, result)
    write_text(out / REPORT, report(result, PLOT if result["variants"] else None))


def _work(setup: StudyRun, jobs: list[tuple[str, int]], deadline: Deadline, say: Say) -> None:
    """Do the jobs one by one. Jobs that another worker holds are tried again at the end, until it has finished or died."""
    left, announced = list(jobs), False
    try:
        while left:
            held = [job for job in left if not do(setup, *job, deadline, say)]
            if len(held) == len(left):
                deadline.check()
                if not announced:
                    say("; ".join(f"{variant}, seed {seed}: held by {holder(setup, variant, seed)}" for variant, seed in held))
                    announced = True
                time.sleep(WAIT)
            left = held
    except OutOfTime:
        say("the time is up; the same command resumes from here")


def _share(
    study: Study, out: Path, jobs: list[tuple[str, int]], workers: int, minutes: float | None, judge: Judge | None
) -> None:
    """`_work` in several processes, each with its part of the cores."""
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    each = [context.Process(target=_worker, args=(study, out, jobs, minutes, threads, judge)) for _ in range(workers)]
    for process in each:
        process.start()
    for process in each:
        process.join()
    if failed := [process.exitcode for process in each if process.exitcode]:
        raise ValueError(f"{len(failed)} of {workers} workers failed (exit {failed[0]}); their errors are printed above")


def _worker(
    study: Study, out: Path, jobs: list[tuple[str, int]], minutes: float | None, threads: int, judge: Judge | None
) -> None:
    import torch

    torch.set_num_threads(threads)
    _work(prepare(study, out, judge), jobs, Deadline(minutes), print)
