"""The studies of the package: every variant builds an encoder and a recipe, every measure exists. None is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragonfly.installation import bundled_model
from dragonfly.models import DragonflyConfig
from dragonfly.research.lab import conclusions, study, trials
from dragonfly.research.lab.measures import check_metrics, metrics_of
from dragonfly.research.lab.study import Study, Variant
from dragonfly.research.lab.variants import encoders
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.selection_spec import NEEDS
from tests.conftest import ROOT

NAMES = study.shipped_studies()
STAND_IN = Variant(encoder={"selection": {"policy": "detail", "scope": "image", "keep": 3}})
HEADLINE = {"baseline-2", "baseline-3", "similarity", "random", "detail", "centred", "question-3"}


@pytest.fixture(scope="module")
def nano() -> DragonflyConfig:
    return DragonflyConfig.from_pretrained(bundled_model())


def known(name: str) -> Study:
    """The study, a variant whose policy this version of `vision` does not have replaced by one that it has."""
    found = Study.load(name)
    variants = {
        label: variant if variant.encoder.get("selection", {}).get("policy", "all") in NEEDS else STAND_IN
        for label, variant in found.variants.items()
    }
    return found.model_copy(update={"variants": variants})


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_builds_an_encoder_and_a_recipe(name: str, nano: DragonflyConfig):
    one = known(name)
    base = PRESETS["v1"].spec if name.startswith("full/") else nano.spec
    specs = encoders(one, base)
    assert one.name == name.replace("/", "-")
    if one.recipe is not None:
        plan = trials.StudyRun(one, Path("out"), Path("checkpoint"), nano, "", specs)
        recipes = {variant: trials.recipe_of(plan, variant, 0, write=False) for variant in one.variants}
        assert len({recipe.steps for recipe in recipes.values()}) == 1 or one.same == "flops"
        assert {recipe.model.encoder == specs[variant].to_dict() for variant, recipe in recipes.items()} == {True}


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_differs_and_every_measure_exists(name: str, nano: DragonflyConfig):
    one = known(name)
    told = {str((variant.encoder, variant.data, variant.recipe, variant.after)) for variant in one.variants.values()}
    assert len(told) == len(one.variants)
    metrics = {metric for test in one.test for metric in metrics_of(test)} | {"words"}
    assert {measure.metric for measure in one.measures.values()} <= metrics
    check_metrics(one)
    named = {measure.where["task"] for measure in one.measures.values() if "task" in measure.where}
    assert named <= set(one.test)


def test_the_first_line_of_a_study_is_its_command():
    for name in NAMES:
        command = "lab sweep" if Study.load(name).recipe is None else "ablate"
        line = (study.SPECS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        assert line.startswith(f"# dragonfly {command} {name} -o runs/"), name


def test_the_papers_tables_are_there_at_both_sizes():
    assert {"table1", "table5", "table6", "full/table1", "full/table5", "headline"} <= set(NAMES)
    eight = {"ai2d", "scienceqa_img", "chartqa", "mmmu_val", "mmvet", "pope", "coco2017_val", "hallusion_bench_judge"}
    assert set(Study.load("full/table1").test) == eight
    steps = {name: (Study.load(f"full/{name}").recipe or {})["steps"] for name in ("table1", "table5")}
    assert steps == {"table1": 100_000, "table5": 200_000}
    assert all(Study.load(name).needs for name in NAMES if name.startswith("full/"))


def test_variants_that_conclusions_rest_on_have_three_seeds_and_the_others_one():
    headline = Study.load("headline")
    assert set(headline.variants) == HEADLINE
    assert {conclusion.variant for conclusion in headline.conclusions} == {"detail", "centred", "random", "question-3"}
    concluding = {"headline", "same-questions", "pretraining"}
    assert {len(Study.load(name).seeds_of(variant)) for name in concluding for variant in Study.load(name).variants} == {3}
    for name in set(NAMES) - concluding:
        one = Study.load(name)
        assert {len(one.seeds_of(variant)) for variant in one.variants} == {1}
        assert not one.conclusions, f"{name} concludes something from one seed"
    assert conclusions.ALPHA == 0.01


def test_pretraining_and_tuning_spend_what_tuning_alone_spends(nano: DragonflyConfig):
    """Half of the FLOPs each, by the formulas, whatever the encoder; steps are whole, so to one in forty."""
    one = Study.load("pretraining")
    plan = trials.StudyRun(one, Path("out"), Path("checkpoint"), nano, "", encoders(one, nano.spec))
    spent: dict[str, float] = {}
    for variant in one.variants:
        recipe = trials.recipe_of(plan, variant, 0, write=False)
        assert recipe.steps is not None
        spent[variant] = recipe.steps * trials._training_of(plan, variant, recipe).flops_of_a_step(nano)
    assert {spent[name] == pytest.approx(spent["detail-tuned"], rel=0.025) for name in spent if name.endswith("tuned")} == {True}
    halves = [name for name in spent if name.endswith(("captioned", "both"))]
    assert len(halves) == 6
    assert {2 * spent[name] == pytest.approx(spent["detail-tuned"], rel=0.025) for name in halves} == {True}
    assert {name: one.variants[name].after for name in halves if name.endswith("both")} == {
        f"{name}-both": f"{name}-captioned" for name in ("detail", "all", "pooled")
    }


def test_every_policy_has_a_study(nano: DragonflyConfig):
    """Each way to choose and to keep, beside its absence, on variants that differ in nothing else."""
    specs = {name: encoders(Study.load(name), nano.spec) for name in NAMES if not name.startswith("full/")}
    used = {spec.selection.policy for study in specs.values() for spec in study.values()}
    assert used >= set(NEEDS) - {"oracle"}  # which needs the answer
    rules = {name: [(variant, spec.selection, spec.position) for variant, spec in study.items()] for name, study in specs.items()}
    assert {s.min_per_region for _, s, _ in rules["min-per-region"] if s.policy == "detail"} == {0, 1, 2, 3}
    assert {s.diversity for _, s, _ in rules["diversity"] if s.policy == "detail"} == {0, 0.25, 0.5, 0.75}
    assert {s.pooled_remainder for _, s, _ in rules["pooled-remainder"] if (s.policy, s.keep) == ("detail", 3)} == {0, 1, 4, 9}
    trained = {variant: one.recipe.get("trainable", []) for variant, one in Study.load("position").variants.items()}
    assert all(
        ("sub_image_position" in trained[variant]) == (position == "learned") for variant, _, position in rules["position"]
    )


def test_table_1_gives_the_paper_s_counts_of_sub_images(nano: DragonflyConfig):
    from dragonfly.vision.layout import make_layout

    specs = encoders(Study.load("table1"), nano.spec)
    kept = {variant: make_layout((256, 384), spec).num_kept for variant, spec in specs.items()}
    assert kept == {"baseline-1": 5, "baseline-2": 17, "baseline-3": 25, "v1": 17, "random": 17}


def test_the_study_in_the_documentation_is_one(nano: DragonflyConfig, tmp_path: Path):
    text = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    one = Study.load(tmp_path / "s.yaml")
    assert len(encoders(one, nano.spec)) == 9
