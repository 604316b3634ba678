"""Captions and reports. COCO is scored with PTB tokenisation, reports that come cleaned without; metric names say which."""

from ..metrics import captions
from ..statistics import require_scipy
from . import layouts
from .task import TaskSpec, either, files, hub, special


def _check() -> None:
    require_scipy()
    captions.require_captions()


PARSING = "The whole reply is the caption, scored by pycocoevalcap against all references"
PTB = PARSING + ", tokenised by the Stanford PTB tokeniser; columns without it as VLMEvalKit, which has no METEOR."
PLAIN = PARSING + " without PTB tokenisation, as R2Gen's line of work; columns with PTB stand beside it."
COCO = ("captions_val2017.json", "annotations/captions_val2017.json")

REPORTS = (
    TaskSpec(
        name="coco2017_val",
        read=either("coco2017_val", COCO, layouts.coco_2017, files("coco2017_val", *hub("val"), change=layouts.coco_hub)),
        metrics=captions.PTB_FIRST,
        split="COCO 2017 validation (5,000 images, 5 captions each), as the paper",
        source="captions_val2017.json with val2017/, or lmms-lab/COCO-Caption2017",
        citation="Chen et al. 2015, Microsoft COCO captions (arXiv 1504.00325)",
        licence="CC BY 4.0 (captions); the images under their Flickr terms",
        parsing=PTB,
        paper='Appendix B: "the COCO-2017 validation set".',
        hub="lmms-lab/COCO-Caption2017",
        hub_files=hub("val"),
        prompt=layouts.ONE_SENTENCE,
        max_new_tokens=64,
        check=_check,
    ),
    TaskSpec(
        name="coco_karpathy_test",
        read=special("coco_karpathy_test", layouts.karpathy, "dataset_coco.json"),
        metrics=captions.PTB_FIRST,
        split="Karpathy test (5,000 images, 5 captions each), as the harnesses",
        source="dataset_coco.json with val2014/",
        citation="Karpathy and Fei-Fei 2015, Deep visual-semantic alignments (arXiv 1412.2306)",
        licence="CC BY 4.0 (captions); the images under their Flickr terms",
        parsing=PTB,
        paper="Not the paper's split: that is `coco2017_val`.",
        prompt=layouts.BRIEFLY,
        max_new_tokens=64,
        check=_check,
    ),
    TaskSpec(
        name="iu_xray",
        read=special("iu_xray", layouts.report_split("test"), "annotation.json"),
        train=special("iu_xray", layouts.report_split("train"), "annotation.json"),
        metrics=captions.PLAIN_FIRST,
        split="test of annotation.json, two views a report (R2Gen's has 590 reports)",
        source="R2Gen's annotation.json with images/",
        citation="Demner-Fushman et al. 2016, Preparing a collection of radiology examinations; split of Chen et al. 2020",
        licence="Open-i terms; not stated in the sources read",
        parsing=PLAIN,
        paper="C.11 and Table 7: 6,698 train, 745 test of 3,955 reports and 7,470 images. Looks swapped with Peir Gross: "
        "6,698 + 745 = 7,443 is that set's image count, split 90/10.",
        prompt=layouts.FINDINGS,
        max_new_tokens=128,
        check=_check,
        notes="Publish the split with the score. References are scored as they are: clean them as R2Gen does for comparable "
        "numbers.",
    ),
    TaskSpec(
        name="iu_xray_biocaption",
        read=special("iu_xray_biocaption", layouts.tab_separated("iu_xray_images", layouts.FINDINGS), "test_images.tsv"),
        train=special("iu_xray_biocaption", layouts.tab_separated("iu_xray_images", layouts.FINDINGS), "train_images.tsv"),
        metrics=captions.PTB_FIRST,
        split="bioCaption's 80/20 split by report; impression and findings, one view a row",
        source="nlpaueb/bioCaption's test_images.tsv with iu_xray_images/",
        citation="Demner-Fushman et al. 2016, Preparing a collection of radiology examinations for distribution and retrieval",
        licence="Open-i terms; not stated in the sources read",
        parsing=PTB,
        paper="C.11 links bioCaption. Its 6,698 / 745 look swapped with Peir Gross (5,172 / 1,289): 6,698 + 745 = 7,443, Peir "
        "Gross's image count.",
        prompt=layouts.FINDINGS,
        max_new_tokens=128,
        check=_check,
    ),
    TaskSpec(
        name="peir_gross",
        read=special("peir_gross", layouts.tab_separated("peir_gross_images", layouts.GROSS_CAPTION), "test_images.tsv"),
        train=special("peir_gross", layouts.tab_separated("peir_gross_images", layouts.GROSS_CAPTION), "train_images.tsv"),
        metrics=captions.PTB_FIRST,
        split="bioCaption's 90/10 split of 7,443 images, one sentence each",
        source="nlpaueb/bioCaption's test_images.tsv with peir_gross_images/",
        citation="Pathology Education Informational Resource; Pavlopoulos et al. 2019, A survey on biomedical image captioning",
        licence="PEIR terms (teaching); not stated in the sources read",
        parsing=PTB,
        paper="C.12 and Table 7: 5,172 train, 1,289 test of 7,443 images, which do not add up; 6,698 / 745, printed for IU "
        "X-Ray, do.",
        prompt=layouts.GROSS_CAPTION,
        max_new_tokens=64,
        check=_check,
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
        metrics=captions.PTB_FIRST,
        split="radiology test (8,179 captions in the repository)",
        source="razorx89/roco-dataset's captions.txt with images/",
        citation="Pelka et al. 2018, Radiology objects in context (ROCO)",
        licence="per image, as its PubMed Central article",
        parsing=PTB,
        paper="Table 7: 25,000 train (a part of the 70,308 of C.7), 8,786 test.",
        prompt=layouts.MEDICAL_CAPTION,
        max_new_tokens=64,
        check=_check,
    ),
    TaskSpec(
        name="mimic_cxr",
        read=special("mimic_cxr", layouts.report_split("test"), "annotation.json"),
        train=special("mimic_cxr", layouts.report_split("train"), "annotation.json"),
        metrics=captions.PLAIN_FIRST,
        split="test of annotation.json, findings (R2Gen's has 3,858 reports)",
        source="R2Gen's annotation.json with images/ (credentialed access)",
        citation="Johnson et al. 2019, MIMIC-CXR (arXiv 1901.07042)",
        licence="PhysioNet credentialed health data licence",
        parsing=PLAIN,
        paper="Table 7: 25,000 train (a part), 3,513 test: reports with a findings section only. C.3 counts images: 368,960 "
        "/ 2,991 / 5,159.",
        prompt=layouts.FINDINGS,
        max_new_tokens=128,
        check=_check,
    ),
)
