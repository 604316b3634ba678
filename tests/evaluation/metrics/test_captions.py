"""What can be said of caption scores without Java, and what is said where it is missing."""

import shutil

import numpy as np
import pytest

from dragonfly.evaluation.metrics import captions
from dragonfly.evaluation.metrics.captions import bleu_of, caption_scores, meteor_of
from dragonfly.evaluation.question import Question
from dragonfly.evaluation.scoring import scores_of

java = pytest.mark.skipif(shutil.which("java") is None, reason="no Java")


def score(replies: list[str], references: list[list[str]]) -> captions.CaptionScores:
    return caption_scores(replies, references, ptb=False, meteor=False)


def test_bleu_and_rouge_by_hand() -> None:
    # 3 of 4 words and 2 of 3 pairs occur in the reference; the longest common subsequence is 3 of 4 on both sides.
    scores = score(["the cat sat down"], [["the cat sat up"]])
    assert scores.corpus["bleu_1"] == pytest.approx(3 / 4, abs=1e-6)
    assert scores.corpus["bleu_2"] == pytest.approx((3 / 4 * 2 / 3) ** 0.5, abs=1e-6)
    assert scores.corpus["rouge_l"] == pytest.approx(3 / 4)
    assert scores.corpus["cider_d"] == 0.0  # one item: every word is in every document


def test_items_come_in_order() -> None:
    scores = score(["a b c d", "x"], [["a b c d"], ["y"]])
    assert scores.items["rouge_l"] == [1.0, 0.0]
    assert scores.corpus["rouge_l"] == 0.5


@pytest.mark.parametrize(
    ("replies", "references", "message"),
    [(["a"], [], "1 replies but 0 lists"), ([], [], "at least one reference"), (["a"], [[]], "at least one reference")],
)
def test_faults(replies: list[str], references: list[list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(replies, references)


def test_missing_programs_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ValueError, match=r"no `java` on the PATH; install a Java"):
        caption_scores(["a"], [["a"]])
    assert score(["a"], [["a"]]).corpus["rouge_l"] == 1.0  # needs none
    monkeypatch.setattr(captions, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install .*\[eval\]'"):
        score(["a"], [["a"]])


@pytest.mark.slow
@java
def test_odd_texts_keep_their_places() -> None:
    replies = ["", "A dog\nruns ||| fast!", "café über", "  "]
    references = [["a cat"], ["a dog runs fast"], ["Café, über."], ["end"]]
    scores = caption_scores(replies, references)
    assert scores.items["meteor"][1] > 0.4
    assert scores.items["rouge_l"][1:3] == [1.0, 1.0]
    assert scores.items["rouge_l"][0] == scores.items["rouge_l"][3] == 0.0


CAPTIONS = {
    "a dog runs over the grass": ["the dog is running on grass", "a brown dog runs across the green lawn"],
    "two men in a boat": ["two people are sitting in a small boat", "men rowing"],
    "a red bus": ["a red double decker bus on the street", "the bus"],
    "": ["an empty street"],
    "a cat asleep on a chair": ["a cat asleep on a chair", "the sleeping cat"],
}


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_is_a_function_of_summed_counts(order: int) -> None:
    """Equal to the toolkit's own for the whole set and for any part of it: a resample of the sums is one of the score."""
    replies, references = list(CAPTIONS), list(CAPTIONS.values())
    counts = score(replies, references).counts["bleu"]
    for chosen in ([0, 1, 2, 3, 4], [0, 4], [4], [1, 2], [4, 4, 0]):
        whole = score([replies[i] for i in chosen], [references[i] for i in chosen]).corpus[f"bleu_{order}"]
        assert bleu_of(counts[chosen].sum(axis=0), order) == pytest.approx(whole, abs=1e-6)


def test_bleu_has_an_interval_over_images() -> None:
    questions = [Question(str(n), "?", tuple(texts), group=f"image {n // 2}") for n, texts in enumerate(CAPTIONS.values())]
    plain = [metric for metric in captions.PTB_FIRST if metric.name == "bleu_1_without_ptb"]
    found = scores_of(plain, questions, list(CAPTIONS))["bleu_1_without_ptb"]
    assert found["value"] == pytest.approx(score(list(CAPTIONS), list(CAPTIONS.values())).corpus["bleu_1"], abs=1e-6)
    assert found["low"] < found["value"] < found["high"] and found["n"] == 5


@pytest.mark.slow
@java
def test_meteor_is_a_function_of_summed_statistics() -> None:
    """Equal to the program's own for the whole set, for each caption, and for parts."""
    replies, references = list(CAPTIONS), list(CAPTIONS.values())
    scores = caption_scores(replies, references, ptb=False)
    assert meteor_of(scores.counts["meteor"].sum(axis=0)) == pytest.approx(scores.corpus["meteor"], abs=1e-6)
    np.testing.assert_allclose(meteor_of(scores.counts["meteor"]), scores.items["meteor"], atol=1e-6)
    part = caption_scores(replies[:2], references[:2], ptb=False)
    assert meteor_of(scores.counts["meteor"][:2].sum(axis=0)) == pytest.approx(part.corpus["meteor"], abs=1e-6)
