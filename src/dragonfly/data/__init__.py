"""Records and labels: from anyone's data to batches that a model can be trained on. Knows no model class."""

from .audit import TurnMarks, audit, audit_batch, turn_marks
from .collator import Collator
from .conversation import Box, ImageRef, Message, Part, Sample, pack, to_messages, validate
from .dataset import EncodedDataset, row_random
from .faults import BadRow, BadSample, check_bad, count_bad
from .labels import IGNORE_INDEX, encode, picture_mask, supervise
from .manifest import Manifest, write_manifest
from .mixture import Mixture, Place
from .pointing import PLACES
from .readers import FORMATS, read
from .show import show

__all__ = [
    "FORMATS",
    "IGNORE_INDEX",
    "PLACES",
    "BadRow",
    "BadSample",
    "Box",
    "Collator",
    "EncodedDataset",
    "ImageRef",
    "Manifest",
    "Message",
    "Mixture",
    "Part",
    "Place",
    "Sample",
    "TurnMarks",
    "audit",
    "audit_batch",
    "check_bad",
    "count_bad",
    "encode",
    "pack",
    "picture_mask",
    "read",
    "row_random",
    "show",
    "supervise",
    "to_messages",
    "turn_marks",
    "validate",
    "write_manifest",
]
