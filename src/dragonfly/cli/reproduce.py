"""`dragonfly reproduce`: a table of the paper, from raw data to the numbers beside it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from dragonfly.cli import common
from dragonfly.cli.evaluate import JudgeModel, JudgeUrl, judge_of

MODULES = {"dragonfly": "dragonfly", "torchrun": "torch.distributed.run"}

Execute = Callable[[Sequence[str]], int]


def reproduce(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="table1 to table6, as the paper numbers them.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value ...]", help="Values that overrule every recipe's.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="v1 or v2, for the tables that score one model; v1 if not given.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print the steps: command, state, hours, memory.")] = False,
    gpus: Annotated[int, typer.Option(min=1, help="Devices that a stage is trained on.")] = 8,
    device: Annotated[str, typer.Option(help="Their kind, for hours and memory; see `dragonfly plan --help`.")] = "H100",
    benchmarks: Annotated[str, typer.Option(help="Folder with the files of the benchmarks.")] = "data/benchmarks",
    without: Annotated[list[str] | None, typer.Option(help="Leave out this task. Repeatable.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first questions of each task.")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer in tokens; each task's own if not given.")
    ] = None,
    tower: Annotated[str | None, typer.Option(help="Begin with this vision tower.")] = None,
    language_model: Annotated[str | None, typer.Option(help="Begin with this language model.")] = None,
    judge: JudgeUrl = None,
    judge_model: JudgeModel = None,
    json: common.Json = False,
) -> int:
    """
    Do all that leads to a table of the paper, and print ours beside it. A finished step is not done again.

    Every step is a command of its own; --plan prints them with hours and memory. The folders data/ and runs/ are those below
    the working directory.

    Examples:

      dragonfly reproduce table3 --plan

      dragonfly reproduce table2 --preset v2 --without mmvet

      dragonfly reproduce table1 --judge https://api.openai.com/v1 --judge-model NAME
    """
    from dragonfly.research.reproduce import Request

    grader = judge_of(judge, judge_model)
    options: dict[str, Any] = {"preset": preset, "gpus": gpus, "benchmarks": benchmarks, "limit": limit}
    options |= {
        "max_new_tokens": max_new_tokens,
        "tower": tower,
        "language_model": language_model,
        "judge": (grader.url, grader.model) if grader else None,
    }
    request = Request(table, without=tuple(without or ()), changes=tuple(changes or ()), **options)
    if plan:
        _print_plan(request, device, json)
        return 0
    request.check_judge()
    return run(request, execute, json)


def execute(words: Sequence[str]) -> int:
    """Run one command line in a process of its own, so that it leaves nothing on a device; its exit code."""
    return subprocess.run([sys.executable, "-m", MODULES[words[0]], *words[1:]], check=False).returncode


def run(request: Any, execute: Execute, json: bool = False) -> int:
    """Do the steps that are not finished, then write and print the table. The exit code of the first step that fails."""
    from dragonfly.research.lab.chain import PER_NODE
    from dragonfly.research.reproduce import beside, steps_of, write_beside

    steps = steps_of(request)
    for number, step in enumerate(steps, start=1):
        line = shlex.join(step.words) or f"data at {step.outputs[0]}"
        if step.done:
            common.say(f"{number}/{len(steps)} done: {line}")
            continue
        if not step.words:
            raise ValueError(f"no data at {step.outputs[0]}, and no shipped mix is written there; bring your own rows")
        if step.kind == "train" and request.gpus > PER_NODE:
            raise ValueError(f"step {number} runs on several machines: start `{line}` there, then run this command again")
        common.say(f"{number}/{len(steps)} {line}")
        if code := execute(step.words):
            common.say(f"step {number} ended with {code}; the same command resumes from here")
            return code
        if not step.done:
            raise ValueError(f"step {number} ended without {step.outputs[0]}; run it by itself to see why: {line}")
    found = beside(request)
    page = write_beside(request, found)
    if json:
        typer.echo(page.with_suffix(".json").read_text(encoding="utf-8"))
        return 0
    common.print_table(f"{found.title} of the paper, and ours, % with 95 % interval", found.rows)
    common.print_table(None, found.measures)
    for mark in found.marks:
        common.say(f"note: {mark}")
    common.say(f"table: {page}")
    return 0


def _print_plan(request: Any, device: str, json: bool) -> None:
    from dragonfly.research.reproduce import steps_of
    from dragonfly.research.reproduce.cost import ASSUMED, costs_of

    steps = steps_of(request)
    costs = costs_of(request, steps, device)
    if json:
        keys = ("kind", "command", "done", "outputs", "rows", "hours", "memory_bytes", "note")
        values = [
            (step.kind, list(step.words), step.done, [*map(str, step.outputs)], cost.rows, cost.hours, cost.memory, cost.note)
            for step, cost in zip(steps, costs, strict=True)
        ]
        common.print_json([dict(zip(keys, one, strict=True)) for one in values])
        return
    for number, (step, cost) in enumerate(zip(steps, costs, strict=True), start=1):
        typer.echo(f"{number}. {shlex.join(step.words) or f'bring your own: rows at {step.outputs[0]}'}")
        facts = ["done" if step.done else "to do"]
        facts += [f"{cost.rows:,} rows"] if cost.rows is not None else []
        facts += [f"{cost.hours:,.1f} hours on {request.gpus} x {device}"] if cost.hours is not None else []
        facts += [f"{cost.memory / 1e9:,.1f} GB of a device"] if cost.memory is not None else []
        typer.echo(f"   {'; '.join([*facts, *([cost.note] if cost.note else [])])}")
    hours = [cost.hours for step, cost in zip(steps, costs, strict=True) if step.kind == "train" and not step.done]
    if hours:
        known = sum(one for one in hours if one is not None)
        missing = "" if None not in hours else f", without {sum(one is None for one in hours)} trainings whose rows are not known"
        typer.echo(f"\nTraining still to do: {known:,.1f} hours on {request.gpus} x {device}{missing}.")
    typer.echo(f"Estimates by `dragonfly plan`, for {ASSUMED}.")
