"""Other names of what is asked about: of known keys, never of another one of the page, and answered by what the page says."""

from __future__ import annotations

import random
from dataclasses import replace

from dragonfly.research.synthetic import ABSENT, SPECS, make_image
from dragonfly.research.synthetic.facts import FAMILIES, TOPICS
from dragonfly.research.synthetic.language.other_names import OTHER_NAMES, OTHER_NOUNS, known_words, other_name
from dragonfly.research.synthetic.shapes import COLOURS, SHAPES, SPECKS

PAGES = [make_image(replace(SPECS["nano"], language="varied"), "test", 5, index) for index in range(120)]
ASKED = [(page, question) for page in PAGES for question in page.questions]


def test_every_name_is_of_a_word_that_pages_have() -> None:
    drawn = {word for words in TOPICS.values() for word in words} | {*COLOURS, *SHAPES, *SPECKS}
    assert set(OTHER_NAMES) <= drawn
    assert {family.noun for family in FAMILIES.values()} == set(OTHER_NOUNS)


def test_no_name_holds_a_word_of_another_key_of_its_page() -> None:
    rng = random.Random(0)
    for family in FAMILIES.values():
        for key in family.keys:
            for _ in range(20):
                name = other_name(rng, key, family.keys)
                others = {word for other in family.keys if other != key for word in other.split()} - set(key.split())
                assert name == key or others.isdisjoint(name.split())
    assert other_name(rng, "phone", ["phone", "number"]) in ("telephone", "phone no")
    assert other_name(rng, "zinc", ["zinc", "lead"]) == "zinc"


def test_a_name_is_near_its_key_alone() -> None:
    known = known_words()
    assert known["quantity"] == "qty" and known["temperature"] == "temp"
    assert "no" not in known and "number" not in known  # of many keys


def test_questions_by_other_names_have_the_answer_of_the_page() -> None:
    others = 0
    for page, question in ASKED:
        values = {fact.key: fact.value for fact in page.facts}
        if question.form in ("value", "money", "beside") and question.kind != "absent":
            assert question.answer in values.values()
            (fact,) = (fact for fact in page.facts if fact.box == question.evidence[0])
            assert fact.value == question.answer
            others += fact.key not in question.text.lower()
        elif question.kind == "compare":
            assert question.answer in values
    assert others > 50  # with other names and typing errors


def test_amounts_are_asked_by_how_much_whether_they_are_there_or_not() -> None:
    money = [(page, question) for page, question in ASKED if question.form == "money"]
    assert {page.family for page, _ in money} == {"receipt", "table", "chart"}
    assert all(question.answer == ABSENT or question.answer.isdigit() for _, question in money)
    assert any(question.answer == ABSENT for _, question in money)


def test_natural_language_calls_everything_by_its_own_name() -> None:
    spec = replace(SPECS["nano"], language="natural")
    pages = [make_image(spec, "test", 5, index) for index in range(40)]
    assert all(question.form != "money" for page in pages for question in page.questions)
    counted = " ".join(question.text.lower() for page in pages for question in page.questions if question.kind == "count")
    assert not any(noun in counted for noun in ("entr", "gauge", "meter", "object", "item"))
