"""Bad rows are counted and named, and stop the run past their share."""

import pickle

import pytest

from dragonfly.data import BadRow, BadSample, check_bad, count_bad

ROWS = [BadRow("f.jsonl", 1, "empty-answer", "turn 0"), BadRow("f.jsonl", 7, "role-order", "user"), "good", "good"]


def test_the_good_and_the_bad_are_both_kept() -> None:
    assert count_bad(ROWS, 0.5) == (["good", "good"], ROWS[:2])
    assert count_bad([], 0.0) == ([], [])


def test_too_many_bad_rows_are_named_with_file_row_and_reason() -> None:
    with pytest.raises(ValueError, match=r"2 of 4 rows are bad.*empty-answer 1, role-order 1") as caught:
        count_bad(ROWS, 0.49)
    assert "f.jsonl row 7: role-order (user)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_first_few_are_listed() -> None:
    many = [BadRow("f", row, "too-long", "") for row in range(100)]
    with pytest.raises(ValueError, match=r"too-long 100.*row 4: .*; and 95 more") as caught:
        check_bad(many, 1000, 0.05)
    assert "row 5:" not in str(caught.value)


def test_the_share_is_a_share() -> None:
    with pytest.raises(ValueError, match=r"max_bad_share is 5; give a share between 0 and 1"):
        check_bad([], 10, 5)


def test_a_bad_sample_survives_the_way_back_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(BadSample("too-long", "12 tokens")))
    assert (error.reason, str(error)) == ("too-long", "too-long: 12 tokens")
