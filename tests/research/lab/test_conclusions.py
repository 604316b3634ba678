from __future__ import annotations

from typing import Any

import pytest

from dragonfly.research.lab.conclusions import conclude, validity, verdict

CONCLUSION = {"variant": "a", "over": "b", "measure": "fine"}


def score(value: float, **changes: Any) -> dict[str, Any]:
    return {
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
        "unit": "share",
        "n": 9,
        "seeds": [value, value],
        "spread": None,
        **changes,
    }


def a_test(**changes: Any) -> dict[str, Any]:
    about = {"variant": "a", "over": "b", "measure": "fine", "unit": "share", "value": 0.2, "low": 0.1, "high": 0.3, "p": 0.001}
    return {**about, "seeds": {"0": 0.1, "1": 0.3}, "consistent": True, **changes}


def result(**changes: Any) -> dict[str, Any]:
    variant = {
        "encoder": {},
        "seeds": [0, 1],
        "exploratory": False,
        "steps": 5,
        "cost": {"encoded": 5, "image_tokens": 9, "gflops": 1.5},
    }
    names = {"a": 0.7, "b": 0.5, "chance": 0.4}
    return {
        "name": "x",
        "question": "Which?",
        "paper": "Table 1",
        "date": "2026-01-02T03:04:05",
        "commit": None,
        "dirty": None,
        "hardware": {"gpu": None, "cores": 2, "cpu": "C"},
        "checkpoint": {"name": "nano", "sha256": "f" * 64},
        "test": {"sha256": "0", "images": 4},
        "same": "steps",
        "trained": True,
        "reference": "b",
        "random": "chance",
        "variants": {name: {**variant, "scores": {"fine": score(value)}} for name, value in names.items()},
        "timing": {name: {"ms_per_question": 1.0, "training_seconds": 2.0} for name in names},
        "tests": [a_test()],
        "unfinished": [],
        **changes,
    }


def test_a_conclusion_stands_with_its_random_baseline():
    said = conclude(result(), CONCLUSION)
    assert said == (
        "a scores 20.0 points above b (95 % +10.0 to +30.0, p 0.0010): the same sign in all 2 seeds (seeds: +10.0, +30.0). "
        "On 'fine': a 70.0 [60.0, 80.0]; b 50.0 [40.0, 60.0]; chance 40.0 [30.0, 50.0]."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random": None}, "the study names no random variant, and a conclusion about selection needs the random baseline"),
        ({"variants": {"a": 1, "b": 1}}, "the study has no result of 'chance' yet"),
        ({"tests": []}, "one of the two has no result yet"),
        ({"tests": [a_test(low=None, high=None)]}, "there is no interval, because a bootstrap over images needs two or more"),
        ({"unfinished": ["b seed 1"]}, r"seeds are missing \(b seed 1\)"),
    ],
)
def test_a_conclusion_is_refused_without_what_it_needs(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=f"No conclusion on a over b on 'fine': {message}"):
        conclude(result(**changes), CONCLUSION)


def test_a_conclusion_is_refused_where_random_has_no_interval():
    found = result()
    found["variants"]["chance"]["scores"]["fine"] = score(0.4, low=None, high=None)
    with pytest.raises(ValueError, match="there is no interval"):
        conclude(found, CONCLUSION)


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        ({}, "the same sign in all 2 seeds (seeds: +10.0, +30.0)."),
        (
            {"consistent": False, "seeds": {"0": -0.1, "1": 0.5}},
            "not consistent, the sign differs between seeds (seeds: -10.0, +50.0).",
        ),
        (
            {"consistent": False, "seeds": {"0": -0.1, "1": 0.5}, "p": 0.4},
            "not consistent, the sign differs between seeds (seeds: -10.0, +50.0).",
        ),
        ({"p": 0.01}, "not statistically significant (seeds: +10.0, +30.0)."),
        ({"seeds": {"0": 0.2}}, "exploratory, one seed."),
    ],
)
def test_what_is_said_of_a_difference(changes: dict[str, Any], ending: str):
    assert verdict(a_test(**changes)).endswith(f": {ending}")


def test_a_lower_score_is_below():
    assert verdict(a_test(value=-0.2, low=-0.3, high=-0.1)).startswith(
        "a scores 20.0 points below b (95 % -30.0 to -10.0, p 0.0010)"
    )
    assert verdict(a_test(unit="words", value=1.5, low=1.0, high=2.0)).startswith("a scores 1.5 words above b (95 % +1.0 to +2.0")


def test_the_conclusions_name_what_is_not_known():
    loose = a_test(consistent=False, seeds={"0": -0.1, "1": 0.5})
    found = result(tests=[a_test(), loose], unfinished=["b seed 1"])
    found["variants"]["b"]["exploratory"] = True
    said = " ".join(validity(found))
    assert "1 of 2 differences are statistically significant" in said
    assert "Significant, but of different signs in different seeds: a and b (fine)." in said
    assert "Exploratory, with one seed each: b;" in said
    assert "The p-values of 2 tests are not corrected for multiple testing" in said
    assert "Not finished: b seed 1." in said
