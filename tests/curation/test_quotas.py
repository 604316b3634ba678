"""Pools and weights: hand-worked cases, and what must hold of all."""

from hypothesis import given
from hypothesis import strategies as st

from dragonfly.curation.options import Mixture
from dragonfly.curation.quotas import Supply, quotas


def mixture(**options: object) -> Mixture:
    return Mixture.model_validate({"step": "mixture", **options})


TEXT, GENERAL = Supply(100, text=True), Supply(60)
SMALL, LARGE = Supply(10, general=False), Supply(90, general=False)


def test_without_options_everything_goes():
    assert quotas([TEXT, GENERAL, SMALL, LARGE], mixture()) == [100, 60, 10, 90]


def test_shares_without_a_total_keep_as_many_rows_as_they_allow():
    assert quotas([GENERAL, SMALL, LARGE], mixture(general_share=0.5)) == [60, 10, 50]
    assert quotas([GENERAL, SMALL, LARGE], mixture(general_share=0.2)) == [25, 10, 90]
    assert quotas([TEXT, GENERAL, SMALL, LARGE], mixture(text_share=0.2)) == [40, 60, 10, 90]
    assert quotas([Supply(10, text=True), GENERAL, Supply(60, general=False)], mixture(text_share=0.5)) == [10, 5, 5]
    assert quotas([GENERAL, SMALL], mixture(general_share=0.0)) == [0, 10]


def test_a_total_is_dealt_to_pools_and_in_them_by_weight():
    assert quotas([TEXT, GENERAL, SMALL, LARGE], mixture(total=100, text_share=0.1, general_share=0.5)) == [10, 45, 10, 35]
    assert quotas([Supply(90, general=False, weight=2), LARGE], mixture(total=90, general_share=0.0)) == [60, 30]
    assert quotas([Supply(90), Supply(90), Supply(90)], mixture(total=100)) == [34, 33, 33]


def test_a_share_that_is_not_given_stays_as_it_comes():
    assert quotas([TEXT, GENERAL, SMALL, LARGE], mixture(total=130)) == [50, 30, 10, 40]


def test_a_short_pool_gives_what_it_has_and_no_other_makes_up_for_it():
    assert quotas([GENERAL, LARGE], mixture(total=200, general_share=0.5)) == [60, 90]


def test_a_wanted_number_is_a_limit():
    assert quotas([Supply(90, wanted=25), Supply(20, wanted=25)], mixture()) == [25, 20]


supplies = st.lists(
    st.builds(
        Supply,
        rows=st.integers(0, 10**6),
        text=st.booleans(),
        general=st.booleans(),
        weight=st.floats(0.01, 100),
        wanted=st.none() | st.integers(1, 10**6),
    ),
    min_size=1,
    max_size=8,
)
shares = st.none() | st.floats(0.0, 0.95)


@given(supplies, st.none() | st.integers(1, 10**6), shares, shares)
def test_quotas_are_whole_numbers_within_each_sources_limit_and_the_total(
    given_: list[Supply], total: int | None, text: float | None, general: float | None
):
    taken = quotas(given_, mixture(total=total, text_share=text, general_share=general))
    assert all(isinstance(count, int) and 0 <= count <= supply.limit for count, supply in zip(taken, given_, strict=True))
    if total is not None:
        assert sum(taken) <= total
    with_images = sum(count for count, supply in zip(taken, given_, strict=True) if not supply.text)
    if total is None and text is not None and with_images:
        assert abs((sum(taken) - with_images) - text * sum(taken)) <= 2 / (1 - text)
