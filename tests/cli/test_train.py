import json
from pathlib import Path

import pytest

from dragonfly.__main__ import main
from dragonfly.config import dump
from tests.training import small


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text(dump(small.recipe(tmp_path)))
    return tmp_path / "recipe.yaml"


def test_train_takes_overrides_and_merge_its_adapter(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["steps=1", "lora.r=2", "trainable=[]", f"output={tmp_path / 'adapter'}"]
    assert main(["train", str(recipe), *changes]) == 0
    assert f"model: {tmp_path / 'adapter'}" in capsys.readouterr().err
    assert json.loads((tmp_path / "adapter" / "run.json").read_text())["steps"] == 1
    assert main(["merge", str(tmp_path / "adapter"), str(tmp_path / "merged")]) == 0
    assert (tmp_path / "merged" / "model.safetensors").is_file()


def test_inspect_shows_each_tokens_part_and_checks_the_labels(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "data", str(recipe), "--rows", "4"]) == 0
    shown = capsys.readouterr().out
    assert "rows: 8 in, 8 out" in shown
    assert "rows row 0: " in shown and " 90 image, " in shown and " 4 trained" in shown  # r, e, d and the end of turn
    assert "[image x 90]" in shown and "question 3?" in shown
    assert "rows: 4 rows checked, " in shown


def test_inspect_tells_what_a_length_limit_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small.recipe(tmp_path)
    turns = [("human", "one?"), ("gpt", "1"), ("human", "two?"), ("gpt", "2")]
    row = {"id": "a", "conversations": [{"from": who, "value": text} for who, text in turns]}
    (tmp_path / "long.json").write_text(json.dumps([row]))
    source = {"name": "long", "path": str(tmp_path / "long.json")}
    (tmp_path / "recipe.yaml").write_text(dump(small.recipe(tmp_path, data={"train": [source], "max_length": 40})))
    assert main(["inspect", "data", str(tmp_path / "recipe.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "1 turns left out for max_length" in shown and "two?" not in shown


def test_faults_are_one_line_and_exit_code_2(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(recipe), "trainable=[vision]", "stepps=3"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown key 'stepps'; did you mean 'steps'?")
    assert main(["train", "general/stage9"]) == 2
    assert "did you mean 'general/stage" in capsys.readouterr().err
