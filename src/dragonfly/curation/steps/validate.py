"""`validate`: rows that cannot be trained on are dropped, each with its reason.

Reasons are those of `data.conversation.validate` and missing-image, broken-image and remote-image. Every dropped row is
listed in `faults.jsonl` with source, id, reason and what was seen.
"""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, Sample, validate
from dragonfly.data.parquet import import_pyarrow

from ..engine import map_files
from ..ingest import write_faults
from ..table import Table, samples_of, write_part
from .base import Counts, Job, counted


def validate_rows(table: Table, target: Path, job: Job) -> tuple[Table, Counts]:
    """Keep what can be used."""
    results = map_files(partial(_part, target=str(target)), [str(part) for part in table.parts], job.workers)
    faults = [fault for result in results for fault in result]
    write_faults(target, faults)
    return counted(table, Table(target, table.facts), Counter(fault["reason"] for fault in faults))


def _part(name: str, target: str) -> list[dict[str, Any]]:
    table = import_pyarrow().parquet.read_table(name, use_threads=False)
    faults: list[dict[str, Any]] = []
    good: list[bool] = []
    for sample, fault in zip(samples_of(table), table["fault"].to_pylist(), strict=True):
        found = _fault(sample, fault)
        good.append(found is None)
        if found is not None:
            faults.append({"source": sample.source, "id": sample.id, "reason": found[0], "detail": found[1]})
    write_part(table.filter(import_pyarrow().array(good)), Path(target) / Path(name).name)
    return faults


def _fault(sample: Sample, image: str | None) -> tuple[str, str] | None:
    """(reason, detail) of the first fault: the image's, then the conversation's, where there is one yet."""
    if image is not None:
        reason, _, detail = image.partition(": ")
        return reason, detail
    if not sample.messages and sample.meta.get("form") in ("label", "caption"):
        return None  # a later step makes a conversation of it
    try:
        validate(sample)
    except BadSample as error:
        return error.reason, error.detail
    return None
