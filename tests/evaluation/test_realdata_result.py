"""What docs/evaluation.md says of the result on real images is what the result file holds."""

import json
from pathlib import Path

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "realdata.json"


def test_no_small_model_is_beyond_the_majority_answer_on_real_images() -> None:
    models = json.loads(RESULT.read_text(encoding="utf-8"))["models"]
    assert len(models) == 2
    for model in models.values():
        assert set(model["tasks"]) == {"vqa_rad", "chartqa", "sroie", "cxr"}
        for task in model["tasks"].values():
            name, score = next(iter(task["scores"].items()))
            assert score["value"] <= task["baselines"]["majority"]["scores"][name]["value"]
