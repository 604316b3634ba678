"""Synthetic documents with fine detail, drawn from a seed, with questions, answers, evidence boxes and text annotations."""

from .dataset import DatasetOptions, write_dataset
from .document import Drawn, make_image
from .document_questions import ABSENT, KINDS, Question
from .document_spec import SPECS, SPLITS, SynthSpec

__all__ = [
    "ABSENT",
    "KINDS",
    "SPECS",
    "SPLITS",
    "DatasetOptions",
    "Drawn",
    "Question",
    "SynthSpec",
    "make_image",
    "write_dataset",
]
