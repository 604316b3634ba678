"""Slices of NIfTI volumes: which voxels lie where, how grey they are, and one line for what cannot be shown."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from dragonfly.imaging import ImagePolicy, each_image, load_image
from dragonfly.imaging.view import View

SHAPE = (4, 5, 6)  # right, anterior, superior
VALUES = np.arange(120).reshape(SHAPE)  # of the canonical volume; every voxel differs
SAME = "window=127.5,255"  # grey = value
ORIENTATIONS = [(axes, flips) for axes in itertools.permutations(range(3)) for flips in itertools.product((1, -1), repeat=3)]


def volume(data: Any, affine: Any = None, kind: type = nibabel.Nifti1Image, **header: Any) -> bytes:
    image = kind(data, np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units("mm")
    for name, value in header.items():
        image.header[name] = value
    return image.to_bytes()


def stored(axes: tuple[int, ...], flips: tuple[int, ...], zooms: tuple[float, ...] = (1, 1, 1)) -> bytes:
    """The canonical volume as a scanner might store it: canonical axis `axes[n]` along stored axis n, in a direction."""
    data = VALUES.transpose(axes)
    affine = np.zeros((4, 4))
    for axis, (canonical, flip) in enumerate(zip(axes, flips, strict=True)):
        affine[canonical, axis] = flip * zooms[canonical]
        data = np.flip(data, axis) if flip < 0 else data
    affine[:3, 3], affine[3, 3] = (-7, 11, 3), 1
    return volume(data.astype(np.int16), affine)


def grey(data: bytes | str | Path, view: str) -> np.ndarray:
    loaded = load_image(data, view=View.parse(view)) if isinstance(data, bytes) else load_image(f"{data}#{view}")
    pixels = np.asarray(loaded.image)
    assert (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0]


def refusal(data: bytes, view: str = "") -> str:
    with pytest.raises(ValueError) as caught:
        load_image(data, name="brain.nii", view=View.parse(view) if view else None)
    assert str(caught.value).startswith("brain.nii ") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_every_orientation_is_shown_the_radiological_way(axes: tuple[int, ...], flips: tuple[int, ...]) -> None:
    data = stored(axes, flips)
    right, anterior, superior = SHAPE
    axial = grey(data, f"slice=2&{SAME}")
    coronal = grey(data, f"plane=coronal&slice=5&{SAME}")
    sagittal = grey(data, f"plane=sagittal&slice=1&{SAME}")
    assert axial.shape == (anterior, right) and coronal.shape == (superior, right) and sagittal.shape == (superior, anterior)
    for r, a in itertools.product(range(right), range(anterior)):
        assert axial[anterior - 1 - a, right - 1 - r] == VALUES[r, a, 1]
    for r, s in itertools.product(range(right), range(superior)):
        assert coronal[superior - 1 - s, right - 1 - r] == VALUES[r, 4, s]
    for a, s in itertools.product(range(anterior), range(superior)):
        assert sagittal[superior - 1 - s, anterior - 1 - a] == VALUES[0, a, s]


def test_spacing_follows_the_plane_and_voxels_that_are_not_square_are_said() -> None:
    data = stored((2, 0, 1), (1, -1, 1), (0.5, 0.75, 3))
    seen = {plane: load_image(data, view=View(plane=plane)) for plane in ("axial", "coronal", "sagittal")}
    assert {plane: loaded.spacing for plane, loaded in seen.items()} == {
        "axial": (0.75, 0.5),
        "coronal": (3.0, 0.5),
        "sagittal": (3.0, 0.75),
    }
    assert any("voxels are 3 high and 0.75 wide: shapes are not to scale" in note for note in seen["sagittal"].notes)


@pytest.mark.parametrize(("unit", "millimetres"), [("mm", 1.0), ("micron", 0.001), ("meter", 1000.0), ("unknown", None)])
def test_spacing_is_in_millimetres_and_only_where_the_header_has_a_unit(unit: str, millimetres: float | None) -> None:
    image = nibabel.Nifti1Image(VALUES.astype(np.uint8), np.diag([2.0, 4.0, 1, 1]))
    image.header.set_xyzt_units(unit)
    spacing = load_image(image.to_bytes()).spacing
    assert spacing == (None if millimetres is None else pytest.approx((4 * millimetres, 2 * millimetres)))


def test_the_middle_axial_slice_is_shown_where_none_is_named_and_the_note_says_how() -> None:
    loaded = load_image(stored((0, 1, 2), (1, 1, 1)))
    assert loaded.image.tobytes() == load_image(stored((0, 1, 2), (1, 1, 1)), view=View(slice="3")).image.tobytes()
    assert loaded.notes[0] == (
        "NIfTI: axial slice 3 of 6 (the middle; another: #slice=N), radiological: the patient's right at the left"
    )
    assert load_image(stored((0, 1, 2), (1, 1, 1)), view=View(plane="sagittal", slice="4")).notes[0] == (
        "NIfTI: sagittal slice 4 of 4, anterior at the left"
    )


def test_what_is_stored_oblique_is_shown_along_the_nearest_axes_and_said() -> None:
    turn = np.radians(10)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    loaded = load_image(volume(VALUES.astype(np.int16), affine), view=View.parse(f"slice=2&{SAME}"))
    assert np.array_equal(np.asarray(loaded.image)[..., 0], grey(stored((0, 1, 2), (1, 1, 1)), f"slice=2&{SAME}"))
    assert "stored up to 10 degrees off the patient's axes: shown along the nearest ones, not resampled" in loaded.notes


def test_a_header_without_orientation_is_said_to_leave_left_and_right_open() -> None:
    data = volume(VALUES.astype(np.int16))
    notes = load_image(data[:252] + bytes(4) + data[256:]).notes  # qform_code and sform_code
    assert "the header says no orientation: left and right are a guess" in notes
    assert not any("guess" in note for note in load_image(volume(VALUES.astype(np.int16))).notes)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("packed", [False, True])
def test_both_versions_compressed_or_not_and_by_path(tmp_path: Path, kind: type, packed: bool) -> None:
    data = volume(VALUES.astype(np.uint8), kind=kind)
    path = tmp_path / "scan.of.any.name"
    path.write_bytes(gzip.compress(data) if packed else data)
    assert np.array_equal(grey(path, f"slice=4&{SAME}"), VALUES[::-1, ::-1, 3].T)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u2", ">f4", "<f8", "i1", "<i4", "<u8"])
def test_every_type_and_byte_order_of_numbers(dtype: str) -> None:
    image = nibabel.Nifti1Image(VALUES.astype(np.dtype(dtype)), np.eye(4), dtype=np.dtype(dtype))
    if dtype.startswith(">"):
        image = nibabel.Nifti1Image(VALUES.astype(dtype), np.eye(4), nibabel.Nifti1Header(endianness=">"))
        image.set_data_dtype(np.dtype(dtype))
    assert np.array_equal(grey(image.to_bytes(), f"slice=1&{SAME}"), VALUES[::-1, ::-1, 0].T)


def test_a_window_is_applied_to_scaled_values() -> None:
    """Stored 0 to 119, slope 10 and intercept -1000: -1000 to 190; brain's window is 0 to 80."""
    data = bytearray(volume(VALUES.astype(np.int16)))
    data[112:120] = np.array([10, -1000], "<f4").tobytes()
    shown = grey(bytes(data), "slice=6&window=brain")
    expected = np.clip((VALUES[::-1, ::-1, 5].T * 10.0 - 1000) * 255 / 80, 0, 255)
    assert np.array_equal(shown, np.rint(expected)) and shown.max() == 255 and shown.min() == 0
    assert np.array_equal(grey(bytes(data), "slice=6&window=40,80"), shown)


def test_without_a_window_the_percentiles_of_the_volume_not_of_the_slice_are_shown() -> None:
    data = np.zeros((10, 10, 10), np.float32)
    data[:] = np.arange(10) * 100  # each slice along superior has one value
    data[0, 0, 0] = 1e9  # one voxel that would darken everything
    loaded = load_image(volume(data), view=View(slice="5"))
    assert np.asarray(loaded.image)[5, 5, 0] == round(400 * 255 / 900)
    assert "window 0 to 900 (percentiles 0.5 to 99.5 of the volume); another: #window=centre,width" in loaded.notes


def test_a_rare_label_does_not_vanish_and_one_value_everywhere_is_said() -> None:
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[3, 3, 9] = 1
    assert grey(volume(mask), "slice=10").max() == 255
    assert any("all voxels are 7" in note for note in load_image(volume(np.full(SHAPE, 7, np.int16))).notes)


def test_what_is_not_a_number_is_black_and_infinity_is_an_end() -> None:
    data = np.full(SHAPE, 50, np.float32)
    data[3, 4, 0], data[2, 4, 0], data[1, 4, 0], data[0, 4, 0] = np.nan, np.inf, -np.inf, 100
    assert grey(volume(data), "slice=1&window=50,100")[0].tolist() == [0, 255, 0, 255]
    assert any("no voxel has a finite value" in note for note in load_image(volume(np.full(SHAPE, np.nan, np.float32))).notes)


def test_colours_are_shown_as_they_are_and_take_no_window() -> None:
    data = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    data["R"], data["G"][3, 4, 2], data["B"] = VALUES, 250, 7
    pixels = np.asarray(load_image(volume(data), view=View(slice="3")).image)
    assert pixels[0, 0].tolist() == [VALUES[3, 4, 2], 250, 7] and pixels[4, 3].tolist() == [VALUES[0, 0, 2], 0, 7]
    assert "holds colours, which need no window" in refusal(volume(data), "window=brain")


def test_frames_of_a_series_in_time() -> None:
    data = np.stack([VALUES, VALUES[::-1]], axis=-1).astype(np.int16)
    for packed in (volume(data), gzip.compress(volume(data))):
        assert np.array_equal(grey(packed, f"slice=1&frame=2&{SAME}"), VALUES[:, ::-1, 0].T)
        assert np.array_equal(grey(packed, f"slice=1&{SAME}"), VALUES[::-1, ::-1, 0].T)
        assert ", frame 1 of 2," in load_image(packed).notes[0]
        assert "has 2 frames, counted from 1, and no frame 3" in refusal(packed, "frame=3")


def test_a_montage_holds_evenly_spread_slices_in_rows() -> None:
    shown = grey(stored((0, 1, 2), (1, 1, 1)), f"montage=1x3&{SAME}")
    assert shown.shape == (5, 12)
    for column, number in enumerate((2, 4, 6)):
        assert np.array_equal(shown[:, 4 * column : 4 * column + 4], VALUES[::-1, ::-1, number - 1].T)
    few = load_image(stored((0, 1, 2), (1, 1, 1)), view=View(montage="3x4"))
    assert few.size == (15, 16) and "axial slices 1, 2, 3, 4, 5, 6 of 6" in few.notes[0]


@pytest.mark.parametrize("shape", [(6,), (4, 5), (4, 5, 1, 1, 3)])
def test_fewer_and_more_dimensions_than_three(shape: tuple[int, ...]) -> None:
    across, high = (*shape, 1)[:2]
    assert load_image(volume(np.ones(shape, np.int16))).size == (high, across)


def test_what_cannot_be_shown_is_refused_in_one_line() -> None:
    data = volume(VALUES.astype(np.int16))
    assert "has 6 axial slices, counted from 1, and no axial slice 7" in refusal(data, "slice=7")
    assert "has 4 sagittal slices, counted from 1, and no sagittal slice 0" in refusal(data, "plane=sagittal&slice=0")
    assert "which has no region; leave #region=0,0,1,1 out" in refusal(data, "region=0,0,1,1")
    assert "has no window 'nose'; accepted: lung, " in refusal(data, "window=nose")
    assert "is asked for several images at once (#slices=3)" in refusal(data, "slices=3")
    assert "its header says 240 bytes of voxels, and it has 230" in refusal(data[:-10])
    assert "truncated NIfTI" in refusal(gzip.compress(data)[:-20])
    assert "whose voxels lie in another file" in refusal(data[:344] + b"ni1\0" + data[348:])
    assert "complex64 voxels" in refusal(volume(VALUES.astype(np.complex64)))
    assert "over the limit of 10" in _over(data)


def _over(data: bytes) -> str:
    with pytest.raises(ValueError) as caught:
        load_image(data, ImagePolicy(max_pixels=10))
    return str(caught.value)


def test_damage_that_only_the_checksum_tells_is_refused() -> None:
    packed = bytearray(gzip.compress(volume(VALUES.astype(np.int16))))
    packed[-5] ^= 1  # of the checksum
    assert "CRC" in refusal(bytes(packed))


def test_a_file_that_says_more_than_it_holds_takes_no_memory_for_it() -> None:
    header = bytearray(volume(np.zeros((1, 1, 1), np.int16))[:352])
    header[40:48] = np.array([3, 600, 600, 600], "<i2").tobytes()
    assert "its header says 432,000,000 bytes of voxels, and it has 0" in refusal(gzip.compress(bytes(header)))
    header[40:48] = np.array([3, 9000, 9000, 9000], "<i2").tobytes()
    assert "over the limit of 536,870,912" in refusal(gzip.compress(bytes(header)))
    header[40:50] = np.array([4, 500, 500, 500, 9000], "<i2").tobytes()
    assert "bytes would be read, over the limit" in refusal(gzip.compress(bytes(header)), "frame=9000")


def test_loaded_again_under_another_policy_the_view_is_the_same() -> None:
    loaded = load_image(stored((0, 1, 2), (1, 1, 1)), view=View.parse(f"slice=1&{SAME}"))
    again = load_image(loaded, ImagePolicy(alpha="drop"))
    assert again is not loaded and (again.image.tobytes(), again.sha256) == (loaded.image.tobytes(), loaded.sha256)


def test_isolated_it_is_the_same() -> None:
    data = gzip.compress(stored((2, 1, 0), (1, -1, 1), (1, 2, 3)))
    view = View(plane="coronal", window="60,120")
    apart = load_image(data, ImagePolicy(isolate=True), view=view)
    here = load_image(data, view=view)
    assert (apart.image.tobytes(), apart.notes, apart.spacing) == (here.image.tobytes(), here.notes, here.spacing)


def test_every_file_inside_nibabel_opens_or_is_refused_in_one_line() -> None:
    folder = Path(nibabel.__file__).parent / "tests" / "data"
    files = sorted(path for path in folder.iterdir() if ".nii" in path.name)
    outcomes = {path.name: _outcome(path) for path in files}
    assert len(files) >= 8 and all("\n" not in outcome for outcome in outcomes.values())
    shown = {name for name, outcome in outcomes.items() if outcome == "shown"}
    assert {"anatomical.nii", "functional.nii", "example4d.nii.gz", "example_nifti2.nii.gz"} <= shown


def _outcome(path: Path) -> str:
    try:
        load_image(path)
    except ValueError as error:
        return str(error).removeprefix(f"{path} ")
    return "shown"


@pytest.mark.parametrize("compressed", [False, True])
def test_several_slices_and_frames_are_taken_apart_with_their_labels(tmp_path: Path, compressed: bool) -> None:
    data = volume(np.arange(4 * 5 * 6 * 3, dtype=np.int16).reshape(4, 5, 6, 3))
    path = tmp_path / ("v.nii.gz" if compressed else "v.nii")
    path.write_bytes(gzip.compress(data) if compressed else data)
    assert each_image(f"{path}#slices=3") == [(f"{path}#slice={n}", f"axial slice {n} of 6") for n in (2, 4, 6)]
    assert [label for _, label in each_image(f"{path}#plane=sagittal&slice=all")] == [
        f"sagittal slice {n} of 4" for n in range(1, 5)
    ]
    assert each_image(f"{path}#frame=all&slice=2")[2] == (f"{path}#frame=3&slice=2", "frame 3 of 3")
    assert load_image(f"{path}#frame=3&slice=2").label == "axial slice 2 of 6, frame 3 of 3"
    with pytest.raises(ValueError, match="has 6 slices, and slices=7 asks for too many"):
        each_image(f"{path}#slices=7")
