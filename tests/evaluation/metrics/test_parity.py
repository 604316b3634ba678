"""Parity with published numbers: recorded predictions, and scores their authors printed or their code computes."""

import gzip
import json
import shutil
from typing import Any

import pytest

from dragonfly.evaluation.metrics.captions import caption_scores
from dragonfly.evaluation.metrics.choices import mmmu_letter, mmmu_open, science_qa_letter
from tests.conftest import SHARED

FOLDER = SHARED / "realdata" / "metric_parity"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recorded predictions are not here")
java = pytest.mark.skipif(shutil.which("java") is None, reason="no Java")


def load(name: str) -> Any:
    path = FOLDER / name
    return json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_text(encoding="utf-8"))


def caption_set(references: dict[str, list[str]], replies: dict[str, list[str]]) -> tuple[list[str], list[list[str]]]:
    return [replies[key][0] for key in references], list(references.values())


def assert_matches(scores: dict[str, float], expected: dict[str, Any], digits: float) -> None:
    names = [name for name in ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr", "METEOR") if name in expected]
    assert len(names) >= 6
    for name in names:
        ours = scores["cider_d" if name == "CIDEr" else name.lower()]
        assert ours == pytest.approx(expected[name], abs=digits), name


@java
@pytest.mark.slow
def test_parity_coco_fakecap() -> None:
    replies, references = caption_set(load("coco_fakecap/gts.json"), load("coco_fakecap/res.json"))
    scores = caption_scores(replies, references, ptb=False).corpus
    assert_matches(scores, load("coco_fakecap/expected.json"), 1e-6)


@java
@pytest.mark.slow
def test_parity_nlg_eval() -> None:
    lines = {name: (FOLDER / f"nlg_eval/{name}.txt").read_text().splitlines() for name in ("hyp", "ref1", "ref2")}
    references = [list(pair) for pair in zip(lines["ref1"], lines["ref2"], strict=True)]
    assert_matches(caption_scores(lines["hyp"], references, ptb=False).corpus, load("nlg_eval/expected.json"), 1e-6)


@java
@pytest.mark.slow
def test_parity_nlg_eval_one_sentence() -> None:
    cases = load("nlg_eval/expected.json")["single_sentence_cases"]
    for case in cases:
        scores = caption_scores([case["hyp"]], [case["ref"]], ptb=False, meteor=False).corpus
        for name in ("Bleu_1", "ROUGE_L", "CIDEr"):
            assert scores["cider_d" if name == "CIDEr" else name.lower()] == pytest.approx(case[name], abs=1e-6), name
    together = caption_scores([case["hyp"] for case in cases], [case["ref"] for case in cases], ptb=False)
    assert together.items["meteor"] == pytest.approx([case["METEOR"] for case in cases], abs=1e-6)


@java
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["good", "bad"])
def test_parity_clipscore(kind: str) -> None:
    references, replies = load("clipscore_example/refs.json"), load(f"clipscore_example/{kind}_captions.json")
    scores = caption_scores([replies[key] for key in references], list(references.values())).corpus
    expected = load("clipscore_example/expected.json")[kind]
    names = {f"BLEU-{n}": f"bleu_{n}" for n in (1, 2, 3, 4)} | {"METEOR": "meteor", "ROUGE": "rouge_l", "CIDER": "cider_d"}
    for name, ours in names.items():
        assert scores[ours] == pytest.approx(expected[name], abs=1e-4), name


@pytest.mark.parametrize("run", ["template_test", "logp_top20", "number_beam1", "sft_beam3"])
def test_parity_iu_xray_without_ptb(run: str) -> None:
    replies, references = caption_set(load(f"iu_xray/{run}/refs.json"), load(f"iu_xray/{run}/preds.json"))
    assert len(replies) == 382
    scores = caption_scores(replies, references, ptb=False, meteor=False).corpus
    assert_matches(scores, load(f"iu_xray/{run}/expected.json"), 1e-6)


@java
@pytest.mark.slow
def test_parity_iu_xray_with_ptb_is_another_number() -> None:
    replies, references = caption_set(load("iu_xray/template_test/refs.json"), load("iu_xray/template_test/preds.json"))
    assert_matches(caption_scores(replies, references).corpus, load("verified.json")["iu_template_test_ptb"], 1e-6)


MMMU_RUNS = {
    "mmmu/llava1.5_13b/total_val_output.json": 330,
    "mmmu/llava1.5_13b_val_rerun.json": 324,
    "mmmu/qwen_vl/total_val_output.json": 325,
}


@pytest.mark.parametrize(("file", "correct"), MMMU_RUNS.items())
def test_parity_mmmu(file: str, correct: int) -> None:
    replies, right = load(file), 0.0
    answers = load("mmmu/answer_dict_val.json")
    assert len(answers) == 900
    for key, entry in answers.items():
        truth = entry["ground_truth"]
        if entry["question_type"] == "multiple-choice":
            right += replies[key] == truth
        else:
            right += mmmu_open(replies[key], truth if isinstance(truth, list) else [truth])
    assert right == correct


@pytest.mark.parametrize(("run", "correct", "unparsed"), [("llava1.5_13b", 329, 2), ("qwen_vl", 309, 48)])
def test_parity_mmmu_from_raw_replies(run: str, correct: int, unparsed: int) -> None:
    rows = [row for rows in load(f"mmmu/{run}/per_subject_outputs.json").values() for row in rows]
    right, without = 0.0, 0
    for row in rows:
        if row["question_type"] == "multiple-choice":
            letter = mmmu_letter(row["response"], row["index2ans"])
            without += letter is None
            right += letter == row["answer"]
        else:
            right += mmmu_open(row["response"], row["answer"] if isinstance(row["answer"], list) else [row["answer"]])
    assert (len(rows), right, without) == (900, correct, unparsed)


@pytest.mark.parametrize(
    ("file", "agreeing"), [("test_sqa_llava_13b_v0", 4240), ("test_sqa_llava_lcs_558k_sqa_12e_vicuna_v1_3_13b", 4241)]
)
def test_parity_scienceqa_parser(file: str, agreeing: int) -> None:
    stored = load(f"scienceqa/{file}.json.gz")
    letters = [science_qa_letter(text) for text in stored["outputs"].values()]
    indices = [-1 if letter is None or letter not in "ABCDE" else "ABCDE".index(letter) for letter in letters]
    same = sum(index == stored["results"][key] for index, key in zip(indices, stored["outputs"], strict=True))
    assert (len(letters), same) == (4241, agreeing)
