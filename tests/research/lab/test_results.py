from __future__ import annotations

import numpy as np
import pytest

from dragonfly.evaluation.metrics import presence
from dragonfly.research.lab.results import _score, compare  # pyright: ignore[reportPrivateUsage] - the entry of one measure
from dragonfly.research.lab.study import Measure
from tests.research.lab.test_measures import record


def columns(hits: str) -> np.ndarray:
    """`"101"` -> (3, 2): points, weight; `.` is a question that does not count."""
    return np.array([(float(hit == "1"), float(hit != ".")) for hit in hits])


def test_three_images_of_one_question_by_hand():
    # +1, +1, +1: of the 8 ways to swap images, two (none, all) are as extreme: p = 2 / 8.
    found = compare([columns("111")], [columns("000")], ["a", "b", "c"])
    assert (found.value, found.p, found.seeds) == (1.0, 0.25, (1.0,))


def test_an_image_is_swapped_whole():
    # Six questions on two images give 4 swaps, not 64.
    assert compare([columns("111111")], [columns("000000")], list("aaabbb")).p == 0.5


def test_an_image_is_swapped_in_all_seeds_at_once():
    # Three seeds of three images are three units, not nine: repeating a seed makes nothing surer.
    one, three = ([columns("111")] * n for n in (1, 3))
    assert compare(three, [columns("000")] * 3, list("abc")).p == compare(one, [columns("000")], list("abc")).p == 0.25


def test_no_difference_is_no_evidence():
    found = compare([columns("1010")], [columns("1010")], list("abcd"))
    assert (found.value, found.p, found.low, found.high) == (0.0, 1.0, 0.0, 0.0)
    assert not found.consistent


def test_difference_is_over_the_questions_that_count():
    found = compare([columns("11.0")], [columns("10.0")], list("abcd"))
    assert found.value == pytest.approx(1 / 3, abs=1e-6)


def test_one_seed_of_another_sign_is_not_consistent():
    ours, theirs = [columns("1111"), columns("0011")], [columns("0000"), columns("0111")]
    found = compare(ours, theirs, list("abcd"))
    assert found.value == pytest.approx(3 / 8)
    assert found.seeds == (1.0, -0.25)
    assert not found.consistent
    assert compare(ours[:1], theirs[:1], list("abcd")).consistent


def test_many_images_are_drawn_ten_thousand_times_and_the_same_each_time():
    rng = np.random.default_rng(1)
    ours, theirs = (columns("".join(map(str, rng.integers(0, 2, 60)))) for _ in range(2))
    first, again = (compare([ours], [theirs], [str(n) for n in range(60)]) for _ in range(2))
    assert first == again
    assert first.p is not None and round(first.p * 10_001) == pytest.approx(first.p * 10_001, abs=0.02)
    assert first.low is not None and first.high is not None and first.low <= first.value <= first.high


def test_what_is_not_paired_is_refused():
    with pytest.raises(ValueError, match="a comparison is paired: 1 and 2 seeds of 3 questions each are needed"):
        compare([columns("111")], [columns("000")] * 2, list("abc"))


def pope(replies: str, labels: str = "yyynnn") -> list[dict[str, object]]:
    """One letter per question, `y` or `n`; two questions on each image."""
    words = {"y": "yes", "n": "no"}
    rows = [record(words[label], words[reply], "pope") for label, reply in zip(labels, replies, strict=True)]
    return [{**row, "group": f"image {number // 2}"} for number, row in enumerate(rows)]


def test_a_score_of_a_whole_set_has_an_interval_over_images_and_is_the_mean_of_its_seeds():
    # 2 true, 1 missed, 1 false: F1 2/3. Always yes: 3 true, 3 false: 2/3. All right: 1.
    found = _score(Measure(metric="f1_official"), {0: pope("yynynn"), 1: pope("yyyyyy"), 2: pope("yyynnn")})
    assert found["seeds"] == pytest.approx([2 / 3, 2 / 3, 1.0], abs=1e-6)
    assert found["value"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3, abs=1e-6)  # counts over all seeds would give 16/21
    assert found["low"] < found["value"] < found["high"] and found["n"] == 6


def test_two_variants_are_compared_on_a_score_of_a_whole_set():
    measure = presence.POPE_F1
    first, second = ([columns_in(replies)] for replies in ("yyynnn", "nyynnn"))
    groups = [row["group"] for row in pope("yyynnn")]
    found = compare(first, second, groups, measure.value)  # pyright: ignore[reportArgumentType]
    assert found.value == pytest.approx(1 - 4 / 5, abs=1e-6)
    assert found.p == 1.0 and found.low is not None  # of 8 ways to swap images each is as extreme: one image differs


def columns_in(replies: str) -> np.ndarray:
    from dragonfly.research.lab.measures import columns_of

    return columns_of(Measure(metric="f1_official"), pope(replies))[0]
