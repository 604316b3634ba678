"""The objectives `text` and `patch_ocr`; `answer` is what every other test trains."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import dragonfly
from dragonfly.training import run
from dragonfly.training.options import PatchOcrOptions
from dragonfly.training.patch_labels import Classes, PatchDataset, TextAnnotation, find_classes, patch_labels, text_annotations_of
from dragonfly.training.patch_ocr_head import PatchOcrModel
from dragonfly.vision.layout import make_layout
from tests import tiny
from tests.data.fakes import sample
from tests.training import small


def marked(folder: Path, number: int = 4) -> Path:
    """Images with a black square, in a manifest, as `synthetic` makes them."""
    from dragonfly.data import ImageRef, Message, Part, Sample, write_manifest

    samples = []
    for index in range(number):
        image = tiny.image(64, 64, seed=index)
        left = 8 * (index % 4)
        image.paste((0, 0, 0), (left, 0, left + 16, 16))
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index}.png")
        messages = (Message("user", (Part("image"), Part("text", "where?"))), Message("assistant", (Part("text", "here"),)))
        meta = {"text_annotations": [{"box": [left, 0, left + 16, 16], "label": "square"}]}
        samples.append(Sample(f"m{index}", "marked", (ImageRef(path=str(folder / f"{index}.png")),), messages, meta=meta))
    return write_manifest(samples, folder / "manifest").parent


def test_text_trains_the_language_model_on_rows_without_images(tmp_path: Path) -> None:
    small.recipe(tmp_path)
    text = small.rows(tmp_path / "text", text_only=True)
    changes: dict[str, Any] = {"objective": "text", "trainable": ["language_model"], "steps": 2}
    output = run(small.recipe(tmp_path, data={"train": [{"name": "text", "path": str(text)}]}, **changes))
    assert len(small.losses(output)) == 2
    with pytest.raises(ValueError, match="objective 'text' takes rows without images, source 'rows' has some"):
        run(small.recipe(tmp_path, output=str(tmp_path / "other"), **changes))


def test_read_trains_the_tower_and_leaves_its_head_behind(tmp_path: Path) -> None:
    small.recipe(tmp_path)
    data = {"train": [{"name": "marked", "path": str(marked(tmp_path / "marked"))}]}
    optim = {"learning_rate": 3e-3, "schedule": "constant"}
    recipe = small.recipe(
        tmp_path, objective="patch_ocr", trainable=["vision_tower"], data=data, optim=optim, steps=12, save={"every": 6}
    )
    output = run(recipe)
    losses = small.losses(output)
    assert losses[-1] < 0.8 * losses[0]
    before, after = load_file(tmp_path / "base" / "model.safetensors"), load_file(output / "model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys() and moved and all(".vision_tower." in name for name in moved)
    assert "head.weight" in load_file(output / "checkpoint-6" / "model.safetensors")
    assert dragonfly.load(output).ask(tiny.image(), "what?", max_new_tokens=1).finish == "length"


def test_read_resumes_with_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.recipe(tmp_path)
    data = {"train": [{"name": "marked", "path": str(marked(tmp_path / "marked"))}]}
    changes: dict[str, Any] = {
        "objective": "patch_ocr",
        "trainable": ["vision_tower"],
        "data": data,
        "steps": 4,
        "save": {"every": 2},
    }
    whole = run(small.recipe(tmp_path, output=str(tmp_path / "whole"), **changes))

    forward, calls = PatchOcrModel.forward, iter(range(100))

    def cut(self: PatchOcrModel, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return forward(self, *args, **kwargs)

    recipe = small.recipe(tmp_path, output=str(tmp_path / "cut"), **changes)
    with monkeypatch.context() as patched:
        patched.setattr(PatchOcrModel, "forward", cut)
        with pytest.raises(KeyboardInterrupt):
            run(recipe)
    assert small.losses(run(recipe)) == small.losses(whole)


def test_a_patch_says_the_mark_that_covers_most_of_it() -> None:
    spec = tiny.config("baseline-1").spec  # low, then 2 x 2 mid; 4 x 4 patches each, one prefix token
    layout = make_layout((64, 64), spec)
    text_annotations = [TextAnnotation((0.0, 0.0, 40.0, 16.0), "line"), TextAnnotation((48.0, 48.0, 64.0, 52.0), "dot")]
    labels = patch_labels(layout, spec, text_annotations, Classes(("dot", "line"), "", 0, 0))
    assert labels.shape == (5, 17, 1) and bool((labels[:, 0] == -100).all())
    low, first, second, last = (labels[i, 1:, 0].view(4, 4).tolist() for i in (0, 1, 2, 4))
    assert low == [[2, 2, 2, 0], [0] * 4, [0] * 4, [0, 0, 0, 1]]  # 16-px patches; a quarter of the last is the dot's
    assert first == [[2] * 4, [2] * 4, [0] * 4, [0] * 4]  # 8-px patches
    assert second == [[2, 0, 0, 0], [2, 0, 0, 0], [0] * 4, [0] * 4]
    assert last == [[0] * 4, [0] * 4, [0, 0, 1, 1], [0] * 4]


def test_every_patch_of_a_word_says_the_whole_word() -> None:
    spec = tiny.config("baseline-1").spec
    layout = make_layout((64, 64), spec)
    word = TextAnnotation((2.0, 2.0, 22.0, 12.0), "tax", "word")
    classes = Classes((), "atx", 0, 4)
    labels = patch_labels(layout, spec, [word], classes, smallest=6.0)
    says = [2, 1, 3, 0]  # t, a, x, nothing
    assert classes.classes("tax", 4) == says
    inside = labels[1, 1:, 1:].view(4, 4, 4)  # the mid sub-image above left: 8-px patches
    assert inside[0, 0].tolist() == inside[0, 2].tolist() == inside[1, 1].tolist() == says
    assert not inside[2:].any() and not inside[:, 3].any()
    assert labels[0, 1:, 1:].view(4, 4, 4)[0, 0].tolist() == [-100] * 4  # 5 px high at the low level: not asked
    cut = TextAnnotation((20.0, 2.0, 40.0, 12.0), "tax", "word")
    assert patch_labels(layout, spec, [cut], classes)[1, 1:, 1:].view(4, 4, 4)[0, 3].tolist() == [-100] * 4


def test_a_patch_says_the_characters_whose_centres_lie_in_it() -> None:
    spec = tiny.config("baseline-1").spec
    layout = make_layout((64, 64), spec)
    text_annotations = [
        TextAnnotation((x, 2.0, x + 6.0, 10.0), letter, "char") for x, letter in ((1.0, "t"), (7.0, "a"), (14.0, "x"))
    ]
    labels = patch_labels(layout, spec, text_annotations, Classes((), "atx", 2, 0), smallest=6.0)
    assert labels.shape[-1] == 3
    inside = labels[1, 1:, 1:].view(4, 4, 2)  # 8-px patches: centres at 4, 10 and 17, 6 px down
    assert inside[0].tolist() == [[2, 0], [1, 0], [3, 0], [0, 0]] and not inside[1:].any()
    low = labels[0, 1:, 1:].view(4, 4, 2)  # 16-px patches, letters 4 px high: high enough for a small letter
    assert low[0, :2].tolist() == [[2, 1], [3, 0]]
    assert patch_labels(layout, spec, text_annotations, Classes((), "atx", 2, 0), smallest=7.0)[0, 1].tolist() == [0, -100, -100]
    assert not patch_labels(layout, spec, [], Classes((), "atx", 2, 0))[:, 1:].any()  # an empty page is no fault


def test_a_bound_patch_also_says_what_its_word_belongs_to() -> None:
    spec = tiny.config("low-only").spec
    layout = make_layout((64, 64), spec)  # one sub-image, its patches 16 source pixels wide
    both = (0.0, 0.0, 64.0, 60.0)
    tax = TextAnnotation((0, 0, 60, 26), "ta", "word", "x", both)
    value = TextAnnotation((34, 34, 60, 60), "x", "word", "ta", both)
    star = TextAnnotation((0, 34, 30, 62), "star", "shape", "x", both)
    classes = Classes(("star",), "atx", 0, 2, bound=True)
    assert classes.sizes == (2, 4, 4, 2, 4, 4) and classes.other == slice(3, 6)
    labels = patch_labels(layout, spec, [tax, value, star], classes)[0, 1:].view(4, 4, 6)
    ta, x, named = [2, 1], [3, 0], [1, 0, 0]
    assert labels[0, 0].tolist() == labels[1, 3].tolist() == [0, *ta, 0, *x]
    assert labels[3, 3].tolist() == [0, *x, 0, *ta]
    assert labels[3, 0].tolist() == [*named, 0, *x]
    cut = TextAnnotation((0, 0, 60, 26), "ta", "word", "x", (0.0, 0.0, 64.0, 200.0))
    said = patch_labels(layout, spec, [cut], classes)[0, 1].tolist()
    assert said == [0, *ta, -100, -100, -100]  # its partner lies outside


def test_marks_are_asked_for_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"objective 'patch_ocr' needs meta\['text_annotations'\].*sample 's' of 'test' has none"
    ):
        find_classes([sample("q", "a")], 3, 8)
    box = [0, 0, 1, 1]
    text_annotations = {"text_annotations": [{"box": box, "label": "b"}, {"box": box, "label": "a"}]}
    classes = find_classes([sample("q", "a", meta=text_annotations)], 3, 8)
    assert classes == Classes(("a", "b"), "", 0, 0) and classes.sizes == (3,)
    spelled = [{"box": box, "label": "no", "kind": "word"}, {"box": box, "label": "n", "kind": "char"}]
    found = sample("q", "a", meta={"text_annotations": [*spelled, {"box": box, "label": "star", "kind": "shape"}]})
    assert [annotation.label for annotation in text_annotations_of(found)] == ["no", "n", "star"]
    assert find_classes([found], 3, 8).sizes == (2, *[3] * 11)
    with pytest.raises(ValueError, match="sample 's' has 0 images; it takes one"):
        PatchDataset(
            [sample("q", "a", meta=text_annotations)], tiny.processor(tiny.config("low-only")), classes, PatchOcrOptions()
        )[0]


def test_the_readers_loss_is_a_sum_over_the_steps_items() -> None:
    tower = tiny.model(tiny.config("low-only")).model.vision_tower
    patch_ocr = PatchOcrModel(tower, 32, Classes(("a", "b"), "xy", 0, 2), weight=0.5)
    pixels, labels = torch.randn(4, 3, 32, 32), torch.randint(0, 3, (4, 17, 3))
    labels[:, 0] = -100
    whole = patch_ocr(pixels, labels)["loss"]
    parts = [patch_ocr(pixels[half], labels[half], num_items_in_batch=192)["loss"] for half in (slice(0, 1), slice(1, 4))]
    torch.testing.assert_close(sum(parts), whole)
    said = patch_ocr.predictions(patch_ocr(pixels, labels)["logits"])
    assert said.shape == (4, 17, 3) and int(said.max()) <= 2


def test_what_counts_as_read() -> None:
    patch_ocr = PatchOcrModel(torch.nn.Identity(), 4, Classes(("star",), "ab", 1, 2))
    labels = np.array([[[-100] * 4, [1, 2, 1, 2], [0, 0, 2, 0], [0, 0, 0, 0]]])
    said = np.array([[[0] * 4, [1, 1, 1, 1], [1, 2, 2, 0], [0, 0, 0, 0]]])
    # One name, right; one near character, wrong. Of the words, 1 2 and 2, three characters, two right; the second is whole.
    assert patch_ocr.metrics(said, labels) == {"names": 1.0, "near": 0.0, "characters": 2 / 3, "words": 0.5}
