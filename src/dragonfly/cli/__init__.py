"""The command line. Every command imports what it needs when it runs, so that `--help` is instant."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
import typer.main

from dragonfly import __version__

# Panel of the help -> command -> module of this room, and what of it runs. A command that is named imports its own module alone.
PANELS: dict[str, dict[str, tuple[str, str]]] = {
    "Ask": {
        "ask": ("ask", "ask"),
        "chat": ("chat", "chat"),
        "serve": ("serve", "serve"),
        "zoom": ("inspect", "zoom"),
        "info": ("models", "info"),
        "doctor": ("doctor", "doctor"),
        "convert": ("models", "convert"),
    },
    "Train": {
        "train": ("train", "train"),
        "merge": ("train", "merge"),
        "new": ("models", "new"),
        "plan": ("plan", "plan"),
        "presets": ("inspect", "presets"),
        "push": ("push", "push"),
        "inspect": ("train", "inspect_app"),
    },
    "Measure": {
        "eval": ("evaluate", "evaluate"),
        "rescore": ("evaluate", "rescore"),
        "report": ("report", "report"),
        "tasks": ("evaluate", "tasks"),
        "audit": ("audit", "audit"),
    },
    "Data": {"synth": ("synth", "synth"), "curate": ("curate", "curate"), "browse": ("curate", "browse")},
    "Research": {"ablate": ("lab", "ablate"), "reproduce": ("reproduce", "reproduce"), "lab": ("lab", "lab_app")},
}


def application(only: str | None = None) -> typer.Typer:
    """The application with all commands, or with the one that is named where there is such a command."""
    known = {name for commands in PANELS.values() for name in commands}
    app = typer.Typer(
        name="dragonfly",
        help="Ask questions about images at several resolutions, and see where the model looked.",
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback(invoke_without_command=True)(_root)
    for panel, commands in PANELS.items():
        for name, (module, attribute) in commands.items():
            if only in known and name != only:
                continue
            command = getattr(import_module(f"dragonfly.cli.{module}"), attribute)
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name, rich_help_panel=panel)
            else:
                app.command(name, rich_help_panel=panel)(command)
    return app


def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


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
    words = sys.argv[1:] if arguments is None else arguments
    try:
        command: Any = typer.main.get_command(application(words[0] if words else None))
        result = in_words(command).main(args=words, prog_name="dragonfly", standalone_mode=False)
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
