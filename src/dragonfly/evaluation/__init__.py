"""Benchmarks: ask a model a data set's questions, score the replies as the field does, with intervals and baselines."""

from .fingerprint import describe_model
from .judge import Judge
from .predictions import Shard
from .question import Question
from .report import compare
from .run import Settings, ask, check_judge, evaluate, load_questions, rescore
from .tasks import TASKS, TaskSpec, find_task

__all__ = [
    "TASKS",
    "Judge",
    "Question",
    "Settings",
    "Shard",
    "TaskSpec",
    "ask",
    "check_judge",
    "compare",
    "describe_model",
    "evaluate",
    "find_task",
    "load_questions",
    "rescore",
]
