"""Folders as data sets: class folders, images beside their metadata, splits, what `save_to_disk` wrote."""

import json
from pathlib import Path

import datasets
import pytest

from dragonfly.data import BadRow, Sample, read
from dragonfly.data.readers import locate
from dragonfly.data.readers.folders import CLASS_QUESTION
from dragonfly.data.readers.look import look

from ..fakes import image


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image().save(path)
    return path


def samples(source: object, **options: object) -> list[Sample]:
    rows = list(read(source, **options))  # pyright: ignore[reportArgumentType]
    assert not [row for row in rows if isinstance(row, BadRow)]
    return [row for row in rows if isinstance(row, Sample)]


def test_a_class_folder_becomes_one_question(tmp_path: Path) -> None:
    for name in ("dog/1.png", "cat/1.PNG", "cat/deep/2.jpg", ".hidden/3.png"):
        save(tmp_path / name)
    (tmp_path / "cat" / "note.txt").write_text("x")
    found = samples(tmp_path)
    assert [(row.id, row.messages[0].text, row.messages[1].text) for row in found] == [
        ("cat/1.PNG", CLASS_QUESTION, "cat"),
        ("cat/deep/2.jpg", CLASS_QUESTION, "cat"),
        ("dog/1.png", CLASS_QUESTION, "dog"),
    ]
    assert found[0].meta["options"] == ["cat", "dog"]
    assert "2 class folders (cat, dog); each image is asked: " in look(str(tmp_path)).written


def test_scans_are_images_of_a_class_folder_too(tmp_path: Path) -> None:
    for name in ("sick/1.nii.gz", "well/2.DCM", "well/notes.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [row.id for row in samples(tmp_path)] == ["sick/1.nii.gz", "well/2.DCM"]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_images_beside_their_metadata(tmp_path: Path, name: str) -> None:
    save(tmp_path / "deep" / "1.png")
    row = {"file_name": "deep/1.png", "question": "Is it?", "answer": "yes"}
    text = ",".join(row) + "\n" + ",".join(row.values()) if name.endswith("csv") else json.dumps(row)
    (tmp_path / name).write_text(text + "\n")
    (tmp_path / "other.json").write_text("{}")
    (found,) = samples(tmp_path)
    assert (found.images[0].path, found.messages[1].text) == (str(tmp_path / "deep/1.png"), "yes")


def test_splits_are_told_apart_as_files_and_as_folders(tmp_path: Path) -> None:
    for name, answer in (("train.csv", "learned"), ("dev.csv", "asked")):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / name).write_text(f"question,answer\nIs it?,{answer}\n")
    for name in ("train/cat/1.png", "test/dog/1.png"):
        save(tmp_path / "classes" / name)
    assert [row.messages[1].text for row in samples(tmp_path / "files", split="train")] == ["learned"]
    assert [row.messages[1].text for row in samples(f"{tmp_path / 'files'}:validation")] == ["asked"]
    assert [row.messages[1].text for row in samples(f"{tmp_path / 'classes'}:test")] == ["dog"]
    with pytest.raises(ValueError, match=r"has the splits train, validation; name one: .*files:train"):
        read(tmp_path / "files")
    with pytest.raises(ValueError, match=r"has no split 'test'; name one that it has: "):
        read(tmp_path / "files", split="test")


def test_files_that_are_no_splits_are_all_read(tmp_path: Path) -> None:
    for name in ("qa.csv", "qa2.csv", "training_notes.csv"):
        (tmp_path / name).write_text("question,answer\nIs it?,yes\n")
    assert len(samples(tmp_path, split="train")) == 3


def test_a_saved_data_set_and_its_class_labels(tmp_path: Path) -> None:
    encoded = {"bytes": save(tmp_path / "a.png").read_bytes(), "path": None}
    labels = datasets.ClassLabel(names=["cat", "dog"])
    features = datasets.Features({"image": datasets.Image(), "label": labels})
    one = datasets.Dataset.from_dict({"image": [encoded, encoded], "label": [1, 0]}, features=features)
    one.save_to_disk(str(tmp_path / "one"))
    found = samples(tmp_path / "one")
    assert [(row.messages[0].text, row.messages[1].text) for row in found] == [(CLASS_QUESTION, "dog"), (CLASS_QUESTION, "cat")]
    assert found[0].images[0].bytes == encoded["bytes"] and found[0].meta["options"] == ["cat", "dog"]
    asked = datasets.Dataset.from_dict({"question": ["Is it?"], "answer": ["no"]})
    datasets.DatasetDict({"train": asked, "test": asked}).save_to_disk(str(tmp_path / "both"))
    assert [row.messages[1].text for row in samples(tmp_path / "both", split="train")] == ["no"]
    with pytest.raises(ValueError, match=r"has the splits train, test; name one"):
        read(tmp_path / "both")


def test_an_unrecognised_data_set_is_one_line(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"Frage": ["x"], "Antwort": ["y"]}).save_to_disk(str(tmp_path / "set"))
    with pytest.raises(ValueError, match=r"has the columns Frage, Antwort; none is recognised as question or answer"):
        list(read(tmp_path / "set"))
    assert len(samples(tmp_path / "set", columns={"question": "Frage", "answer": "Antwort"})) == 1


def test_a_name_of_the_hub_is_asked_for_there(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = datasets.Dataset.from_dict({"question": ["Is it?"], "answer": ["no"]})
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda name: asked.append(name) or datasets.DatasetDict({"test": rows}))
    assert [row.id for row in samples("owner/name:test")] == ["name-0"] and asked == ["owner/name"]
    with pytest.raises(ValueError, match=r"owner/name has no split 'train'; name one that it has: owner/name:test"):
        read("owner/name", split="train")
    monkeypatch.setattr(datasets, "load_dataset", lambda name: (_ for _ in ()).throw(ConnectionError("no\nnetwork")))
    with pytest.raises(ValueError, match=r"no file or folder owner/name, and the .*hub gives no data set .*no network"):
        read("owner/name")
    assert locate("mine.csv:x") == ("mine.csv:x", None)  # a colon in a file's name
