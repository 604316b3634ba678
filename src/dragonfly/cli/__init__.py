"""The command line. Every command imports what it needs when it runs, so that `--help` is instant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
import typer.main

from dragonfly import __version__
from dragonfly.cli import (
    ask,
    audit,
    chat,
    curate,
    doctor,
    evaluate,
    inspect,
    lab,
    models,
    plan,
    push,
    report,
    reproduce,
    serve,
    synth,
    train,
)

app = typer.Typer(
    name="dragonfly",
    help="Ask questions about images at several resolutions, and see where the model looked.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


PANELS: dict[str, tuple[Callable[..., int], ...]] = {
    "Ask": (ask.ask, chat.chat, serve.serve, inspect.zoom, models.info, doctor.doctor, models.convert),
    "Train": (train.train, train.merge, models.new, plan.plan, inspect.presets, push.push),
    "Measure": (evaluate.evaluate, evaluate.rescore, report.report, evaluate.tasks, audit.audit),
    "Data": (synth.synth, curate.curate, curate.browse),
    "Research": (lab.ablate, reproduce.reproduce),
}
for panel, commands in PANELS.items():
    for command in commands:
        app.command("eval" if command is evaluate.evaluate else None, rich_help_panel=panel)(command)
app.add_typer(train.inspect_app, rich_help_panel="Train")
app.add_typer(lab.lab_app, rich_help_panel="Research")

# What the help calls the type of an option that says nothing of its own.
_WORDS = {"str": "TEXT", "int": "N", "float": "NUMBER", "path": "PATH", "file": "PATH", "Path": "PATH", "bool": ""}


def in_words(command: Any) -> Any:
    """The command and those under it, with types of options in words: typer writes `<list[str]>` and `<int range>`."""
    parameters = command.get_params

    def shown(context: Any) -> Any:
        return [_in_words(parameter) for parameter in parameters(context)]  # `--help` is among them

    command.get_params = shown
    for inner in getattr(command, "commands", {}).values():
        in_words(inner)
    return command


def _in_words(parameter: Any) -> Any:
    written = getattr(parameter, "display_type", None)  # of newer versions alone; older ones write words themselves
    if written is not None and parameter.param_type_name == "argument":
        parameter.display_type_rich = lambda ctx: None  # its name says it
    elif written is not None and parameter.metavar is None:
        label = written(None).strip("<>").removesuffix(" range")
        parameter.metavar = _WORDS.get(label.removeprefix("list[").removesuffix("]"), label)
    return parameter


def run(arguments: list[str] | None = None) -> int:
    """Run the application and return the exit code; a fault in the usage is one line and 2."""
    try:
        command: Any = typer.main.get_command(app)
        result = in_words(command).main(args=arguments, prog_name="dragonfly", standalone_mode=False)
    except typer.Abort:
        typer.echo("interrupted", err=True)
        return 130
    except Exception as error:
        message = getattr(error, "format_message", None)  # typer's own usage faults; it keeps their classes private
        if message is None:
            raise
        context = getattr(error, "ctx", None)
        typer.echo(f"error: {message()}" + (f" (see `{context.command_path} --help`)" if context else ""), err=True)
        return 2
    return result if isinstance(result, int) else 0
