"""`train --data` and `eval --tasks mine.csv` as a stranger types them: what is shown before, what is said after."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from dragonfly.__main__ import main
from dragonfly.cli.own_data import own_changes, show_end
from dragonfly.config import dump
from dragonfly.training import Recipe
from tests import tiny
from tests.training import small


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small recipe, and a table whose names only a mapping explains."""
    (tmp_path / "recipe.yaml").write_text(dump(small.recipe(tmp_path, steps=1)))
    for number in range(2):
        tiny.image(40, 30, seed=number).save(tmp_path / f"{number}.png")
    lines = [
        "img_path;query;label;Organ",
        "0.png;Is it red?;red;CHEST",
        "1.png;Is it, or not?;green;HEAD",
        "0.png;What?;red;CHEST",
    ]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_after_training_on_one_of_several_splits_the_next_command_scores_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loss.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    (tmp_path / "run.json").write_text('{"speed": {"seconds": 61}, "steps": 1}')
    for names, expected in (
        (("train", "test"), ":test"),
        (("train", "dev"), ":validation"),
        (("train",), ""),
        (("cat", "dog"), ""),
    ):
        data = tmp_path / "-".join(names)
        for name in names:
            (data / name).mkdir(parents=True)
        show_end(SimpleNamespace(name="mine"), tmp_path, str(data), None, None)
        assert f" --tasks {data}{expected}\n" in capsys.readouterr().err


@pytest.mark.slow
def test_from_a_table_to_an_evaluated_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "recipe.yaml", "--data", "mine.csv", "--out", "runs/my model"]) == 0
    said = capsys.readouterr().err
    shown, _, ended = said.partition("mixture: ")
    assert shown.startswith("mine.csv: 3 rows, 2 images (CSV, UTF-8, separated by semicolons)\n  image     <- img_path\n")
    assert "  question  <- query\n  answer    <- label\n  kept      <- Organ\n" in shown
    assert "answers   red 2, green 1\n" in shown
    assert "image     0.png, 40 x 30 pixels\n    user      Is it red?\n    assistant red\n" in shown
    assert " 4 learned: 'red<|" in shown and shown.count("  row ") == 3
    assert "1 steps, 0 min" in ended and "model: runs/my model" in ended
    assert "  dragonfly eval -m 'runs/my model' --tasks mine.csv\n  dragonfly ask -m 'runs/my model' IMAGE" in ended
    command = ["eval", "-m", "runs/my model", "--tasks", "mine.csv", "--out", "run", "--no-baselines", "--max-new-tokens", "2"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("mine.csv: exact match ") and "(n = 3, 2 images)" in printed.out
    assert "compared with no baseline" in printed.out and "next: dragonfly report run --html run.html" in printed.err


def test_unusable_rows_are_named_before_anything_is_trained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder / "mine.csv").open("a") as file:
        file.write("0.png; ;red;CHEST\ngone.png;Is it?;red;CHEST\n")
    assert main(["train", "recipe.yaml", "--data", "mine.csv", "--out", "runs/mine"]) == 2
    said = capsys.readouterr().err
    assert "  cannot be used: mine.csv row 5: empty-question (the question has no text)\n" in said
    assert "  cannot be used: mine.csv row 6: missing-image (no file gone.png; check image_root)\n" in said
    assert said.splitlines()[-1].startswith("error: 2 of 5 rows are bad, more than max_bad_share 0 allows")
    assert not (folder / "runs").exists()
    assert main(["eval", "--tasks", "mine.csv"]) == 1  # the others are asked
    assert "mine.csv row 5: empty-question" in capsys.readouterr().err
    assert main(["train", "recipe.yaml", "data.max_bad_share=0.5", "--data", "mine.csv", "--out", "runs/mine"]) == 0
    assert (folder / "runs/mine/model.safetensors").is_file()


def test_columns_are_said_alike_to_train_eval_and_inspect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "mine.csv").read_text(encoding="utf-8-sig").replace("img_path;query;label", "Bild;Frage;Antwort")
    (folder / "mine.csv").write_text(text)
    wrong = "mine.csv has the columns Bild, Frage, Antwort, Organ; none is recognised as image, question or answer"
    for command in (["train", "recipe.yaml", "--data", "mine.csv"], ["eval", "--tasks", "mine.csv"]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert wrong in said and "--columns image=Bild,question=COLUMN,answer=COLUMN" in said
    columns = ["--columns", "image=Bild,question=Frage,answer=Antwort"]
    assert main(["inspect", "data", "recipe.yaml", "--data", "mine.csv", *columns]) == 0
    assert "Is it red?" in capsys.readouterr().out
    assert main(["train", "recipe.yaml", *columns]) == 2
    assert "give --data PATH" in capsys.readouterr().err


def test_the_data_replace_the_sources_and_keep_all_else(tmp_path: Path) -> None:
    changes = own_changes("finetune", ["data.max_length=99"], "a: b.csv", "answer=x", None, tmp_path / "to")
    recipe = Recipe.load("finetune", changes)
    (source,) = recipe.data.train
    assert (source.name, source.path, source.columns, source.group_questions) == ("a: b", "a: b.csv", {"answer": "x"}, 8)
    assert (recipe.data.max_length, recipe.output) == (99, str(tmp_path / "to"))


def test_the_default_recipes_policy_needs_nothing_that_is_learned() -> None:
    recipe = Recipe.load("finetune")
    assert recipe.model.model_dump()["selection"]["policy"] == "residual"
