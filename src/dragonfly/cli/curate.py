"""`dragonfly curate` and `browse`: from raw data sets to a training set, and a page to look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common, own_data


def curate(
    mix: Annotated[str, typer.Argument(metavar="MIX", help="A YAML file, or the name of a shipped mix.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value ...]", help="Values that overrule the mix's.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A new folder for the set; data/NAME for a shipped mix, where recipes look for it."),
    ] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster; `auto` for the one here.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Shares to deal the work out in; changes no result.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print expected rows beside the paper's and stop.")] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="Print where the raw data is to be had, and whether it is there, and stop.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch what the Hugging Face hub serves openly, name the rest, and stop.")
    ] = False,
    as_json: common.Json = False,
) -> int:
    """
    Build a training set from raw data sets. Interrupted, it resumes after its last finished step when started again.

    Examples:

      dragonfly curate general --plan

      dragonfly curate med-stage3 --sources

      dragonfly curate pretrain --download

      dragonfly curate pretrain

      dragonfly curate mine.yaml -o ./mine seed=1

      dragonfly curate general -o /shared/general --ray head:10001 paths.svit=/shared/svit
    """
    from dragonfly.curation.mix import default_output, load_mix

    if sum((plan, sources, download)) > 1:
        raise ValueError("--plan, --sources and --download each print and stop; give one of them")
    if as_json and not sources:
        raise ValueError("--json prints what --sources finds; give both")
    chosen = load_mix(mix, changes or ())
    if plan:
        from dragonfly.curation.plan import plan_table

        typer.echo(plan_table(chosen))
    elif sources:
        _print_sources(chosen, as_json)
    elif download:
        from dragonfly.curation.download import download as fetch

        fetch(chosen, common.say)
    else:
        from dragonfly.curation.run import curate as build

        folder = output or default_output(mix)
        if folder is None:
            raise ValueError("no output folder for a mix of your own; give -o FOLDER, or --plan to see expected rows only")
        common.log_to_terminal()
        common.say(f"{chosen.name}: writing to {folder}")
        common.say(f"{chosen.name}: {build(chosen, folder, ray=ray, workers=workers)}")
    return 0


def _print_sources(mix: Any, as_json: bool) -> None:
    from dragonfly.curation.availability import facts, places, sources_text

    found = places(mix)
    if as_json:
        common.print_json({"mix": mix.name, "data_sets": [facts(place) for place in found]})
    else:
        common.show(sources_text(mix, found))


def browse(
    source: Annotated[
        str, typer.Argument(metavar="DATA", help="Whatever `train --data` reads: mine.csv, a folder, a written set, OWNER/NAME.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page; if not given, NAME-browse.html here, of a written set browse.html in it."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Most rows on the page.")] = 200,
    preset: Annotated[str, typer.Option(help="Whose grids are drawn over the images.")] = "v2",
    columns: own_data.Columns = None,
    image_root: own_data.ImageRoot = None,
) -> int:
    """
    Write one self-contained page to look at a data set: a card per image with its questions, filters, the zoom layout.

    Examples:

      dragonfly browse mine.csv

      dragonfly browse ./mine -o mine.html --limit 500
    """
    from dragonfly.curation.browse import browse as page
    from dragonfly.data.readers import parse_columns

    chosen = parse_columns(columns) if columns else None
    common.say(f"page: {page(source, output, limit=limit, preset=preset, columns=chosen, image_root=image_root)}")
    return 0
