"""Numbers for content: worked out by hand, or against a slow and plain way."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragonfly.curation.hashing import draws, jaccard, joined, normalised, number, shingles
from dragonfly.curation.image_hashes import near_pairs
from dragonfly.curation.steps.duplicates import keep_first


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


@given(st.integers(0, 2**32), st.integers(0, 11), st.integers(2, 60))
@settings(max_examples=40, deadline=None)
def test_every_near_pair_is_found_and_no_other(seed: int, radius: int, count: int) -> None:
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    for place in range(1, count, 2):  # a neighbour some bits away, spread or within one band
        bits = random.choice(64 if place % 4 == 1 else 16, random.integers(0, 14), replace=False)
        hashes[place] = hashes[place - 1] ^ np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64), initial=np.uint64(0))
    others = hashes[::2]
    expected = np.argwhere(np.bitwise_count(hashes[:, None] ^ others[None]) <= radius)
    found = np.stack(near_pairs(hashes, others, radius), axis=1)
    assert np.array_equal(found, expected)


def test_a_radius_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="image radius is 12 bits of 64; give 0 to 11"):
        near_pairs(np.zeros(1, np.uint64), np.zeros(1, np.uint64), 12)


def test_a_chain_does_not_swallow_what_is_not_paired() -> None:
    # 0-1, 1-2, 2-3: 1 goes to 0; 2 is not paired with 0, so it stays; 3 goes to 2.
    first, second = np.array([2, 0, 1]), np.array([3, 1, 2])
    assert keep_first(first, second, 5).tolist() == [0, 0, 2, 2, 4]


def test_of_two_that_could_stand_for_it_the_first_does() -> None:
    assert keep_first(np.array([1, 0]), np.array([2, 2]), 3).tolist() == [0, 1, 0]
