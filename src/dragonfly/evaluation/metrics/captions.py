"""Captions and reports: BLEU, ROUGE-L, METEOR 1.5 and CIDEr-D, computed by pycocoevalcap.

The numbers are those of the COCO caption toolkit, with its Stanford PTB tokenisation (COCO practice) or without (the practice on
IU X-ray, whose texts are clean already); the two are not comparable. CIDEr-D takes its document frequencies from the references
of the set that is scored, so a set is never scored in parts. ROUGE-L and CIDEr-D are means over captions. BLEU and METEOR are
scores of a whole set, each a function of counts summed over its captions; these sums are what the bootstrap draws. The document
frequencies of CIDEr-D stay those of the whole set in every resample. METEOR and PTB run Java.
"""

import atexit
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.installation import install_advice

from ..question import Question
from ..statistics import Columns, Value
from .base import Metric, Reply, mean


@dataclass(frozen=True)
class CaptionScores:
    """`corpus`: the set's score by name. `items`: each caption's own score; BLEU's and METEOR's do not average to `corpus`.

    `counts`: (captions, k) under `bleu` and `meteor`, what `bleu_of` and `meteor_of` make the set's score of.
    """

    corpus: dict[str, float]
    items: dict[str, list[float]]
    counts: dict[str, Columns]


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
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    scorer = BleuScorer(n=ORDER)
    for key, (reply,) in predictions.items():
        scorer += (reply, labels[key])
    bleu, bleu_items = scorer.compute_score(option="closest", verbose=0)
    corpus = {f"bleu_{n}": float(value) for n, value in enumerate(bleu, start=1)}
    items = {f"bleu_{n}": [float(value) for value in values] for n, values in enumerate(bleu_items, start=1)}
    counts = {"bleu": np.array([_bleu_counts(caption) for caption in scorer.ctest], dtype=np.float64)}
    others: list[tuple[str, Any]] = [("rouge_l", Rouge().compute_score), ("cider_d", Cider().compute_score)]
    for name, compute in others:
        value, values = compute(labels, predictions)
        corpus[name], items[name] = float(value), [float(item) for item in values]
    if meteor:
        corpus["meteor"], items["meteor"], counts["meteor"] = _meteor(labels, predictions)
    return CaptionScores(corpus, items, counts)


ORDER = 4  # the longest word sequence that BLEU counts


def _bleu_counts(caption: dict[str, Any]) -> list[float]:
    """Sequences of 1 to 4 words that are right, and that there are; the caption's length, and that of the closest reference."""
    length = caption["testlen"]
    closest = min(caption["reflen"], key=lambda reference: (abs(reference - length), reference))
    return [*caption["correct"], *caption["guess"], length, closest]


def bleu_of(sums: Columns, order: int) -> Columns:
    """(..., 10) sums of `_bleu_counts` -> (...) BLEU of that order, with what the toolkit adds lest it divide by 0."""
    right, there = sums[..., :order], sums[..., ORDER : ORDER + order]
    length, closest = sums[..., 2 * ORDER], sums[..., 2 * ORDER + 1]
    precision = np.prod((right + 1e-15) / (there + 1e-9), axis=-1) ** (1 / order)
    return precision * np.exp(1 - np.maximum(1.0, (closest + 1e-9) / (length + 1e-15)))


# METEOR 1.5 for English (Denkowski and Lavie 2014, table 1): of exact words, stems, synonyms and paraphrases.
_MATCHES = np.array([1.0, 0.6, 0.8, 0.6])
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.20, 0.60, 0.75


def meteor_of(sums: Columns) -> Columns:
    """(..., 23) sums of METEOR's statistics -> (...) METEOR.

    The jar prints for each caption: words of reply and reference, function words of both; for each kind of match the content
    words of reply and reference, then their function words; chunks; matched words of both.
    """
    words, functions = sums[..., 0:2], sums[..., 2:4]
    matches = sums[..., 4:20].reshape(*sums.shape[:-1], len(_MATCHES), 2, 2)  # kind, content or function, reply or reference
    chunks, matched = sums[..., 20], sums[..., 21:23]
    found = np.einsum("k,...kcs->...cs", _MATCHES, matches)
    found = _DELTA * found[..., 0, :] + (1 - _DELTA) * found[..., 1, :]
    weight = _DELTA * (words - functions) + (1 - _DELTA) * functions
    share = np.divide(found, weight, out=np.zeros(found.shape), where=weight > 0)
    precision, recall = share[..., 0], share[..., 1]
    under = _ALPHA * precision + (1 - _ALPHA) * recall
    score = np.divide(precision * recall, under, out=np.zeros(under.shape), where=under > 0)
    pairs = matched.mean(axis=-1)
    fragments = np.divide(chunks, pairs, out=np.zeros(pairs.shape), where=pairs > 0)
    return score * (1 - _GAMMA * fragments**_BETA)


def _meteor_counts(line: str) -> list[float]:
    """The statistics that the jar prints; a caption that is its reference has no chunk, alone and in a sum, as in the jar."""
    counts = [float(number) for number in line.split()]
    if counts[20] == 1 and counts[21:23] == counts[0:2]:
        counts[20] = 0.0
    return counts


def _meteor(labels: dict[int, list[str]], predictions: dict[int, list[str]]) -> tuple[float, list[float], Columns]:
    scorer = _meteor_process()
    scorer.statistics = []
    try:
        value, items = scorer.compute_score(_one_line_each(labels), _one_line_each(predictions))
    except (OSError, ValueError):  # the program died; the next call starts another
        _meteor_process.cache_clear()
        raise
    return float(value), [float(item) for item in items], np.array(scorer.statistics, dtype=np.float64)


@cache
def _meteor_process() -> Any:
    """The toolkit's METEOR, which also notes the statistics of each caption. It takes ten seconds to start, so one serves all."""
    from pycocoevalcap.meteor.meteor import Meteor

    class Noting(Meteor):  # pyright: ignore[reportUntypedBaseClass]
        statistics: list[list[float]]

        def _stat(self, *texts: Any) -> str:
            line: str = super()._stat(*texts)
            self.statistics.append(_meteor_counts(line))
            return line

    scorer = Noting()

    def close() -> None:  # the toolkit closes only its input by itself
        scorer.meteor_p.kill()
        scorer.meteor_p.wait()
        for pipe in (scorer.meteor_p.stdin, scorer.meteor_p.stdout, scorer.meteor_p.stderr):
            if pipe is not None:
                pipe.close()

    atexit.register(close)
    return scorer


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


_VALUES: dict[str, Value] = {
    "meteor": meteor_of,
    "bleu_1": lambda sums: bleu_of(sums, 1),
    "bleu_4": lambda sums: bleu_of(sums, 4),
}


@lru_cache(maxsize=16)  # a task's model and baselines, with PTB and without, each asked for by every metric
def _cached_scores(replies: tuple[str, ...], references: tuple[tuple[str, ...], ...], ptb: bool, meteor: bool) -> CaptionScores:
    return caption_scores(replies, references, ptb=ptb, meteor=meteor)


def _metrics(ptb: bool, meteor: bool) -> tuple[Metric, ...]:
    """The columns of one way to tokenise; METEOR, which starts Java, only where asked for."""

    def of(questions: Sequence[Question], replies: Sequence[Reply]) -> CaptionScores:
        references = tuple(question.answers for question in questions)
        return _cached_scores(tuple(reply or "" for reply in replies), references, ptb, meteor)

    def metric(name: str) -> Metric:
        value = _VALUES.get(name)

        def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
            scores = of(questions, replies)
            if value is not None:
                return np.column_stack([scores.counts[name.partition("_")[0]], np.ones(len(questions))])
            present = [reply is not None for reply in replies]
            return np.stack([np.array(scores.items[name]) * present, np.ones(len(present))], axis=1)

        title = name if ptb else f"{name}_without_ptb"
        return Metric(title, columns, mean if value is None else lambda sums: value(sums[..., :-1]))

    return tuple(metric(name) for name in ("cider_d", "rouge_l", *(("meteor",) if meteor else ()), "bleu_1", "bleu_4"))


PTB_FIRST = (*_metrics(ptb=True, meteor=True), *_metrics(ptb=False, meteor=False))
PLAIN_FIRST = (*_metrics(ptb=False, meteor=True), *_metrics(ptb=True, meteor=False))
