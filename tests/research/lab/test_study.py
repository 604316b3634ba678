from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragonfly.research.lab.study import Study, agrees
from dragonfly.vision.presets import PRESETS

V1 = PRESETS["v1"].spec


def values(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "question": "?", "test": "t", "reference": "a", "variants": {"a": {}, "b": {}}, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": "c"}, "reference: variant 'c' is not one of: a, b"),
        (
            {"random": "rondam", "variants": {"a": {}, "random": {}}},
            "random: variant 'rondam' is not one of: a, random; did you mean 'random'?",
        ),
        ({"conclusions": [{"variant": "a", "over": "b", "measure": "all"}]}, "conclusions need a random baseline"),
        ({"conclusions": [{"variant": "a", "over": "b", "measure": "al"}], "random": "b"}, "measure 'al' is not one of: all"),
        ({"variants": {}}, "variants is empty; name at least one"),
        ({"variants": {"a": {}, "b/c": {}}}, "variant 'b/c' cannot be a folder's name"),
        ({"variants": {"a": {"seeds": [1, 1]}}}, r"variant 'a' has the seeds \[1, 1\]; give one or more, each once"),
        ({"variants": {"a": {"recipe": {"steps": 3}}}}, "variant 'a' changes its training, and the study has no recipe"),
        ({"recipe": {"steps": 3}}, "variant 'a' has no data to train on"),
        ({"recipe": {"seed": 3}, "data": [{"path": "d"}]}, "recipe.seed is set by the study; give `seeds`"),
        ({"recipe": {"model": {"preset": "v1"}}, "data": [{"path": "d"}]}, "recipe.model is set by the study; give `encoder`"),
        ({"recipe": {"data": {"train": []}}, "data": [{"path": "d"}]}, "recipe.data names rows; give the study's `data`"),
        ({"recipe": {"data": "d"}, "data": [{"path": "d"}]}, "recipe.data names rows; give the study's `data`"),
        (
            {"recipe": {"steps": 1}, "data": [{"path": "d"}], "variants": {"a": {"recipe": {"output": "x"}}}},
            "variants.a.recipe.output is set by the study; leave it out",
        ),
        ({"data": [{"path": "d"}]}, "data is for training, and the study has no recipe"),
        ({"recipe": {}, "data": [{"path": "d"}], "vary": {"low": [None]}}, "vary is for studies without a recipe"),
        ({"variants": {"a": {"after": "b"}, "b": {}}}, "variant 'a' is after 'b', which is not a variant named before it"),
        (
            {"variants": {"a": {"seeds": [0]}, "b": {"after": "a", "seeds": [0, 2]}}},
            r"variant 'b' is after 'a', which lacks its seeds \[2\]",
        ),
        ({"variants": {"a": {}, "b": {"after": "a"}}}, "variant 'b' changes its training, and the study has no recipe"),
        (
            {"recipe": {}, "data": [{"path": "d"}], "variants": {"a": {"share": 0.5}}},
            "variant 'a' has share or row_tokens, which divide FLOPs; they go with same: flops",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Study.model_validate(values(**changes))


def test_unknown_keys_come_with_the_nearest(tmp_path: Path):
    file = tmp_path / "s.yaml"
    file.write_text("name: x\nquestion: q\ntest: t\nreference: a\nvariants: {a: {encoders: {}}}\n")
    with pytest.raises(ValueError, match=r"unknown key 'variants.a.encoders'; did you mean 'variants.\*.encoder'"):
        Study.load(file)
    with pytest.raises(
        ValueError, match=r"^no study file, and no shipped study of that name: 'tabel9' .* did you mean 'table\d'\?$"
    ):
        Study.load("tabel9")


def test_vary_makes_every_combination():
    study = Study.model_validate(
        values(reference="policy=a keep=1", vary={"selection.policy": ["a", "b"], "selection.keep": [1, 2]})
    )
    assert list(study.variants) == ["policy=a keep=1", "policy=a keep=2", "policy=b keep=1", "policy=b keep=2", "a", "b"]
    assert study.variants["policy=b keep=1"].encoder == {"selection": {"policy": "b", "keep": 1}}


def test_work_goes_seed_by_seed_so_that_an_early_report_has_all_variants():
    study = Study.model_validate(values(seeds=[0, 1], variants={"a": {}, "b": {"seeds": [0]}}))
    assert study.jobs() == [("a", 0), ("b", 0), ("a", 1)]
    assert study.jobs("a") == [("a", 0), ("a", 1)]
    chained = Study.model_validate(values(recipe={}, data=[{"path": "d"}], variants={"a": {}, "b": {}, "c": {"after": "b"}}))
    assert chained.jobs("c") == [("b", 0), ("c", 0)]
    with pytest.raises(ValueError, match="variant 'c' is not one of: a, b"):
        study.jobs("c")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, True),
        ({"kind": "word"}, True),
        ({"kind": ["shape", "word"]}, True),
        ({"kind": "shape"}, False),
        ({"px": {"max": 10}}, True),
        ({"px": {"min": 10, "max": 12}}, True),
        ({"px": {"min": 11}}, False),
        ({"kind": "word", "px": {"min": 11}}, False),
        ({"absent": 1}, False),
    ],
)
def test_where(where: dict[str, Any], expected: bool):
    assert agrees({"kind": "word", "px": 10}, where) is expected
