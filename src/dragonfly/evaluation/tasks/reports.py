"""Captions and reports. COCO is scored with PTB tokenisation, reports that come cleaned without; metric names say which."""

from collections.abc import Iterable
from pathlib import Path

from .. import intervals, metrics
from ..questions import Question
from ..scorers import captions
from . import layouts
from .spec import Reader, TaskSpec, files, hub, locate, special


def _check() -> None:
    intervals.require()
    metrics.require_captions()


def _coco_2017() -> Reader:
    """COCO's own annotation file where it is, else the rows of the hub."""
    patterns = ("captions_val2017.json", "annotations/captions_val2017.json")
    from_hub = files("coco2017_val", *hub("val"), change=layouts.coco_hub)

    def read(data: Path) -> Iterable[Question]:
        if any((root / pattern).is_file() for root in (data, data / "coco2017_val") for pattern in patterns):
            return layouts.coco_2017(locate(data, "coco2017_val", patterns)[0])
        return from_hub(data)

    return read


REPORTS = (
    TaskSpec(
        name="coco2017_val",
        read=_coco_2017(),
        metrics=captions.PTB,
        split="COCO 2017 validation (5,000 pictures, 5 captions each), as the paper",
        source="captions_val2017.json with val2017/, or lmms-lab/COCO-Caption2017",
        citation="Chen et al. 2015, Microsoft COCO captions (arXiv 1504.00325)",
        prompt="{question}",
        max_new_tokens=64,
        check=_check,
    ),
    TaskSpec(
        name="coco_karpathy_test",
        read=special("coco_karpathy_test", layouts.karpathy, "dataset_coco.json"),
        metrics=captions.PTB,
        split="Karpathy test (5,000 pictures, 5 captions each), as the harnesses",
        source="dataset_coco.json with val2014/",
        citation="Karpathy and Fei-Fei 2015, Deep visual-semantic alignments (arXiv 1412.2306)",
        prompt="{question}",
        max_new_tokens=64,
        check=_check,
    ),
    TaskSpec(
        name="iu_xray",
        read=special("iu_xray", layouts.report_split("test"), "annotation.json"),
        train=special("iu_xray", layouts.report_split("train"), "annotation.json"),
        metrics=captions.WITHOUT_PTB,
        split="test of annotation.json, two views a report (R2Gen's has 590 reports)",
        source="R2Gen's annotation.json with images/",
        citation="Demner-Fushman et al. 2016, Preparing a collection of radiology examinations; split of Chen et al. 2020",
        prompt="{question}",
        max_new_tokens=128,
        check=_check,
        notes="Publish the split with the score. The paper's 6,698 / 745 look swapped with Peir Gross: their sum, 7,443, is that "
        "set's picture count. References are scored as they are: clean them as R2Gen does for comparable numbers.",
    ),
    TaskSpec(
        name="iu_xray_biocaption",
        read=special("iu_xray_biocaption", layouts.tab_separated("iu_xray_images", layouts.FINDINGS), "test_images.tsv"),
        train=special("iu_xray_biocaption", layouts.tab_separated("iu_xray_images", layouts.FINDINGS), "train_images.tsv"),
        metrics=captions.PTB,
        split="bioCaption's 80/20 split by report; impression and findings, one view a row",
        source="nlpaueb/bioCaption's test_images.tsv with iu_xray_images/",
        citation="Demner-Fushman et al. 2016, Preparing a collection of radiology examinations for distribution and retrieval",
        prompt="{question}",
        max_new_tokens=128,
        check=_check,
    ),
    TaskSpec(
        name="peir_gross",
        read=special("peir_gross", layouts.tab_separated("peir_gross_images", layouts.GROSS_CAPTION), "test_images.tsv"),
        train=special("peir_gross", layouts.tab_separated("peir_gross_images", layouts.GROSS_CAPTION), "train_images.tsv"),
        metrics=captions.PTB,
        split="bioCaption's 90/10 split of 7,443 pictures, one sentence each",
        source="nlpaueb/bioCaption's test_images.tsv with peir_gross_images/",
        citation="Pathology Education Informational Resource; Pavlopoulos et al. 2019, A survey on biomedical image captioning",
        prompt="{question}",
        max_new_tokens=64,
        check=_check,
        notes="The paper's 5,172 / 1,289 look swapped with IU X-Ray's 6,698 / 745.",
    ),
    TaskSpec(
        name="roco",
        read=special(
            "roco",
            layouts.tab_separated("images", layouts.MEDICAL_CAPTION, ".jpg"),
            "data/test/radiology/captions.txt",
            "test/radiology/captions.txt",
            "captions.txt",
        ),
        metrics=captions.PTB,
        split="radiology test (8,179 captions in the repository; the paper gives 8,786)",
        source="razorx89/roco-dataset's captions.txt with images/",
        citation="Pelka et al. 2018, Radiology objects in context (ROCO)",
        prompt="{question}",
        max_new_tokens=64,
        check=_check,
        notes="The paper's Table 7: 25,000 train, 8,786 test.",
    ),
    TaskSpec(
        name="mimic_cxr",
        read=special("mimic_cxr", layouts.report_split("test"), "annotation.json"),
        train=special("mimic_cxr", layouts.report_split("train"), "annotation.json"),
        metrics=captions.WITHOUT_PTB,
        split="test of annotation.json, findings (R2Gen's has 3,858 reports)",
        source="R2Gen's annotation.json with images/ (credentialed access)",
        citation="Johnson et al. 2019, MIMIC-CXR (arXiv 1901.07042)",
        prompt="{question}",
        max_new_tokens=128,
        check=_check,
        notes="The paper's Table 7: 25,000 train, 3,513 test, findings only.",
    ),
)
