"""Each silent labelling mistake, put back in on purpose, is caught before training starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dragonfly.data import Collator, dataset
from dragonfly.training import objective, run
from dragonfly.training.build import build_processor
from dragonfly.training.label_audit import audit_labels
from dragonfly.training.sources import mixture
from tests.training import small

Example = dict[str, Any]


def question_labelled(example: Example) -> Example:
    return {**example, "labels": torch.where(example["labels"] == -100, example["input_ids"], example["labels"])}


def end_of_turn_unsupervised(example: Example) -> Example:
    labels = example["labels"].clone()
    labels[labels == 4] = -100
    return {**example, "labels": labels}


def shifted(example: Example) -> Example:
    return {**example, "labels": example["labels"].roll(1)}


def image_run_cut(example: Example) -> Example:
    first = int((example["input_ids"] == 5).nonzero()[0]) if bool((example["input_ids"] == 5).any()) else 1
    kept = torch.arange(len(example["input_ids"])) != first
    return {**example, **{key: example[key][kept] for key in ("input_ids", "attention_mask", "labels")}}


def images_dropped(example: Example) -> Example:
    return {key: value for key, value in example.items() if key not in ("pixel_values", "sub_image_regions")}


def nothing_supervised(example: Example) -> Example:
    return {**example, "labels": torch.full_like(example["labels"], -100)}


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        (question_labelled, "question supervised"),
        (end_of_turn_unsupervised, "turn end unsupervised"),
        (shifted, "shift: "),
        (image_run_cut, "image run cut: 89 image tokens, the layouts promise 90"),
        (images_dropped, "images dropped: 0 rows of pixel_values for 1 images"),
        (nothing_supervised, "no supervision"),
    ],
)
def test_a_run_with_wrong_labels_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: Callable[[Example], Example], expected: str
) -> None:
    recipe = small.recipe(tmp_path)
    right = dataset.encode
    monkeypatch.setattr(dataset, "encode", lambda *args, **kwargs: mistake(right(*args, **kwargs)))
    told = r"labels are not as they should be, so training does not start: rows row 0: .*" + expected
    with pytest.raises(ValueError, match=told):
        run(recipe)
    assert not (tmp_path / "out").exists()


def test_supervised_padding_is_caught_in_the_padded_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless(Collator):
        def __call__(self, examples: Any) -> Any:
            batch = super().__call__(examples)
            labels = torch.where(batch["attention_mask"] == 0, batch["input_ids"], batch["labels"])
            return {**batch, "labels": labels}

    recipe = small.recipe(tmp_path)
    monkeypatch.setattr(objective, "Collator", Careless)
    with pytest.raises(ValueError, match=r"as a batch: row \d: padding supervised"):
        run(recipe)


def test_a_right_run_is_counted(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path)
    report = audit_labels(recipe, mixture(recipe).sources, build_processor(recipe))
    answers = sum(len(word) + 1 for word in small.WORDS)  # a token per letter and the end of turn
    assert report["rows"]["rows"] == 4 and report["rows"]["trained"] == answers < report["rows"]["tokens"]


def test_everything_after_bos_may_be_trained_on_purpose(tmp_path: Path) -> None:
    small.recipe(tmp_path)
    source = {"name": "rows", "path": str(tmp_path / "data" / "rows.json")}
    recipe = small.recipe(tmp_path, data={"train": [source], "train_on": "all"})
    report = audit_labels(recipe, mixture(recipe).sources, build_processor(recipe))
    assert report["rows"]["trained"] > 100
