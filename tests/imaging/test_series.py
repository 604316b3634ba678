"""Folders of DICOM as series: which order, which slice, which series, and several images from one name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.fileset import FileSet

from dragonfly.imaging import INTENDED_USE, ImagePolicy, View, each_image, image_exists, load_image
from tests.imaging.scans import PLANTED, hounsfield, scan, series, written


def greys(folder: Path, count: int) -> list[int]:
    """The grey of each slice, in the order in which they are counted."""
    return [int(np.asarray(load_image(f"{folder}#slice={number}").image)[0, 0, 0]) for number in range(1, count + 1)]


def test_slices_stand_in_the_order_of_their_positions(tmp_path: Path) -> None:
    folder = series(tmp_path / "study", 5)
    assert greys(folder, 5) == sorted(greys(folder, 5)) and len(set(greys(folder, 5))) == 5
    loaded = load_image(f"{folder}#slice=2")
    assert loaded.label == "slice 2 of 5" and loaded.spacing == (0.5, 0.75)
    assert loaded.notes == ("slice 2 of 5, ordered by position", "window 200,800 of the file", INTENDED_USE)


@pytest.mark.parametrize("turn", [[0, 1, 0, 0, 0, -1], [0, 0.6, 0.8, 1, 0, 0]])
def test_position_counts_along_the_normal_of_the_plane(tmp_path: Path, turn: list[float]) -> None:
    normal = np.cross(turn[:3], turn[3:])
    for place, name in enumerate("dbac"):
        dataset = hounsfield(
            np.full((4, 4), 100 * place), uid=f"1.2.{place}", WindowCenter=200, WindowWidth=800, InstanceNumber=9 - place
        )
        dataset.ImageOrientationPatient = turn
        dataset.ImagePositionPatient = [float(one) for one in np.round(normal * place * 3 + np.array(turn[:3]) * (10 - place), 6)]
        (tmp_path / name).write_bytes(written(dataset))
    assert greys(tmp_path, 4) == sorted(greys(tmp_path, 4))


def test_without_positions_it_is_the_instance_number_and_that_is_said(tmp_path: Path) -> None:
    folder = series(tmp_path, 4, step=0)  # all at one place, as points in time are
    assert greys(folder, 4) == sorted(greys(folder, 4), reverse=True)
    assert load_image(f"{folder}#slice=1").notes[0] == "slice 1 of 4, ordered by instance number"
    folder = series(tmp_path, 4, step=0, InstanceNumber=1)
    assert load_image(f"{folder}#slice=1").notes[0] == "slice 1 of 4, ordered by file name"


def test_a_folder_by_itself_is_its_middle_slice(tmp_path: Path) -> None:
    folder = series(tmp_path, 5)
    loaded = load_image(folder)
    assert loaded.notes[0].startswith("slice 3 of 5, ordered by position; the middle one: #slice=1 after the name is the first")
    assert loaded.image.tobytes() == load_image(f"{folder}#slice=3").image.tobytes()


def test_several_slices_are_taken_apart(tmp_path: Path) -> None:
    folder = series(tmp_path, 9)
    assert [label for _, label in each_image(f"{folder}#slices=3")] == [f"slice {number} of 9" for number in (2, 5, 8)]
    assert each_image(f"{folder}#slice=8-9&window=lung") == [
        (f"{folder}#slice=8&window=lung", "slice 8 of 9"),
        (f"{folder}#slice=9&window=lung", "slice 9 of 9"),
    ]
    assert each_image(f"{folder}#slice=4") == [(f"{folder}#slice=4", "")] and each_image("a.png") == [("a.png", "")]
    assert len(each_image(f"{folder}/#slice=all")) == 9
    for view, reason in (
        ("slices=10", "has 9 slices, and slices=10 asks for too many or none; accepted: 1 to 9"),
        ("slice=0-3", "has 9 slices, counted from 1, and no slice 0-3"),
        ("slice=7-12", "has 9 slices, counted from 1, and no slice 7-12"),
        ("slices=2&slice=all", "has a view with both slice=all and slices=2; give one of the two"),
    ):
        with pytest.raises(ValueError) as error:
            each_image(f"{folder}#{view}")
        assert str(error.value) == f"{folder}#{view} {reason}"
    with pytest.raises(ValueError, match=r"has a view of 3 slices where one image is wanted; give one slice, or add montage=2x4"):
        load_image(f"{folder}#slices=3")


def test_frames_of_a_file_are_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "cine"
    path.write_bytes(written(scan(np.zeros((8, 4, 4), np.uint8), "US", NumberOfFrames=8)))
    assert each_image(f"{path}#frames=2") == [(f"{path}#frame=3", "frame 3 of 8"), (f"{path}#frame=7", "frame 7 of 8")]
    assert load_image(f"{path}#frame=7").label == "frame 7 of 8"


def test_a_montage_of_slices(tmp_path: Path) -> None:
    folder = series(tmp_path, 6)
    page = np.asarray(load_image(f"{folder}#montage=2x3").image)
    assert page.shape == (16, 18, 3) and [int(page[y, x, 0]) for y in (0, 8) for x in (0, 6, 12)] == greys(folder, 6)
    part = load_image(f"{folder}#slice=2-3&montage=1x2")
    assert part.label == "slices 2, 3 of 6" and part.spacing == (0.5, 0.75)
    assert len({load_image(f"{folder}#slice=2-3&montage=1x2").sha256, load_image(f"{folder}#slice=2-3&montage=2x1").sha256}) == 2
    with pytest.raises(ValueError, match="over the limit of 100;"):
        load_image(f"{folder}#montage=2x3", ImagePolicy(max_pixels=100))


def test_several_series_are_listed_and_one_is_chosen(tmp_path: Path) -> None:
    series(tmp_path / "a", 3, SeriesInstanceUID="1.2.9", SeriesNumber=7)
    series(tmp_path / "b", 2, SeriesInstanceUID="1.2.8", SeriesNumber=2)
    with pytest.raises(ValueError) as error:
        load_image(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} holds 2 series (1: 2 CT images of 8 x 6; 2: 3 CT images of 8 x 6); choose one: #series=1 after the name, "
        "or name a file"
    )
    assert load_image(f"{tmp_path}#series=2&slice=3").label == "slice 3 of 3"
    assert [label for _, label in each_image(f"{tmp_path}#series=1&slice=all")] == ["slice 1 of 2", "slice 2 of 2"]
    with pytest.raises(ValueError, match="holds 2 series, counted from 1, and no series 3"):
        load_image(f"{tmp_path}#series=3")


def test_a_dicomdir_lists_the_series(tmp_path: Path) -> None:
    files = FileSet()
    for file in sorted(series(tmp_path / "in", 3).iterdir()):
        files.add(file)
    files.write(tmp_path / "out")
    files._stage["t"].cleanup()  # pydicom leaves it to the end of the program
    index = tmp_path / "out" / "DICOMDIR"
    assert greys(index, 3) == greys(tmp_path / "in", 3)
    with pytest.raises(ValueError, match=r"^bytes is a DICOMDIR, an index of other files; name it by its path"):
        load_image(index.read_bytes())
    outside = index.read_bytes().replace(b"PT000000", b"../in   ")
    assert outside != index.read_bytes()
    index.write_bytes(outside)
    with pytest.raises(ValueError, match=r"is a folder; name an image in it$"):
        load_image(index)


def test_what_changes_is_read_again_and_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    folder = series(tmp_path, 3)
    (folder / "notes.txt").write_text("no image")
    report = hounsfield(np.zeros((4, 4)))
    for name in ("PixelData", "Rows", "Columns"):
        delattr(report, name)
    (folder / "report").write_bytes(written(report))
    (folder / "damaged").write_bytes(b"\0" * 128 + b"DICM\x02\0\0\0UL\x04\0")
    assert load_image(folder).label == "slice 2 of 3"
    series(folder, 4)
    assert load_image(folder).label == "slice 3 of 4" and image_exists(folder) and image_exists(f"{folder}#slice=1")


def test_a_folder_without_dicom_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match=r"is a folder; name an image in it$"):
        load_image(tmp_path)
    assert not image_exists(tmp_path)


def test_a_label_says_nothing_of_a_header(tmp_path: Path) -> None:
    folder = series(tmp_path, 3, SeriesDescription=PLANTED[0])
    loaded = load_image(folder, view=View(slice="1"))
    said = f"{loaded.label} {loaded.notes} {loaded.view} {each_image(f'{folder}#slices=2')}"
    assert not any(name in said for name in PLANTED)
