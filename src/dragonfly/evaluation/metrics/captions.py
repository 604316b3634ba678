"""Captions and reports: BLEU, ROUGE-L, METEOR 1.5 and CIDEr-D, computed by pycocoevalcap.

The numbers are those of the COCO caption toolkit, with its Stanford PTB tokenisation (COCO practice) or without (the practice on
IU X-ray, whose texts are clean already); the two are not comparable. CIDEr-D takes its document frequencies from the references
of the set that is scored, so a set is never scored in parts. ROUGE-L and CIDEr-D are means over captions and have intervals; BLEU
and METEOR are scores of the whole set and have none. METEOR and PTB run Java.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.installation import install_advice

from ..question import Question
from ..statistics import Columns
from .base import Metric, Reply


@dataclass(frozen=True)
class CaptionScores:
    """`corpus`: the set's score by name. `items`: each caption's own score; BLEU's and METEOR's do not average to `corpus`."""

    corpus: dict[str, float]
    items: dict[str, list[float]]


def caption_scores(
    replies: Sequence[str], references: Sequence[Sequence[str]], *, ptb: bool = True, meteor: bool = True
) -> CaptionScores:
    """Score each reply against its references; `meteor` adds METEOR 1.5.

    ValueError where pycocoevalcap or Java is needed and absent, the counts differ, or a reply has no reference.
    """
    if len(replies) != len(references):
        raise ValueError(f"{len(replies)} replies but {len(references)} lists of references; give one list per reply")
    if not replies or not all(references):
        raise ValueError("every reply needs at least one reference, and there must be one reply at least")
    require_captions(java=ptb or meteor)
    predictions = {number: [reply] for number, reply in enumerate(replies)}
    labels = {number: list(texts) for number, texts in enumerate(references)}
    if ptb:
        predictions, labels = _ptb(predictions), _ptb(labels)
    return _scores(predictions, labels, meteor)


def require_captions(*, java: bool = True) -> None:
    """ValueError in one line, with the remedy, unless caption metrics can run here."""
    if find_spec("pycocoevalcap") is None:
        raise ValueError(f"caption metrics need pycocoevalcap, which is not installed; install it: {install_advice('eval')}")
    if java and shutil.which("java") is None:
        raise ValueError(
            "METEOR and PTB tokenisation need Java, and there is no `java` on the PATH; install a Java 8 or later runtime, "
            "such as `apt install default-jre-headless`"
        )


def _one_line(text: str) -> str:
    """For the Java programs, which read one text per line. The others get the text as it is: ROUGE-L counts odd spaces."""
    return re.sub(r"[\r\n\v\f\x85\u2028\u2029]+", " ", text).replace("|||", " ")


def _one_line_each(texts: dict[int, list[str]]) -> dict[int, list[str]]:
    return {key: [_one_line(text) for text in group] for key, group in texts.items()}


def _scores(predictions: dict[int, list[str]], labels: dict[int, list[str]], meteor: bool) -> CaptionScores:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    bleu, bleu_items = Bleu(4).compute_score(labels, predictions, verbose=0)
    corpus = {f"bleu_{n}": float(value) for n, value in enumerate(bleu, start=1)}
    items = {f"bleu_{n}": [float(value) for value in values] for n, values in enumerate(bleu_items, start=1)}
    others: list[tuple[str, Any]] = [("rouge_l", Rouge().compute_score), ("cider_d", Cider().compute_score)]
    if meteor:
        others.append(("meteor", _meteor))
    for name, compute in others:
        value, values = compute(labels, predictions)
        corpus[name], items[name] = float(value), [float(item) for item in values]
    return CaptionScores(corpus, items)


def _meteor(labels: dict[int, list[str]], predictions: dict[int, list[str]]) -> tuple[float, list[float]]:
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        return scorer.compute_score(_one_line_each(labels), _one_line_each(predictions))
    finally:  # it closes only its input by itself
        for pipe in (scorer.meteor_p.stdout, scorer.meteor_p.stderr):
            if pipe is not None:
                pipe.close()


def _ptb(texts: dict[int, list[str]]) -> dict[int, list[str]]:
    """Each text tokenised, lower-cased and without punctuation, by the toolkit's own jar.

    Called here rather than through the toolkit's wrapper, which writes into its own package folder.
    """
    from pycocoevalcap.tokenizer import ptbtokenizer

    jar = Path(ptbtokenizer.__file__).parent / ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR
    options = ["-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    command = ["java", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", *options]
    flat = [_one_line(text) for group in texts.values() for text in group]
    done = subprocess.run(command, input="\n".join(flat) + "\n", capture_output=True, encoding="utf-8", check=False)
    lines = done.stdout.split("\n")[: len(flat)]
    if done.returncode or len(lines) != len(flat):
        raise ValueError(f"the PTB tokeniser failed: {' '.join(done.stderr.split())[-300:]}; check the Java installation")
    dropped = set(ptbtokenizer.PUNCTUATIONS)
    tokenised = iter(" ".join(token for token in line.rstrip().split(" ") if token not in dropped) for line in lines)
    return {key: [next(tokenised) for _ in group] for key, group in texts.items()}


_ITEM_MEANS = ("cider_d", "rouge_l")
_BLEU = ("bleu_1", "bleu_4")


@lru_cache(maxsize=16)  # a task's model and baselines, with PTB and without, each asked for by every metric
def _cached_scores(replies: tuple[str, ...], references: tuple[tuple[str, ...], ...], ptb: bool, meteor: bool) -> CaptionScores:
    return caption_scores(replies, references, ptb=ptb, meteor=meteor)


def _metrics(ptb: bool, meteor: bool) -> tuple[Metric, ...]:
    """The columns of one way to tokenise; METEOR, which starts Java, only where asked for."""

    def of(questions: Sequence[Question], replies: Sequence[Reply]) -> CaptionScores:
        references = tuple(question.answers for question in questions)
        return _cached_scores(tuple(reply or "" for reply in replies), references, ptb, meteor)

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
