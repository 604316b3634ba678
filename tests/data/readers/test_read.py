"""`read` gives one result per row, names what is wrong, and knows the dialects apart."""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dragonfly.data import BadRow, ImageRef, Sample, count_bad, read, write_manifest

from ..fakes import image, sample

LLAVA = {
    "image": "a.png",
    "conversations": [{"from": "human", "value": "<image>\nQ"}, {"from": "gpt", "value": "A"}],
}
OPENAI = {
    "messages": [{"role": "user", "content": "<image>Q"}, {"role": "assistant", "content": "A"}],
    "images": ["a.png"],
}
RELEASED = {
    "image_url": "a.png",
    "source": "kept",
    "conversations": "<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image().save(tmp_path / "a.png")
    return tmp_path


def write(path: Path, rows: list[Any]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
@pytest.mark.parametrize(("name", "row"), [("llava", LLAVA), ("openai", OPENAI), ("released", RELEASED)])
@pytest.mark.parametrize("named", [True, False])
def test_each_dialect_in_each_file_is_the_same_sample(folder: Path, suffix: str, name: str, row: dict, named: bool) -> None:
    path = write(folder / f"set{suffix}", [row, row])
    expected = sample("<image>Q", "A", images=(ImageRef(str(folder / "a.png")),))
    rows = list(read(path, name if named else "auto"))
    assert [row.messages for row in rows if isinstance(row, Sample)] == [expected.messages] * 2
    assert [row.images for row in rows if isinstance(row, Sample)] == [expected.images] * 2
    assert [(row.id, row.place) for row in rows if isinstance(row, Sample)] == [
        ("set-0", (str(path), 0)),
        ("set-1", (str(path), 1)),
    ]
    assert {row.source for row in rows if isinstance(row, Sample)} == {"kept" if name == "released" else "set"}


def test_every_bad_row_is_named_and_none_is_dropped(folder: Path) -> None:
    wrong = {
        "empty-answer": {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": " "}]},
        "missing-image": {**LLAVA, "image": "gone.png"},
        "placeholder-without-image": {**LLAVA, "image": None},
        "image-without-placeholder": {**LLAVA, "image": ["a.png", "a.png"]},
        "role-order": {"conversations": LLAVA["conversations"][::-1]},
        "unknown-role": {"conversations": [{"from": "bot", "value": "Q"}]},
        "unknown-format": {"question": "Q"},
        "not-a-row": ["Q"],
        "empty-conversation": {"conversations": []},
    }
    path = write(folder / "set.jsonl", [LLAVA, *wrong.values(), LLAVA])
    path.write_text(path.read_text() + "{broken\n\n" + json.dumps(LLAVA))
    rows = list(read(path))
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert len(rows) == len(wrong) + 4
    assert [(row.file, row.row, row.reason) for row in bad] == [
        *((str(path), number, reason) for number, reason in enumerate(wrong, start=1)),
        (str(path), len(wrong) + 2, "not-json"),
    ]
    good, counted = count_bad(rows, 0.8)
    assert (len(good), counted) == (3, bad)
    with pytest.raises(ValueError, match=r"10 of 13 rows are bad.*row 1: empty-answer"):
        count_bad(rows, 0.1)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_rows_that_cannot_be_written_again_are_named(tmp_path: Path, suffix: str) -> None:
    deep: Any = "a"
    for _ in range(120):
        deep = {"a": deep}
    rows = [
        {"question": "half \ud800", "answer": "a"},
        {"question": "deep", "answer": "a", "meta": deep},
        {"question": "whole \U0001f409", "answer": "a"},
    ]
    path = tmp_path / f"rows.{suffix}"
    path.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    half, nested, whole = read(path)
    assert isinstance(half, BadRow) and (half.reason, half.row) == ("not-text", 0)
    assert isinstance(nested, BadRow) and (nested.reason, nested.row) == ("too-deep", 1)
    assert isinstance(whole, Sample) and "\U0001f409" in whole.messages[0].text


def test_image_root_and_folders_of_shards(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for number in (1, 0):
        write(tmp_path / "shards" / f"{number}.parquet", [{**LLAVA, "id": str(number)}])
    (tmp_path / "shards" / "README.md").write_text("x")
    assert [row.reason for row in read(tmp_path / "shards") if isinstance(row, BadRow)] == ["missing-image"] * 2
    rows = list(read(tmp_path / "shards", image_root=folder))
    assert [row.id for row in rows if isinstance(row, Sample)] == ["0", "1"]


def test_our_manifest_is_read_back_with_its_places(folder: Path) -> None:
    rows = [sample("<image>Q", f"A{i}", images=(ImageRef(str(folder / "a.png")),), name=str(i)) for i in range(3)]
    path = write_manifest(rows, folder / "out")
    for source, format in ((path, "auto"), (folder / "out", "auto"), (folder / "out", "manifest")):
        assert list(read(source, format)) == rows
    (folder / "a.png").unlink()
    assert [(row.row, row.reason) for row in read(path) if isinstance(row, BadRow)] == [
        (number, "missing-image") for number in range(3)
    ]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("listed", [False, True])
def test_hugging_face_datasets_bring_their_encoded_bytes(folder: Path, streaming: bool, listed: bool) -> None:
    encoded = {"bytes": (folder / "a.png").read_bytes(), "path": None}
    image = datasets.Image()
    rows = {
        "messages": [OPENAI["messages"]] * 2,
        "images": [[encoded]] * 2 if listed else [encoded] * 2,
    }
    turn = {"role": datasets.Value("string"), "content": datasets.Value("string")}
    features = datasets.Features({"messages": datasets.List(turn), "images": datasets.List(image) if listed else image})
    dataset = datasets.Dataset.from_dict(rows, features=features)
    read_rows = list(read(dataset.to_iterable_dataset() if streaming else dataset))
    assert [row.images for row in read_rows if isinstance(row, Sample)] == [(ImageRef(bytes=encoded["bytes"]),)] * 2


def test_any_iterable_of_dicts_will_do(folder: Path) -> None:
    rows = list(read([LLAVA, "x"], image_root=folder))
    assert isinstance(rows[0], Sample)
    assert rows[1] == BadRow("dataset", 1, "not-a-row", "str; each row is an object with named fields")


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("gone.json", {}, "no file or folder gone.json"),
        ("a.png", {}, r"cannot read .*a.png; accepted: .csv, .tsv, .json, .jsonl, .parquet"),
        ("empty", {}, "no data files in"),
        ("set.json", {"format": "lava"}, "unknown format 'lava'; accepted: auto, manifest, llava"),
        ({"train": []}, {}, r"cannot read a dict; give a path or a dataset with rows \(one split\)"),
        (3, {}, "cannot read a int"),
    ],
)
def test_a_wrong_source_is_said_before_reading(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: Any, options: dict, message: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        read(source, **options)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"a": 1}\n{"a": 2}', "is not JSON: .*named .jsonl"),
        ("a.json", '{"a": 1}', "holds a dict; expected a list of rows"),
        ("a.parquet", "PAR", "is not readable Parquet"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        list(read(tmp_path / name))
