"""The grammar of questions: many templates, none of a held-out split in training, and the words of the question left intact."""

from __future__ import annotations

import random
import re

import pytest

from dragonfly.research.synthetic.language import FORMS, say
from dragonfly.research.synthetic.language.grammar import SPLITS, around, asks, count_templates, frames, skeleton
from dragonfly.research.synthetic.language.slips import mistype

PARTS = ("direct", "bare", "clause", "thing")
WORDS = {
    **{"key": "subtotal", "value": "Q4.07", "noun": "entry", "nouns": "entries", "an": "a subtotal", "a": "net price"},
    **{"b": "old balance", "row": "oat biscuits", "col": "quantity", "measure": "output"},
}
YES_NO = ("holds", "cell holds", "holds beside", "holds specks", "present")
OWNERS = ("owner", "cell owner", "owner of shapes")


def templates(form: str, split: str) -> set[str]:
    """The skeletons of all frames of a form behind all asks of a split."""
    found = {skeleton(frame) for part in ("direct", "bare") for frame in frames(form, split, part)}
    for part in ("clause", "thing"):
        framed = {skeleton(frame) for frame in frames(form, split, part)}
        found |= {f"{ask} {frame}" for ask in map(skeleton, asks(split, part)) for frame in framed}
    return found


@pytest.mark.parametrize("form", FORMS)
def test_no_template_is_in_two_splits(form: str) -> None:
    train, dev, test = (templates(form, split) for split in SPLITS)
    assert not train & dev and not train & test and not dev & test


@pytest.mark.parametrize("part", ["clause", "thing"])
def test_no_ask_held_out_is_an_opener_and_an_ask_of_training(part: str) -> None:
    trained = {skeleton(f"{opener} {ask}") for opener in ("", *around("train", "openers")) for ask in asks("train", part)}
    for split in ("dev", "test"):
        opened = {skeleton(f"{opener} {ask}") for opener in ("", *around(split, "openers")) for ask in asks(split, part)}
        assert not trained & opened


def test_openers_and_endings_are_held_out_too() -> None:
    for part in ("openers", "endings"):
        groups = [{skeleton(text) for text in around(split, part)} for split in SPLITS]
        assert len(set.union(*groups)) == sum(map(len, groups))


def test_held_out_templates_use_only_words_that_training_uses() -> None:
    def vocabulary(split: str) -> set[str]:
        texts = [frame for form in FORMS for part in PARTS for frame in frames(form, split, part)]
        texts += [ask for part in ("clause", "thing") for ask in asks(split, part)]
        texts += [text for part in ("openers", "endings") for text in around(split, part)]
        return {word for text in texts for word in skeleton(text).split()}

    assert vocabulary("dev") | vocabulary("test") <= vocabulary("train")


def test_every_form_has_thousands_of_surface_forms() -> None:
    """A template counts with each opener and ending that it may stand between; typing, case and marks come on top."""
    places = {split: (1 + len(around(split, "openers"))) * (1 + len(around(split, "endings"))) for split in SPLITS}
    counts = {form: [count_templates(form, split) * places[split] for split in SPLITS] for form in FORMS}
    assert all(train >= 100_000 and min(dev, test) >= 1_000 for train, dev, test in counts.values()), counts
    assert count_templates("money", "train") >= 10_000 and count_templates("owner", "train") >= 5_000


def test_frames_are_whole_texts_with_known_slots() -> None:
    for form in FORMS:
        for split in SPLITS:
            for text in (text for part in PARTS for text in frames(form, split, part)):
                assert len(text) > 2 and not set(text) & set("[]|"), (form, text)
                assert set(re.findall(r"\{(\w*)\}", text)) <= {*WORDS, "img"}, (form, text)
    for split in SPLITS:
        around_it = [text for part in ("clause", "thing") for text in asks(split, part)]
        assert all(len(text) > 1 and not set(text) & set("[]|{the}"[:3]) for text in around_it)


@pytest.mark.parametrize("split", SPLITS)
def test_owners_are_worded_apart_from_yes_or_no(split: str) -> None:
    polar = re.compile(r"\b(is|are|was|does|do|did|can|could|would|am|were|whether|if|true|right|correct|yes|any|has it|got)\b|=")
    assert all(
        polar.search(text)
        for form in YES_NO
        for part in PARTS
        for text in frames(form, split, part)
        if "{key} {value}" not in text
    )
    starts = re.compile(r"^(is|are|was|does|do|did|can|could|whether|if|true|yes|am)\b")
    assert not [text for form in OWNERS for part in PARTS for text in frames(form, split, part) if starts.search(text)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("form", FORMS)
def test_a_question_holds_its_words_and_follows_from_the_generator(form: str, split: str) -> None:
    for seed in range(60):
        spoken = say(random.Random(seed), form, split, WORDS, ("receipt",))
        assert spoken == say(random.Random(seed), form, split, WORDS, ("receipt",))
        slots = set(re.findall(r"\{(\w+)\}", spoken.template)) - {"img"}
        assert all(spoken.words[slot].lower() in spoken.text.lower() for slot in slots), spoken
        assert "{" not in spoken.text and "  " not in spoken.text
        assert "value" not in slots or "q4.07" in spoken.text.lower()  # no typing error in a value


def test_people_type_in_many_ways() -> None:
    texts = [say(random.Random(seed), "money", "train", {"key": "total"}, ("receipt", "bill")).text for seed in range(3000)]
    assert len(set(texts)) > 2000
    marked, lower, upper = (sum(found(text) for text in texts) for found in (lambda t: t[-1] in "?.", str.islower, str.isupper))
    assert 1500 < marked < 2600 and 500 < lower < 1300 and 60 < upper < 300
    assert {"total?", "Total", "Total?"} <= set(texts)
    assert any("receipt" in text.lower() for text in texts) and any("image" in text.lower() for text in texts)


def test_a_typing_error_is_one_edit_inside_the_word() -> None:
    for seed in range(200):
        wrong = mistype(random.Random(seed), "subtotal")
        assert wrong[0] == "s" and abs(len(wrong) - 8) <= 1
    assert mistype(random.Random(0), "tax") == "tax" and mistype(random.Random(0), "A1234567") == "A1234567"
