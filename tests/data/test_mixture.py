"""The order of a run is a pure function of names, lengths, passes and seed, and takes what it says."""

import pickle
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragonfly.data import Mixture, Place, Sample


def source(name: str, rows: int) -> Sequence[Sample]:
    return cast(Any, [f"{name}{i}" for i in range(rows)])


def places(mixture: Mixture) -> list[Place]:
    return [mixture.locate(position) for position in range(len(mixture))]


def test_each_epoch_takes_each_source_its_number_of_passes() -> None:
    mixture = Mixture({"a": source("a", 10), "b": source("b", 4)}, {"a": 0.5, "b": 2.25}, seed=3, epochs=2)
    assert (mixture.rows_per_epoch, len(mixture)) == (14, 28)
    drawn = []
    for epoch in range(2):
        taken = [place for place in places(mixture) if place.epoch == epoch]
        assert [place.index for place in taken] == list(range(14))
        counts = Counter((place.source, place.row) for place in taken)
        assert sorted(count for (name, _), count in counts.items() if name == "a") == [1] * 5
        assert sorted(count for (name, _), count in counts.items() if name == "b") == [2, 2, 2, 3]
        drawn.append({row for name, row in counts if name == "a"})
    assert drawn[0] != drawn[1]


def test_the_order_is_shuffled_across_sources_and_anew_each_epoch() -> None:
    mixture = Mixture({"a": source("a", 50), "b": source("b", 50)}, epochs=2)
    order = [(place.source, place.row) for place in places(mixture)]
    assert order[:100] != order[100:]
    assert sorted(order[:100]) == sorted(order[100:])
    assert 15 < sum(name == "a" for name, _ in order[:50]) < 35
    assert [row for name, row in order[:100] if name == "a"] != list(range(50))


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 12), min_size=1), st.integers(0, 5), st.integers(0, 1000))
def test_a_position_is_the_same_row_whenever_it_is_asked_for(rows: dict[str, int], seed: int, asked: int) -> None:
    sources = {name: source(name, count) for name, count in rows.items()}
    whole = list(Mixture(sources, seed=seed, epochs=3))
    position = asked % len(whole)
    assert Mixture(sources, seed=seed, epochs=3)[position] == whole[position]
    assert pickle.loads(pickle.dumps(Mixture(sources, seed=seed, epochs=3)))[position] == whole[position]
    assert Mixture(sources, seed=seed, epochs=4)[position] == whole[position]


def test_the_seed_changes_the_order() -> None:
    orders = {tuple(Mixture({"a": source("a", 30)}, seed=seed)) for seed in range(5)}
    assert len(orders) == 5
    assert {frozenset(order) for order in orders} == {frozenset(source("a", 30))}


def test_the_tree_says_what_goes_in_and_out() -> None:
    mixture = Mixture({"vqa": source("v", 8), "text": source("t", 6), "off": source("o", 3)}, {"text": 1 / 3, "off": 0})
    assert str(mixture) == (
        "mixture: 17 rows in, 10 out per epoch, seed 0\n"
        "├─ vqa: 8 in, 8 out (1 passes, 80.0%)\n"
        "├─ text: 6 in, 2 out (0.333333 passes, 20.0%)\n"
        "└─ off: 3 in, 0 out (0 passes, 0.0%)"
    )
    assert {place.source for place in places(mixture)} == {"vqa", "text"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"passes": {"b": 1.0}}, "passes names 'b'; the sources are a"),
        ({"passes": {"a": -1.0}}, "'a' is to be taken -1.0 times"),
        ({"passes": {"a": float("nan")}}, "'a' is to be taken nan times"),
        ({"passes": {"a": 0.0}}, "the mixture of a takes no rows"),
        ({"epochs": 0}, "epochs is 0 and seed 0; give at least 1 epoch"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_what_cannot_be_mixed_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture({"a": source("a", 5)}, **options)


def test_positions_end() -> None:
    mixture = Mixture({"a": source("a", 2)})
    for position in (2, -1):
        with pytest.raises(IndexError, match=f"position {position} of a mixture with 2"):
            mixture[position]
