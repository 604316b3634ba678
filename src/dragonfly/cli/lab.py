"""`dragonfly lab`: studies of which sub-images are worth keeping."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragonfly.cli import common

lab_app = typer.Typer(name="lab", help="Study which sub-images are worth keeping.", no_args_is_help=True)


@lab_app.command("calibrate")
def calibrate(
    model: Annotated[str, typer.Argument(help="Model directory or hub name; 'nano' for the bundled model.")],
    data: Annotated[str, typer.Argument(help="Rows with pictures: a manifest, or a file or folder that training reads.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new model directory.")],
    limit: Annotated[int, typer.Option(help="Most pictures to look at.")] = 500,
    set: common.Overrides = None,
    device: common.Device = "auto",
) -> int:
    """
    Give a model the shared mean that policy `centred` needs, from pictures alone, and write it as a new directory.

    Examples:

      dragonfly lab calibrate ./my-model rows.json -o ./my-model-centred
    """
    from dragonfly.lab.calibration import calibrate_model

    done = calibrate_model(None if model == "nano" else model, data, output, limit=limit, overrides=set or (), device=device)
    typer.echo(f"{output}: {done.summary()}")
    return 0
