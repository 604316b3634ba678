"""Our metrics beside other people's scorers, on made-up predictions: `python benchmarks/metric_parity.py SCORERS`.

SCORERS is a folder that is no part of the project and that you fill:

    lmms_eval/                       the package lmms-eval (pip download --no-deps lmms-eval, unpacked)
    extra/                           what it and torchmetrics import, and torchmetrics (pip install --target extra --no-deps ...)
    pope/evaluate.py                 of the repository of POPE's authors
    llava_med/{run_eval,evaluate_metrics,utils,glossary}.py      llava/eval of microsoft/LLaVA-Med, as one package
    vlmevalkit/yorn.py               vlmeval/dataset/utils/yorn.py, with the names that it imports above it

A scorer that is not there is left out and named. Predictions are drawn by a seed, 1,000 for each comparison. The result says for
each comparison how many of them agree, and shows the first that do not.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import json
import random
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from dragonfly.evaluation.metrics import choices, judged, presence, short
from dragonfly.evaluation.question import Question
from dragonfly.evaluation.tasks import rubrics
from dragonfly.files import result_header, sha256, write_json

RESULT = Path(__file__).parent / "results" / "metric_parity.json"
N, SEED = 1000, 0
EXAMPLES = 3
CLOSE = 1e-6  # torchmetrics counts in float32

WORDS = [
    "left",
    "right",
    "lung",
    "liver",
    "mass",
    "nodule",
    "effusion",
    "normal",
    "heart",
    "axial",
    "fracture",
    "small",
    "red",
    "bus",
]
Pair = tuple[Any, float, float]
"""What was scored, our score, theirs."""


def numbers(rng: random.Random) -> str:
    """A chart's value, as models and labels write them."""
    value = rng.choice([0, 3, 15, 0.5, 12.25, 99.9, 1500, 2010, -4])
    value = value * rng.choice([1, 1, 1.03, 1.049, 1.05, 1.06, 0.95, 0.949])
    text = rng.choice([f"{value:g}", f"{value:.2f}", f"{value:g}%", f"{value:,.1f}", f"${value:g}"])
    return rng.choice([text, text, text, "Yes", "no", "Blue", "blue", "Asia", "14 years"])


REPLIES = [
    *("yes", "no", "Yes", "No", "Yes.", "No.", "Yes, it is.", "No, there is not.", "There is no dog.", "It is not. Yes."),
    *("yes and no", "I see a dog", "not visible", "YES", "Yes,there is", "The answer is yes", "know", "nothing", "eyes", "no!"),
    *("", "yes/no"),
]


def yes_no(rng: random.Random) -> str:
    """A reply to a question of yes or no, tidy or not."""
    return rng.choice(REPLIES)


def sentence(rng: random.Random, most: int = 6) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))


def chartqa(rng: random.Random) -> Iterator[Pair]:
    theirs = lmms("chartqa").relaxed_correctness
    for _ in range(N):
        reply, answer = numbers(rng), numbers(rng)
        yield (reply, answer), short.relaxed_accuracy(reply, answer), float(theirs(reply, answer))


def pope_rows(rng: random.Random) -> list[tuple[Question, str]]:
    return [(Question(str(n), "?", (rng.choice(["yes", "no"]),), group=str(n)), yes_no(rng)) for n in range(N)]


def value(metric: Any, rows: Sequence[tuple[Question, str]]) -> float:
    questions, replies = zip(*rows, strict=True)
    return float(metric.value(metric.columns(questions, replies).sum(axis=0)))


def parts(rows: Sequence[Any], size: int = 100) -> Iterator[Sequence[Any]]:
    """A score of a whole set is compared on ten parts of the predictions and on all of them."""
    yield rows
    yield from (rows[start : start + size] for start in range(0, len(rows), size))


def pope_official(rng: random.Random) -> Iterator[Pair]:
    source = (ARGUMENTS.scorers / "pope" / "evaluate.py").read_text(encoding="utf-8")
    ours = {"F1 score": presence.POPE_F1, "Accuracy": presence.POPE_ACCURACY, "Yes ratio": presence.POPE_YES_RATIO}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("ans_file", "label_file")}
        for name, path in files.items():
            source = source.replace(f"{name} = ''", f"{name} = {str(path)!r}")
        for rows in parts(pope_rows(rng)):
            files["ans_file"].write_text("".join(json.dumps({"answer": reply}) + "\n" for _, reply in rows))
            files["label_file"].write_text("".join(json.dumps({"label": one.answers[0]}) + "\n" for one, _ in rows))
            with redirect_stdout(io.StringIO()) as printed:
                exec(compile(source, "evaluate.py", "exec"), {})
            for name, metric in ours.items():
                (theirs,) = map(float, re.findall(rf"{name}: ([\d.e-]+)", printed.getvalue()))
                yield (name, len(rows)), value(metric, rows), theirs


def pope_lmms(rng: random.Random) -> Iterator[Pair]:
    theirs = lmms("pope")
    for rows in parts(pope_rows(rng)):
        done = [
            theirs.pope_process_results({"answer": one.answers[0], "question_id": one.id}, [reply])["pope_f1_score"]
            for one, reply in rows
        ]
        yield ("F1", len(rows)), value(presence.POPE_F1_LMMS, rows), theirs.pope_aggregate_f1_score(done)
        yield ("accuracy", len(rows)), value(presence.POPE_ACCURACY_LMMS, rows), theirs.pope_aggregate_accuracy(done)


def pope_vlmevalkit(rng: random.Random) -> Iterator[Pair]:
    import pandas as pd

    theirs = vlmevalkit()
    for rows in parts(pope_rows(rng)):
        table = pd.DataFrame({"category": "random", "answer": [one.answers[0].capitalize() for one, _ in rows]})
        table["extracted"] = [theirs.YOrN_Extraction(reply) for _, reply in rows]
        table["score"] = table["answer"] == table["extracted"]
        yield ("F1", len(rows)), value(presence.POPE_F1_VLMEVALKIT, rows), theirs.POPE_rating(table)["Overall"][0] / 100


def hallusion_rows(rng: random.Random) -> list[dict[str, Any]]:
    """Rows with the keys of HallusionBench.json: sets of figures with the same questions asked about each."""
    rows: list[dict[str, Any]] = []
    while len(rows) < N:
        category = rng.choice(["VD", "VS"])
        sub = rng.choice({"VD": ["illusion", "math", "video"], "VS": ["chart", "map", "table"]}[category])
        number = len(rows)
        for figure in range(rng.randint(1, 3)):
            for question in range(rng.randint(1, 3)):
                shown = "0" if category == "VS" and figure == 0 else "1"
                one = {"category": category, "subcategory": sub, "set_id": str(number), "figure_id": str(figure)}
                rows.append({**one, "question_id": str(question), "visual_input": shown, "gt_answer": rng.choice("01")})
    return rows[:N]


def hallusion_question(row: dict[str, Any]) -> Question:
    answer = "yes" if row["gt_answer"] == "1" else "no"
    return Question("-".join(row.values()), "?", (answer,), meta={**row, "shown": row["visual_input"] != "0"})


def hallusion_judged(rng: random.Random) -> Iterator[Pair]:
    """The verdicts that a judge writes, read and counted by both."""
    theirs = lmms("hallusion_bench")
    texts = ["correct", "Correct.", "incorrect", "Incorrect", "unclear", "Unclear.", "The answer is correct", "INCORRECT"]
    rows = [{**row, "text": rng.choice(texts * 2 + ["correct"] * 20)} for row in hallusion_rows(rng)]
    for row in rows:  # as in the loop of `evaluate_by_chatgpt`
        row["check"] = "0" if "incorrect" in row["text"].lower() else "1" if "correct" in row["text"].lower() else "2"
    done = theirs.assign_correctness([dict(row) for row in rows], correctness_entry="check")
    questions = [hallusion_question({k: v for k, v in row.items() if k not in ("text", "check")}) for row in rows]
    verdicts = [rubrics.HALLUSION.verdict(row["text"]) or rubrics.HALLUSION.fallback for row in rows]
    pairs = list(zip(questions, verdicts, strict=True))
    every, figures = theirs.get_eval_all(done, "check"), theirs.get_eval_fig(done)
    asked = theirs.get_eval_pair_all(done, "check")
    yield "aAcc", value(judged.HALLUSION_ALL, pairs), every["correct"] / every["total"]
    yield "fAcc", value(judged.HALLUSION_FIGURE, pairs), figures["correct"] / figures["total"]
    yield "qAcc", value(judged.HALLUSION_QUESTION, pairs), asked["correct"] / asked["total"]
    for row, question, verdict in zip(done, questions, verdicts, strict=True):
        yield row["text"], float(judged.HALLUSION_ALL.columns([question], [verdict])[0, 0]), float(row["correct"])


def hallusion_yes_no(rng: random.Random) -> Iterator[Pair]:
    import pandas as pd

    theirs = vlmevalkit()
    asked = [hallusion_question(row) for row in hallusion_rows(rng)]
    rows = [(one, rng.choice([yes_no(rng), one.answers[0].capitalize()])) for one in asked]
    right = [theirs.YOrN_Extraction(reply) == one.answers[0].capitalize() for one, reply in rows]
    keys = ("category", "subcategory", "category", "set_id", "figure_id", "question_id")  # the third is not looked at
    index = ["_".join(one.meta[key] for key in keys) for one in asked]
    table = pd.DataFrame({"index": index, "score": right, "l2-category": [one.meta["subcategory"] for one, _ in rows]})
    found = theirs.Hallusion_rating(table)
    metrics = {"aAcc": presence.HALLUSION_ALL, "fAcc": presence.HALLUSION_FIGURE, "qAcc": presence.HALLUSION_QUESTION}
    for name, metric in metrics.items():
        yield name, value(metric, rows), found[name][0] / 100
    for (question, reply), ok in zip(rows, right, strict=True):
        yield (reply, question.answers[0]), float(presence.HALLUSION_ALL.columns([question], [reply])[0, 0]), float(ok)


def mmvet(rng: random.Random) -> Iterator[Pair]:
    """What a judge writes, read by both; and the mean."""
    theirs = lmms("mmvet")
    tenths = [f"{n / 10:.1f}" for n in range(11)]
    texts = [*tenths, *tenths, "1", "0", "0.5 ", " 0.3", "0.7 because", "1.0\n", "I cannot say", "2.0", ".5"]
    theirs.time.sleep = lambda _: None
    total: list[tuple[float, Any]] = []
    for n in range(N):
        text = rng.choice(texts)
        theirs.get_chat_response = lambda *_, text=text, **__: (text if text != "2.0" else "none", "stand-in")
        row = {"question": "?", "answer": "a<AND>b", "question_id": n, "capability": "ocr"}
        their = theirs.mmvet_process_results(row, ["a"])["gpt_eval_score"]
        our = float(rubrics.MMVET.verdict(text) or rubrics.MMVET.fallback)
        total.append((our, their))
        yield text, our, float(their["score"])
    mean = theirs.mmvet_aggregate_results([their for _, their in total]) / 100
    yield "mean of all", sum(our for our, _ in total) / len(total), mean


def closed_yes_no(rng: random.Random) -> Iterator[Pair]:
    theirs = vlmevalkit()
    for _ in range(N):
        reply, answer = yes_no(rng), rng.choice(["Yes", "No"])
        yield (reply, answer), short.closed_accuracy(reply, answer), float(theirs.YOrN_Extraction(reply) == answer)


def closed_llava_med(rng: random.Random) -> Iterator[Pair]:
    theirs = importlib.import_module("llava_med.run_eval").evaluate
    for n in range(N):
        reply = rng.choice([yes_no(rng), sentence(rng), f"Yes, {sentence(rng)}", f"no {sentence(rng)}"])
        answer = rng.choice(["yes", "no", "Yes", "No", rng.choice(WORDS)])
        row = {"conversations": [{}, {"value": answer}], "answer_type": "CLOSED"}
        their = float(theirs([row], [{"text": reply, "question_id": n}], None))
        yield (reply, answer), short.closed_accuracy_llava_med(reply, answer), their


def f1_squad(rng: random.Random) -> Iterator[Pair]:
    """Plain words, with articles and capitals, which both normalise alike; digits and inner punctuation they do not."""
    squad = importlib.import_module("torchmetrics.functional.text.squad").squad
    for n in range(N):
        reply, answers = plain(rng), [plain(rng) for _ in range(rng.randint(1, 3))]
        labels = {"answers": {"text": answers, "answer_start": [0] * len(answers)}, "id": str(n)}
        their = squad({"prediction_text": reply, "id": str(n)}, labels)
        yield (reply, answers), max(short.token_f1(reply, answer) for answer in answers), float(their["f1"]) / 100


def plain(rng: random.Random) -> str:
    words = [rng.choice([word, word.capitalize(), f"the {word}", f"A {word}"]) for word in sentence(rng).split()]
    return " ".join(words) + rng.choice(["", "", ".", "!"])


def f1_llava_med(rng: random.Random) -> Iterator[Pair]:
    theirs = importlib.import_module("llava_med.evaluate_metrics").calculate_f1score
    for _ in range(N):
        reply, answer = (odd(rng) for _ in range(2))
        yield (reply, answer), short.token_f1(reply, answer, clipped=False), float(theirs(reply, answer)[0])


def odd(rng: random.Random) -> str:
    """Words with what the VQA rules change: numbers, articles, punctuation, contractions."""
    more = ["two", "1,000", "3.5", "x-ray", "dont", "isn't", "(left)", "a", "the", "ct/mri", "mass.", "yes,"]
    return " ".join(rng.choice(WORDS + more) for _ in range(rng.randint(1, 6)))


def science_qa(rng: random.Random) -> Iterator[Pair]:
    theirs = lmms("scienceqa").sqa_process_results
    for _ in range(N):
        reply = rng.choice(["A", "b", "C.", "D. text", " A ", "The answer is B.", "E", "a.", "(C)", "B text", ""])
        answer = rng.randint(0, 4)
        their = theirs({"answer": answer, "choices": ["v", "w", "x", "y", "z"]}, [reply])["exact_match"]
        question = Question("x", "?", (choices.LETTERS[answer],))
        yield (reply, answer), float(choices.SCIENCE_QA.columns([question], [reply])[0, 0]), float(their)


def lmms(task: str) -> Any:
    """The file of one task alone: the package around it imports much that is not needed. A judge's client is a stand-in."""
    for name in ("lmms_eval", "lmms_eval.llm_judge", "requests"):
        sys.modules.setdefault(name, MagicMock())
    place = ARGUMENTS.scorers / "lmms_eval" / "tasks" / task / "utils.py"
    spec = importlib.util.spec_from_file_location(f"lmms_eval_{task}", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def vlmevalkit() -> Any:
    return importlib.import_module("vlmevalkit.yorn")


Comparison = tuple[str, str, str, Callable[[random.Random], Iterator[Pair]]]
COMPARISONS: tuple[Comparison, ...] = (
    ("relaxed_accuracy", "lmms-eval, tasks/chartqa/utils.py", "lmms_eval/tasks/chartqa/utils.py", chartqa),
    ("f1_official, accuracy_official, yes_ratio", "AoiDragon/POPE f3ec6043, evaluate.py", "pope/evaluate.py", pope_official),
    ("f1_lmms_eval, accuracy_lmms_eval", "lmms-eval, tasks/pope/utils.py", "lmms_eval/tasks/pope/utils.py", pope_lmms),
    ("f1_vlmevalkit", "open-compass/VLMEvalKit 0c7163c9, yorn.py", "vlmevalkit/yorn.py", pope_vlmevalkit),
    ("a_acc_judged, f_acc_judged, q_acc_judged", "lmms-eval, tasks/hallusion_bench/utils.py, which is the authors' utils.py",
     "lmms_eval/tasks/hallusion_bench/utils.py", hallusion_judged),
    ("a_acc, f_acc, q_acc", "open-compass/VLMEvalKit 0c7163c9, yorn.py", "vlmevalkit/yorn.py", hallusion_yes_no),
    ("judge_score", "lmms-eval, tasks/mmvet/utils.py, after the authors' evaluator", "lmms_eval/tasks/mmvet/utils.py", mmvet),
    ("closed_accuracy of yes and no", "open-compass/VLMEvalKit 0c7163c9, yorn.py", "vlmevalkit/yorn.py", closed_yes_no),
    ("closed_accuracy_llava_med", "microsoft/LLaVA-Med ad758b68, run_eval.py", "llava_med/run_eval.py", closed_llava_med),
    ("token_f1", "torchmetrics, SQuAD v1.1", "extra/torchmetrics/functional/text/squad.py", f1_squad),
    ("token_f1_unclipped", "microsoft/LLaVA-Med ad758b68, evaluate_metrics.py", "llava_med/evaluate_metrics.py",
     f1_llava_med),
    ("accuracy_lmms_eval of ScienceQA", "lmms-eval, tasks/scienceqa/utils.py", "lmms_eval/tasks/scienceqa/utils.py", science_qa),
)  # fmt: skip


def compare(name: str, against: str, file: str, run: Callable[[random.Random], Iterator[Pair]]) -> dict[str, Any]:
    path = ARGUMENTS.scorers / file
    about = {"metric": name, "against": against, "file": file, "sha256": sha256(path) if path.is_file() else None}
    if not path.is_file():
        return {**about, "left_out": "not in SCORERS"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other people's code
        pairs = list(run(random.Random(SEED)))
    other = [pair for pair in pairs if abs(pair[1] - pair[2]) > CLOSE]
    shown = {json.dumps(what): {"scored": what, "ours": ours, "theirs": theirs} for what, ours, theirs in other}
    counts = {"predictions": N, "comparisons": len(pairs), "equal": len(pairs) - len(other)}
    return {**about, **counts, "kinds_of_difference": len(shown), "differences": list(shown.values())[:EXAMPLES]}


def versions() -> dict[str, str]:
    """The versions of the packages in SCORERS."""
    found = [*ARGUMENTS.scorers.glob("*.dist-info"), *(ARGUMENTS.scorers / "extra").glob("*.dist-info")]
    return {one.name: one.version for one in sorted(map(PathDistribution, found), key=lambda one: one.name.lower())}


def main() -> None:
    sys.path[:0] = [str(ARGUMENTS.scorers), str(ARGUMENTS.scorers / "extra")]
    found = [compare(*one) for one in COMPARISONS]
    document = {"kind": "metric_parity", **result_header(), "seed": SEED, "scorers": versions(), "comparisons": found}
    write_json(ARGUMENTS.output, document)
    for one in found:
        print(f"{one['metric']:<45} {one.get('equal', '-')}/{one.get('comparisons', one.get('left_out'))}  {one['against']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("scorers", type=Path)
    parser.add_argument("--output", "-o", type=Path, default=RESULT)
    ARGUMENTS = parser.parse_args()
    main()
