"""The papers' figures, against the printed tables."""

from typing import Any

import pytest

from dragonfly.evaluation import TASKS
from dragonfly.evaluation.report import reported, reported_rows
from dragonfly.evaluation.report.reported import sources


@pytest.mark.parametrize(
    ("source", "version", "system", "task", "metric", "value"),
    [
        ("Table 1", "v1", "Baseline-1", "ai2d", "accuracy", 58.1),
        ("Table 1", "v1", "Baseline-2", "chartqa", "relaxed accuracy", 46.24),
        ("Table 1", "v1", "Baseline-3", "hallusion_bench", "accuracy", 44.11),
        ("Table 1", "v1", "Dragonfly", "coco2017_val", "CIDEr", 94.07),
        ("Table 2", "v1", "Dragonfly Llama3-8B", "pope", "F1", 91.2),
        ("Table 2", "v1", "Dragonfly Llama3-8B", "scienceqa_img", "accuracy", 80.5),
        ("Table 2", "v1", "LLaVA-NeXT Vicuna-7B", "chartqa", "relaxed accuracy", 54.8),
        ("Table 2", "v1", "Idefics2 Mistral-7B", "coco2017_val", "CIDEr", 116.0),
        ("Table 3", "v1", "Dragonfly-Med", "slake", "closed accuracy", 90.4),
        ("Table 3", "v1", "Dragonfly-Med", "path_vqa", "token F1", 67.6),
        ("Table 3", "v1", "LLaVA-Med", "vqa_rad", "closed accuracy", 84.2),
        ("Table 3 (Yuan et al. 2023)", "v1", "best cited", "slake", "closed accuracy", 91.6),
        ("Table 4", "v1", "Dragonfly-Med", "peir_gross", "CIDEr", 179.9),
        ("Table 4", "v1", "BiomedGPT", "mimic_cxr", "METEOR", 14.2),
        ("Table 4 (Miura et al. 2020)", "v1", "best cited", "mimic_cxr", "CIDEr", 50.9),
        ("Table 5", "v1", "Dragonfly, global selection", "mmmu_val", "accuracy", 33.4),
        ("Table 6", "v1", "Dragonfly, high 6x8 8x6 4x12 12x4", "pope", "F1", 60.69),
        ("abstract", "v2", "Dragonfly-Med", "slake", "closed accuracy", 91.6),
        ("abstract", "v2", "Dragonfly-Med", "path_vqa", "token F1", 67.1),
        ("abstract", "v2", "Med-PaLM M", "path_vqa", "token F1", 62.7),
    ],
)
def test_a_figure_is_as_printed(source: str, version: str, system: str, task: str, metric: str, value: float) -> None:
    found = [
        figure
        for figure in reported()
        if (figure.version, figure.system, figure.metric) == (version, system, metric) and task in figure.beside
    ]
    assert [(figure.value, figure.source.partition(";")[0]) for figure in found] == [(value, source)]


def test_every_cell_that_is_no_dash_is_there() -> None:
    counts: dict[str, int] = {}
    for figure in reported():
        table = figure.source.partition(";")[0].partition(" (")[0]
        counts[table] = counts.get(table, 0) + 1
    # Table 2: 98 cells of which 36 are dashes; Table 3: 24 less 3 dashes; abstract: 91.6, 84.8, 67.1, 62.7
    assert counts == {"Table 1": 32, "Table 2": 62, "Table 3": 21, "Table 4": 36, "Table 5": 10, "Table 6": 15, "abstract": 4}


def test_versions_are_never_mixed_and_own_rows_are_the_papers_models() -> None:
    slake = [(figure.version, figure.value) for figure in reported() if "slake" in figure.beside and figure.is_own]
    assert slake == [("v1", 90.4), ("v1", 88.8), ("v2", 91.6)]
    assert set(sources()) == {figure.version for figure in reported()}


def test_our_metrics_are_those_that_our_tasks_have() -> None:
    known = {name: {metric.name for metric in spec.metrics} for name, spec in TASKS.items()}
    named = {(task, metric) for figure in reported() for task, (metric, _) in figure.beside.items()}
    assert {(task, metric) for task, metric in named if task in known and metric not in known[task]} == set()
    assert len({task for task, _ in named} & set(known)) >= 12


def test_rows_stand_beside_ours_and_say_what_differs() -> None:
    task: dict[str, Any] = {"scores": {"closed_accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 20}}}
    rows = reported_rows("slake", task)
    assert rows[0] == ["reported for", "version", "metric", "reported", "ours", "our metric", "source", "protocol"]
    assert ["Dragonfly-Med", "v1", "closed accuracy", "90.4", "50.0 [40.0, 60.0] (n = 20)", "closed_accuracy", "Table 3"] in [
        row[:7] for row in rows
    ]
    assert ["Dragonfly-Med", "v2", "closed accuracy", "91.6", "50.0 [40.0, 60.0] (n = 20)", "closed_accuracy", "abstract"] in [
        row[:7] for row in rows
    ]
    assert {row[4] for row in rows[1:] if row[2] == "token F1"} == {"not measured"}
    assert all(row[7].startswith("differs: ") for row in rows[1:])
    assert [row[0] for row in reported_rows("slake", task, own=True)[1:]] == ["Dragonfly-Med"] * 3
    assert len(reported_rows("sroie", task)) == 1
