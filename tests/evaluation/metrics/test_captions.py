"""What can be said of caption scores without Java, and what is said where it is missing."""

import shutil

import pytest

from dragonfly.evaluation.metrics import captions
from dragonfly.evaluation.metrics.captions import caption_scores


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
    with pytest.raises(ValueError, match=r"pip install 'dragonfly-vlm\[eval\]'"):
        score(["a"], [["a"]])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="no Java")
def test_odd_texts_keep_their_places() -> None:
    replies = ["", "A dog\nruns ||| fast!", "café über", "  "]
    references = [["a cat"], ["a dog runs fast"], ["Café, über."], ["end"]]
    scores = caption_scores(replies, references)
    assert scores.items["meteor"][1] > 0.4
    assert scores.items["rouge_l"][1:3] == [1.0, 1.0]
    assert scores.items["rouge_l"][0] == scores.items["rouge_l"][3] == 0.0
