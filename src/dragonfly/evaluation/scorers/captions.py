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
_BLEU = ("bleu_1", "bleu_4")


@lru_cache(maxsize=16)  # a task's model and baselines, with PTB and without, each asked for by every metric
def _scores(replies: tuple[str, ...], references: tuple[tuple[str, ...], ...], ptb: bool, meteor: bool) -> metrics.CaptionScores:
    return metrics.caption_scores(replies, references, ptb=ptb, meteor=meteor)


def _metrics(ptb: bool, meteor: bool) -> tuple[Metric, ...]:
    """The columns of one way to tokenise; METEOR, which starts Java, only where asked for."""

    def of(questions: Sequence[Question], replies: Sequence[Reply]) -> metrics.CaptionScores:
        said, meant = tuple(reply or "" for reply in replies), tuple(question.answers for question in questions)
        return _scores(said, meant, ptb, meteor)

    def metric(name: str) -> Metric:
        def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
            items = of(questions, replies).items[name]
            present = [reply is not None for reply in replies]
            return np.stack([np.array(items) * present, np.ones(len(items))], axis=1)

        def whole(questions: Sequence[Question], replies: Sequence[Reply]) -> float:
            return of(questions, replies).corpus[name]

        title = name if ptb else f"{name}_without_ptb"
        return Metric(title, columns, whole=None if name in _ITEM_MEANS else whole)

    return tuple(metric(name) for name in (*_ITEM_MEANS, *(("meteor",) if meteor else ()), *_BLEU))


PTB_FIRST = (*_metrics(ptb=True, meteor=True), *_metrics(ptb=False, meteor=False))
PLAIN_FIRST = (*_metrics(ptb=False, meteor=True), *_metrics(ptb=True, meteor=False))
