"""New words of a tokenizer: which, and what a model that knew them spelled makes of them at first."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import dragonfly
from dragonfly.research.curriculum.more_words import more_words, with_words
from tests import tiny

QUESTIONS = [("Kindly give the TAX", "47")] * 3 + [("kindly give zofik", "zofik"), ("Which is ZOFIK, kindly?", "rent")] * 3


def test_words_of_questions_become_tokens_and_values_do_not() -> None:
    words = more_words(QUESTIONS, ["tax", "Ġtax", "Which", "?"], least=3)
    assert set(words) == {"Kindly", "kindly", "Ġkindly", "Ġgive", "Ġthe", "ĠTAX", "Ġis"}
    assert "Ġzofik" not in words and "ĠZOFIK" not in words and "rent" not in words
    assert more_words(QUESTIONS, [], least=7) == []
    assert more_words(QUESTIONS, [], least=7, as_typed=3) == ["Kindly", "kindly", "Ġkindly"]  # seven times, in any case


def test_a_model_grown_by_words_says_what_it_said() -> None:
    engine: Any = dragonfly.load(device="cpu")
    image, question = tiny.image(200, 300), "Give the tax."
    before = engine.ask(image, question, max_new_tokens=3).text
    vocabulary = engine.tokenizer.get_vocab()
    model, processor = with_words(engine.model.float(), engine.processor, ["Ġzebras", "tAx", "ĠDuty"], names_of={"duty": "tax"})
    grown = processor.tokenizer.get_vocab()
    assert {name: grown[name] for name in vocabulary} == vocabulary and len(grown) == len(vocabulary) + 3
    assert processor.tokenizer("Kindly tAx, zebras", add_special_tokens=False)["input_ids"][-1] == grown["Ġzebras"]
    weight = model.get_input_embeddings().weight
    assert model.lm_head.weight is weight
    near = torch.cosine_similarity(weight[grown["tAx"]], weight[vocabulary["tax"]], dim=0)
    other_name = torch.cosine_similarity(weight[grown["ĠDuty"]], weight[vocabulary["Ġtax"]], dim=0)
    assert near > 0.9 and other_name > 0.9 and weight[grown["Ġzebras"]].norm() < 0.2 * weight[vocabulary["tax"]].norm()
    again = dragonfly.inference.Engine(model, processor, "grown")
    assert again.ask(image, question, max_new_tokens=3).text == before


def test_another_tokenizer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"was not learned by init_from\.scratch"):
        with_words(None, tiny.processor(tiny.config("v1")), ["word"])
