"""The steps of a mix by name. Each is (table, target folder, job, **options) -> (table, counts); see `base`."""

from collections.abc import Callable
from pathlib import Path

from ..table import Table
from .base import Counts, Job, Origin
from .exact import cap, dedupe_exact
from .leak import leak
from .mixture import mixture
from .similar_images import dedupe_images
from .similar_text import dedupe_text
from .split import split
from .validate import validate_rows
from .words import reworded

__all__ = ["STEPS", "Counts", "Job", "Origin", "Step", "Table"]

Step = Callable[..., tuple[Table, Counts]]


def questions_from_labels(table: Table, target: Path, job: Job) -> tuple[Table, Counts]:
    """Labels become questions and answers (`curation.questions`)."""
    from ..label_questions import questions_from_labels as rewording

    return reworded(table, target, job, rewording=rewording)


def instructions_from_captions(table: Table, target: Path, job: Job) -> tuple[Table, Counts]:
    """Captions become instructions and answers (`curation.captions`)."""
    from ..captions import instructions_from_captions as rewording

    return reworded(table, target, job, rewording=rewording)


STEPS: dict[str, Step] = {
    "validate": validate_rows,
    "questions_from_labels": questions_from_labels,
    "instructions_from_captions": instructions_from_captions,
    "dedupe_exact": dedupe_exact,
    "dedupe_images": dedupe_images,
    "dedupe_text": dedupe_text,
    "cap": cap,
    "leak": leak,
    "mixture": mixture,
    "split": split,
}
