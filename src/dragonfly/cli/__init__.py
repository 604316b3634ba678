"""The command line. Every command imports what it needs when it runs, so that `--help` is instant."""

from __future__ import annotations

import typer

from dragonfly import __version__
from dragonfly.cli import ask, chat, curate, doctor, evaluate, inspect, lab, models, plan, push, report, serve, synth, train

app = typer.Typer(
    name="dragonfly",
    help="Ask questions about images at several resolutions, and see where the model looked.",
    add_completion=False,
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


for command in (
    ask.ask,
    chat.chat,
    serve.serve,
    inspect.zoom,
    plan.plan,
    inspect.presets,
    models.info,
    models.new,
    doctor.doctor,
    push.push,
    models.convert,
    evaluate.rescore,
    report.report,
    evaluate.tasks,
    synth.synth,
    train.train,
    train.merge,
    curate.curate,
    curate.browse,
    lab.ablate,
):
    app.command()(command)
app.command("eval")(evaluate.evaluate)
app.add_typer(train.inspect_app)
app.add_typer(lab.lab_app)


def run(arguments: list[str] | None = None) -> int:
    """Run the application and return the exit code; a fault in the usage is one line and 2."""
    try:
        result = app(args=arguments, prog_name="dragonfly", standalone_mode=False)
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
