"""The general benchmarks of the paper and two local samples. Judge-free protocols only: MM-Vet needs a judge and is not here."""

from collections.abc import Iterable
from pathlib import Path

from ..questions import Question
from ..scorers import choice, presence, short
from . import layouts
from .spec import SHORT_ANSWER, Reader, TaskSpec, files, hub, locate

LETTER = "{question}\n{options}\nAnswer with the option's letter from the given choices directly."
LOCAL = ("qa.jsonl", "dev/qa.jsonl", "test/qa.jsonl")


def _pope() -> Reader:
    """The official files where they are, else the rows of the hub."""
    from_hub = files("pope", *hub("test"), change=layouts.pope_hub)
    official = "coco_pope_*.json"

    def read(data: Path) -> Iterable[Question]:
        if any(any(root.glob(official)) for root in (data, data / "pope")):
            return layouts.pope_files(locate(data, "pope", (official,)))
        return from_hub(data)

    return read


GENERAL = (
    TaskSpec(
        name="ai2d",
        read=files("ai2d", *hub("test"), change=layouts.lettered),
        metrics=(choice.AI2D,),
        split="test (3,088 questions; harness count)",
        source="lmms-lab/ai2d",
        citation="Kembhavi et al. 2016, A diagram is worth a dozen images (arXiv 1603.07396)",
        prompt=LETTER,
        max_new_tokens=16,
        notes="Option boxes hidden in the pictures; the no-mask pictures score markedly higher. Parsed as lmms-eval.",
    ),
    TaskSpec(
        name="scienceqa_img",
        read=files("scienceqa_img", *hub("test", "ScienceQA-IMG"), *hub("test"), change=layouts.science_qa),
        train=files("scienceqa_img", *hub("train", "ScienceQA-IMG"), *hub("train"), change=layouts.science_qa),
        metrics=(choice.SCIENCE_QA, choice.SCIENCE_QA_LLAVA),
        split="test, questions with a picture (2,017 of 4,241; harness count)",
        source="lmms-lab/ScienceQA",
        citation="Lu et al. 2022, Learn to explain (arXiv 2209.09513)",
        prompt=LETTER,
        max_new_tokens=16,
        breakdown=("subject", "grade"),
        notes="The paper gives 4,114 samples; the harnesses' test split has 4,241.",
    ),
    TaskSpec(
        name="chartqa",
        read=files("chartqa", *LOCAL, *hub("test")),
        metrics=(short.RELAXED, short.EXACT),
        split="test (1,250 human and 1,250 augmented questions)",
        source="lmms-lab/ChartQA, or a folder with qa.jsonl",
        citation="Masry et al. 2022, ChartQA (arXiv 2203.10244)",
        prompt="{question}\nAnswer the question with a single word.",
        max_new_tokens=16,
        breakdown=("source", "type"),
        notes="Prompt as lmms-eval. Years count as numbers, so 2010 is within 5 % of 2018.",
    ),
    TaskSpec(
        name="mmmu_val",
        read=files("mmmu_val", *hub("validation"), "*/validation-*.parquet", change=layouts.mmmu),
        metrics=(choice.MMMU,),
        split="validation (900 questions: 847 multiple choice, 53 open)",
        source="MMMU/MMMU or lmms-lab/MMMU",
        citation="Yue et al. 2023, MMMU (arXiv 2311.16502)",
        prompt="{question}",
        max_new_tokens=128,
        breakdown=("discipline", "subject"),
        notes="Official prompt and parser; all pictures of a question are shown, the official LLaVA script shows the first. "
        "An unreadable reply is drawn at random, from the question's id.",
    ),
    TaskSpec(
        name="pope",
        read=_pope(),
        metrics=(
            presence.POPE_F1,
            presence.POPE_ACCURACY,
            presence.POPE_YES_RATIO,
            presence.POPE_F1_LMMS,
            presence.POPE_ACCURACY_LMMS,
        ),
        split="random, popular and adversarial (3,000 questions each)",
        source="lmms-lab/POPE, or RUCAIBox/POPE's coco_pope_*.json beside val2014/",
        citation="Li et al. 2023, Evaluating object hallucination in large vision-language models (arXiv 2305.10355)",
        prompt=SHORT_ANSWER,
        max_new_tokens=16,
        breakdown=("category",),
        notes="The score over all rows is pooled; papers give F1 per set (see the breakdown) or the mean of the three.",
    ),
    TaskSpec(
        name="hallusion_bench",
        read=files("hallusion_bench", "HallusionBench.json", *hub("image"), change=layouts.hallusion),
        metrics=(presence.HALLUSION_ALL, presence.HALLUSION_FIGURE, presence.HALLUSION_QUESTION),
        split="rows with a picture (951 of 1,129)",
        source="lmms-lab/HallusionBench, or HallusionBench.json with its pictures",
        citation="Guan et al. 2023, HallusionBench (arXiv 2310.14566)",
        prompt="{question}",
        breakdown=("category", "subcategory"),
        notes="Judge-free as VLMEvalKit: the word yes or no in the reply, against gt_answer.",
    ),
    TaskSpec(
        name="textvqa",
        read=files("textvqa", *hub("validation"), change=layouts.text_vqa),
        metrics=(short.VQA, short.EXACT),
        split="validation (5,000 questions, 10 answers each)",
        source="lmms-lab/textvqa",
        citation="Singh et al. 2019, Towards VQA models that can read (arXiv 1904.08920)",
        max_new_tokens=16,
        notes="No OCR tokens are given, as lmms-eval; LLaVA's published numbers gave them.",
    ),
    TaskSpec(
        name="sroie",
        read=files("sroie", *LOCAL),
        metrics=(short.EXACT, short.F1),
        split="as given",
        source="a folder with qa.jsonl: company, date, total and address of receipts",
        citation="Huang et al. 2019, ICDAR 2019 competition on scanned receipt OCR and information extraction",
        breakdown=("field",),
        max_new_tokens=64,
        notes="Questions are made from the key file; not the competition's own protocol.",
    ),
)
