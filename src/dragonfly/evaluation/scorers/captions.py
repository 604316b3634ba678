"""Metrics of captions and reports; one run of pycocoevalcap serves all of them.

ROUGE-L and CIDEr-D are means over captions and have intervals. BLEU and METEOR are scores of the whole set and have none.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .. import metrics
from ..intervals import Columns
from ..questions import Question
from .base import Metric, Reply

_ITEM_MEANS = ("cider_d", "rouge_l")
_WHOLE = ("meteor", "bleu_1", "bleu_4")


@lru_cache(maxsize=8)  # a task's model and baselines, each asked for by every metric
def _scores(replies: tuple[str, ...], references: tuple[tuple[str, ...], ...], ptb: bool) -> metrics.CaptionScores:
    return metrics.caption_scores(replies, references, ptb=ptb)


def _of(questions: Sequence[Question], replies: Sequence[Reply], ptb: bool) -> metrics.CaptionScores:
    return _scores(tuple(reply or "" for reply in replies), tuple(question.answers for question in questions), ptb)


def _metric(name: str, ptb: bool) -> Metric:
    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        items = _of(questions, replies, ptb).items[name]
        present = [reply is not None for reply in replies]
        return np.stack([np.array(items) * present, np.ones(len(items))], axis=1)

    def whole(questions: Sequence[Question], replies: Sequence[Reply]) -> float:
        return _of(questions, replies, ptb).corpus[name]

    title = name if ptb else f"{name}_without_ptb"
    return Metric(title, columns, whole=None if name in _ITEM_MEANS else whole)


PTB = tuple(_metric(name, True) for name in (*_ITEM_MEANS, *_WHOLE))
WITHOUT_PTB = tuple(_metric(name, False) for name in (*_ITEM_MEANS, *_WHOLE))
