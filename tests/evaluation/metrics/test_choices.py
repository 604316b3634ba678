"""Replies that the harnesses read in their own ways."""

import pytest

from dragonfly.evaluation.metrics.choices import (
    ai2d_letter,
    mme_real_world_letter,
    mmmu_choice,
    mmmu_letter,
    mmmu_letter_lmms,
    mmmu_open,
    science_qa_letter,
    science_qa_letter_lmms,
    vlmevalkit_letter,
    vstar_letter,
)

OPTIONS = {"A": "$6", "B": "a bridge", "C": "the bridge deck"}


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("(A) or (C)", "C"),  # the last one named
        ("A (B) C", "B"),  # brackets come before lone letters
        ("A.", "A"),
        ("It must clearly be the bridge deck of course", "C"),
        ("the bridge deck", None),  # an option's text counts only above five words
        ("no idea", None),
        ("", None),
    ],
)
def test_mmmu_letter(reply: str, letter: str | None) -> None:
    assert mmmu_letter(reply, OPTIONS) == letter


def test_an_unreadable_reply_is_a_draw_that_depends_on_the_question_alone() -> None:
    assert mmmu_choice("B", OPTIONS, "q1") == "B"
    draws = [mmmu_choice("?", OPTIONS, f"q{n}") for n in range(300)]
    assert draws == [mmmu_choice("?", OPTIONS, f"q{n}") for n in range(300)]
    assert all(70 < draws.count(letter) < 130 for letter in OPTIONS)


@pytest.mark.parametrize(
    ("reply", "answers", "score"),
    [
        ("The answer is 12.97", ["12.97"], 1),
        ("so x = 12.971", ["12.97"], 1),  # rounded to two decimals
        ("about 1,200 units", ["1200"], 1),
        ("it is MgS", ["$MgS$", "MgS"], 1),
        ("transformation", ["Transformation"], 1),
        ("the result is abc", ["c"], 0),  # a single letter must stand alone
        ("the result is c", ["c"], 1),
        ("13", ["12.97"], 0),
    ],
)
def test_mmmu_open(reply: str, answers: list[str], score: float) -> None:
    assert mmmu_open(reply, answers) == score


@pytest.mark.parametrize(
    ("reply", "llava", "lmms"),
    [
        ("B", "B", "B"),
        ("b", None, "B"),
        ("B. because", "B", "B"),
        ("B.", None, "B"),
        ("So: The answer is C.", "C", "SO: THE ANSWER IS C."),
        ("The answer is C. The answer is D.", None, "THE ANSWER IS C. THE ANSWER IS D."),
        ("", None, ""),
    ],
)
def test_science_qa(reply: str, llava: str | None, lmms: str) -> None:
    assert science_qa_letter(reply) == llava
    assert science_qa_letter_lmms(reply) == lmms


@pytest.mark.parametrize(("reply", "letter"), [(" C. the leaf", "C"), ("(c)", "c"), ("C", "C"), ("the leaf", "the leaf")])
def test_ai2d_letter(reply: str, letter: str) -> None:
    assert ai2d_letter(reply) == letter


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("(A) or (C)", "C"),
        ("PLAN A it is", "A"),  # no space is needed before the letter
        ("(both A. and C.)", "A"),  # after "A." no letter stands alone, so the first option wins
        ("so A and then C it is", "C"),  # of letters that stand alone the last
        ("It must clearly be the bridge deck of course", "C"),
        ("the bridge deck", None),
    ],
)
def test_mmmu_letter_of_lmms_eval(reply: str, letter: str | None) -> None:
    assert mmmu_letter_lmms(reply, OPTIONS) == letter


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("(B)", "B"),
        ("The answer is: B.", "B"),
        ("B is what I would say here after all", None),  # too far from the end, and no option's text
        ("it is B as I said", "B"),  # the fourth word from the end still counts
        ("it is B as I have said", None),  # the fifth does not
        ("B, since it is $6 really, is not the one", "A"),  # ... but here the text of one
        ("A or B", None),
        ("A bridge", "A"),  # the article is taken for the letter: a known weakness of this rule
        ("the bridge deck", "C"),
        ("$6 and a bridge", None),
        ("so this must be about $6, which is a very long way to say it", None),  # more than twice the options' length
    ],
)
def test_vlmevalkit_letter(reply: str, letter: str | None) -> None:
    assert vlmevalkit_letter(reply, OPTIONS) == letter


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("C", "C"),
        ("b. cotton", "B"),  # whatever the case
        ("(D)", "D"),
        ("The answer is D.", "D"),  # "answer" comes before a letter in brackets or alone
        ("It is (B), not C.", "B"),
        ("It must be C) here", "C"),
        ("I think c is it", "C"),
        ("Blue", "B"),  # any reply that begins with such a letter, as the harness has it
        ("Yellow Green", None),
        ("It is red", "D"),  # the only letter A to D there is
        ("", None),
    ],
)
def test_vstar_letter(reply: str, letter: str | None) -> None:
    assert vstar_letter(reply) == letter


REFUSAL = ["13", "90", "77", "6", "The image does not feature the number."]


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("E", "E"),
        ("The best answer is (C) 77", "C"),
        ("The answer: D", "D"),
        ("the answer is d", ""),  # the phrase counts in one spelling, the letter as a capital; no option contains the reply
        ("77", "C"),
        ("the image does not feature the number", "E"),
        ("I am quite sure that it must be option number four of these", ""),  # more than ten words and no letter
        ("Best answer: C", "B"),  # the first capital A to E, as the official code has it
        ("", "A"),  # nothing is in every option
    ],
)
def test_mme_real_world_letter(reply: str, letter: str) -> None:
    assert mme_real_world_letter(reply, REFUSAL) == letter
