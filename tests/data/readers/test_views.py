"""Rows that say which view of an image they mean, and rows of several images in one name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragonfly.data.dataset import image_size
from dragonfly.data.manifest import Manifest, write_manifest
from dragonfly.data.readers import read
from dragonfly.data.sample import ImageRef, Sample, to_messages
from dragonfly.imaging import load_image
from tests.imaging.scans import PLANTED, hounsfield, scan, series, written


def rows(tmp_path: Path, *given: dict[str, Any]) -> list[Any]:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in given))
    return list(read(file))


def said(sample: Sample) -> list[str]:
    return [part.get("text", "<image>") for part in to_messages(sample)[0]["content"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scan, a cine loop and a series of six slices."""
    (tmp_path / "scan").write_bytes(written(hounsfield(np.arange(64).reshape(8, 8), WindowCenter=[30, 60], WindowWidth=[60, 9])))
    (tmp_path / "cine.dcm").write_bytes(written(scan(np.zeros((4, 5, 7), np.uint8), "US", NumberOfFrames=4)))
    series(tmp_path / "series", 6)
    return tmp_path


def test_fields_are_joined_to_the_name(folder: Path) -> None:
    asked = {"question": "q", "answer": "a"}
    plain, deep, cine = rows(
        folder,
        {**asked, "image": "scan"},
        {**asked, "image": "scan", "window": 2, "note": "kept"},
        {**asked, "image": "cine.dcm", "frame": 3, "window": ""},
    )
    assert [row.images[0].path for row in (plain, deep, cine)] == [
        str(folder / name) for name in ("scan", "scan#window=2", "cine.dcm#frame=3")
    ]
    assert deep.meta["note"] == "kept" and load_image(deep.images[0].source).notes[0] == "window 60,9"
    assert image_size(deep.images[0]) == (8, 8) and image_size(cine.images[0]) == (5, 7)


def test_csv_columns_do_the_same(folder: Path) -> None:
    file = folder / "rows.csv"
    file.write_text("image,question,answer,window\nscan,q,a,\nscan,q,a,bone\n")
    assert [row.images[0].path for row in read(file)] == [str(folder / name) for name in ("scan", "scan#window=bone")]  # type: ignore[union-attr]


def test_an_ordinary_images_fields_stay_what_they_are(folder: Path) -> None:
    load_image(folder / "scan").image.save(folder / "a.png")
    (row,) = rows(folder, {"image": "a.png", "question": "q", "answer": "a", "region": "left lung", "page": 3})
    assert row.images[0].path == str(folder / "a.png") and row.meta == {"region": "left lung", "page": 3}


def test_a_field_of_another_form_is_a_bad_row(folder: Path) -> None:
    (row,) = rows(folder, {"image": "scan", "question": "q", "answer": "a", "frame": "third"})
    assert row.reason == "bad-view" and "has a view with frame='third'; accepted: a number from 1" in row.detail


def test_image_objects_of_messages_name_their_view(folder: Path) -> None:
    answer = {"role": "assistant", "content": "a"}
    content = [{"type": "image", "image": {"path": "scan", "window": "bone"}}, {"type": "text", "text": "q"}]
    (row,) = rows(folder, {"messages": [{"role": "user", "content": content}, answer]})
    assert [image.path for image in row.images] == [str(folder / "scan#window=bone")]


def test_a_name_of_several_images_becomes_them_each_labelled(folder: Path) -> None:
    (row,) = rows(folder, {"image": "series/#slices=3", "question": "q", "answer": "a", "window": "lung"})
    assert [(image.path or "").rpartition("#")[2] for image in row.images] == [f"slice={n}&window=lung" for n in (2, 4, 6)]
    assert said(row) == ["slice 2 of 6: ", "<image>", "slice 4 of 6: ", "<image>", "slice 6 of 6: ", "<image>", "q"]
    turn = {"conversations": [{"from": "human", "value": "See <image> here"}, {"from": "gpt", "value": "a"}]}
    (row,) = rows(folder, {**turn, "image": "cine.dcm#frame=1-2"})
    assert said(row) == ["See ", "frame 1 of 4: ", "<image>", "frame 2 of 4: ", "<image>", " here"]


def test_two_images_are_labelled_by_their_row(folder: Path) -> None:
    asked = {"question": "What changed?", "answer": "a", "images": ["scan", "series"]}
    (row,) = rows(folder, {**asked, "image_labels": ["prior", "current"]})
    assert said(row) == ["prior: ", "<image>", "current: ", "<image>", "What changed?"] and "image_labels" not in row.meta
    (row,) = rows(folder, asked)
    assert said(row) == ["<image>", "<image>", "What changed?"]
    (row,) = rows(folder, {**asked, "image_labels": "prior | current | later"})
    assert row.reason == "bad-labels" and row.detail == "3 image_labels for 2 images; give one to each"
    (row,) = rows(folder, {**asked, "images": ["scan"], "image_labels": ["prior"]})
    assert said(row) == ["<image>", "What changed?"]  # one image needs no label


def test_a_manifest_keeps_the_view_and_of_a_scan_no_header(folder: Path) -> None:
    samples = rows(folder, {"image": "scan", "question": "q", "answer": "a", "window": "2"})
    kept = Manifest.open(write_manifest(samples, folder / "paths"))[0].images[0]
    assert Path(kept.path or "").name == "scan#window=2" and load_image(kept.source).notes[0] == "window 60,9"
    stored = Manifest.open(write_manifest(samples, folder / "bytes", store_images="bytes"))[0].images[0]
    assert load_image(stored.source).image.tobytes() == load_image(kept.source).image.tobytes()
    held = b"".join(file.read_bytes() for file in (folder / "bytes").iterdir()) + (stored.bytes or b"")
    assert not any(name.encode() in held for name in PLANTED) and (stored.bytes or b"").startswith(b"\x89PNG")


def test_bytes_have_their_view_beside_them(folder: Path) -> None:
    data = (folder / "scan").read_bytes()
    (row,) = read([{"image": {"bytes": data}, "question": "q", "answer": "a", "window": "2"}])
    assert isinstance(row, Sample) and row.images == (ImageRef(bytes=data, view="window=2"),)
    assert load_image(row.images[0].source, view=row.images[0].seen).notes[0] == "window 60,9"
