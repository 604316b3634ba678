"""`questions_from_labels` and `instructions_from_captions`: rows that are a label or a caption become question and answer.

The wording is made elsewhere, from (seed, sample); here it is put into the table. A label or caption that nothing can be made
of is dropped with its reason and listed in `faults.jsonl`.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, Sample
from dragonfly.data.parquet import import_pyarrow

from ..engine import map_files
from ..ingest import write_faults
from ..table import Table, samples_of, with_samples, write_part
from .base import Counts, Job, counted

Rewording = Callable[[Sample, int], Sample]


def reworded(table: Table, target: Path, job: Job, *, rewording: Rewording) -> tuple[Table, Counts]:
    """Every row as `rewording(sample, seed)` has it; a row for which it raises `BadSample` is dropped."""
    parts = [str(part) for part in table.parts]
    results = map_files(partial(_part, rewording=rewording, seed=job.seed, target=str(target)), parts, job.workers)
    faults = [fault for _, found in results for fault in found]
    write_faults(target, faults)
    dropped = Counter(fault["reason"] for fault in faults)
    return counted(table, Table(target, table.facts), dropped, changed=sum(changed for changed, _ in results))


def _part(name: str, rewording: Rewording, seed: int, target: str) -> tuple[int, list[dict[str, Any]]]:
    """One part reworded: how many of its rows changed, and what was dropped."""
    table = import_pyarrow().parquet.read_table(name, use_threads=False)
    good: list[bool] = []
    samples: list[Sample] = []
    faults: list[dict[str, Any]] = []
    changed = 0
    for sample in samples_of(table):
        try:
            made = rewording(sample, seed)
        except BadSample as error:
            good.append(False)
            faults.append({"source": sample.source, "id": sample.id, "reason": error.reason, "detail": error.detail})
            continue
        good.append(True)
        samples.append(made)
        changed += made != sample
    write_part(with_samples(table.filter(import_pyarrow().array(good)), samples), Path(target) / Path(name).name)
    return changed, faults
