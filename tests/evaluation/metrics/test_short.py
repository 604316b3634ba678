"""Short-answer scores worked out by hand; the arithmetic stands beside each case."""

import pytest

from dragonfly.evaluation.metrics.short import (
    closed_accuracy,
    closed_accuracy_llava_med,
    exact_match,
    is_closed,
    named_choices,
    open_recall,
    relaxed_accuracy,
    token_f1,
    vqa_accuracy,
    yes_or_no,
)
from dragonfly.evaluation.metrics.text import normalize_slake, normalize_vqa
from dragonfly.evaluation.question import Question


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  The Left\nLung. ", "left lung"),
        ("two", "2"),
        ("None", "0"),
        ("9.50", "9.50"),
        ("1,000", "1000"),  # a comma between digits: marks go, and leave no space
        ("x-ray", "x ray"),  # no space beside it: becomes one
        ("yes, it is!", "yes it is"),
        ("dont", "don't"),
        ("its", "its"),
        ("A.", "a"),  # an option, not an article
        ("-5", "5"),  # the rules' known weakness
    ],
)
def test_normalize_vqa(text: str, expected: str) -> None:
    assert normalize_vqa(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Yeah", "yes"), ("False.", "no"), ("X-Ray (chest)", "xray"), ("chest x-ray", "chest x ray"), ("Axial", "axial")],
)
def test_normalize_slake(text: str, expected: str) -> None:
    assert normalize_slake(text) == expected


def test_exact_match_takes_any_accepted_answer() -> None:
    assert exact_match("The right lung.", ["left lung", "right lung"]) == 1.0
    assert exact_match("right", ["left lung", "right lung"]) == 0.0


@pytest.mark.parametrize(
    ("reply", "answer", "choices", "score"),
    [
        ("Yes.", "yes", (), 1),
        ("No, there is none", "yes", (), 0),
        ("normal", "no", (), 0),  # the word, not the letters
        ("yes and no", "no", (), 0),
        ("not sure", "no", (), 0),
        ("It is an MRI", "MRI", ("CT", "MRI"), 1),
        ("CT or MRI", "MRI", ("CT", "MRI"), 0),
        ("left upper lobe", "upper", ("left upper", "upper"), 0),  # the longer choice is the one that is named
        ("MRI", "mri", (), 1),
        ("an MRI scan", "MRI", (), 0),  # without choices the whole reply must be the answer
    ],
)
def test_closed_accuracy(reply: str, answer: str, choices: tuple[str, ...], score: float) -> None:
    assert closed_accuracy(reply, answer, choices) == score


def test_named_choices_and_yes_or_no() -> None:
    assert named_choices("Either the CT or the MRI", ["ct", "MRI", "x-ray"]) == {"ct", "mri"}
    assert named_choices("yes yes", ["yes"]) == {"yes"}
    assert [yes_or_no(text) for text in ("YES!", "know", "no no", "no, yes")] == ["yes", None, "no", None]


@pytest.mark.parametrize(
    ("reply", "answer", "score"),
    [
        ("Yes", "yes", 1),
        ("no", "yes", 0),
        ("yes and no", "no", 1),  # both are right
        ("this looks normal", "no", 1),  # "no" inside "normal"
        ("axial", "axial", 0),  # no letters of yes or no: wrong
        ("abnormal CT", "CT", 1),
        ("CT", "CT", 0),
    ],
)
def test_closed_accuracy_as_llava_med(reply: str, answer: str, score: float) -> None:
    assert closed_accuracy_llava_med(reply, answer) == score


@pytest.mark.parametrize(
    ("reply", "answer", "clipped", "unclipped"),
    [
        # hits 2 of 3 said and 2 of 4 meant: 2*2 / (3+4) = 4/7
        ("left lower mass", "left lower lobe pneumonia", 4 / 7, 4 / 7),
        # said left x3. Clipped: 1 hit, 2 wrong, 1 missed: 2/(2+3) = 0.4. Unclipped: 3 hits, 0 wrong, 1 missed: 6/7
        ("left left left", "left lung", 2 / 5, 6 / 7),
        # meant x2. Clipped: 1 hit, 0 wrong, 1 missed: 2/3. Unclipped: 1 hit, 0 wrong, 0 missed: 1
        ("lung", "lung lung", 2 / 3, 1.0),
        ("heart", "lung", 0.0, 0.0),
        ("", "lung", 0.0, 0.0),
        ("the", "a", 0.0, 0.0),
        ("?", "!", 1.0, 1.0),  # both empty after normalisation
    ],
)
def test_token_f1(reply: str, answer: str, clipped: float, unclipped: float) -> None:
    assert token_f1(reply, answer) == pytest.approx(clipped)
    assert token_f1(reply, answer, clipped=False) == pytest.approx(unclipped)


def test_open_recall() -> None:
    assert open_recall("mass in the left lobe", "left lower lobe") == pytest.approx(2 / 3)
    assert open_recall("", "") == 1.0


@pytest.mark.parametrize(
    ("reply", "answer", "score"),
    [
        ("105", "100", 1),  # |105 - 100| / 100 = 0.05
        ("105.1", "100", 0),
        (" 95 ", "100", 1),
        ("15%", "15", 0),  # 0.15 against 15
        ("0.15", "15%", 1),
        ("15%", "15.5%", 1),  # 0.5 / 15.5 = 0.032
        ("0", "0", 1),
        ("0.0", "0", 0),  # 0 is compared as text
        ("1,000", "1000", 0),  # does not parse
        ("belgium", "Belgium", 1),
        ("[63, 26]", "[63, 26]", 1),
        ("2010", "2018", 1),  # years are numbers: the known weakness
    ],
)
def test_relaxed_accuracy(reply: str, answer: str, score: float) -> None:
    assert relaxed_accuracy(reply, answer) == score


@pytest.mark.parametrize(
    ("agreeing", "expected"),
    [
        (0, 0.0),
        (1, (1 * 0 + 9 * 1 / 3) / 10),  # leaving the agreeing one out 0, else 1/3
        (2, (2 * 1 / 3 + 8 * 2 / 3) / 10),
        (3, (3 * 2 / 3 + 7 * 1) / 10),
        (4, 1.0),
        (10, 1.0),
    ],
)
def test_vqa_accuracy(agreeing: int, expected: float) -> None:
    answers = ["Nokia."] * agreeing + [f"other {n}" for n in range(10 - agreeing)]
    assert vqa_accuracy("nokia", answers) == pytest.approx(expected)


def test_vqa_accuracy_with_one_annotator_is_an_exact_match() -> None:
    assert vqa_accuracy("a cat", ["cat"]) == 1.0


def test_closed_is_what_the_data_say_else_what_the_answer_shows() -> None:
    stated = Question("a", "q", ("yes",), meta={"answer_type": "OPEN"})
    others = [Question("b", "q", ("Yes",)), Question("c", "q", ("CT",))]
    assert [is_closed(question) for question in (stated, *others)] == [False, True, False]
    assert is_closed(Question("a", "q", ("CT",), options=("CT", "MRI")))
