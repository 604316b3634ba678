"""Runs: scores of known replies, interruption, broken images, and what a run folder refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from dragonfly.evaluation import Settings, evaluate, load_questions, rescore
from dragonfly.evaluation.run import folder_name
from dragonfly.files import lock
from dragonfly.inference import Row

from .fakes import RuleEngine, write_qa, yes_no_rows


def run(engine: RuleEngine, out: Path, model: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    chosen = Settings(**settings)
    return evaluate(engine, model or {"name": "rule"}, chosen, load_questions(chosen), out)


def score(task: dict[str, Any], metric: str = "exact_match") -> dict[str, Any]:
    return task["scores"][metric]


@pytest.fixture
def task(tmp_path: Path) -> str:
    return f"jsonl:{write_qa(tmp_path / 'data', yes_no_rows())}"


def test_a_constant_answer_scores_its_base_rate(task: str, tmp_path: Path) -> None:
    scores = run(RuleEngine(), tmp_path / "out", tasks=(task,))["tasks"][task]
    for name in ("exact_match", "closed_accuracy", "token_f1"):
        assert score(scores, name)["value"] == 0.4  # 28 of 70
        assert score(scores, name)["n"] == 70
    assert "token_f1_open" not in scores["scores"]  # there is no open question
    assert (scores["questions"], scores["images"], scores["broken"]) == (70, 35, [])
    low, high = score(scores)["low"], score(scores)["high"]
    assert 0.25 < low < 0.35 and 0.45 < high < 0.55
    majority = scores["baselines"]["majority"]
    assert (majority["answer"], majority["origin"]) == ("No", "evaluated split")
    assert majority["scores"]["exact_match"]["value"] == 0.6
    for name in ("blind", "shuffled_image"):
        same = scores["baselines"][name]["scores"]["exact_match"]
        assert (same["value"], same["p"]) == (0.4, 1.0)
    assert {key: score({"scores": part})["n"] for key, part in scores["breakdown"]["organ"].items()} == {"CHEST": 36, "HEAD": 34}


def test_baselines_show_a_model_that_needs_its_image(task: str, tmp_path: Path) -> None:
    answers = {f"Is it {n}?": row["answer"] for n, row in enumerate(yes_no_rows())}

    def seeing(row: Row) -> str:
        number = int(row.question.split()[-1].strip("?"))
        own = bool(row.images) and Path(row.images[0]).stem == str(number // 2)
        return answers[row.question] if own else "maybe"

    scores = run(RuleEngine(seeing), tmp_path / "out", tasks=(task,))["tasks"][task]
    assert score(scores)["value"] == 1.0
    for name in ("blind", "shuffled_image"):  # no question keeps its own image
        other = scores["baselines"][name]["scores"]["exact_match"]
        assert (other["value"], other["p"] < 0.01) == (0.0, True)


def test_interrupted_and_resumed_is_the_same_to_the_byte(task: str, tmp_path: Path) -> None:
    whole = RuleEngine(lambda row: "yes" if "3" in row.question else "no")
    run(whole, tmp_path / "whole", tasks=(task,))
    assert whole.asked == 3 * 70
    asked = 0
    for stop in (32, 0, 100, None):  # blocks are 32, 32 and 6
        engine = RuleEngine(whole.rule, stop_after=stop)
        try:
            run(engine, tmp_path / "parts", tasks=(task,))
        except KeyboardInterrupt:
            assert stop is not None
        asked += engine.asked
    assert asked == 3 * 70  # nothing was asked twice
    assert (tmp_path / "whole" / "scores.json").read_bytes() == (tmp_path / "parts" / "scores.json").read_bytes()
    folder = next(path for path in (tmp_path / "whole").iterdir() if path.is_dir())
    for file in folder.glob("predictions*.jsonl"):
        assert file.read_bytes() == (tmp_path / "parts" / folder.name / file.name).read_bytes()


def test_a_half_written_block_is_asked_again_and_no_other(task: str, tmp_path: Path) -> None:
    run(RuleEngine(), tmp_path / "out", tasks=(task,), with_baselines=False)
    before = (tmp_path / "out" / "scores.json").read_bytes()
    predictions = next((tmp_path / "out").glob("*/predictions.jsonl"))
    costs = predictions.with_name("cost.jsonl")
    costs.write_text(costs.read_text()[:-20])
    predictions.write_bytes(predictions.read_bytes()[:-30].rpartition(b"\n")[0] + b'\n{"id": "q6')
    with pytest.raises(ValueError, match="holds a line that is not JSON"):
        rescore(tmp_path / "out")
    engine = RuleEngine()
    run(engine, tmp_path / "out", tasks=(task,), with_baselines=False)
    assert engine.asked == 6
    assert json.loads((tmp_path / "out" / "cost.json").read_text())[task]["model"]["questions"] == 70
    assert (tmp_path / "out" / "scores.json").read_bytes() == before
    assert len(predictions.read_text().splitlines()) == 70
    again = RuleEngine()
    run(again, tmp_path / "out", tasks=(task,), with_baselines=False)
    assert again.asked == 0


def test_a_broken_image_is_named_and_counts_as_wrong(tmp_path: Path) -> None:
    rows = yes_no_rows(10, per_image=1)
    file = write_qa(tmp_path / "data", [{**row, "answer": "yes"} for row in rows])
    (tmp_path / "data/images/3.png").write_bytes(b"not an image")
    (tmp_path / "data/images/7.png").unlink()
    scores = run(RuleEngine(), tmp_path / "out", tasks=(f"jsonl:{file}",))["tasks"][f"jsonl:{file}"]
    assert score(scores) == {**score(scores), "value": 0.8, "n": 10}
    assert [row["id"] for row in scores["broken"]] == ["q3", "q7"]
    assert all("images" in row["error"] and "\n" not in row["error"] for row in scores["broken"])
    assert scores["baselines"]["blind"]["scores"]["exact_match"]["value"] == 1.0


def test_the_header_and_the_costs_are_apart_from_the_scores(task: str, tmp_path: Path) -> None:
    run(RuleEngine(), tmp_path / "out", {"name": "rule", "fingerprint": "f"}, tasks=(task,), limit=40)
    header = json.loads((tmp_path / "out" / "run.json").read_text())
    assert {"date", "commit", "versions", "hardware"} <= set(header)
    assert header["settings"]["model"] == {"name": "rule", "fingerprint": "f"}
    assert header["settings"]["limit"] == 40
    cost = json.loads((tmp_path / "out" / "cost.json").read_text())[task]
    assert set(cost) == {"model", "blind", "shuffled_image"}
    assert (cost["model"]["questions"], cost["model"]["prompt_tokens_per_question"]) == (40, 10.0)
    assert cost["model"]["ms_per_question"] > 0
    text = (tmp_path / "out" / "scores.json").read_text()
    assert "date" not in text and "seconds" not in text and "fingerprint" not in text


def test_rescore_needs_no_data(task: str, tmp_path: Path) -> None:
    first = run(RuleEngine(), tmp_path / "out", tasks=(task,))
    before = (tmp_path / "out" / "scores.json").read_bytes()
    (tmp_path / "out" / "scores.json").unlink()
    for file in (tmp_path / "data").rglob("*.*"):
        file.unlink()
    assert rescore(tmp_path / "out") == first
    assert (tmp_path / "out" / "scores.json").read_bytes() == before


def test_rows_beyond_the_limit_are_not_read(tmp_path: Path) -> None:
    file = write_qa(tmp_path, yes_no_rows(4))
    with file.open("a") as rows:
        rows.write("{broken\n")
    (one,) = load_questions(Settings(tasks=(f"jsonl:{file}",), limit=3))
    assert ([question.id for question in one.questions], one.train, one.unreadable) == (["q0", "q1", "q2"], None, ())
    (whole,) = load_questions(Settings(tasks=(f"jsonl:{file}",)))
    assert len(whole.questions) == 4 and [row.row for row in whole.unreadable] == [4]


def test_a_row_that_is_no_question_is_left_out_and_named(tmp_path: Path) -> None:
    file = write_qa(tmp_path, yes_no_rows(4))
    expected = run(RuleEngine(), tmp_path / "sound", tasks=(f"jsonl:{file}",))["tasks"][f"jsonl:{file}"]
    with file.open("a") as rows:
        rows.write('{"question": "who?"}\n')
    scores = run(RuleEngine(), tmp_path / "out", tasks=(f"jsonl:{file}",))["tasks"][f"jsonl:{file}"]
    (named,) = scores.pop("unreadable")
    assert scores == expected and "qa.jsonl row 4: missing-field" in named
    assert rescore(tmp_path / "out")["tasks"][f"jsonl:{file}"]["unreadable"] == [named]
    file.write_text("{broken\n")
    with pytest.raises(ValueError, match=r"has no questions in .*qa.jsonl row 0: .*; repair the row"):
        load_questions(Settings(tasks=(f"jsonl:{file}",)))


def test_an_unfinished_run_is_not_scored(task: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(RuleEngine(stop_after=64), tmp_path / "out", tasks=(task,))
    with pytest.raises(ValueError, match=r"predictions.jsonl answers 64 of 70 questions; finish it"):
        rescore(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run(RuleEngine(stop_after=6), tmp_path / "out", tasks=(task,))
    with pytest.raises(ValueError, match=r"the baselines of .* are not all asked; finish them"):
        rescore(tmp_path / "out")


def test_a_prompt_and_a_breakdown_of_ones_own(task: str, tmp_path: Path) -> None:
    engine = RuleEngine(lambda row: "yes" if row.question.startswith("Q: Is it") else "?")
    scores = run(engine, tmp_path / "out", tasks=(task,), prompt="Q: {question}", by=("answer_type",))["tasks"][task]
    assert score(scores)["value"] == 0.4
    assert set(scores["breakdown"]) == {"answer_type"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limit": 60}, "another limit; choose another folder"),
        ({"prompt": "{question}!"}, "another prompt"),
        ({"with_baselines": False, "batch_size": 4}, "another batch_size and with_baselines"),
    ],
)
def test_a_folder_holds_one_run(task: str, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    run(RuleEngine(), tmp_path / "out", tasks=(task,))
    with pytest.raises(ValueError, match=message):
        run(RuleEngine(), tmp_path / "out", tasks=(task,), **settings)
    with pytest.raises(ValueError, match="another model"):
        run(RuleEngine(), tmp_path / "out", {"name": "other"}, tasks=(task,))


def test_other_data_under_the_same_name_is_refused(task: str, tmp_path: Path) -> None:
    run(RuleEngine(), tmp_path / "out", tasks=(task,))
    write_qa(tmp_path / "data", [{**row, "question": "else"} for row in yes_no_rows()])
    with pytest.raises(ValueError, match=r"answers other questions \(id 'q0'\); the data changed"):
        run(RuleEngine(), tmp_path / "out", tasks=(task,))
    write_qa(tmp_path / "data", [{**row, "answer": "other"} for row in yes_no_rows()])
    with pytest.raises(ValueError, match="answers other questions"):
        run(RuleEngine(), tmp_path / "out", tasks=(task,))
    write_qa(tmp_path / "data", yes_no_rows()[:40])
    with pytest.raises(ValueError, match=r"holds a run of other questions \(.*: 70, now 40\); the data changed"):
        run(RuleEngine(), tmp_path / "out", tasks=(task,))


def test_answers_that_two_processes_gave_twice_are_cut(task: str, tmp_path: Path) -> None:
    first = run(RuleEngine(), tmp_path / "out", tasks=(task,))
    path = tmp_path / "out" / folder_name(task) / "predictions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole)
    assert run(RuleEngine(), tmp_path / "out", tasks=(task,)) == first
    assert path.read_bytes() == whole


def test_two_processes_do_not_share_a_folder(task: str, tmp_path: Path) -> None:
    with lock(tmp_path / "out"), pytest.raises(ValueError, match=r"out is in use by process \d+ on "):
        run(RuleEngine(), tmp_path / "out", tasks=(task,))
    run(RuleEngine(), tmp_path / "out", tasks=(task,))


def test_whatever_a_question_raises_counts_as_wrong_and_the_others_are_asked(task: str, tmp_path: Path) -> None:
    def breaking(row: Row) -> str:
        if row.question.startswith("Is it 3?"):
            raise RuntimeError("a fault\nof the machine")
        return "yes"

    scores = run(RuleEngine(breaking), tmp_path / "out", tasks=(task,))["tasks"][task]
    assert scores["broken"] == [{"id": "q3", "error": "RuntimeError: a fault of the machine"}]


def test_a_folder_of_something_else_is_left_alone(task: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty and holds no run"):
        run(RuleEngine(), tmp_path / "out", tasks=(task,))
    with pytest.raises(ValueError, match=r"no run.json in"):
        rescore(tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ()}, "no task to run"),
        ({"tasks": ("vqa_rat",)}, "did you mean 'vqa_rad'"),
        ({"tasks": ("vqa_rad",)}, "'vqa_rad' reads flaviagiammarino/vqa-rad, .* hub does not give .*: --data DIR"),
        ({"tasks": ("mimic_cxr",)}, "'mimic_cxr' reads R2Gen's annotation.json .*: --data DIR"),
        ({"tasks": ("vqa_rad",), "data": "/nowhere"}, "no folder /nowhere"),
        ({"tasks": ("manifest:",)}, "write manifest:PATH"),
        ({"tasks": ("jsonl:gone.jsonl",)}, "no such file: gone.jsonl"),
        ({"limit": 0}, "limit is 0"),
        ({"prompt": "{quesiton}"}, "is not a template"),
        ({"by": ("orgen",)}, "no meta key 'orgen' to break down by; known: answer_type, organ"),
    ],
)
def test_faults_show_before_anything_is_asked(task: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_questions(Settings(**{"tasks": (task,), **settings}))
