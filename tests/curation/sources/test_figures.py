"""Captioned figures: MedICaT, ROCO, ArXivCap, OpenPath."""

from pathlib import Path

import pytest

from dragonfly.curation.sources import SOURCES
from dragonfly.data import ImageRef

from .layouts import LAYOUTS, noise, write_lines
from .reading import groups, layout_samples, told


def test_medicat_joins_the_figures_name_and_falls_back_to_the_other_caption(tmp_path: Path):
    read = layout_samples("medicat", tmp_path)
    assert read[0].images == (ImageRef(str(tmp_path / "figures/aa_2-Figure1-1.png"), group="s2:aa"),)
    assert told(read, "caption") == ["Figure 1. CT of the chest.", "Figure 2. MRI.", "A scan."]
    assert told(read, "licence") == ["cc-by; non-commercial", "cc-by; non-commercial", "not stated; non-commercial"]
    assert told(read, "subset") == ["Medical images", "Medical images", None]


def test_roco_finds_images_by_either_name_and_takes_each_ones_licence(tmp_path: Path):
    read = layout_samples("roco", tmp_path)
    assert [Path(str(s.images[0].path)).name for s in read] == [
        "PMC4083729_AMHSR-4-14-g002.jpg",
        "PMC2837471_a.jpg",
        "ROCO_00005.jpg",
    ]
    assert told(read, "caption") == ["Computed tomography of the chest.", "X-ray.", 'MRI of "the" knee.']
    assert told(read, "licence") == ["CC BY-NC-SA", "CC BY", "CC BY"]
    assert groups(read) == ["pmc:PMC4083729", "pmc:PMC2837471", "pmc:PMC2837471"]
    assert told(read, "modality") == ["CT", "X-ray", "MRI"]


def test_roco_with_another_list_of_licences_is_refused(tmp_path: Path):
    LAYOUTS["roco"](tmp_path)
    write_lines(tmp_path / "data/train/radiology/licences.txt", ["id,licence", "ROCO_00002,CC BY"])
    with pytest.raises(ValueError, match="is not ROCO's list with the columns ROCO_ID,PMC_ID,CC"):
        list(SOURCES["roco"].read(tmp_path))


def test_openpath_reads_quoted_captions_and_groups_by_post(tmp_path: Path):
    read = layout_samples("openpath", tmp_path)
    assert told(read, "caption") == ["Skin, H&E.", "Nice case", "Liver"]
    assert told(read, "subset") == ["tweet", "reply", "pathlaion"]
    assert groups(read) == ["post:77", "post:77", None]


def test_arxivcap_makes_one_sample_of_each_image_with_the_captions_that_are_its_own(tmp_path: Path):
    LAYOUTS["arxivcap"](tmp_path)
    read = layout_samples("arxivcap", tmp_path)
    assert [sample.meta["caption"] for sample in read] == ["Loss curves. (a) train", "Loss curves. (b) test", "A map."]
    assert [sample.images[0].group for sample in read] == ["arxiv:1001.0001", "arxiv:1001.0001", "arxiv:1001.0002"]
    assert [sample.images[0].bytes for sample in read] == [noise(201), noise(202), noise(203)]
