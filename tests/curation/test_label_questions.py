"""Grades become questions of three kinds, whose answers never contradict the grade."""

import re
from collections import Counter

import pytest

from dragonfly.curation.label_questions import DR_GRADES, questions_from_labels
from dragonfly.curation.sources.source import labelled
from dragonfly.data import BadSample, ImageRef, Sample, validate

from ..data.fakes import sample


def label(grade: object, number: int = 0, label_set: str = "dr-grade") -> Sample:
    made = labelled(grade, ImageRef("eye.png", group="p"), label_set)  # pyright: ignore[reportArgumentType]
    return Sample(f"ddr/{number}", "ddr", made.images, (), meta={"form": "label", **made.meta})


def asked(grade: int, seed: int = 0, count: int = 400) -> list[tuple[str, str]]:
    made = [questions_from_labels(label(grade, n), seed) for n in range(count)]
    for one in made:
        validate(one)
    return [(one.messages[0].text, one.messages[1].text) for one in made]


@pytest.mark.parametrize("grade", range(5))
def test_answers_say_the_grade_or_what_follows_from_it(grade: int):
    other_names = [name for number, name in enumerate(DR_GRADES) if number != grade and name not in DR_GRADES[grade]]
    for question, answer in asked(grade):
        if "\n" in question:
            options = dict(re.findall(r"^([A-E])\. (.+)$", question, re.MULTILINE))
            assert len(set(options.values())) == 5
            assert answer == f"{answer[0]}. {options[answer[0]]}"
            assert options[answer[0]].lower() == DR_GRADES[grade].lower()
        elif re.match(r"(Yes|No)\b", answer) and not answer.startswith("No diabetic"):
            least = 4 if "proliferative" in question else 2 if re.search(r"moderate|grade 2", question) else 1
            assert answer.startswith("Yes" if grade >= least else "No")
        else:
            assert DR_GRADES[grade] in answer.lower()
            assert all(number == str(grade) for number in re.findall(r"\d", answer))
        assert not [name for name in other_names if f"is {name}" in answer]


def test_the_kinds_of_question_and_their_wordings_vary():
    questions = Counter(question.split("\n")[0] for question, _ in asked(3))
    assert len(questions) >= 20
    pairs = asked(2)
    kinds = Counter("choice" if "\n" in q else "yes or no" if re.match("Yes|No", a) else "open" for q, a in pairs)
    assert {kind: count > 60 for kind, count in kinds.items()} == {"choice": True, "yes or no": True, "open": True}
    assert len({question for question, _ in pairs if "\n" in question}) > 30  # the options are shuffled


def test_the_question_follows_from_seed_and_id():
    assert asked(1, seed=5, count=50) == asked(1, seed=5, count=50) != asked(1, seed=6, count=50)


def test_the_image_stands_first_and_the_label_stays_known():
    made = questions_from_labels(label(4), 0)
    assert made.messages[0].content[0].type == "image" and made.images == (ImageRef("eye.png", group="p"),)
    assert (made.meta["form"], made.meta["kind"], made.meta["label"]) == ("qa", "grade", 4)


def test_other_forms_pass_unchanged():
    other = sample("<image>Q", "A", images=(ImageRef("a.png"),), meta={"form": "caption"})
    assert questions_from_labels(other, 0) is other


def test_a_label_off_the_scale_and_an_unknown_set_are_named():
    with pytest.raises(BadSample, match=r"^unknown-label: 5; accepted: 0 to 4"):
        questions_from_labels(label(5), 0)
    with pytest.raises(BadSample, match=r"^unknown-label: 'mild'"):
        questions_from_labels(label("mild"), 0)
    with pytest.raises(BadSample, match=r"^unknown-label-set: 'amd'; accepted: dr-grade"):
        questions_from_labels(label(1, label_set="amd"), 0)
