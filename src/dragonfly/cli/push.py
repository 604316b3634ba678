"""`dragonfly push`: a model directory to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragonfly.cli import common


def push(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A model directory.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Where it goes; made if it is not there.")],
    public: Annotated[bool, typer.Option("--public", help="A new repository is private without this.")] = False,
    licence: Annotated[str | None, typer.Option("--license", help="For the card: a word of the hub, such as mit.")] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Of the commit.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the files and the card, and send nothing.")] = False,
) -> int:
    """
    Upload a model with its card to the Hugging Face hub, private if new.

    A README.md in the directory is the card; else one is made from dragonfly.json.
    The token is HF_TOKEN; HF_ENDPOINT names another hub. Only the model goes up:
    no checkpoints, no logs. Files that changed since they were saved are refused.

    Examples:

      dragonfly push ./mine me/my-dragonfly --dry-run

      dragonfly push ./mine me/my-dragonfly --license mit
    """
    from dragonfly.inference import push as hub

    if dry_run:
        names = ", ".join(file.name for file in hub.checked_files(directory))
        common.say(f"would send {names} and this card ({'public' if public else 'private'} if new):")
        typer.echo(hub.card_of(directory, repo, licence), nl=False)
        return 0
    common.say(f"pushed: {hub.push(directory, repo, public=public, licence=licence, message=message)}")
    return 0
