"""Mixes load complete and checked; what is wrong with one is said at once."""

from pathlib import Path

import pytest

from dragonfly.config import dump
from dragonfly.curation.mix import MIXES, Mix, MixSource, default_output, load_mix, shipped_mixes
from dragonfly.curation.options import STEPS
from dragonfly.curation.sources import SOURCES
from dragonfly.curation.sources.conversations import CAULDRON_EXCLUDED, CAULDRON_SUBSETS
from dragonfly.data import ImageRef, Sample, write_manifest

from ..data.fakes import image, sample
from .sources.layouts import LAYOUTS

SHIPPED = ("general", "med-stage1", "med-stage2", "med-stage3", "pretrain")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_mixes_load_by_name_and_say_the_same_when_written_again(name: str, tmp_path: Path):
    mix = load_mix(name)
    assert mix.name == name
    assert load_mix(write(tmp_path / "again.yaml", dump(mix))) == mix
    assert len((MIXES / f"{name}.yaml").read_text(encoding="utf-8").splitlines()) <= 60


def test_the_shipped_mixes_are_the_papers():
    """Appendix A and section 4.3, by hand."""
    assert [path.stem for path in sorted(MIXES.glob("*.yaml"))] == list(SHIPPED)
    sources = {name: [source.name for source in load_mix(name).sources] for name in SHIPPED}
    assert sources["general"] == ["sharegpt4v", "allava", "svit", "cauldron", "openhermes", "mathinstruct"]
    assert sources["pretrain"] == ["llava-pretrain"]
    assert sources["med-stage1"] == ["llava-pretrain", "llava-med-alignment", "openpath", "medicat"]
    assert sources["med-stage3"] == ["vqa-rad", "slake", "path-vqa", "iu-xray", "peir-gross", "roco", "mimic-cxr"]
    assert set(sources["med-stage2"]) == {
        *("llava-med-instruct", "mimic-cxr", "openpath", "roco", "kaggle-dr", "ddr"),
        *("vqa-rad", "slake", "path-vqa", "iu-xray", "peir-gross"),
        *("svit", "sharegpt4v", "arxivcap", "openhermes", "mathinstruct"),
    }
    assert sum(source.expected or 0 for source in load_mix("med-stage3").sources) == 88_233
    cauldron = next(source for source in load_mix("general").sources if source.name == "cauldron")
    assert set(cauldron.exclude) == set(CAULDRON_EXCLUDED)
    caps = [step.options for step in load_mix("general").steps if step.step == "cap"]
    assert caps == [{"per_image": 8}]


def test_no_mix_that_trains_what_is_evaluated_goes_without_leak_nor_general_without_joining_images():
    seven = {"vqa-rad", "slake", "path-vqa", "iu-xray", "peir-gross", "roco", "mimic-cxr"}
    for name in ("med-stage1", "med-stage2", "med-stage3"):
        mix = load_mix(name)
        assert set(mix.held_out) == seven and [step.step for step in mix.steps][-2:] == ["leak", "mixture"]
        assert mix.held_out["roco"] == "data/roco"
    general = load_mix("general")
    assert general.compared == ("data/benchmarks",)
    joined = next(step for step in general.steps if step.step == "dedupe_images")
    assert joined.options == {"radius": 6, "mirrored": True, "across_sources": True, "drop": "same_instruction"}
    steps = [step.step for step in general.steps]
    assert steps.index("dedupe_images") < steps.index("cap")


def test_a_shipped_mix_has_a_place_and_a_file_of_ones_own_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert [default_output(name) for name in shipped_mixes()] == [Path("data") / name for name in SHIPPED]
    assert default_output(tmp_path / "general.yaml") is None
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "general", "name: mine")  # a file hides the shipped mix of its name
    assert default_output("general") is None


def test_the_folder_of_a_test_split_is_the_sources_or_named_by_paths():
    assert load_mix("med-stage3", ["paths.slake=/mnt/s"]).held_out["slake"] == "/mnt/s"
    assert load_mix("med-stage1", ["test_paths.slake=/mnt/s"]).held_out["slake"] == "/mnt/s"
    with pytest.raises(ValueError, match=r"test:svit: no test split; 'svit' is not one of: "):
        load_mix("general", ["evaluation=[test:svit]"])


def test_excluded_names_exist_in_the_data(tmp_path: Path):
    known = {"cauldron": set(CAULDRON_SUBSETS)}
    for name in ("mimic-cxr", "slake", "ddr"):
        LAYOUTS[name](tmp_path / name)
        known[name] = {row.meta["subset"] for row in SOURCES[name].read(tmp_path / name) if isinstance(row, Sample)} | {
            "validate"
        }
    for mix in map(load_mix, SHIPPED):
        for source in mix.sources:
            assert set(source.exclude) <= known.get(source.name, set())


def test_a_source_reads_its_folder_with_the_subsets_that_the_mix_excludes(tmp_path: Path):
    LAYOUTS["slake"](tmp_path)
    mix = load_mix("med-stage3", [f"paths.slake={tmp_path}"])
    slake = next(source for source in mix.sources if source.name == "slake")
    rows = [row for row in slake.read() if isinstance(row, Sample)]
    assert [row.meta["subset"] in slake.exclude for row in rows] == [False, False, True]
    assert [source.path for source in mix.sources if source.name != "slake"] == [
        f"data/{source.name}" for source in load_mix("med-stage3").sources if source.name != "slake"
    ]


def test_own_data_joins_with_a_format(tmp_path: Path):
    image().save(tmp_path / "a.png")
    write_manifest([sample("<image>Q", "A", images=(ImageRef(str(tmp_path / "a.png")),))], tmp_path / "m")
    mine = MixSource(name="mine", path=str(tmp_path / "m"), format="manifest", domain="biomedical")
    assert [row.messages[1].text for row in mine.read() if isinstance(row, Sample)] == ["A"]
    assert not mine.is_general and not mine.is_text


def test_paths_and_evaluation_are_overridden_without_touching_the_file():
    mix = load_mix("general", ["paths.svit=/mnt/svit", "evaluation=[a/manifest.json, b.jsonl]", "seed=7"])
    assert {source.name: source.path for source in mix.sources}["svit"] == "/mnt/svit"
    assert [step.options["against"] for step in mix.steps if step.step == "leak"] == [("a/manifest.json", "b.jsonl")]
    assert mix.seed == 7


def test_no_override_of_a_mix_vanishes(tmp_path: Path):
    changed = load_mix("general", ["steps.cap.per_image=4", "sources.svit.weight=2", "paths.svit=/mnt/svit"])
    assert next(step.options for step in changed.steps if step.step == "cap") == {"per_image": 4}
    assert next((one.path, one.weight) for one in changed.sources if one.name == "svit") == ("/mnt/svit", 2.0)
    with pytest.raises(ValueError, match=r"^overrides 'paths.svit=a' and 'sources.svit.path=b' contradict each other; keep one$"):
        load_mix("general", ["paths.svit=a", "sources.svit.path=b"])
    with pytest.raises(ValueError, match=r"^evaluation=\['a'\] has no effect: no leak step takes it"):
        load_mix("general", ["evaluation=[a]", "steps=[{step: validate}, {step: cap}]"])


def test_options_are_a_steps_own_arguments_and_nothing_of_the_papers():
    mixture = load_mix("med-stage2").steps[-1]
    assert mixture.options == {"total": 793_000, "text_share": 0.0882724, "general_share": 0.15}
    assert (
        *("validate", "dedupe_exact", "dedupe_images", "dedupe_text", "questions_from_labels"),
        *("instructions_from_captions", "cap", "leak", "mixture", "split"),
    ) == STEPS


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sead=1", "unknown key 'sead'; did you mean 'seed'?"),
        ("sources=[{name: sharegpt4, path: x}]", "did you mean 'sharegpt4v'?; or give the format that path has"),
        ("sources=[{name: svit, path: x}, {name: svit, path: y}]", "the source 'svit' is listed 2 times; list it once"),
        ("sources=[{name: mine, path: x, format: lava}]", "did you mean 'llava'?"),
        ("sources=[{name: svit, path: x, exclud: [a]}]", "did you mean 'sources.*.exclude'?"),
        ("sources=[]", "a mix without sources gives nothing"),
        ("sources=[{name: ddr, path: x}]", "a source holds labels and no conversations; add the step questions_from_labels"),
        (
            "sources=[{name: roco, path: x}]",
            "a source holds captions and no conversations; add the step instructions_from_captions",
        ),
        ("steps=[{step: capp}]", "step 'capp' is not one of: validate, "),
        ("steps=[{step: cap, per_imag: 4}]", "did you mean 'steps.*.per_image'?"),
        ("steps=[{step: cap, per_image: 0}]", "steps.cap.per_image: must be greater than 0"),
        ("steps=[{step: dedupe_text, threshold: 1.5}]", "steps.dedupe_text.threshold: must be less than or equal to 1"),
        ("steps=[{step: mixture, text_share: 1.0}]", "steps.mixture.text_share: must be less than 1"),
        ("steps=[{step: split}, {step: cap}]", "the step 'cap' comes after split, which must be the last"),
        ("paths.svitt=x", "paths.svitt=x: sources: 'svitt' is not one of: "),
        ("evaluation=[]", "leak has nothing to compare with; give evaluation=[PATH, ...]"),
    ],
)
def test_what_is_wrong_is_said_with_the_nearest_name(override: str, message: str):
    with pytest.raises(ValueError) as caught:
        load_mix("general", [override])
    assert message in str(caught.value)


def test_rows_need_the_step_that_draws_them():
    with pytest.raises(ValueError, match="rows is given for svit, and the step mixture draws them; add it"):
        Mix(name="m", sources=(MixSource(name="svit", path="x", rows=5),))


def test_an_unknown_mix_gets_the_nearest_name(tmp_path: Path):
    told = r"^no mix file, and no shipped mix of that name: 'med-stage' is not one of: general, .* did you mean 'med-stage\d'\?$"
    with pytest.raises(ValueError, match=told):
        load_mix("med-stage")
    with pytest.raises(ValueError, match=r"nothing\.yaml: cannot be read"):
        load_mix(tmp_path / "nothing.yaml")
