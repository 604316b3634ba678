"""Intervals, tests and calibration, against values worked out by other means."""

import numpy as np
import pytest

from dragonfly.evaluation.statistics import calibration, cluster_sums, holm, interval, paired_p, require_scipy


def share(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return sums[..., 0] / sums[..., -1]


def columns(scores: list[float]) -> np.ndarray:
    return np.array([[score, 1.0] for score in scores])


def test_rows_of_one_image_are_added() -> None:
    sums = cluster_sums(columns([1, 0, 1, 1]), ["b", "a", "b", "a"])
    assert sums.tolist() == [[2, 2], [1, 2]]


def test_independent_questions_give_the_binomial_interval() -> None:
    scores = [1.0] * 120 + [0.0] * 280
    found = interval(columns(scores), [str(n) for n in range(400)], share)
    half = 1.96 * (0.3 * 0.7 / 400) ** 0.5  # 0.0449
    assert found == pytest.approx((0.3 - half, 0.3 + half), abs=0.006)
    assert found == interval(columns(scores), [str(n) for n in range(400)], share)


def test_ten_questions_on_each_image_are_worth_one() -> None:
    scores = [float(image < 12) for image in range(40) for _ in range(10)]
    groups = [str(image) for image in range(40) for _ in range(10)]
    low, high = interval(columns(scores), groups, share) or (0, 0)
    half = 1.96 * (0.3 * 0.7 / 40) ** 0.5  # as 40 questions, not 400
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.03)


def test_a_constant_score_has_no_width_and_one_image_no_interval() -> None:
    assert interval(columns([1, 1, 1]), ["a", "b", "c"], share) == (1.0, 1.0)
    assert interval(columns([1, 0, 1]), ["a", "a", "a"], share) is None


def test_rows_that_do_not_count_leave_no_hole() -> None:
    rows = np.array([[1.0, 1.0], [0.0, 1.0], *[[0.0, 0.0]] * 50])
    assert interval(rows, [str(n) for n in range(52)], share) == (0.0, 1.0)


def test_paired_p_is_the_sign_test_of_the_differences() -> None:
    # 6 images, ours better on each: of 2^6 swaps, only none and all are as extreme: 2/64.
    groups = [str(n) for n in range(6)]
    assert paired_p(columns([1] * 6), columns([0] * 6), groups, share) == pytest.approx(2 / 64)
    assert paired_p(columns([1, 0, 1]), columns([1, 0, 1]), groups[:3], share) == 1.0
    assert paired_p(columns([1, 1]), columns([0, 0]), ["a", "a"], share) is None


def test_paired_p_swaps_images_not_questions() -> None:
    ours, theirs = columns([1] * 12), columns([0] * 12)
    assert paired_p(ours, theirs, [str(n // 4) for n in range(12)], share) == pytest.approx(2 / 8)


def test_paired_p_of_a_real_difference_among_many() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = (columns(list((rng.random(300) < p).astype(float))) for p in (0.7, 0.5))
    p = paired_p(ours, theirs, [str(n) for n in range(300)], share)
    assert p is not None and p < 0.01


def test_without_scipy_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scipy", None)
    with pytest.raises(ValueError, match=r"pip install .*\[eval\]'"):
        require_scipy()


def test_bins_and_error_by_hand() -> None:
    sure = [0.1] * 5 + [0.9] * 5
    found = calibration(sure, [1, 0, 0, 0, 0, 1, 1, 1, 0, 1])
    assert found == {
        "error": pytest.approx(0.1),  # |0.1 - 0.2| and |0.9 - 0.8|, half of the replies each
        "n": 10,
        "bins": [{"confidence": 0.1, "score": 0.2, "n": 5}, {"confidence": 0.9, "score": 0.8, "n": 5}],
    }


def test_order_does_not_matter_and_equal_confidences_stay_together() -> None:
    sure = [0.5] * 8 + [0.2, 0.9]
    found = calibration(sure, [1, 0] * 4 + [0, 1])
    assert found is not None
    assert [one["n"] for one in found["bins"]] == [9, 1]
    again = calibration(sure[::-1], ([1, 0] * 4 + [0, 1])[::-1])
    assert again == found


def test_too_few_replies_with_a_confidence() -> None:
    assert calibration([0.5] * 9 + [None] * 20, [1] * 29) is None


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06]  # 0.01 x 3; 0.03 x 2; 0.04 x 1 would be below the one before
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([0.02]) == [0.02] and holm([]) == []
