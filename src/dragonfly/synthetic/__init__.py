"""Pictures with fine detail, drawn from a seed, with questions, answers, evidence boxes and marks."""

from .dataset import Plan, write_dataset
from .picture import Drawn, make_picture
from .questions import ABSENT, KINDS, Question
from .spec import SPECS, SPLITS, SynthSpec

__all__ = ["ABSENT", "KINDS", "SPECS", "SPLITS", "Drawn", "Plan", "Question", "SynthSpec", "make_picture", "write_dataset"]
