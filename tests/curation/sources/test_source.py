"""Tables and files: what cannot be read is said in one line."""

import gzip
from pathlib import Path

import pytest

from dragonfly.curation.sources import SOURCES
from dragonfly.curation.sources.source import find_files, table_rows
from dragonfly.data import BadRow, BadSample

from .layouts import LAYOUTS, image, turns, write_json, write_lines
from .reading import samples


def test_a_table_is_read_with_its_heading_or_with_given_columns(tmp_path: Path):
    write_lines(tmp_path / "a.csv", ["x,y", '1,"a,b"', "2"])
    first, second = table_rows(tmp_path / "a.csv")
    assert first == {"x": "1", "y": "a,b"}
    assert isinstance(second, BadSample) and str(second) == "bad-columns: 1 cells; expected x, y"
    write_lines(tmp_path / "b.txt", ['1\t"open'])
    assert list(table_rows(tmp_path / "b.txt", delimiter="\t", fields=("x", "y"))) == [{"x": "1", "y": '"open'}]
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfx,y\n1,2\n"))
    assert list(table_rows(tmp_path / "c.csv.gz")) == [{"x": "1", "y": "2"}]
    write_lines(tmp_path / "empty.csv", [])
    assert list(table_rows(tmp_path / "empty.csv")) == []


def test_a_table_in_another_encoding_is_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes("x,y\nfür,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.csv cannot be read: 'utf-8' codec"):
        list(table_rows(tmp_path / "a.csv"))


def test_files_are_found_pattern_by_pattern(tmp_path: Path):
    for name in ("b.json", "a.json", "c.txt"):
        write_lines(tmp_path / name, [])
    assert [path.name for path in find_files(tmp_path, "*.txt", "*.json")] == ["c.txt", "a.json", "b.json"]
    with pytest.raises(ValueError, match=r"holds none of: x\.json, y\.json; give the folder that the data set unpacks to"):
        find_files(tmp_path, "x.json", "y.json")


def test_a_row_that_holds_nothing_is_named_and_so_is_an_image_with_an_impossible_name(tmp_path: Path):
    LAYOUTS["svit"](tmp_path)
    write_json(tmp_path / "data/conversation.json", [{"image_id": 11, "conversations": []}])
    first = next(SOURCES["svit"].read(tmp_path))
    assert isinstance(first, BadRow) and (first.row, first.reason) == (0, "empty-row")
    LAYOUTS["llava-pretrain"](tmp_path)
    names = ("x" * 300, "a\0b", ".")
    rows = [{"id": "1", "image": name, "conversations": turns("<image>\nQ", "A")} for name in names]
    write_json(tmp_path / "blip_laion_cc_sbu_558k.json", rows)
    read = list(SOURCES["llava-pretrain"].read(tmp_path))
    assert [row.reason for row in read if isinstance(row, BadRow)] == ["missing-image"] * 3


def test_images_below_a_links_folder_are_found(tmp_path: Path):
    """A data set's folder is often a link to where its images lie."""
    LAYOUTS["svit"](tmp_path / "real")
    image(tmp_path / "real/raw/VG_100K/13.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert len(samples("svit", tmp_path / "link")) == 3
