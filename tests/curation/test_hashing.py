"""Numbers for content: worked out by hand, or against a slow and plain way."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from dragonfly.curation.hashing import draws, jaccard, joined, normalised, number, shingles


def test_a_number_knows_where_its_parts_end() -> None:
    assert number("ab", "c") != number("a", "bc") != number("abc")
    assert number("a", "b") != number("b", "a")


def test_a_number_is_the_same_in_another_process() -> None:
    program = "from dragonfly.curation.hashing import number; print(number('a', 'é'))"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert int(said) == number("a", "é")


def test_normal_form_forgets_case_width_and_space() -> None:
    assert normalised("  Is\tTHIS\n\nＡ ﬁsh? ") == "is this a fish?"


def test_draws_depend_on_key_seed_and_purpose_alone() -> None:
    keys = np.arange(1000, dtype=np.uint64)
    first = draws(keys, 0, "cap")
    assert (draws(keys[::-1], 0, "cap")[::-1] == first).all()
    assert (draws(keys, 1, "cap") != first).all() and (draws(keys, 0, "split") != first).all()
    assert len(np.unique(first)) == 1000
    assert 450 < (first < np.uint64(2**63)).sum() < 550


def test_several_keys_join_in_order() -> None:
    assert joined([]) == 0 and joined([7]) == 7
    assert joined([1, 2]) != joined([2, 1])


def test_shingles_and_their_overlap() -> None:
    assert shingles("a b c d") == {"a b c", "b c d"}
    assert shingles("a b") == {"a b"} and shingles("") == frozenset()
    # {abc, bcd} and {abc, bcx}: 1 of 3
    assert jaccard(shingles("a b c d"), shingles("a b c x")) == pytest.approx(1 / 3)
    assert jaccard(frozenset(), frozenset()) == 1.0
