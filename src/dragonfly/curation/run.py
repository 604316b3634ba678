"""A mix from its sources to its manifest: each step's result in a folder, so that an interrupted run resumes from there.

The same mix on the same files gives the same manifest, byte for byte, on one machine or a cluster, for any number of workers. A
step runs again when anything before it changed (the mix, the sources' files, this code's version). OUT is complete or absent; the
steps' folders are in OUT.work until OUT is written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragonfly.data.manifest import NAME, Manifest
from dragonfly.files import atomic_directory, lock, result_header, write_json, write_text

from .availability import require
from .engine import start
from .export import data_card, write_set
from .ingest import FACTS, FAULTS, read_table
from .options import TEST
from .plan import plan
from .sources import SOURCES
from .steps import STEPS, Job, Origin
from .table import Table

if TYPE_CHECKING:
    from .mix import Mix

logger = logging.getLogger(__name__)

VERSION = 2
"""Incremented when a step's result for the same rows and options changes, so that older results are not reused."""

CARD, RECORD = "DATA_CARD.md", "curation.json"


def curate(mix: Mix, out: str | Path, *, ray: str | None = None, workers: int | None = None) -> Path:
    """Run every step of `mix` and write the folder `out`; return the path of its manifest.json.

    `ray` is the address of a Ray cluster (`auto` for the one here), `workers` the number of shares that the work is divided into.
    ValueError when `out` is not empty, data is not there (all of it is named before anything is read), a source cannot be read,
    or a step leaves no row; `InUse` where another process is at it.
    """
    out = Path(out).absolute()
    with lock(out):
        return _curate(mix, out, ray, workers)


def _curate(mix: Mix, out: Path, ray: str | None, workers: int | None) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if (out / NAME).is_file():  # a run that was killed when all was written left its steps
            shutil.rmtree(f"{out}.work", ignore_errors=True)
        raise ValueError(f"{out} exists and is not empty; remove it or name another folder")
    require(mix)
    start(ray)
    work = Path(f"{out}.work")
    table, records = _table(mix, work, workers)
    with atomic_directory(out) as folder:
        write_set(table, folder, work / "images")
        _write_record(mix, records, work, folder)
    shutil.rmtree(work)
    return out / NAME


def _table(mix: Mix, work: Path, workers: int | None) -> tuple[Table, list[dict[str, Any]]]:
    """The table after the last step, and the record of every step."""
    stages = Stages(work)
    sources = [source.model_dump(mode="json") for source in mix.sources]
    files = [_listing(Path(source.path)) for source in mix.sources]
    stage = stages.run("read", {"sources": sources, "files": files}, lambda target, _: _read(mix, target, work, workers))
    origins = {source.name: Origin(source.weight, source.rows, source.is_general) for source in mix.sources}
    chosen = [(step.step, step.options) for step in mix.steps]
    held_out = {name: partial(SOURCES[name].read_held_out, folder) for name, folder in mix.held_out.items()}
    return run_steps(stages, stage, chosen, Job(mix.seed, workers, origins, held_out), mix.held_out)


def run_steps(
    stages: Stages,
    table: Table,
    steps: Iterable[tuple[str, Mapping[str, Any]]],
    job: Job,
    held_out: Mapping[str, str] | None = None,
) -> tuple[Table, list[dict[str, Any]]]:
    """Apply steps, each (name, options), to a table in turn; return the last table and the record of every step.

    `held_out` names the folders whose test splits the job reads; like the files of `leak`'s evaluation sets they make a step's
    result another one when they change.
    """
    origins = {name: [origin.weight, origin.rows, origin.general] for name, origin in job.origins.items()}
    folders: Mapping[str, str] = held_out or {}
    for name, options in steps:
        description: dict[str, Any] = {
            "seed": job.seed,
            "origins": origins if name == "mixture" else {},
            "options": dict(options),
        }
        if name == "leak":
            against: Sequence[str] = options["against"]
            places = [Path(folders.get(entry.removeprefix(TEST), entry)) for entry in against]
            description["files"] = [_listing(place) for place in places if place.exists()]
        table = stages.run(
            name, description, lambda target, before, name=name, options=options: STEPS[name](before, target, job, **options)
        )
    return table, stages.records


def _read(mix: Mix, target: Path, work: Path, workers: int | None) -> tuple[Table, dict[str, Any]]:
    streams = ((source.name, source.read()) for source in mix.sources)
    excluded = {source.name: source.exclude for source in mix.sources}
    return read_table(streams, target, work / "images", workers, excluded)


class Stages:
    """Folders of results, one per step, each named by its place and by a hash of everything that its result depends on."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.records: list[dict[str, Any]] = []
        self._digest = f"version {VERSION}"
        self._table: Table | None = None
        for leftover in work.glob(".*.tmp"):  # of a run that was killed; an interrupted one removes its own
            shutil.rmtree(leftover)

    def run(self, name: str, description: Any, step: Callable[[Path, Any], tuple[Table, dict[str, Any]]]) -> Table:
        """The step's table: from its folder, if one stands there, else by `step(target folder, table before)`."""
        identity = json.dumps([self._digest, name, description], sort_keys=True)
        self._digest = hashlib.sha256(identity.encode()).hexdigest()
        place = f"{len(self.records):02d}-"
        folder = self.work / f"{place}{name}-{self._digest[:16]}"
        reused = folder.is_dir()
        if not reused:
            for stale in self.work.glob(f"{place}*"):
                shutil.rmtree(stale)
            with atomic_directory(folder) as target:
                table, counts = step(target, self._table)
                if not table.rows:
                    raise ValueError(f"step {name} left no rows: {counts['dropped']}; change its options or the sources")
                write_json(target / "step.json", {"step": name, "input": description, **counts, **_about(table)})
        record = json.loads((folder / "step.json").read_text(encoding="utf-8"))
        record.pop("input")
        self.records.append(record)
        logger.info("%s: %d rows in, %d out%s", name, record["in"], record["out"], " (done before)" if reused else "")
        facts = folder / FACTS
        self._table = Table(folder, facts if facts.is_file() or self._table is None else self._table.facts)
        return self._table


def _about(table: Table) -> dict[str, Any]:
    """Rows with images, and rows by source."""
    columns = table.read("origin", "image_key")
    sources = {entry["values"]: entry["counts"] for entry in columns["origin"].value_counts().to_pylist()}
    return {"with_images": int((columns["image_key"].to_numpy() != 0).sum()), "by_source": dict(sorted(sources.items()))}


def _listing(path: Path) -> str:
    """A hash of the names, sizes and times of a file, or of all files below a folder."""
    files: Sequence[Path] = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    facts = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _write_record(mix: Mix, records: list[dict[str, Any]], work: Path, folder: Path) -> None:
    """The data card, the record and the list of dropped rows, beside the manifest."""
    manifest = Manifest.open(folder)
    about = {"mix": mix.model_dump(mode="json"), "plan": asdict(plan(mix)), "steps": records, "manifest_sha256": manifest.sha256}
    write_json(folder / RECORD, {**result_header(), **about})
    write_text(folder / CARD, data_card(mix, records, folder))
    faults = [file.read_bytes() for file in sorted(work.glob(f"*/{FAULTS}"))]
    if faults:
        (folder / FAULTS).write_bytes(b"".join(faults))
