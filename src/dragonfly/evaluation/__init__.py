"""Benchmarks: ask a model a data set's questions, score the replies as the field does, and say how sure the score is."""

from .compare import compare
from .model import describe_model
from .questions import Question
from .run import Settings, evaluate, load_questions, rescore
from .tasks import TASKS, TaskSpec, find_task

__all__ = [
    "TASKS",
    "Question",
    "Settings",
    "TaskSpec",
    "compare",
    "describe_model",
    "evaluate",
    "find_task",
    "load_questions",
    "rescore",
]
