"""Where the raw data of a mix is to be had, and whether it is there: what `dragonfly curate MIX --sources` prints.

Nothing is opened but folders; facts are those of `sources`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .mix import Mix
from .options import TEST
from .sources import SOURCES, Source


@dataclass(frozen=True)
class Place:
    """One data set that a mix needs: its `folder` and what is `missing` there (a line each, () when all is).

    `trained`: its rows go into the mix; else a step compares with it. `source` is None for data of your own and for benchmarks.
    """

    name: str
    folder: str
    trained: bool
    missing: tuple[str, ...]
    source: Source | None = None


def places(mix: Mix) -> list[Place]:
    """Every source of the mix in order, then the evaluation sets that it does not train on."""
    found = [_place(source.name, source.path, True, source.format is None) for source in mix.sources]
    trained = {place.name for place in found}
    found += [_place(name, folder, False, True) for name, folder in mix.held_out.items() if name not in trained]
    others = [entry for entry in mix.compared if not entry.startswith(TEST)]
    return found + [_place(entry, entry, False, False) for entry in others if "://" not in entry]


def _place(name: str, folder: str, trained: bool, known: bool) -> Place:
    if known:
        return Place(name, folder, trained, SOURCES[name].missing(folder), SOURCES[name])
    return Place(name, folder, trained, () if Path(folder).exists() else (f"no file or folder {folder}",))


def require(mix: Mix) -> None:
    """ValueError naming all data that is not there, before an hour is spent on what is."""
    absent = [place for place in places(mix) if place.missing]
    if absent:
        named = ", ".join(place.name if place.name == place.folder else f"{place.name} ({place.folder})" for place in absent)
        raise ValueError(
            f"{mix.name}: {len(absent)} of {len(places(mix))} data sets are not whole in their folders: {named}; --sources says "
            "what is missing and where it is to be had; paths.NAME=FOLDER (test_paths.NAME=FOLDER for a test split alone) and "
            "evaluation=[PATH] name other folders"
        )
    for name, folder in mix.held_out.items():
        next(SOURCES[name].read_held_out(folder), None)  # a test split that is not there shows now


def facts(place: Place) -> dict[str, Any]:
    """What `--sources --json` says of a place."""
    known: dict[str, Any] = {"name": place.name, "folder": place.folder, "trained_on": place.trained}
    if place.source is not None:
        source = place.source
        known |= {"title": source.title, "url": source.url, "licence": source.licence, "layout": source.layout}
        known |= {key: value for key, value in asdict(source.access).items() if key not in ("patterns", "unpack")}
        known["download"] = source.access.downloads
    return known | {"there": not place.missing, "missing": list(place.missing)}


def sources_text(mix: Mix, found: Sequence[Place]) -> str:
    """The same for a person: a block per data set, and a last line that counts."""
    there = sum(not place.missing for place in found)
    last = f"{mix.name}: {there} of {len(found)} data sets are there. --download fetches what is open and on the hub."
    return "\n\n".join([*map(_block, found), last])


def _block(place: Place) -> str:
    lines = [place.name + ("" if place.trained else " (compared with, not trained on)")]
    if (source := place.source) is not None:
        access = source.access
        lines += [
            f"title      {source.title}",
            f"publisher  {access.publisher}",
            f"from       {f'Hugging Face data set {access.hub}' if access.hub else source.url}",
            f"size       {access.size}",
            f"licence    {source.licence}",
            f"access     {access.terms}" + (f": {access.apply}" if access.apply else ""),
            *([f"besides    {access.rest}"] if access.rest else []),
            f"layout     {source.layout}",
        ]
    elif not place.trained:
        lines.append(
            "what       evaluation sets: a manifest, a data file, or the folder of benchmarks that `dragonfly eval --data` reads"
        )
    state = "there" if not place.missing else f"missing: {'; '.join(place.missing)}"
    return "\n    ".join([*lines, f"in         {place.folder}: {state}"])
