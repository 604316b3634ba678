"""Planted leaks: by bytes, by looks, by patient, by words; and what is no leak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import ImageOps

from dragonfly.curation.steps import Job
from dragonfly.data import BadRow, Sample, write_manifest
from tests.curation.fakes import image, run_step, sample, saved, table
from tests.curation.sources.layouts import write_parquet

QUESTION = "which of these drugs would you give to a patient with this condition and why"


def evaluation(folder: Path) -> str:
    path = folder / "eval.png"
    image(1, 128, 96).save(path)
    rows = [sample("e0", "What is shown?", image=path, group="17", source="scans"), sample("e1", QUESTION)]
    return str(write_manifest(rows, folder / "evaluation"))


def training(folder: Path) -> list[Sample]:
    original = image(1, 128, 96)
    folder.mkdir(exist_ok=True)
    for name, changed in (("small", original.resize((70, 50))), ("flipped", ImageOps.mirror(original)), ("same", original)):
        changed.save(folder / f"{name}.png")
    clean = {number: saved(folder, number) for number in range(10, 16)}
    return [
        sample("same bytes", "a", image=folder / "same.png", group="p0"),
        sample("small", "b", image=folder / "small.png", group="p1"),
        sample("flipped", "c", image=folder / "flipped.png"),
        sample("patient of small", "d", image=clean[10], group="p1"),
        sample("patient of the evaluation", "e", image=clean[11], group="17", source="scans"),
        sample("patient 17 of another set", "f", image=clean[12], group="17"),
        sample("same words", QUESTION.upper()),
        sample("nearly the same words", f"please {QUESTION}"),
        sample("other words", "which of these would you eat"),
        sample("usual question", "What is shown?", image=clean[13]),
    ]


def test_every_planted_leak_goes_with_its_patient_and_nothing_else(tmp_path: Path) -> None:
    made = table(tmp_path, training(tmp_path / "p"))
    left, counts = run_step(made, "leak", against=[evaluation(tmp_path)])
    assert left == ["patient 17 of another set", "other words", "usual question"]
    assert counts["dropped"] == {
        "image of an evaluation set": 3,
        "patient or document of an evaluation set": 1,
        "question of an evaluation set": 2,
        "same patient or document as a row above": 1,
    }
    assert counts["evaluation_rows"] == 2 and counts["image_radius"] == 10


def test_words_of_rows_with_images_count_when_asked_and_none_under_null(tmp_path: Path) -> None:
    made, against = table(tmp_path, training(tmp_path / "p")), [evaluation(tmp_path)]
    assert "usual question" not in run_step(made, "leak", against=against, text_with_images=True)[0]
    assert {"same words", "nearly the same words"} <= set(run_step(made, "leak", against=against, text=None)[0])
    left = run_step(made, "leak", against=against, text=1.0)[0]
    assert "nearly the same words" in left and "same words" not in left


def test_a_row_tied_through_a_third_goes_too(tmp_path: Path) -> None:
    from dataclasses import replace

    rows = training(tmp_path / "p")
    both = replace(rows[3], id="both", images=(rows[3].images[0], replace(rows[5].images[0], group="p9")))
    far = sample("far", "q", image=tmp_path / "p" / "14.png", group="p9")
    left, _ = run_step(table(tmp_path, [*rows, both, far]), "leak", against=[evaluation(tmp_path)])
    assert "far" not in left


def test_an_evaluation_set_must_be_there_and_whole(tmp_path: Path) -> None:
    made = table(tmp_path, [sample("a", "q")])
    with pytest.raises(ValueError, match="leak: against is empty; name the manifests or files of the evaluation sets"):
        run_step(made, "leak", against=[])
    with pytest.raises(ValueError, match=r"leak: no file or folder .*none.jsonl; give the evaluation set's manifest"):
        run_step(made, "leak", against=[str(tmp_path / "none.jsonl")])
    (tmp_path / "cut.png").write_bytes(saved(tmp_path, 1).read_bytes()[:100])
    (tmp_path / "e.jsonl").write_text('{"question": "q", "answer": "a", "image": "cut.png"}\n')
    with pytest.raises(ValueError, match=r"leak: an evaluation image cannot be compared: broken-image: .*cut.png"):
        run_step(made, "leak", against=[str(tmp_path / "e.jsonl")])


def from_test_splits(**splits: Sequence[Sample | BadRow]) -> Job:
    return Job(held_out={name: (lambda rows=rows: iter(rows)) for name, rows in splits.items()})


def test_a_source_is_compared_with_every_test_split_but_its_own(tmp_path: Path) -> None:
    shown, other = saved(tmp_path, 1), saved(tmp_path, 2)
    rows = [
        sample("own row on its test image", "a", image=shown, source="vqa-rad", group="p1"),
        sample("another source on it", "b", image=shown, source="roco", group="p2"),
        sample("the other's article", "c", image=saved(tmp_path, 3), source="roco", group="p2"),
        sample("own row on another's test image", "d", image=other, source="vqa-rad"),
        sample("clean", "e", image=saved(tmp_path, 4), source="slake"),
    ]
    job = from_test_splits(
        **{"vqa-rad": [sample("t", "x", image=shown, source="vqa-rad")], "slake": [sample("u", "y", image=other, source="slake")]}
    )
    left, counts = run_step(table(tmp_path, rows), "leak", job, against=["test:vqa-rad", "test:slake"], image_radius=0)
    assert left == ["own row on its test image", "clean"]
    assert counts["dropped"] == {"image of an evaluation set": 2, "same patient or document as a row above": 1}
    assert counts["on_images_of_their_own_test_split"] == {"vqa-rad": 1} and counts["evaluation_rows"] == 2


def test_what_a_test_split_lacks_is_counted_and_an_empty_one_refused(tmp_path: Path) -> None:
    bad = BadRow("test.json", 3, "missing-image", "no file x.png")
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    good = sample("t", "x", image=saved(tmp_path, 1), source="slake")
    made = table(tmp_path, [sample("a", "q", image=saved(tmp_path, 1, "a.png")), sample("b", "q", image=saved(tmp_path, 2))])
    job = from_test_splits(slake=[good, bad, sample("u", "y", image=broken, source="slake")], roco=[bad])
    left, counts = run_step(made, "leak", job, against=["test:slake"])
    assert left == ["b"] and counts["evaluation_rows_not_compared"] == 2
    with pytest.raises(ValueError, match=r"leak: the test split of roco has no usable row: .*missing-image"):
        run_step(made, "leak", job, against=["test:roco"])


def test_a_folder_of_benchmarks_is_read_in_any_layout_and_without_its_training_files(tmp_path: Path) -> None:
    benchmarks = tmp_path / "benchmarks"
    inside, options, trained = (saved(tmp_path, seed).read_bytes() for seed in (1, 2, 3))
    row = {
        "id": 1,
        "question": QUESTION,
        "image_1": {"bytes": inside, "path": None},
        "options": [{"bytes": options, "path": None}],
    }
    write_parquet(benchmarks / "mmmu/data/validation-0.parquet", [row])
    write_parquet(benchmarks / "vqa_rad/data/train-0.parquet", [{"question": "q", "image": {"bytes": trained, "path": None}}])
    beside = saved(benchmarks / "mmvet/images", 4)
    rows = [
        *(sample(str(seed), "q", image=tmp_path / f"{seed}.png") for seed in (1, 2, 3)),
        sample("4", "q", image=beside),
        sample("text", QUESTION),
    ]
    assert run_step(table(tmp_path, rows), "leak", against=[str(benchmarks)])[0] == ["3"]
    (tmp_path / "empty/deep").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"leak: .*empty holds no image and no Parquet file; give the folder of the benchmarks"):
        run_step(table(tmp_path / "x", rows), "leak", against=[str(tmp_path / "empty")])
