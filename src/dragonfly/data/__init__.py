"""Records and labels: from anyone's data to batches that a model can be trained on. Knows no model class."""

from .audit import AnswerMarks, answer_marks, audit, audit_batch, show
from .batch import Collator
from .dataset import EncodedDataset, image_size, row_random
from .encoding import IGNORE_INDEX, encode, image_mask, supervise
from .errors import BadRow, BadSample, check_bad, count_bad
from .grouping import group_questions, grouped
from .manifest import Manifest, write_manifest
from .mixture import Mixture, Place
from .readers import FORMATS, read
from .sample import ImageRef, Message, Part, Sample, to_messages, validate

__all__ = [
    "FORMATS",
    "IGNORE_INDEX",
    "AnswerMarks",
    "BadRow",
    "BadSample",
    "Collator",
    "EncodedDataset",
    "ImageRef",
    "Manifest",
    "Message",
    "Mixture",
    "Part",
    "Place",
    "Sample",
    "answer_marks",
    "audit",
    "audit_batch",
    "check_bad",
    "count_bad",
    "encode",
    "group_questions",
    "grouped",
    "image_mask",
    "image_size",
    "read",
    "row_random",
    "show",
    "supervise",
    "to_messages",
    "validate",
    "write_manifest",
]
