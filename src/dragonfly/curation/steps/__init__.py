"""The steps of a mix by name. Each is (table, target folder, job, **options) -> (table, counts); see `base`."""

from collections.abc import Callable

from ..table import Table
from .base import Counts, Job, Origin
from .content import instructions_from_captions, questions_from_labels, validate_rows
from .duplicates import dedupe_exact, dedupe_images, dedupe_text
from .leak import leak
from .sampling import cap, mixture, split

__all__ = ["STEPS", "Counts", "Job", "Origin", "Step", "Table"]

Step = Callable[..., tuple[Table, Counts]]

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
