"""POPE's reading of replies, and the counts."""

import pytest

from dragonfly.evaluation.metrics import pope_answer, pope_answer_lmms, pope_outcome


@pytest.mark.parametrize(
    ("reply", "official", "lmms"),
    [
        ("Yes", "yes", "yes"),
        ("No", "no", "no"),
        ("No, there is none.", "no", "no, there is none."),
        ("It is not there", "no", "it is not there"),
        ("Yes. There is no dog", "yes", "yes. there is no dog"),  # only up to the first full stop
        ("NO", "yes", "no"),  # not among the three words
        ("nothing", "yes", "nothing"),
        ("", "yes", ""),
    ],
)
def test_readings(reply: str, official: str, lmms: str) -> None:
    assert pope_answer(reply) == official
    assert pope_answer_lmms(reply) == lmms


def test_outcomes() -> None:
    pairs = [("yes", "yes"), ("yes", "no"), ("no", "no"), ("no", "yes"), ("yes.", "no"), ("yes.", "yes")]
    assert [pope_outcome(*pair) for pair in pairs] == ["tp", "fp", "tn", "fn", "tn", "fn"]
