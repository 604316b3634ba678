"""Every source comes through the same door, named in what it gives and in what it refuses."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragonfly.imaging import RELEASED_POLICY, ImagePolicy, load, load_image
from tests.imaging.images import encoded, exif, rgb

DATA = encoded(rgb(), "PNG")


def test_a_path_gives_pixels_size_name_mode_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(DATA)
    for source in (path, str(path)):
        image = load_image(source)
        assert image.image.tobytes() == rgb().tobytes()
        assert image.size == (11, 14)
        assert (image.source, image.mode, image.notes) == (str(path), "RGB", ())
        assert image.sha256 == hashlib.sha256(DATA).hexdigest()


def test_the_image_is_free_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(DATA)
    image = load_image(path)
    path.unlink()
    assert type(image.image) is Image.Image
    assert image.image.crop((0, 0, 2, 2)).size == (2, 2)


def test_a_files_name_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "really.jpg").write_bytes(DATA)
    assert load_image(tmp_path / "really.jpg").image.tobytes() == rgb().tobytes()
    (tmp_path / "really.png").write_text("<html></html>")
    with pytest.raises(ValueError, match=r"really\.png is HTML, which is not accepted"):
        load_image(tmp_path / "really.png")


def test_bytes_and_data_urls() -> None:
    url = "data:image/png;base64," + base64.b64encode(DATA).decode()
    image = load_image(url)
    assert image.image.tobytes() == load_image(DATA).image.tobytes() == rgb().tobytes()
    assert image.sha256 == load_image(DATA).sha256 == hashlib.sha256(DATA).hexdigest()
    assert (image.source, load_image(DATA).source) == ("data:image/png;base64", "bytes")


def test_the_callers_image_is_copied_whatever_is_done_to_it() -> None:
    image = rgb()
    loaded = load_image(image)
    image.putpixel((0, 0), (1, 2, 3))
    assert loaded.image.tobytes() == rgb().tobytes()
    palette = rgb().quantize(8)
    palette.info["transparency"] = bytes([0] * 8)
    load_image(palette, RELEASED_POLICY)
    assert palette.info["transparency"] == bytes([0] * 8)
    assert (loaded.source, loaded.sha256) == ("PIL image", None)


def test_a_lazy_image_is_loaded_and_checked(tmp_path: Path) -> None:
    (tmp_path / "turned.jpg").write_bytes(encoded(rgb(), "JPEG", exif=exif(6)))
    with Image.open(tmp_path / "turned.jpg") as image:
        loaded = load_image(image)
    assert loaded.image.tobytes() == load_image(tmp_path / "turned.jpg").image.tobytes()
    (tmp_path / "cut.png").write_bytes(DATA[:-60])
    with (
        Image.open(tmp_path / "cut.png") as image,
        pytest.raises(ValueError, match=r"^PIL image is an image that cannot"),
    ):
        load_image(image)
    with pytest.raises(ValueError, match=r"^PIL image has 14 x 11 = 154 pixels, over the limit of 100"):
        load_image(rgb(), ImagePolicy(max_pixels=100))


@pytest.mark.parametrize("shape", [(11, 14), (11, 14, 1), (11, 14, 3), (11, 14, 4)])
def test_arrays_of_bytes(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = load_image(array, RELEASED_POLICY)
    expected = np.broadcast_to(array.reshape(11, 14, -1)[..., :3], (11, 14, 3))
    assert (np.asarray(image.image) == expected).all()
    assert (image.size, image.source, image.sha256) == ((11, 14), "ndarray", None)
    assert load_image(array[:, ::-1]).size == (11, 14)  # not contiguous


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_arrays_of_sixteen_bits(dtype: str) -> None:
    image = load_image(np.array([[0, 257, 65535]], dtype=dtype))
    assert np.asarray(image.image)[0, :, 0].tolist() == [0, 1, 255]
    assert image.notes == ("16-bit grey scaled to 8 bits",)


@pytest.mark.parametrize(
    ("array", "fault"),
    [
        (np.zeros((4, 4, 3), np.float32), r"of float32 has no agreed range; scale it to 0\.\.255 and use \.astype"),
        (
            np.zeros((4, 4), np.int64),
            r"of int64 and shape \(4, 4\) is not accepted; use uint8, or uint16 \(height, width\)",
        ),
        (np.zeros((4, 4, 3), np.uint16), r"of uint16 and shape \(4, 4, 3\) is not accepted"),
        (np.zeros((4, 4), bool), r"of bool and shape"),
        (
            np.zeros((3, 8, 9), np.uint8),
            r"of shape \(3, 8, 9\) is not .*; transpose it with numpy\.moveaxis\(array, 0, -1\)",
        ),
        (np.zeros((2, 8, 9, 3), np.uint8), r"of shape \(2, 8, 9, 3\) is not \(height, width\) or"),
        (np.zeros((0, 9, 3), np.uint8), r"of shape \(0, 9, 3\) holds no pixels"),
    ],
)
def test_other_arrays_are_refused_with_a_remedy(array: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^ndarray {fault}"):
        load_image(array)


def test_an_array_over_the_limit() -> None:
    with pytest.raises(ValueError, match=r"^ndarray has 5 x 4 = 20 pixels, over the limit of 19"):
        load_image(np.zeros((4, 5), np.uint8), ImagePolicy(max_pixels=19))


def test_paths_that_hold_no_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent\.png does not exist; check the path$"):
        load_image(tmp_path / "absent.png")
    with pytest.raises(ValueError, match=r"is a folder; name an image in it$"):
        load_image(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(ValueError, match=r"empty\.png is empty \(0 bytes\)"):
        load_image(tmp_path / "empty.png")
    with pytest.raises(ValueError, match=r"cannot be read \(.*null byte"):
        load_image("a\0b.png")
    with pytest.raises(ValueError, match=r"^two\?lines\.png does not exist; check the path$"):
        load_image("two\nlines.png")
    with pytest.raises(ValueError, match=r"cannot be read \(File name too long\)"):
        load_image("a" * 5000)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"pipe is not a regular file; copy the image to one"):
        load_image(tmp_path / "pipe")


def test_too_many_bytes_are_refused_unread(tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(2**40)  # sparse: reading it would take all memory
    with pytest.raises(ValueError, match=r"huge\.png has 1,099,511,627,776 bytes, over the limit of 268,435,456; make it"):
        load_image(huge)
    small = ImagePolicy(max_bytes=10)
    for source in (DATA, "data:image/png;base64," + base64.b64encode(DATA).decode()):
        with pytest.raises(ValueError, match="over the limit of 10"):
            load_image(source, small)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("file:///etc/passwd", r"^file:///etc/passwd is a file: URL, which is refused; give the path itself$"),
        ("FILE:/etc/passwd", r"is a file: URL"),
        ("ftp://host/a.png", r"^ftp://host/a\.png is a ftp: URL; only http, https and data URLs are read"),
        ("s3://bucket/a.png", r"is a s3: URL"),
        ("https://host/a.png?key=secret", r"^https://host/a\.png is a URL, and fetching is off; download it and give"),
        ("data:text/html;base64,AAAA", r"^data:text/html;base64 is not of the form data:image/\.\.\.;base64,"),
        ("data:image/png,AAAA", r"is not of the form"),
        ("data:image/png;base64,@@@@", r"^data:image/png;base64 does not hold base64"),
        ("data:image/png;base64,", r"^data:image/png;base64 is empty \(0 bytes\)"),
    ],
)
def test_urls_that_are_refused(source: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        load_image(source)


def test_other_objects_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^NoneType is not a path, URL, bytes, PIL image or numpy array"):
        load_image(None)  # pyright: ignore[reportArgumentType]


def test_what_was_loaded_under_other_limits_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = load_image(DATA, ImagePolicy(isolate=True, max_bytes=2**20))
    monkeypatch.setattr(load, "from_bytes", lambda *_: pytest.fail("decoded here"))
    assert load_image(apart) is apart
    monkeypatch.undo()
    with pytest.raises(ValueError, match="over the limit of 100"):
        load_image(apart, ImagePolicy(max_pixels=100))


def test_what_was_loaded_without_a_look_for_missing_data_is_looked_at_where_that_is_asked() -> None:
    whole = encoded(rgb(40, 40), "JPEG")
    cut = load_image(whole[: len(whole) - 400] + b"\xff\xd9", ImagePolicy(missing_data="ignore"))
    with pytest.raises(ValueError, match="damaged or truncated JPEG"):
        load_image(cut)
    looked_at = load_image(whole)
    assert load_image(looked_at, ImagePolicy(missing_data="note")) is looked_at


def test_the_room_loads_neither_torch_nor_transformers() -> None:
    code = "import sys, dragonfly.imaging; print({'torch', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"
