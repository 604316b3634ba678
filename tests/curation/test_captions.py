"""Captions become varied instructions that depend on the seed and the sample alone."""

from collections import Counter

import pytest

from dragonfly.curation.captions import WORDINGS, instructions_from_captions
from dragonfly.curation.sources import SOURCES
from dragonfly.curation.sources.source import captioned
from dragonfly.data import BadSample, ImageRef, Message, Part, Sample, validate

from ..data.fakes import sample


def caption(number: int, style: str = "figure", words: str = " A scan. ") -> Sample:
    made = captioned(words, ImageRef("a.png", group="g"), style, study="s1")
    return Sample(f"roco/{number}", "roco", made.images, (), meta={"form": "caption", **made.meta})


def test_the_caption_answers_one_of_the_wordings_of_its_style():
    made = instructions_from_captions(caption(1), 0)
    validate(made)
    question, answer = made.messages
    assert question.content[0] == Part("image") and question.text in WORDINGS["figure"]
    assert answer == Message("assistant", (Part("text", "A scan."),))
    assert made.meta == {"form": "qa", "kind": "caption", "study": "s1"}
    assert (made.id, made.source, made.images) == ("roco/1", "roco", (ImageRef("a.png", group="g"),))


@pytest.mark.parametrize("style", WORDINGS)
def test_all_wordings_are_used_and_none_much_more_than_the_others(style: str):
    counts = Counter(instructions_from_captions(caption(n, style), 3).messages[0].text for n in range(1200))
    assert set(counts) == set(WORDINGS[style])
    assert len(WORDINGS[style]) == len(set(WORDINGS[style])) >= 12
    assert max(counts.values()) < 2 * 1200 / len(WORDINGS[style])


def test_the_wording_follows_from_seed_and_id():
    texts = [[instructions_from_captions(caption(n), seed).messages[0].text for n in range(40)] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert [instructions_from_captions(caption(n), 1).messages[0].text for n in reversed(range(40))] == texts[0][::-1]
    depicted, caption_for_paper = WORDINGS["figure"][10], WORDINGS["figure"][3]
    assert texts[0][:3] == [depicted, depicted, caption_for_paper]  # the same in every process


def test_other_forms_pass_unchanged():
    for other in (sample("<image>Q", "A", images=(ImageRef("a.png"),), meta={"form": "qa"}), sample("Q", "A")):
        assert instructions_from_captions(other, 0) is other


def test_an_empty_caption_and_an_unknown_style_are_named():
    with pytest.raises(BadSample, match=r"^no-caption: the caption is empty"):
        instructions_from_captions(caption(1, words=" "), 0)
    with pytest.raises(BadSample, match=r"^unknown-style: 'poem'; accepted: figure, "):
        instructions_from_captions(caption(1, style="poem"), 0)


def test_every_caption_source_has_wordings():
    assert {source.name for source in SOURCES.values() if source.form == "caption"} == {
        *("arxivcap", "medicat", "mimic-cxr", "openpath", "roco", "iu-xray", "peir-gross")
    }
