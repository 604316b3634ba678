from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragonfly.research.lab.encoders import difference, encoders, variant_encoder
from dragonfly.research.lab.study import Study, agrees
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.spec import EncoderSpec

V1 = PRESETS["v1"].spec
NANO = V1.changed({"mid": {**V1.to_dict()["mid"], "pool": 7}, "high": {**V1.to_dict()["high"], "pool": 7}})


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
        ({"conclusions": [{"variant": "a", "over": "b", "measure": "all"}]}, "a headline needs its random baseline"),
        ({"conclusions": [{"variant": "a", "over": "b", "measure": "al"}], "random": "b"}, "measure 'al' is not one of: all"),
        ({"variants": {}}, "variants is empty; name at least one"),
        ({"variants": {"a": {}, "b/c": {}}}, "variant 'b/c' cannot be a folder's name"),
        ({"variants": {"a": {"seeds": [1, 1]}}}, r"variant 'a' has the seeds \[1, 1\]; give one or more, each once"),
        ({"variants": {"a": {"recipe": {"steps": 3}}}}, "variant 'a' changes its training, and the study has no recipe"),
        ({"recipe": {"steps": 3}}, "variant 'a' has no data to train on"),
        ({"recipe": {"seed": 3}, "data": [{"path": "d"}]}, "recipe.seed is the study's own to set"),
        ({"data": [{"path": "d"}]}, "data is for training, and the study has no recipe"),
        ({"recipe": {}, "data": [{"path": "d"}], "vary": {"low": [None]}}, "vary is for studies without a recipe"),
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
    with pytest.raises(ValueError, match="variant 'c' is not one of: a, b"):
        study.jobs("c")


def test_a_preset_keeps_the_size_and_the_pooling_that_the_checkpoint_reads():
    spec = variant_encoder(NANO, {"preset": "baseline-2"})
    assert spec.mid is not None and (spec.mid.grids, spec.mid.pool) == (PRESETS["baseline-2"].spec.mid.grids, 7)  # pyright: ignore[reportOptionalMemberAccess]
    assert spec.high is None and spec.resolution == NANO.resolution and not spec.selects
    pooled = variant_encoder(NANO, {"preset": "baseline-2", "mid": {"pool": 1}})
    assert pooled.mid is not None and pooled.mid.pool == 1


def test_parts_of_a_level_and_of_the_rule_change_alone():
    spec = variant_encoder(NANO, {"selection": {"keep": 1}, "high": {"pool": 1}, "low": None})
    assert (spec.selection.policy, spec.selection.keep, spec.low) == ("similarity", 1, None)
    assert spec.high is not None and NANO.high is not None and (spec.high.grids, spec.high.pool) == (NANO.high.grids, 1)
    assert sorted(difference(spec, NANO)) == ["high", "low", "selection"]


def test_every_variant_that_is_no_encoder_is_named():
    study = Study.model_validate(
        values(variants={"a": {"encoder": {"selection": {"keep": 9}}}, "b": {"encoder": {"regoins": "raster"}}, "c": {}})
    )
    with pytest.raises(
        ValueError,
        match=r"variant 'a': selection.keep 9 is more than the 6 of each region; "
        r"variant 'b': .*'regoins'.*did you mean 'regions'",
    ):
        encoders(study, V1)


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


def test_the_same_encoder_is_no_difference():
    assert difference(EncoderSpec.from_dict(V1.to_dict()), V1) == {}
