"""Does the model see what is not there? POPE and HallusionBench, the latter with and without a judge."""

from dataclasses import replace

from ..metrics import judged, presence
from . import layouts, rubrics
from .task import SHORT_ANSWER, TaskSpec, either, files, hub

POPE = TaskSpec(
    name="pope",
    read=either("pope", ("coco_pope_*.json",), layouts.pope_files, files("pope", *hub("test"), change=layouts.pope_hub)),
    metrics=(
        presence.POPE_F1,
        presence.POPE_ACCURACY,
        presence.POPE_YES_RATIO,
        presence.POPE_F1_SETS,
        presence.POPE_F1_LMMS,
        presence.POPE_ACCURACY_LMMS,
        presence.POPE_F1_VLMEVALKIT,
    ),
    split="random, popular and adversarial (3,000 questions each)",
    source="lmms-lab/POPE, or RUCAIBox/POPE's coco_pope_*.json beside val2014/",
    hub="lmms-lab/POPE",
    hub_files=hub("test"),
    citation="Li et al. 2023, Evaluating object hallucination in large vision-language models (arXiv 2305.10355)",
    licence="MIT (questions); images of COCO",
    prompt=SHORT_ANSWER,
    max_new_tokens=16,
    breakdown=("category",),
    parsing='Official: "No", "no" or "not" among the words before the first full stop is no, everything else is yes. '
    "lmms-eval: the whole reply is yes or no. VLMEvalKit: exactly one of the two words stands in the reply.",
    paper="Appendix B: test, 9,000 questions, F1.",
    notes="`f1_official` pools all rows; papers give F1 per set (see the breakdown) or the mean of the three "
    "(`f1_mean_of_sets`). The yes ratio is that of the replies; lmms-eval prints that of the answers.",
)
HALLUSION_BENCH = TaskSpec(
    name="hallusion_bench",
    read=files("hallusion_bench", "HallusionBench.json", *hub("image"), change=layouts.hallusion),
    metrics=(presence.HALLUSION_ALL, presence.HALLUSION_FIGURE, presence.HALLUSION_QUESTION),
    split="rows with an image (951 of 1,129)",
    source="lmms-lab/HallusionBench, or HallusionBench.json with its images",
    hub="lmms-lab/HallusionBench",
    hub_files=("*image-*.parquet",),
    citation="Guan et al. 2023, HallusionBench (arXiv 2310.14566)",
    licence="BSD-3-Clause",
    prompt="{question}",
    max_new_tokens=128,
    breakdown=("category", "subcategory"),
    parsing="VLMEvalKit's, which needs no judge: exactly one of the words yes and no stands in the reply, and is the answer.",
    paper='Appendix B: "GPT4 to compute a unified evaluation score"; no count. That is `hallusion_bench_judge`, not this.',
    notes="a_acc counts questions, f_acc figures all of whose questions are right, q_acc questions that are right on all "
    "figures.",
)

HALLUCINATION = (
    POPE,
    HALLUSION_BENCH,
    replace(
        HALLUSION_BENCH,
        name="hallusion_bench_judge",
        folder="hallusion_bench",
        read=files(
            "hallusion_bench",
            "HallusionBench.json",
            "data/*image-*.parquet",
            "*image-*.parquet",
            change=layouts.hallusion_judged(with_text=True),
        ),
        metrics=(judged.HALLUSION_ALL, judged.HALLUSION_FIGURE, judged.HALLUSION_QUESTION),
        rubric=rubrics.HALLUSION,
        split="all rows (1,129, of which 178 have no image)",
        parsing="A judge says correct, incorrect or unclear; unclear is right only for rows without an image, as in the "
        "official code.",
        paper='Appendix B: "GPT4 to compute a unified evaluation score"; no count and no name of the judge.',
        notes="The judge's instructions are ours. f_acc leaves out the figures that are no image. Name the judge with the score.",
    ),
    replace(
        HALLUSION_BENCH,
        name="hallusion_bench_judge_lmms_eval",
        folder="hallusion_bench",
        read=files("hallusion_bench", "HallusionBench.json", *hub("image"), change=layouts.hallusion_judged(with_text=False)),
        metrics=(judged.HALLUSION_ALL, judged.HALLUSION_FIGURE, judged.HALLUSION_QUESTION),
        rubric=rubrics.HALLUSION,
        parsing="A judge says correct, incorrect or unclear; unclear is wrong.",
        notes="Rows with an image only, as lmms-eval's `hallusion_bench_image`. The judge's instructions are ours.",
    ),
)
