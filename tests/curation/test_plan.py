"""The plan beside the paper's numbers, which are written here by hand."""

import re

import pytest

from dragonfly.curation.mix import Mix, MixSource, load_mix
from dragonfly.curation.options import Mixture
from dragonfly.curation.plan import PlannedStep, plan, plan_table


def after(name: str, step: str) -> PlannedStep:
    return next(planned for planned in plan(load_mix(name)).steps if planned.name == step)


def out(name: str) -> dict[str, int | None]:
    return {source.name: source.out for source in plan(load_mix(name)).sources}


def test_stage3_is_the_seven_numbers_of_table_7_and_their_sum():
    assert out("med-stage3") == {
        "vqa-rad": 1_790,
        "slake": 4_919,
        "path-vqa": 19_654,
        "iu-xray": 5_172,
        "peir-gross": 6_698,
        "roco": 25_000,
        "mimic-cxr": 25_000,
    }
    assert [source.paper for source in plan(load_mix("med-stage3")).sources] == list(out("med-stage3").values())
    last = after("med-stage3", "mixture")
    assert (last.with_images, last.text, last.paper) == (88_233, 0, 88_233)


def test_stage2_is_723k_pairs_15_percent_general_and_70k_text():
    last = after("med-stage2", "mixture")
    assert (last.with_images, last.text, last.paper, last.paper_text) == (723_000, 70_000, 723_000, 70_000)
    rows = out("med-stage2")
    assert sum(rows[name] or 0 for name in ("svit", "sharegpt4v", "arxivcap")) == round(0.15 * 723_000)
    benchmarks = {name: rows[name] for name in ("vqa-rad", "slake", "path-vqa", "iu-xray", "peir-gross")}
    assert benchmarks == {"vqa-rad": 1_790, "slake": 4_919, "path-vqa": 19_654, "iu-xray": 5_172, "peir-gross": 6_698}


def test_stage1_is_about_half_general_and_as_large_as_the_papers():
    last = after("med-stage1", "mixture")
    assert (last.with_images, last.paper) == (1_160_000, 1_160_000)
    assert out("med-stage1")["llava-pretrain"] == round(0.48 * 1_160_000) <= 558_000


def test_the_general_mix_starts_near_nine_million_and_the_cap_brings_it_near_the_papers_end():
    read, cap, last = (after("general", step) for step in ("validate", "cap", "mixture"))
    assert (read.paper, last.paper) == (9_000_000, 5_580_560)
    assert read.samples == 1_346_000 + 1_325_219 + 4_200_000 + 1_880_992  # SVIT by its questions, as the paper
    assert read.with_images == 1_346_000 + 1_325_219 + 3_026_000 + 1_880_992  # at most: 1.6M of them in fives
    assert (cap.samples, last.samples) == (None, None)  # which rows were drawn decides
    assert out("general")["svit"] == 8 * 108_077
    assert cap.with_images == last.with_images == 1_346_000 + 1_325_219 + 8 * 108_077 + 1_880_992
    assert abs((last.with_images or 0) - 5_580_560) < 0.03 * 5_580_560
    assert read.at_most and last.at_most


def test_counts_are_marked_by_who_gives_them():
    counted = {source.name: source.published for source in plan(load_mix("med-stage2")).sources}
    assert {name for name, told in counted.items() if told.startswith("ours, ")} == {
        *("llava-med-instruct", "svit", "sharegpt4v", "arxivcap", "openhermes", "mathinstruct")
    }
    assert all(told.startswith(("ours, ", "paper, appendix C", "paper, section")) for told in counted.values())


def test_a_source_is_an_upper_bound_only_where_data_must_tell():
    sources = {
        source.name: source.at_most
        for source in plan(load_mix("med-stage3", ["steps=[{step: instructions_from_captions}, {step: mixture}]"])).sources
    }
    assert {name for name, at_most in sources.items() if at_most} == set()  # 25,000 with findings are certain to be there
    mix = Mix(
        name="m",
        sources=(MixSource(name="slake", path="x", exclude=("zh",)), MixSource(name="cauldron", path="x", exclude=("tqa",))),
    )
    assert [source.at_most for source in plan(mix).sources] == [False, True]


def test_own_data_makes_totals_unknown_and_is_not_guessed():
    own = MixSource(name="mine", path="x", format="manifest")
    mix = Mix(name="m", sources=(own, MixSource(name="vqa-rad", path="x")), steps=(Mixture(step="mixture", total=10),))
    planned = plan(mix)
    assert [source.out for source in planned.sources] == [None, None]
    assert [step.with_images for step in planned.steps] == [None, None]
    assert "not known" in plan_table(mix)


@pytest.mark.parametrize("name", ["pretrain", "general", "med-stage1", "med-stage2", "med-stage3"])
def test_the_table_has_a_line_per_source_and_step_with_paper_and_gap(name: str):
    mix = load_mix(name)
    lines = plan_table(mix).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    names = [line.split("|")[1].strip() for line in tables]
    assert names[2 : 2 + len(mix.sources)] == [source.name for source in mix.sources]
    assert names[-len(mix.steps) - 1 :] == ["read", *(step.step for step in mix.steps)]
    assert lines[0] == name and lines[-1].startswith("<=: at most")


def test_the_gap_is_rows_and_share():
    table = plan_table(load_mix("general"))
    mixture = next(line for line in table.splitlines() if line.startswith("| mixture"))
    assert re.search(r"\| <= 5,416,827 +\| +\| <= 601,870 +\| 5,580,560 +\| -163,733 \(-2\.9%\) +\|$", mixture)
    validate = next(line for line in table.splitlines() if line.startswith("| validate"))
    assert re.search(r"\| <= 7,578,211 +\| 8,752,211 +\| <= 1,263,551 +\| 9,000,000 +\| -247,789 \(-2\.8%\) +\|$", validate)
    assert "| 723,000 + 70,000 text | 0 " in plan_table(load_mix("med-stage2"))
