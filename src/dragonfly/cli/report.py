"""`dragonfly report`: finished runs as a page, alone or beside each other, and how `eval` shows the run it has finished."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that `dragonfly eval` wrote.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a Markdown page too.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one HTML file with plots and examples too.")] = None,
    reported: Annotated[bool, typer.Option("--reported", help="Set what the papers report beside our scores.")] = False,
    examples: Annotated[int, typer.Option(help="Successes, and failures, of each task in the HTML file.")] = 4,
    json: common.Json = False,
) -> int:
    """
    Show a run, or several side by side, each tested against the first.

    Examples:

      dragonfly report runs/dev --reported

      dragonfly report runs/before runs/after -o comparison.md --html comparison.html
    """
    from dragonfly.evaluation import compare
    from dragonfly.evaluation import report as pages

    runs = pages.open_runs(folders)
    comparison = compare(folders) if len(runs) > 1 else None
    if output is not None:
        pages.write_markdown(pages.page(runs, comparison, with_reported=reported), output)
        common.say(f"report: {output}")
    if html is not None:
        pages.write_html(runs, html, comparison, with_reported=reported, examples=examples)
        common.say(f"report: {html}")
    if json:
        common.print_json(_document(runs, comparison, reported))
        return 0
    if comparison is None:
        print_tables(runs[0])
    else:
        _print_comparison(runs, comparison)
    if reported:
        _print_reported(runs)
    return 0


def _print_comparison(runs: list[Any], comparison: dict[str, Any]) -> None:
    from dragonfly.evaluation import report as pages

    for task, columns in comparison["tasks"].items():
        common.print_table(task, pages.comparison_rows(comparison, task, [{"tasks": run.scores} for run in runs]))
        typer.echo(pages.comparison_verdict(task, columns, [run.label for run in runs]))
    for task in comparison["left_out"]:
        common.say(f"note: {task} is not in every run")


def show_comparison(folders: list[Path], page: Path, *, as_json: bool) -> None:
    """Print finished runs beside the first of them, and write the page."""
    from dragonfly.evaluation import compare
    from dragonfly.evaluation import report as pages

    runs, comparison = pages.open_runs(folders), compare(folders)
    pages.write_markdown(pages.page(runs, comparison), page)
    if as_json:
        common.print_json(comparison)
    else:
        _print_comparison(runs, comparison)
    common.say(f"report: {page}")


def show_run(scores: dict[str, Any], folder: Path, *, as_json: bool, brief: bool = False) -> int:
    """Print the scores, or a line of each task where `brief`, and write report.md; 1 where questions could not be asked."""
    from dragonfly.evaluation import report as pages

    run = write_report(folder)
    broken = [(name, row) for name, task in scores["tasks"].items() for row in task["broken"]]
    unreadable = [row for task in scores["tasks"].values() for row in task.get("unreadable", ())]
    if as_json:
        common.print_json(scores)
    elif brief:
        for name, task in run.scores.items():
            typer.echo(f"{folder.name}: {pages.headline(name, task)}")
    else:
        print_tables(run)
    for name, row in broken:
        common.say(f"{name} {row['id']}: {row['error']}")
    if broken:
        common.say(f"{len(broken)} questions could not be asked and count as wrong")
    for row in unreadable:
        common.say(row)
    if unreadable:
        count = "1 row is" if len(unreadable) == 1 else f"{len(unreadable)} rows are"
        common.say(f"{count} no question, and left out; repair the data and choose another --out")
    common.say(f"scores, report and predictions: {folder}")
    if not brief:
        common.say(f"next: dragonfly report {shlex.quote(str(folder))} --html {shlex.quote(f'{folder}.html')}")
    return 1 if broken or unreadable else 0


def write_report(folder: Path) -> Any:
    """Write a run's report.md and return the run."""
    from dragonfly.evaluation import report as pages

    run = replace(pages.open_run(folder), costs={})  # costs differ from time to time, report.md shall not
    pages.write_markdown(pages.page([run]), folder / "report.md")
    return run


def print_tables(run: Any) -> None:
    """The overall scores, then a table per task and the first metric of each breakdown; a page has all metrics."""
    from dragonfly.evaluation import report as pages

    for name, task in run.scores.items():
        typer.echo(pages.headline(name, task))
        typer.echo(run.verdict(name))
    for name, task in run.scores.items():
        common.print_table(name, pages.short_rows(task))
        for key in pages.breakdown_keys(task):
            common.print_table(f"{name} by {key}", pages.breakdown_rows(task, key, [pages.headline_metric(task)]))
    modalities = pages.modality_rows(run.scores)
    if len(modalities) > 1:
        common.print_table("modalities", modalities)


def _print_reported(runs: list[Any]) -> None:
    """The papers' own model alone, for a terminal's width; what differs in the protocol below each table."""
    from dragonfly.evaluation import report as pages

    for run in runs:
        for name, task in run.scores.items():
            rows = pages.reported_rows(name, task, own=True)
            if len(rows) > 1:
                title = f"{name}, reported" if len(runs) == 1 else f"{name}, reported, beside {run.label}"
                common.print_table(title, [row[:5] for row in rows])
                for line in dict.fromkeys(f"{row[2]}: {row[7]}" for row in rows[1:]):
                    typer.echo(line)


def _document(runs: list[Any], comparison: dict[str, Any] | None, with_reported: bool) -> dict[str, Any]:
    from dragonfly.evaluation import report as pages

    document = comparison or {"runs": [{"folder": run.label, "model": run.settings["model"].get("name", "")} for run in runs]}
    document = {**document, "scores": [run.scores for run in runs], "costs": [run.costs for run in runs]}
    if with_reported:
        named = {name for run in runs for name in run.scores}
        document["reported"] = [asdict(figure) for figure in pages.reported() if named & set(figure.beside)]
    return document
