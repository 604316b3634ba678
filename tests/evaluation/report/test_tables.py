"""What people read, from scores alone; every cell is worked out by hand."""

from typing import Any

from dragonfly.evaluation.report import tables
from dragonfly.evaluation.report.tables import comparison_cost_rows, comparison_rows, percent


def score(value: float, low: float | None = None, high: float | None = None, n: int = 10, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n, **more}


TASK: dict[str, Any] = {
    "questions": 10,
    "images": 4,
    "split": "test",
    "source": "here",
    "broken": [{"id": "q3", "error": "b.png is truncated"}],
    "scores": {"relaxed_accuracy": score(0.5, 0.25, 0.75), "exact_match": score(0.4, n=8)},
    "baselines": {
        "majority": {"answer": "a|b", "origin": "train split", "scores": {"relaxed_accuracy": score(0.1, 0, 0.2, p=0.0312)}},
        "blind": {"scores": {"relaxed_accuracy": score(0.5, 0.2, 0.8, p=None)}},
    },
    "breakdown": {
        "kind": {
            "x": {"relaxed_accuracy": score(1.0, 1.0, 1.0, n=3, baselines={"majority": 0.3333, "blind": 0.0})},
            "y|z": {"exact_match": score(0.0, n=1, baselines={"majority": 0.5, "blind": 0.5})},
        }
    },
    "hallucination": None,
    "calibration": None,
}
ALONE = {**TASK, "baselines": {}}


def test_cells() -> None:
    assert percent(score(0.53846, 0.4712, 0.6)) == "53.8 [47.1, 60.0]"
    assert percent(score(1.0)) == "100.0 (no interval)"
    assert percent(None) == "-"


def test_no_headline_without_an_interval_and_a_mark_without_baselines() -> None:
    assert tables.headline("t", TASK) == "t: relaxed accuracy 50.0 [25.0, 75.0] % (n = 10, 4 images)"
    assert tables.headline("t", ALONE) == "t: relaxed accuracy 50.0 [25.0, 75.0] % (n = 10, 4 images), no baseline"
    one = {**TASK, "scores": {"exact_match": score(0.4, n=2)}, "images": 1}
    assert tables.headline("t", one) == "t: no interval for exact match, so no headline (n = 2, 1 images)"
    patients = {**TASK, "groups": 2}
    assert tables.headline("t", patients).endswith("(n = 10, 4 images of 2 groups)")


def test_tables_set_the_model_beside_its_baselines() -> None:
    assert tables.rows(TASK) == [
        ["metric", "n", "model", "majority", "blind"],
        ["relaxed_accuracy", "10", "50.0 [25.0, 75.0]", "10.0 [0.0, 20.0] (p 0.031)", "50.0 [20.0, 80.0]"],
        ["exact_match", "8", "40.0 (no interval)", "-", "-"],
    ]
    assert tables.short_rows(TASK)[1:] == [
        ["relaxed_accuracy", "10", "50.0 [25.0, 75.0]", "10.0", "50.0"],
        ["exact_match", "8", "40.0 (no interval)", "-", "-"],
    ]
    for table in (tables.rows(ALONE), tables.short_rows(ALONE)):
        assert [row[3:] for row in table] == [["baselines"], ["no baseline"], ["no baseline"]]


def test_breakdowns_have_the_baselines_of_the_first_metric() -> None:
    assert tables.breakdown_rows(TASK, "kind") == [
        ["kind", "n", "relaxed_accuracy", "majority", "blind", "exact_match"],
        ["x", "3", "100.0 [100.0, 100.0]", "33.3", "0.0", "-"],
        ["y|z", "1", "-", "-", "-", "0.0 (no interval); majority 50.0"],
    ]
    only = [["x", "0", "-"], ["y|z", "1", "0.0 (no interval); majority 50.0"]]
    assert tables.breakdown_rows(TASK, "kind", ["exact_match"])[1:] == only
    bare = {**ALONE, "breakdown": {"kind": {"x": ALONE["scores"]}}}
    assert [row[3:] for row in tables.breakdown_rows(bare, "kind")] == [
        ["baselines", "exact_match"],
        ["no baseline", "40.0 (no interval); no baseline"],
    ]


def test_a_breakdown_into_one_modality_is_left_to_the_table_of_modalities() -> None:
    one = {"modality": {"CT": {}}, "kind": {"x": {}}}
    assert tables.breakdown_keys({"breakdown": one}) == ["kind"]
    assert tables.breakdown_keys({"breakdown": {"modality": {"CT": {}, "MRI": {}}}}) == ["modality"]


def test_modalities_of_all_tasks_stand_together() -> None:
    def of(**values: float) -> dict[str, Any]:
        known = {"majority": 0.25, "blind": 0.5, "shuffled_image": 0.125}
        scored = {name: {"exact_match": score(value, 0, 1, n=5, baselines=known)} for name, value in values.items()}
        return {"scores": {"exact_match": score(0.5, 0, 1)}, "breakdown": {"modality": scored}}

    found = tables.modality_rows({"a": of(CT=0.5, MRI=1.0), "b": of(**{"not stated": 0.0, "CT": 0.2}), "c": TASK})
    assert found[0] == ["modality", "task", "metric", "n", "model", "majority", "blind", "shuffled image"]
    assert [row[:5] for row in found[1:]] == [
        ["CT", "a", "exact_match", "5", "50.0 [0.0, 100.0]"],
        ["CT", "b", "exact_match", "5", "20.0 [0.0, 100.0]"],
        ["MRI", "a", "exact_match", "5", "100.0 [0.0, 100.0]"],
        ["not stated", "b", "exact_match", "5", "0.0 [0.0, 100.0]"],
    ]
    assert found[1][5:] == ["25.0", "50.0", "12.5"]
    assert len(tables.modality_rows({"c": TASK})) == 1


def test_hallucination_sets_and_calibration() -> None:
    said = {"yes_true": score(0.5, n=4), "yes_said": score(0.75, 0.5, 1, n=4), "false_yes": score(0.5, 0, 1, n=2)}
    sets = {"figure": {"all right": 1, "some right": 2, "none right": 1}, "question": dict.fromkeys("abc", 0)}
    task = {"hallucination": {"rows": {"all": said, "category a": said}, "baselines": {"blind": said}, "sets": sets}}
    cells = ["4", "50.0", "75.0 [50.0, 100.0]", "50.0 [0.0, 100.0]", "-", "-"]
    assert tables.hallucination_rows(task)[1:] == [[name, *cells] for name in ("all", "all, blind", "category a")]
    alone = {"hallucination": {"rows": {"all": said}, "baselines": {}, "sets": None}}
    assert tables.hallucination_rows(alone)[1:] == [["all", *cells], ["all, baselines", *["no baseline"] * 6]]
    assert tables.set_rows(task)[1:] == [
        ["figure", "4", "1 (25.0 %)", "2 (50.0 %)", "1 (25.0 %)"],
        ["question", "0", "-", "-", "-"],
    ]
    curve = {"metric": "exact_match", "error": 0.1, "n": 10, "bins": [{"confidence": 0.25, "score": 0.2, "n": 5}]}
    assert tables.calibration_rows({"calibration": curve}) == [
        ["replies", "mean confidence", "mean exact_match"],
        ["5", "25.0", "20.0"],
    ]


COST = {
    "questions": 40,
    "calls_per_question": 1.0,
    "sub_images_per_question": 29.0,
    "visual_tokens_per_question": 867.0,
    "prompt_tokens_per_question": 900.25,
    "new_tokens_per_question": 2.0,
    "ms_per_question": 31.4,
    "peak_memory_mib": 512,
}


def test_costs() -> None:
    assert tables.cost_rows({"majority": COST, "model": COST, "blind": COST})[1:] == [
        [name, "40", "1", "29", "867", "900.25", "2", "31.4", "512"] for name in ("model", "majority", "blind")
    ]
    assert comparison_cost_rows(["a", "b"], [{"model": COST}, {}])[1:] == [
        ["a", "40", "1", "29", "867", "900.25", "2", "31.4", "512"],
        ["b", *"--------"],
    ]


def test_runs_side_by_side_name_their_best_baseline() -> None:
    comparison = {
        "runs": [{"folder": "a", "model": "m"}, {"folder": "b", "model": "m"}],
        "tasks": {"t": {"relaxed_accuracy": [score(0.5, 0.25, 0.75), score(0.6, 0.5, 0.7, p=0.25)]}},
    }
    scores = [{"tasks": {"t": TASK}}, {"tasks": {"t": ALONE}}]
    assert comparison_rows(comparison, "t", scores) == [
        ["metric", "n", "a", "b"],
        ["relaxed_accuracy", "10", "50.0 [25.0, 75.0]; blind 50.0", "60.0 [50.0, 70.0] (p 0.250); no baseline"],
    ]
    assert comparison_rows(comparison, "t")[1][2] == "50.0 [25.0, 75.0]; no baseline"
