"""docs/tasks.md is what the entries say."""

from pathlib import Path

import pytest

from dragonfly.__main__ import main
from dragonfly.evaluation import TASKS
from dragonfly.evaluation.task_docs import tasks_page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_the_entries(capsys: pytest.CaptureFixture[str]) -> None:
    assert (DOCS / "tasks.md").read_text(encoding="utf-8") == tasks_page(), "write it again: dragonfly tasks --markdown"
    assert main(["tasks", "--markdown"]) == 0
    assert capsys.readouterr().out == tasks_page()


def test_every_task_and_metric_stands_on_the_page() -> None:
    page = tasks_page()
    for name, task in TASKS.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for text in (task.split, task.source, task.citation, task.licence, task.parsing, task.paper):
            assert text in section, name
        assert all(f"`{metric.name}`" in section for metric in task.metrics)


@pytest.mark.parametrize(
    ("task", "facts"),
    [
        ("vqa_rad", ("1,790 train, 451 test", "2,244", "1,790 + 451 = 2,241")),
        ("slake", ("1,053 test", "1,061 test", "C.9")),
        ("path_vqa", ("19,654 train, 6,719 test",)),
        ("scienceqa_img", ("4,114", "4,241")),
        ("roco", ("25,000 train", "8,786 test")),
        ("mimic_cxr", ("25,000 train", "3,513 test", "findings section only")),
        ("iu_xray", ("6,698 train, 745 test", "6,698 + 745 = 7,443")),
        ("peir_gross", ("5,172 train, 1,289 test", "7,443")),
    ],
)
def test_the_papers_counts_and_their_faults_are_told(task: str, facts: tuple[str, ...]) -> None:
    assert all(fact in TASKS[task].paper for fact in facts)


def test_the_guide_names_every_judge_free_way_and_every_option() -> None:
    guide = (DOCS / "evaluation.md").read_text(encoding="utf-8")
    for word in ("--shard", "--judge", "DRAGONFLY_JUDGE_KEY", "hallusion_bench", "mmvet_keyword", "judge.jsonl", "lmms_eval"):
        assert word in guide
