"""Benchmarks: ask a model a data set's questions, score the replies as the field does, and say how sure the score is."""

from .compare import compare
from .fingerprint import describe_model
from .judge import Judge
from .questions import Question
from .run import Settings, ask, check_judge, evaluate, load_questions, rescore
from .shards import Shard
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
