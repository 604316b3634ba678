"""Confidence against scores, by hand."""

import pytest

from dragonfly.evaluation.calibration import calibration


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
