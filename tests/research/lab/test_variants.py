"""A variant's encoder, its training rows and its cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragonfly.data import Manifest
from dragonfly.planning import plan
from dragonfly.research.lab.study import Study, Subset
from dragonfly.research.lab.variants import Training, difference, encoders, per_question, sources, steps_for, variant_encoder
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.spec import EncoderSpec
from tests import tiny
from tests.research.lab import small
from tests.research.lab.test_study import V1, values

NANO = V1.changed({"mid": {**V1.to_dict()["mid"], "pool": 7}, "high": {**V1.to_dict()["high"], "pool": 7}})


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


def test_the_same_encoder_is_no_difference():
    assert difference(EncoderSpec.from_dict(V1.to_dict()), V1) == {}


def test_a_whole_manifest_is_used_where_it_lies(tmp_path: Path):
    folder = small.marks(tmp_path, 2)
    assert sources([Subset(path=str(folder), group_questions=4)], tmp_path / "data") == [
        {"name": "subset-0", "path": str(folder), "group_questions": 4}
    ]
    assert not (tmp_path / "data").exists()


def test_subsets_select_images_and_repeat_rows(tmp_path: Path):
    folder = small.marks(tmp_path, 4)
    subsets = [Subset(path=str(folder), where={"kind": "word"}, images=1, copies=3), Subset(path=str(folder), images=2)]
    first, second = (Manifest.open(source["path"]) for source in sources(subsets, tmp_path / "data"))
    assert [row.id for row in first] == ["p0", "p0+1", "p0+2"]
    assert [row.id for row in second] == ["p0", "p1"]
    assert Path(first[0].images[0].source).is_file()  # pyright: ignore[reportArgumentType]
    before = sorted((tmp_path / "data").iterdir())
    sources(subsets, tmp_path / "data")
    assert sorted((tmp_path / "data").iterdir()) == before


def test_a_subset_of_nothing_is_refused(tmp_path: Path):
    folder = small.marks(tmp_path, 2)
    with pytest.raises(ValueError, match=r"no row of .* agrees with \{'kind': 'table'\}; see the meta of its rows"):
        sources([Subset(path=str(folder), where={"kind": "table"})], tmp_path / "data")


def test_costs_are_the_plans_means():
    settings = tiny.config("v1")
    sizes = [(64, 96), (96, 64)]
    found = per_question(settings, settings.spec, sizes, 10)
    plans = [plan(settings.spec, size, settings.vision_config, settings, 10) for size in sizes]
    assert found["encoded"] == 29 and found["image_tokens"] == plans[0].num_image_tokens
    total = sum((one.tower_flops or 0) + (one.projector_flops or 0) + (one.prefill_flops or 0) for one in plans)
    assert found["gflops"] == pytest.approx(total / 2e9, abs=1e-6)


def test_equal_flops_follow_from_what_is_trained():
    v1, cheap = tiny.config("v1"), tiny.config("baseline-1")
    trainable = ["vision_tower", "multi_modal_projector", "language_model"]
    everything: dict[str, Any] = {"steps": 100, "trainable": trainable, "batch": {"global_size": 4}}
    costs = []
    for settings in (v1, cheap):
        one = plan(settings.spec, (768, 1024), settings.vision_config, settings, 32)
        costs.append((one.tower_flops or 0) + (one.projector_flops or 0) + (one.prefill_flops or 0))
    dear, small_one = Training(v1.spec, everything, 32), Training(cheap.spec, everything, 32)
    assert steps_for(v1, dear, dear) == 100
    assert steps_for(v1, dear, small_one) == round(100 * costs[0] / costs[1])
    assert steps_for(v1, dear, small_one, share=0.25) == round(25 * costs[0] / costs[1])
    assert steps_for(v1, dear, replace(dear, recipe={**everything, "batch": {"global_size": 8}})) == 50
    frozen = {**everything, "trainable": ["language_model"]}
    assert steps_for(v1, dear, replace(dear, recipe=frozen)) > 100
    assert steps_for(v1, replace(dear, recipe=frozen), dear) < 100
    assert steps_for(v1, dear, replace(dear, row_tokens=400)) < 100
    with pytest.raises(ValueError, match=r"same: flops scales recipe\.steps, and the recipe has none"):
        steps_for(v1, replace(dear, recipe={"epochs": 1}), dear)


@pytest.mark.parametrize("layer", [-1, -2])
def test_costs_follow_the_feature_layer(layer: int):
    settings = tiny.config("v1", vision_feature_layer=layer)
    layers = settings.num_tower_layers
    one = plan(settings.spec, (64, 96), settings.vision_config, settings, 10, layers)
    assert one.tower_flops is not None and one.projector_flops is not None and one.prefill_flops is not None
    total = one.tower_flops + one.projector_flops + one.prefill_flops
    assert per_question(settings, settings.spec, [(64, 96)], 10)["gflops"] == pytest.approx(total / 1e9, abs=1e-6)
    bare = plan(settings.spec, (64, 96), settings.vision_config, settings, 10, layers - 1).tower_flops
    assert bare is not None and one.tower_flops > bare
