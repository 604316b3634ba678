"""What holds of every source: its pieces are samples or named faults, told apart, and say what they are."""

import runpy
from pathlib import Path

import pytest

from dragonfly.curation.captions import instructions_from_captions
from dragonfly.curation.label_questions import DR_GRADES, questions_from_labels
from dragonfly.curation.sources import SOURCES
from dragonfly.curation.sources.source import UNFINISHED
from dragonfly.data import BadRow, Sample, validate

from .layouts import LAYOUTS

ROOT = Path(__file__).parents[3]

BROKEN = {
    "sharegpt4v": ("sharegpt4v_instruct_gpt4-vision_cap100k.json", 1, "missing-image"),
    "allava": ("allava_laion/ALLaVA-Instruct-LAION-4V.json", 1, "bad-conversations"),
    "svit": ("data/complex_reasoning.json", 0, "unknown-image"),
    "cauldron": ("websight/train/0000.parquet", 1, "missing-field"),
    "llava-pretrain": ("blip_laion_cc_sbu_558k.json", 3, "bad-conversations"),
    "arxivcap": ("data/1001.parquet", 2, "no-caption"),
    "openhermes": ("openhermes2_5.json", 3, "role-order"),
    "mathinstruct": ("MathInstruct.json", 3, "missing-field"),
    "llava-med-alignment": ("alignment/llava_med_alignment_500k.json", 3, "missing-image"),
    "llava-med-instruct": ("instruct/llava_med_instruct_60k_inline_mention.json", 3, "missing-image"),
    "llava-med-60k-im": ("instruct/llava_med_instruct_60k_inline_mention.json", 3, "missing-image"),
    "llava-med-60k": ("instruct/llava_med_instruct_60k.json", 3, "missing-image"),
    "medicat": ("s2_full_figures.jsonl", 3, "not-json"),
    "mimic-cxr": ("mimic-cxr-2.0.0-split.csv.gz", 4, "missing-report"),
    "openpath": ("openpath.csv", 3, "bad-columns"),
    "kaggle-dr": ("trainLabels.csv", 3, "unknown-label"),
    "ddr": ("DR_grading/train.txt", 2, "missing-image"),
    "roco": ("data/train/radiology/captions.txt", 3, "unknown-image"),
    "vqa-rad": ("data/train-00000-of-00001-abc.parquet", 3, "missing-field"),
    "slake": ("train.json", 3, "missing-image"),
    "path-vqa": ("data/train-00000-of-00001-abc.parquet", 3, "missing-field"),
    "iu-xray": ("train_images.tsv", 3, "bad-columns"),
    "peir-gross": ("train_images.tsv", 3, "bad-columns"),
}


def test_every_data_set_of_the_paper_is_there():
    assert set(SOURCES) == set(LAYOUTS) == set(BROKEN)
    assert [name for name, source in SOURCES.items() if source.name != name] == []


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_reads_its_layout_and_names_the_one_broken_row(name: str, tmp_path: Path):
    LAYOUTS[name](tmp_path)
    source = SOURCES[name]
    rows = list(source.read(tmp_path))
    samples = [row for row in rows if isinstance(row, Sample)]
    bad = [row for row in rows if isinstance(row, BadRow)]
    file, number, reason = BROKEN[name]
    assert [(row.file, row.row, row.reason) for row in bad] == [(str(tmp_path / file), number, reason)]
    assert len(samples) >= 3
    assert len({sample.id for sample in samples}) == len(samples)
    for sample in samples:
        assert sample.id.startswith(f"{name}/") and sample.source == name
        assert (sample.meta["form"], sample.meta["domain"]) == (source.form, source.domain)
        assert sample.meta["licence"]
        assert bool(sample.images) == (source.modality != "text")
        assert bool(sample.messages) == (source.form in ("conversation", "qa"))
        assert sample.place is not None and Path(sample.place[0]).is_file()


@pytest.mark.parametrize("name", SOURCES)
def test_what_a_source_gives_can_be_trained_on_after_the_two_steps(name: str, tmp_path: Path):
    LAYOUTS[name](tmp_path)
    for row in SOURCES[name].read(tmp_path):
        left_out = isinstance(row, Sample) and row.meta.get("subset") in ("no-findings", "ungradable")
        if isinstance(row, Sample) and not left_out:
            made = instructions_from_captions(questions_from_labels(row, 1), 1)
            validate(made)
            assert made.meta["form"] in ("conversation", "qa")


def test_a_read_is_the_same_twice(tmp_path: Path):
    LAYOUTS["svit"](tmp_path)
    assert list(SOURCES["svit"].read(tmp_path)) == list(SOURCES["svit"].read(str(tmp_path)))


@pytest.mark.parametrize("name", SOURCES)
def test_an_absent_or_wrong_folder_is_refused(name: str, tmp_path: Path):
    with pytest.raises(ValueError, match=rf"^{name}: no folder .*nowhere; get the data at https?://"):
        SOURCES[name].read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds (none of|no folder)"):
        list(SOURCES[name].read(tmp_path))


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_missing_is_said_and_a_layout_lacks_nothing(name: str, tmp_path: Path):
    source = SOURCES[name]
    assert len(source.missing(tmp_path)) == len(source.files) >= 1
    LAYOUTS[name](tmp_path)
    assert source.missing(tmp_path) == ()
    (tmp_path / UNFINISHED).touch()
    assert source.missing(tmp_path) == ("the rest of a download that did not finish",)


@pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if source.held_out is not None])
def test_a_test_split_is_read_from_the_same_folder_and_is_not_the_training_split(name: str, tmp_path: Path):
    LAYOUTS[name](tmp_path)
    held_out = list(SOURCES[name].read_held_out(tmp_path))
    trained = {row.id for row in SOURCES[name].read(tmp_path) if isinstance(row, Sample) and row.meta.get("subset") != "test"}
    assert held_out and all(isinstance(row, Sample) and row.images and row.source == name for row in held_out)
    assert name == "mimic-cxr" or not trained & {row.id for row in held_out if isinstance(row, Sample)}


def test_the_seven_biomedical_benchmarks_have_test_splits_and_others_refuse(tmp_path: Path):
    seven = ("mimic-cxr", "roco", "vqa-rad", "slake", "path-vqa", "iu-xray", "peir-gross")
    assert {name for name, source in SOURCES.items() if source.held_out is not None} == set(seven)
    with pytest.raises(ValueError, match="svit has no official test split of its own"):
        SOURCES["svit"].read_held_out(tmp_path)
    with pytest.raises(ValueError, match=r"roco: no folder .*nowhere"):
        SOURCES["roco"].read_held_out(tmp_path / "nowhere")


def test_access_is_said_of_every_data_set():
    """Hub ids, and what is not open: by hand from the publishers' pages."""
    hub = {name: source.access.hub for name, source in SOURCES.items() if source.access.downloads}
    assert hub == {
        "sharegpt4v": "Lin-Chen/ShareGPT4V",
        "allava": "FreedomIntelligence/ALLaVA-4V",
        "cauldron": "HuggingFaceM4/the_cauldron",
        "llava-pretrain": "liuhaotian/LLaVA-Pretrain",
        "arxivcap": "MMInstruction/ArxivCap",
        "openhermes": "teknium/OpenHermes-2.5",
        "mathinstruct": "TIGER-Lab/MathInstruct",
        "vqa-rad": "flaviagiammarino/vqa-rad",
        "slake": "BoKelvin/SLAKE",
        "path-vqa": "flaviagiammarino/path-vqa",
    }
    terms = {name: source.access.terms for name, source in SOURCES.items() if source.access.terms != "open"}
    assert terms == {
        **{"svit": "gated", "medicat": "gated", "kaggle-dr": "gated", "mimic-cxr": "credentialed"},
        **{"openpath": "not checked", "ddr": "not checked"},
    }
    for name, source in SOURCES.items():
        closed = source.access.terms in ("gated", "credentialed")
        assert source.access.publisher and bool(source.access.apply) == closed, name
        assert source.access.downloads == bool(source.access.patterns), name
        assert source.access.downloads or source.access.apply or source.access.rest, name  # nobody is left without a way


def test_the_page_of_sources_is_up_to_date():
    script = runpy.run_path(str(ROOT / "scripts" / "list_sources.py"))
    page = script["page"]()
    assert (ROOT / "docs" / "curation-sources.md").read_text(encoding="utf-8") == page, "run scripts/list_sources.py"
    assert all(f"(`{name}`)" in page for name in SOURCES)


def test_published_numbers_are_the_papers():
    """Appendix C and section 4.1, by hand."""
    told = {
        "llava-pretrain": 558_000,
        "llava-med-alignment": 500_000,
        "llava-med-60k": 60_000,
        "llava-med-60k-im": 60_000,
        "medicat": 217_000,
        "mimic-cxr": 368_960,
        "openpath": 116_504 + 59_869 + 32_041,
        "kaggle-dr": 35_126,
        "ddr": 13_673,
        "roco": 70_308,
        "vqa-rad": 1_790,
        "slake": 4_919,
        "path-vqa": 19_654,
        "iu-xray": 5_172,  # the paper prints these two under each other's name
        "peir-gross": 6_698,
    }
    assert SOURCES["peir-gross"].paper_rows == int(0.9 * 7_443)  # appendix C.12's images, bioCaption's split of them
    assert {name: source.paper_rows for name, source in SOURCES.items() if source.paper_rows is not None} == told
    assert [s.name for s in SOURCES.values() if (s.paper_rows is None) != (not s.paper_place)] == []
    assert len(DR_GRADES) == 5
