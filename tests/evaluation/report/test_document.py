"""The Markdown page of runs, from what `eval` wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragonfly.evaluation import Settings, compare, evaluate, load_questions
from dragonfly.evaluation.report import open_run, open_runs, page, write_markdown
from dragonfly.evaluation.report.document import Heading, Items, Rows, Text, markdown
from dragonfly.inference import Row
from tests.evaluation.fakes import RuleEngine, write_qa, yes_no_rows

MODALITIES = ("X-Ray", "ct", "CT", "Histology", None)


def rows() -> list[dict[str, Any]]:
    """20 questions on 20 images: 4 X-ray, 8 CT, 4 histopathology, 4 that do not say."""
    told = [MODALITIES[n % 5] for n in range(20)]
    return [{**row, "modality": word} for row, word in zip(yes_no_rows(20, per_image=1), told, strict=True)]


def run(out: Path, data: Path, rule: Callable[[Row], str] = lambda _: "yes", **settings: Any) -> str:
    chosen = Settings(tasks=(f"jsonl:{data}",), **settings)
    evaluate(RuleEngine(rule), {"name": "rule"}, chosen, load_questions(chosen), out)
    return chosen.tasks[0]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_qa(tmp_path / "data", rows())


def written(folders: list[Path], out: Path, **options: Any) -> str:
    runs = open_runs(folders)
    write_markdown(page(runs, compare(folders) if len(runs) > 1 else None, **options), out)
    return out.read_text()


def test_one_run_with_all_its_parts(data: Path, tmp_path: Path) -> None:
    task = run(tmp_path / "run", data)
    text = written([tmp_path / "run"], tmp_path / "page.md")
    assert text.startswith(
        "# Evaluation\n\n**40.0 % exact match, not above always answering \u201cNo\u201d (60.0 %). Not audited: run"
    )
    assert "**\n\n- model: rule\n- date: 20" in text
    assert f"\n- command: dragonfly eval --model rule --tasks {task}\n" in text
    # 8 of 20 answers are yes; no beats yes
    assert f"{task}: exact match 40.0 [20.0, 60.0] % (n = 20, 20 images); split: as given." in text
    assert '\nMajority answer: "No", counted in the evaluated split.\n' in text
    assert "| X-ray | " in text and "| not stated | " in text
    assert "### Hallucination" in text and "| all | 20 | 40.0 | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] |" in text
    assert "### Calibration" in text and "Expected calibration error 10.0 % over 20 replies." in text  # sure 0.5, right 0.4
    assert "### Cost, mean per question" in text and "| model | 20 |" in text
    assert "no baseline |" not in text.split("## By modality")[1]


def test_counts_per_modality(data: Path, tmp_path: Path) -> None:
    task = run(tmp_path / "run", data)
    table = open_run(tmp_path / "run").scores[task]["breakdown"]["modality"]
    assert {value: scores["exact_match"]["n"] for value, scores in table.items()} == {
        "CT": 8,
        "X-ray": 4,
        "histopathology": 4,
        "not stated": 4,
    }
    # questions 0, 5, 10, 15 are X-rays and all answered yes
    assert table["X-ray"]["exact_match"]["value"] == 1.0
    assert table["X-ray"]["exact_match"]["baselines"] == {"majority": 0.0, "blind": 1.0, "shuffled_image": 1.0}


def test_without_baselines_every_score_says_so(data: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", data, with_baselines=False)
    text = written([tmp_path / "run"], tmp_path / "page.md")
    assert "(n = 20, 20 images), no baseline; split" in text
    for line in text.splitlines():
        if line.startswith("| exact_match | 20") or line.startswith("| X-ray |"):
            assert "| no baseline |" in line


def test_side_by_side(data: Path, tmp_path: Path) -> None:
    task = run(tmp_path / "a", data)
    run(tmp_path / "b", data, lambda _: "no")
    text = written([tmp_path / "a", tmp_path / "b"], tmp_path / "page.md")
    both = text.split("## Side by side")[1].split("\n## ")[0]
    assert f"### {task}\n" in both
    assert "40.0 [20.0, 60.0]; majority 60.0 |" in both and "60.0 [40.0, 80.0] (p 0." in both
    assert f"| {tmp_path / 'a'} | 20 | 1 | 0 | 0 |" in both  # costs
    assert f"## Run {tmp_path / 'a'}" in text and f"## Run {tmp_path / 'b'}" in text


def test_the_same_run_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", data)
    first = written([tmp_path / "run"], tmp_path / "1.md", with_reported=True)
    assert first == written([tmp_path / "run"], tmp_path / "2.md", with_reported=True)
    assert "v2: Dragonfly: Multi-Resolution Zoom-In Encoding" in first


def test_a_task_with_reported_figures(tmp_path: Path) -> None:
    write_qa(tmp_path / "data", rows())
    chosen = Settings(tasks=("chartqa",), data=str(tmp_path / "data"))
    evaluate(RuleEngine(), {"name": "rule"}, chosen, load_questions(chosen), tmp_path / "run")
    text = written([tmp_path / "run"], tmp_path / "page.md", with_reported=True)
    row = next(line for line in text.splitlines() if line.startswith("| Dragonfly Llama3-8B |"))
    assert "| v1 | relaxed accuracy | 29.9 | 40.0 [20.0, 60.0] (n = 20) | relaxed_accuracy | Table 2; trained on all" in row
    assert "differs: the paper: all 2,500 test questions" in row
    assert "Reported" not in written([tmp_path / "run"], tmp_path / "plain.md")


def test_marks_of_markdown_and_tags_are_harmless() -> None:
    text = markdown([Heading(1, "a\n# b"), Text("<script>"), Items(["<b>\nc"]), Rows([["h|h"], ["<i>|\n"]])])
    assert text == "# a # b\n\n&lt;script>\n\n- &lt;b> c\n\n| h\\|h |\n| --- |\n| &lt;i>\\| |\n"


def test_what_is_no_finished_run_is_refused(data: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", data)
    with pytest.raises(ValueError, match="a run is named twice"):
        open_runs([tmp_path / "run", tmp_path / "data" / ".." / "run"])
    (tmp_path / "run" / "scores.json").write_text(json.dumps({"tasks": {}}))
    with pytest.raises(ValueError, match=r"has no scores of all its tasks; finish it .* or `dragonfly rescore`"):
        open_run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"no run.json in"):
        open_run(tmp_path)
