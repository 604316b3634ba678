"""The general benchmarks of the paper that ask for letters, short answers or judged sentences, and a local sample of receipts.

The variant of another harness is the same entry with what differs, under a name that says whose it is.
"""

from dataclasses import replace

from ..metrics import choices, judged, short
from . import layouts, rubrics
from .task import SHORT_ANSWER, TaskSpec, either, files, hub

LETTER = "{question}\n{options}\nAnswer with the option's letter from the given choices directly."
CHOOSE = "Question: {question}\nOptions:\n{options}\nPlease select the correct answer from the options above."
LOCAL = ("qa.jsonl", "dev/qa.jsonl", "test/qa.jsonl")

AI2D = TaskSpec(
    name="ai2d",
    read=files("ai2d", *hub("test"), change=layouts.lettered),
    metrics=(choices.AI2D,),
    split="test (3,088 questions; harness count)",
    source="lmms-lab/ai2d",
    hub="lmms-lab/ai2d",
    hub_files=hub("test"),
    citation="Kembhavi et al. 2016, A diagram is worth a dozen images (arXiv 1603.07396)",
    licence="not stated in the sources read",
    prompt=LETTER,
    max_new_tokens=16,
    parsing="lmms-eval's: a capital letter and a full stop at the start are the letter; else the whole reply is, in any case.",
    paper="Appendix B: test, 3,088 questions.",
    notes="The boxes of the options are hidden in the images; with the boxes shown scores are markedly higher.",
)
SCIENCE_QA_IMG = TaskSpec(
    name="scienceqa_img",
    read=files("scienceqa_img", *hub("test", "ScienceQA-IMG"), *hub("test"), change=layouts.science_qa),
    train=files("scienceqa_img", *hub("train", "ScienceQA-IMG"), *hub("train"), change=layouts.science_qa),
    metrics=(choices.SCIENCE_QA, choices.SCIENCE_QA_LLAVA),
    split="test, questions with an image (2,017 of 4,241; harness count)",
    source="lmms-lab/ScienceQA, configuration ScienceQA-IMG",
    hub="lmms-lab/ScienceQA",
    hub_files=(*hub("test", "ScienceQA-IMG"), *hub("train", "ScienceQA-IMG")),
    citation="Lu et al. 2022, Learn to explain (arXiv 2209.09513)",
    licence="CC BY-NC-SA 4.0",
    prompt=LETTER,
    max_new_tokens=16,
    breakdown=("subject", "grade"),
    parsing="lmms-eval: the reply in capitals is the letter, or a capital letter and a full stop begin it. LLaVA: the reply is "
    'the letter, begins with "A. ", or says "The answer is A." once.',
    paper='Appendix B: a "popular evaluation split with 4,114 samples"; the harnesses\' test split has 4,241.',
    notes='A hint stands before the question, as "Context: ...", as lmms-eval.',
)
CHART_QA = TaskSpec(
    name="chartqa",
    read=files("chartqa", *LOCAL, *hub("test")),
    metrics=(short.RELAXED, short.EXACT),
    split="test (1,250 human and 1,250 augmented questions)",
    source="lmms-lab/ChartQA, or a folder with qa.jsonl",
    hub="lmms-lab/ChartQA",
    hub_files=hub("test"),
    citation="Masry et al. 2022, ChartQA (arXiv 2203.10244)",
    licence="GPL-3.0 on its data card; the charts are of third parties",
    prompt="{question}\nAnswer the question with a single word.",
    max_new_tokens=16,
    breakdown=("source", "type"),
    parsing="Two numbers may differ by 5 % of the answer; other texts must be equal but for case. A percent sign divides by 100 "
    "on its own side; commas and currency signs do not parse.",
    paper="Appendix B: test, 2,500 questions.",
    notes="Prompt as lmms-eval. Years count as numbers, so 2010 is within 5 % of 2018.",
)
MMMU = TaskSpec(
    name="mmmu_val",
    read=files("mmmu_val", *hub("validation"), "*/validation-*.parquet", change=layouts.mmmu),
    metrics=(choices.MMMU,),
    split="validation (900 questions: 847 multiple choice, 53 open)",
    source="lmms-lab/MMMU or MMMU/MMMU",
    hub="lmms-lab/MMMU",
    hub_files=("*validation-*.parquet",),
    citation="Yue et al. 2023, MMMU (arXiv 2311.16502)",
    licence="Apache-2.0",
    prompt="{question}",
    max_new_tokens=128,
    breakdown=("discipline", "subject"),
    parsing='Official. Choices: "(A)", else a lone A, else (above five words) an option\'s text, the last one named; a reply '
    "that names none is drawn at random, from the question's id. Open: an accepted text or number stands in a part of the "
    "reply.",
    paper="Appendix B names the set without a count.",
    notes='Official prompt: the question, an empty line, options as "(A) text", an empty line, the letter suffix of AI2D; for '
    "open questions the short-answer suffix. All images are shown; the official LLaVA script shows the first.",
)
TEXT_VQA = TaskSpec(
    name="textvqa",
    read=files("textvqa", *hub("validation"), change=layouts.text_vqa(ocr=False)),
    metrics=(short.VQA, short.EXACT),
    split="validation (5,000 questions, 10 answers each)",
    source="lmms-lab/textvqa",
    hub="lmms-lab/textvqa",
    hub_files=hub("validation"),
    citation="Singh et al. 2019, Towards VQA models that can read (arXiv 1904.08920)",
    licence="CC BY 4.0 (not verified)",
    prompt=SHORT_ANSWER,
    max_new_tokens=16,
    parsing="Normalised by the VQA rules; over the ten ways to leave one annotator out, min(1, matches / 3), averaged.",
    paper="Appendix B does not describe the set.",
    notes="No OCR tokens are given, as lmms-eval.",
)

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
    "temperature, then 0. <AND> joins parts that are all needed, <OR> parts of which one is enough.",
    paper="Appendix B: graded by GPT-4; no count, and no name of its version.",
    notes="Prompt as the official evaluator: the bare question. The judge's instructions and examples are ours, so scores are "
    "near those of the official judge and not equal to them. Name the judge with the score; the authors average five judge "
    "runs.",
)

GENERAL = (
    AI2D,
    replace(
        AI2D,
        name="ai2d_no_mask",
        read=files("ai2d_no_mask", *hub("test"), change=layouts.lettered),
        source="Efficient-Large-Model/ai2d-no-mask",
        hub="Efficient-Large-Model/ai2d-no-mask",
        notes="The boxes of the options are shown in the images, which makes the questions markedly easier.",
    ),
    replace(
        AI2D,
        name="ai2d_vlmevalkit",
        folder="ai2d",
        metrics=(choices.VLMEVALKIT,),
        prompt=CHOOSE,
        max_new_tokens=64,
        parsing="VLMEvalKit's, without its judge: the one letter that stands among the last words, else the one option whose "
        "text is in the reply; a reply that names none or several is wrong.",
        notes="VLMEvalKit hands unreadable replies to a judge, so its scores are a little higher for models that explain.",
    ),
    SCIENCE_QA_IMG,
    replace(
        SCIENCE_QA_IMG,
        name="scienceqa",
        read=files("scienceqa", *hub("test", "ScienceQA-FULL"), *hub("test"), change=layouts.science_qa_full),
        train=files("scienceqa", *hub("train", "ScienceQA-FULL"), *hub("train"), change=layouts.science_qa_full),
        split="test, all questions (4,241, of which 2,017 have an image; harness count)",
        source="lmms-lab/ScienceQA, configuration ScienceQA-FULL",
        hub_files=(*hub("test", "ScienceQA-FULL"), *hub("train", "ScienceQA-FULL")),
        notes="Questions without an image are asked as text.",
    ),
    CHART_QA,
    replace(
        CHART_QA,
        name="chartqa_vlmevalkit",
        folder="chartqa",
        prompt=SHORT_ANSWER,
        notes="Prompt as VLMEvalKit. Years count as numbers, so 2010 is within 5 % of 2018.",
    ),
    MMMU,
    replace(
        MMMU,
        name="mmmu_val_lmms_eval",
        folder="mmmu_val",
        read=files("mmmu_val", *hub("validation"), "*/validation-*.parquet", change=layouts.mmmu_lmms),
        metrics=(choices.MMMU_LMMS,),
        parsing='lmms-eval\'s: as the official one, but "A " and "A." count wherever they stand, even at the end of a word.',
        notes='Prompt as lmms-eval: as the official one, with options as "A. text" right below the question.',
    ),
    TEXT_VQA,
    replace(
        TEXT_VQA,
        name="textvqa_ocr",
        folder="textvqa",
        read=files("textvqa", *hub("validation"), change=layouts.text_vqa(ocr=True)),
        notes="The data set's OCR tokens are given in the prompt, as in LLaVA's published numbers; not comparable with "
        "`textvqa`.",
    ),
    TaskSpec(
        name="sroie",
        read=files("sroie", *LOCAL),
        metrics=(short.EXACT, short.F1),
        split="as given",
        source="a folder with qa.jsonl: company, date, total and address of receipts",
        citation="Huang et al. 2019, ICDAR 2019 competition on scanned receipt OCR and information extraction",
        licence="not stated in the sources read",
        breakdown=("field",),
        max_new_tokens=64,
        parsing="Equal after normalisation by the VQA rules; and the words in common (clipped token F1).",
        paper="Not in the paper.",
        notes="Questions are made from the key file; not the competition's own protocol.",
    ),
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
