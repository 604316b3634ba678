"""Samples to rows and back, and the numbers beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragonfly.curation import ingest
from dragonfly.curation.hashing import number
from dragonfly.curation.ingest import read_table
from dragonfly.curation.table import samples_of
from dragonfly.data import BadRow, Sample
from tests.curation.fakes import ids, sample, saved, table


def test_rows_are_the_samples_in_their_order(tmp_path: Path) -> None:
    path = saved(tmp_path, 1)
    samples = [sample("a", "Q?", image=path, group="p"), sample("b", "q?", meta={"x": 1}), sample("c", "other")]
    made = table(tmp_path, samples)
    assert [row for part in made.batches() for row in samples_of(part)] == samples
    columns = made.read("row", "origin", "question", "image_key", "split").to_pylist()
    assert [row["row"] for row in columns] == [0, 1, 2] and {row["origin"] for row in columns} == {"s"}
    assert columns[0]["question"] == columns[1]["question"] != columns[2]["question"]
    assert columns[0]["image_key"] != 0 and columns[1]["image_key"] == 0
    owners, groups = made.lists("groups")
    assert owners.tolist() == [0] and groups.tolist() == [number("group", "s", "p")]


def test_parts_hold_the_order_whatever_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "PART_ROWS", 3)
    made = table(tmp_path, [sample(str(place), f"{place}?") for place in range(10)])
    assert len(made.parts) == 4 and made.rows == 10
    assert ids(made) == [str(place) for place in range(10)] and made.numbers("row").tolist() == list(range(10))


def test_equal_images_have_one_key_and_bytes_are_stored_once(tmp_path: Path) -> None:
    path = saved(tmp_path, 1)
    copy = saved(tmp_path, 1, "copy.png")
    data = path.read_bytes()
    made = table(tmp_path, [sample("a", "q", image=path), sample("b", "q", image=copy), sample("c", "q", image=data)])
    assert len(set(made.numbers("image_key").tolist())) == 1
    stored = [file for file in (tmp_path / "store").rglob("*") if file.is_file()]
    assert len(stored) == 1 and stored[0].suffix == ".png" and stored[0].read_bytes() == data


def test_bad_rows_and_excluded_subsets_are_counted_and_bad_rows_listed(tmp_path: Path) -> None:
    rows: list[Sample | BadRow] = [
        sample("a", "q", meta={"subset": "maths"}),
        sample("b", "q", meta={"subset": "charts"}),
        BadRow("f.json", 7, "bad-question", "no text"),
    ]
    made, counts = read_table([("set", rows)], tmp_path / "t", tmp_path / "store", excluded={"set": ("maths",)})
    assert ids(made) == ["b"]
    dropped = {"excluded: set maths": 1, "bad-question": 1}
    assert counts == {"in": 3, "out": 1, "dropped": dropped, "questions": {"set": 1}}
    assert '"file": "f.json", "row": 7, "reason": "bad-question"' in (tmp_path / "t" / "faults.jsonl").read_text()


def test_no_rows_is_a_fault_that_says_what_was_seen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the sources gave no usable rows \(bad-question 1\); see their paths"):
        read_table([("set", [BadRow("f", 0, "bad-question", "x")])], tmp_path / "t", tmp_path / "store")
