"""`dragonfly curate` and `browse`: from raw data sets to a training set, and a page to look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragonfly.cli import common


def curate(
    mix: Annotated[str, typer.Argument(metavar="MIX", help="A YAML file, or the name of a shipped mix.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value ...]", help="Values that overrule the mix's.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A new folder for the set.")] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster; `auto` for the one here.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Shares to deal the work out in; changes no result.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print expected rows beside the paper's and stop.")] = False,
) -> int:
    """
    Build a training set from raw data sets. Interrupted, it resumes after its last finished step when started again.

    Examples:

      dragonfly curate general --plan

      dragonfly curate mine.yaml -o ./mine seed=1

      dragonfly curate general -o /shared/general --ray head:10001 paths.svit=/shared/svit
    """
    from dragonfly.curation.mix import load_mix

    chosen = load_mix(mix, changes or ())
    if plan:
        from dragonfly.curation.plan import plan_table

        typer.echo(plan_table(chosen))
        return 0
    if output is None:
        raise ValueError("no output folder; give -o FOLDER, or --plan to see expected rows only")
    from dragonfly.curation.run import curate as build

    common.log_to_terminal()
    common.say(f"{chosen.name}: {build(chosen, output, ray=ray, workers=workers)}")
    return 0


def browse(
    directory: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a written set, or its manifest.json.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page; browse.html in the folder if not given.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most samples on the page.")] = 200,
    preset: Annotated[str, typer.Option(help="Whose grids are drawn over the images.")] = "v2",
) -> int:
    """
    Write one self-contained page to look at a set: by source, length and image size, with the zoom layout drawn.

    Examples:

      dragonfly browse ./mine -o mine.html --limit 500
    """
    from dragonfly.curation.browse import browse as page

    common.say(f"page: {page(directory, output, limit=limit, preset=preset)}")
    return 0
