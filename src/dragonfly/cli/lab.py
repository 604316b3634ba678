"""`dragonfly lab ...` and `dragonfly ablate`: which sub-images are worth keeping, and what an encoder brings and costs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common

lab_app = typer.Typer(name="lab", help="Studies: which sub-images are worth keeping.", no_args_is_help=True)


def _words(text: str | None) -> list[str]:
    return [word for word in (part.strip() for part in (text or "").split(",")) if word]


@lab_app.command("recall")
def recall(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A manifest with evidence.")],
    model: common.Model = None,
    policies: Annotated[str | None, typer.Option(help="Comma-separated; all if not given.")] = None,
    keep: Annotated[str, typer.Option(help="Numbers kept, comma-separated.")] = "1,2,3",
    scope: Annotated[str | None, typer.Option(help="region or picture; the model's own if not given.")] = None,
    by: Annotated[list[str] | None, typer.Option(help="Break down by this meta key. Repeatable.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first questions.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the result as JSON.")] = None,
    json: common.Json = False,
    device: common.Device = "auto",
    set: common.Overrides = None,
) -> int:
    """
    How often each policy keeps what holds the answer. The language model is not run.

    Examples:

      dragonfly lab recall data/dev

      dragonfly lab recall data/dev --policies detail,centred --keep 1,3 --by kind -o recall.json
    """
    from dragonfly.files import write_json
    from dragonfly.inference import load
    from dragonfly.lab import recall as study

    names = study.check_policies(_words(policies))
    numbers = _numbers("keep", keep)
    study.read_located(data, 1)  # a fault of the data shows before the model is loaded
    engine = load(model, device=device, overrides=set or ())
    with _bar("choosing") as progress:
        found = study.recall(engine, data, policies=names, keep=numbers, scope=scope, by=by or (), limit=limit, progress=progress)
    if output is not None:
        write_json(output, found)
        common.say(f"result: {output}")
    if json:
        common.print_json(found)
    else:
        _print_recall(found)
    return 0


def _numbers(option: str, text: str) -> list[int]:
    words = _words(text)
    if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f"--{option} takes whole numbers of at least 1, comma-separated, got '{text}'; such as 1,2,3")
    return [int(word) for word in words]


def _print_recall(found: dict[str, Any]) -> None:
    from dragonfly.lab.tables import recall_rows

    data, of = found["data"], "/".join(map(str, found["high"]))
    typer.echo(
        f"{data['questions']} questions about {data['pictures']} pictures; kept of {of} high sub-images per {found['scope']}"
    )
    _print_table("share of questions whose evidence is kept, % with 95 % interval", recall_rows(found))
    if found["without_high_level"]:
        common.say(f"note: {found['without_high_level']} questions have no high level and are left out")
    if (found["shared_mean"] or "checkpoint") != "checkpoint":
        common.say(f"note: the model has no shared mean; 'centred' took that of {found['shared_mean']}")


def _print_table(title: str, rows: list[list[str]]) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows[1:]:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@contextmanager
def _bar(label: str) -> Generator[Callable[[int, int], None]]:
    """A bar on standard error; calls of (done, total) move it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
