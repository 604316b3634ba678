"""MM-Vet: open questions whose replies only a judge can grade, and a keyword check for where there is no judge."""

from dataclasses import replace

from ..scorers import judged
from . import layouts, rubrics
from .general import LOCAL
from .task import TaskSpec, either, files, hub

MMVET = TaskSpec(
    name="mmvet",
    read=either("mmvet", ("mm-vet.json",), layouts.mmvet_file, files("mmvet", *LOCAL, *hub("test"), change=layouts.mmvet)),
    metrics=(judged.GRADE,),
    rubric=rubrics.MMVET,
    split="test (218 questions on 200 images)",
    source="lmms-lab/MMVet, or mm-vet.json beside images/",
    hub="lmms-lab/MMVet",
    hub_files=hub("test"),
    citation="Yu et al. 2023, MM-Vet (arXiv 2308.02490)",
    licence="CC BY-NC 4.0",
    prompt="{question}",
    max_new_tokens=512,
    breakdown=("capability",),
    parsing="A judge grades each reply from 0.0 to 1.0 in tenths at temperature 0; asked up to five times with rising "
    "temperature, "
    "then 0. <AND> joins parts that are all needed, <OR> parts of which one is enough.",
    paper="Appendix B: graded by GPT-4; no count, and no name of its version.",
    notes="Prompt as the official evaluator: the bare question. The judge's instructions and examples are ours, so scores are "
    "near "
    "those of the official judge and not equal to them. Name the judge with the score; the authors average five judge runs.",
)

MM_VET = (
    MMVET,
    replace(
        MMVET,
        name="mmvet_lmms_eval",
        folder="mmvet",
        prompt="First please perform reasoning, and think step by step to provide best answer to the following question: \n\n"
        "{question}",
        max_new_tokens=1024,
        notes="Prompt as lmms-eval, which asks to think step by step; scores differ from those of the bare question.",
    ),
    replace(
        MMVET,
        name="mmvet_keyword",
        folder="mmvet",
        metrics=(judged.KEYWORD,),
        rubric=None,
        parsing="No judge and not MM-Vet's score: the share of the answer's <AND> parts that stand in the reply as whole words "
        "(for <OR>, the best part).",
        notes="A check that needs no judge. It is blind to paraphrase, so it is near 0 where the answer is a sentence; never "
        "compare it with published MM-Vet scores.",
    ),
)
