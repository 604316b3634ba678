"""Steps that look at one row at a time: `validate`, and the two that make question and answer of a label or a caption.

A row that cannot be used is dropped and listed in `faults.jsonl` with source, id, reason and detail. Reasons of `validate` are
those of `data.validate` and missing-image, broken-image, remote-image. The wording of a new question depends on (seed, sample)
alone.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, Sample, validate
from dragonfly.data.parquet import import_pyarrow

from .. import captions, label_questions
from ..engine import map_files
from ..ingest import write_faults
from ..table import Table, samples_of, with_samples, write_part
from .base import Counts, Job, counted

Rewrite = Callable[[Sample, int], Sample]


def validate_rows(table: Table, target: Path, job: Job) -> tuple[Table, Counts]:
    """Keep the rows that can be trained on; a label or caption without conversation yet is kept too."""
    results = map_files(partial(_validated_part, target=str(target)), [str(part) for part in table.parts], job.workers)
    faults = [fault for result in results for fault in result]
    write_faults(target, faults)
    return counted(table, Table(target, table.facts), Counter(fault["reason"] for fault in faults))


def _validated_part(name: str, target: str) -> list[dict[str, Any]]:
    table = import_pyarrow().parquet.read_table(name, use_threads=False)
    faults: list[dict[str, Any]] = []
    good: list[bool] = []
    for sample, fault in zip(samples_of(table), table["fault"].to_pylist(), strict=True):
        first = _first_fault(sample, fault)
        good.append(first is None)
        if first is not None:
            faults.append({"source": sample.source, "id": sample.id, "reason": first[0], "detail": first[1]})
    write_part(table.filter(import_pyarrow().array(good)), Path(target) / Path(name).name)
    return faults


def _first_fault(sample: Sample, image: str | None) -> tuple[str, str] | None:
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


def questions_from_labels(table: Table, target: Path, job: Job) -> tuple[Table, Counts]:
    """Labels become questions and answers (`curation.label_questions`)."""
    return rewritten(table, target, job, rewrite=label_questions.questions_from_labels)


def instructions_from_captions(table: Table, target: Path, job: Job) -> tuple[Table, Counts]:
    """Captions become instructions and answers (`curation.captions`)."""
    return rewritten(table, target, job, rewrite=captions.instructions_from_captions)


def rewritten(table: Table, target: Path, job: Job, *, rewrite: Rewrite) -> tuple[Table, Counts]:
    """Replace every row by `rewrite(sample, seed)`; a row for which that raises `BadSample` is dropped."""
    parts = [str(part) for part in table.parts]
    results = map_files(partial(_rewritten_part, rewrite=rewrite, seed=job.seed, target=str(target)), parts, job.workers)
    faults = [fault for _, listed in results for fault in listed]
    write_faults(target, faults)
    dropped = Counter(fault["reason"] for fault in faults)
    return counted(table, Table(target, table.facts), dropped, changed=sum(changed for changed, _ in results))


def _rewritten_part(name: str, rewrite: Rewrite, seed: int, target: str) -> tuple[int, list[dict[str, Any]]]:
    """One part rewritten: how many of its rows changed, and what was dropped."""
    table = import_pyarrow().parquet.read_table(name, use_threads=False)
    good: list[bool] = []
    samples: list[Sample] = []
    faults: list[dict[str, Any]] = []
    changed = 0
    for sample in samples_of(table):
        try:
            new = rewrite(sample, seed)
        except BadSample as error:
            good.append(False)
            faults.append({"source": sample.source, "id": sample.id, "reason": error.reason, "detail": error.detail})
            continue
        good.append(True)
        samples.append(new)
        changed += new != sample
    write_part(with_samples(table.filter(import_pyarrow().array(good)), samples), Path(target) / Path(name).name)
    return changed, faults
