"""Questions: answered again here from the facts and the words alone, balanced, and with evidence that holds the answer."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable

import pytest

from dragonfly.research.synthetic import ABSENT, KINDS, SPECS, SPLITS, Drawn, Question, make_image
from dragonfly.research.synthetic.document_questions import THE, WORDINGS, Wordings, expand
from dragonfly.research.synthetic.facts import FAMILIES, split_of
from dragonfly.research.synthetic.styles import STYLES, draw_style

PAGES = {split: [make_image(SPECS["nano"], split, 11, index) for index in range(50)] for split in SPLITS}
ALL = [(split, page, question) for split, pages in PAGES.items() for page in pages for question in page.questions]


def words_of(question: Question, split: str) -> dict[str, str]:
    """What stands in the places of the wording that the question matches."""
    for wording in sorted(WORDINGS[question.form].of(split), key=len, reverse=True):
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(wording))
        if question.form in ("beside", "holds beside", "holds specks"):
            pattern = pattern.replace("(?P<key>.+?)", r"(?P<key>\w+ \w+)")
        if match := re.fullmatch(pattern, question.text, re.IGNORECASE):
            return {name: text.removeprefix("the ") for name, text in match.groupdict().items()}
    raise AssertionError(f"{question.text!r} is in no wording of {question.form} in {split}")


def one_or_absent(found: list[str]) -> str:
    assert len(found) <= 1, found
    return found[0] if found else ABSENT


def solve(page: Drawn, question: Question, split: str) -> str:
    """The answer, from the words of the question and the page's records."""
    words, records = words_of(question, split), {fact.key: fact.value for fact in page.facts}
    lowered = {name: text.lower() for name, text in words.items()}
    match question.form:
        case "value" | "beside":
            return records.get(lowered["key"], ABSENT)
        case "owner" | "owner of shapes":
            return one_or_absent([key for key, value in records.items() if value.lower() == lowered["value"]])
        case "larger" | "smaller":
            pick = max if question.form == "larger" else min
            return pick((lowered["a"], lowered["b"]), key=lambda key: int(records[key]))
        case "present":
            return "yes" if re.sub(r"^an? ", "", lowered["an"]) in records else "no"
        case "holds" | "holds beside" | "holds specks":
            return "yes" if records[lowered["key"]].lower() == lowered["value"] else "no"
        case "colour" | "colour of specks":
            return one_or_absent([key.split()[0] for key in records if key.split()[1] == lowered["key"]])
        case "shape":
            return one_or_absent([key.split()[1] for key in records if key.split()[0] == lowered["key"]])
        case "describe":
            family = FAMILIES[page.family]
            noun = {"category": "categories"}.get(family.noun, family.noun + "s")
            return f"a {family.thing} with {len(records)} {noun}"
        case "count":
            return count(page, records, lowered["nouns"])
    raise AssertionError(question.form)


def count(page: Drawn, records: dict[str, str], nouns: str) -> str:
    if nouns in records:
        return records[nouns]
    if nouns in ("fields", "rows", "categories", "dials", "shapes", "groups"):
        return str(len(records))
    if page.family == "specks":
        return ABSENT
    word = (
        nouns.removesuffix(" shapes") if nouns.endswith(" shapes") else nouns.removesuffix("s").removesuffix("crosse") or "cross"
    )
    return str(sum(word in key.split() for key in records))


def test_every_answer_follows_from_the_records() -> None:
    for split, page, question in ALL:
        assert solve(page, question, split) == question.answer, question


def test_no_text_is_asked_twice_of_a_page() -> None:
    for pages in PAGES.values():
        for page in pages:
            assert len({question.text for question in page.questions}) == len(page.questions)


def test_all_kinds_are_asked_and_about_twenty_of_a_page() -> None:
    assert {question.kind for _, _, question in ALL} == set(KINDS)
    assert 18 <= len(ALL) / (50 * 3) <= 25


@pytest.mark.parametrize("split", SPLITS)
def test_yes_and_no_are_equally_many_of_each_form(split: str) -> None:
    asked = [question for page in PAGES[split] for question in page.questions if question.kind == "yes/no"]
    for form in {question.form for question in asked}:
        answers = Counter(question.answer for question in asked if question.form == form)
        assert abs(answers["yes"] - answers["no"]) <= 2, (form, answers)


@pytest.mark.parametrize("split", SPLITS)
def test_no_answer_is_the_majority_of_its_kind(split: str) -> None:
    for kind in set(KINDS) - {"absent", "yes/no", "look"}:  # specks have three forms
        answers = Counter(question.answer for page in PAGES[split] for question in page.questions if question.kind == kind)
        assert max(answers.values()) / answers.total() < 0.25, (kind, answers.most_common(3))


def test_what_is_absent_is_asked_in_the_words_of_what_is_there() -> None:
    forms = {question.form for _, _, question in ALL if question.kind == "absent"}
    assert forms <= {question.form for _, _, question in ALL if question.kind in ("read", "next to", "count")}


def test_the_larger_of_two_is_named_first_as_often_as_last() -> None:
    asked = [(words_of(q, split), q.answer) for split, _, q in ALL if q.kind == "compare"]
    first = sum(words["a"].lower() == answer for words, answer in asked)
    assert 0.4 < first / len(asked) < 0.6


@pytest.mark.parametrize("spec", ["nano", "fine"])
def test_evidence_holds_the_marks_of_the_answer(spec: str) -> None:
    checked, pages = 0, [make_image(SPECS[spec], "train", 11, index) for index in range(40 if spec == "nano" else 12)]
    for page, question in ((drawn, asked) for drawn in pages for asked in drawn.questions):
        if question.kind in ("read", "next to"):
            assert len(question.evidence) == 1
            left, top, right, bottom = question.evidence[0]
            held = [
                annotation.label.lower()
                for annotation in page.text_annotations
                if left <= annotation.box[0]
                and top <= annotation.box[1]
                and annotation.box[2] <= right
                and annotation.box[3] <= bottom
            ]
            assert question.answer.lower() in held, (question, held)
            checked += 1
    assert checked > 100


def test_what_is_not_there_has_no_evidence() -> None:
    assert all(not q.evidence for _, _, q in ALL if q.kind == "absent" or (q.form == "present" and q.answer == "no"))
    assert all(len(q.evidence) == 2 for _, _, q in ALL if q.kind == "compare")


def test_values_belong_to_one_split() -> None:
    seen: dict[str, set[str]] = {}
    for split, pages in PAGES.items():
        facts = [fact for page in pages if page.family != "specks" for fact in page.facts]
        assert all(split_of(fact.value) == split for fact in facts)
        seen[split] = {fact.value for fact in facts}
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["dev"] and not seen["dev"] & seen["test"]


def test_false_values_belong_to_the_split_too() -> None:
    for split, page, question in ALL:
        if question.form in ("holds", "holds beside") and question.answer == "no":
            told = words_of(question, split)["value"]
            assert split in (split_of(told), split_of(told.upper()), split_of(told.lower())), (page.family, question)


@pytest.mark.parametrize("form", WORDINGS)
def test_wordings_of_splits_differ(form: str) -> None:
    wordings = WORDINGS[form]
    assert len(wordings.train) >= 6 and len(wordings.dev) >= 2 and len(wordings.test) >= 2
    everything = [*wordings.train, *wordings.dev, *wordings.test]
    assert len(set(everything)) == len(everything)


def test_a_pattern_says_every_combination() -> None:
    assert expand("[give|read] the [tax|{key}].") == ("give the tax.", "give the {key}.", "read the tax.", "read the {key}.")
    assert expand("{key}?") == ("{key}?",)


def test_what_is_held_out_is_not_trained_with_another_article() -> None:
    form = Wordings(("[Give|Read] [{key}|the {key}].", "Read {key}."), ("Give {key}.",), ("Say the {key}.",))
    assert form.train == ("Read {key}.", "Read the {key}.")
    for wordings in WORDINGS.values():
        trained = {THE.sub("", wording) for wording in wordings.train}
        assert not trained & {THE.sub("", wording) for wording in (*wordings.dev, *wordings.test)}


def test_held_out_wordings_use_words_that_are_trained() -> None:
    def words(lines: Iterable[str]) -> set[str]:
        return {word for line in lines for word in re.findall(r"[a-z]+|\{\w+\}", line.lower())}

    known = words(line for wordings in WORDINGS.values() for line in wordings.train)
    assert words(line for wordings in WORDINGS.values() for line in (*wordings.dev, *wordings.test)) <= known


@pytest.mark.parametrize("family", FAMILIES)
def test_styles_of_splits_differ(family: str) -> None:
    names = {split: {style.name for style in STYLES[family][split]} for split in SPLITS}
    assert len(names["train"]) >= 2 and names["dev"] and names["test"]
    assert not names["train"] & names["dev"] and not names["train"] & names["test"] and not names["dev"] & names["test"]


@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_styles_are_for_training_and_never_a_held_out_one(family: str) -> None:
    rng = random.Random(3)
    drawn = {split: {draw_style(rng, family, split).name for _ in range(400)} for split in SPLITS}
    listed = {split: {style.name for style in STYLES[family][split]} for split in SPLITS}
    assert drawn["dev"] == listed["dev"] and drawn["test"] == listed["test"]
    assert listed["train"] <= drawn["train"] and len(drawn["train"]) > 3 * len(listed["train"])
    assert not drawn["train"] & (listed["dev"] | listed["test"])


def test_held_out_papers_and_frames_are_new() -> None:
    rng = random.Random(5)
    styles = {split: [draw_style(rng, family, split) for family in FAMILIES for _ in range(400)] for split in SPLITS}
    used = {split: {word for style in styles[split] for word in (style.paper, style.frame)} for split in SPLITS}
    assert {"dotted", "pill"} <= used["dev"] - used["train"] - used["test"]
    assert {"squared", "corner"} <= used["test"] - used["train"] - used["dev"]
