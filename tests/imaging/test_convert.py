"""Every mode becomes RGB in the way the policy says, and the note tells it."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from dragonfly.imaging import DEFAULT_POLICY, RELEASED_POLICY, ImagePolicy, load_image
from dragonfly.imaging.view import View
from tests.imaging.images import encoded, exif, reference, rgb, sixteen_bit

GOLDEN = Path(os.environ.get("DRAGONFLY_GOLDEN", Path(__file__).parents[3] / "shared" / "golden" / "set_a"))
MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "La", "RGBa"]
SIXTEEN = ["I;16", "I;16L", "I;16B"]


def in_mode(mode: str) -> Image.Image:
    """An image with every kind of value that `mode` has, alpha included."""
    if mode in SIXTEEN:
        values = np.linspace(0, 65535, 154).reshape(11, 14).astype(">u2" if mode.endswith("B") else "<u2")
        return Image.frombytes(mode, (14, 11), values.tobytes())
    image = rgb()
    if mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        image.putalpha(rgb(seed=1).convert("L"))
    if mode == "La":
        return image.convert("LA").convert("La")
    return Image.frombytes("LAB", image.size, image.tobytes()) if mode == "LAB" else image.convert(mode)


@pytest.mark.parametrize("mode", MODES + SIXTEEN)
def test_the_released_policy_is_pillows_own_conversion(mode: str) -> None:
    image = in_mode(mode)
    plain = image.convert("LA").convert("RGB") if mode == "La" else image.convert("RGB")  # Pillow converts La only to LA
    assert load_image(image, RELEASED_POLICY).image.tobytes() == plain.tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"])
def test_modes_without_alpha_or_depth_are_converted_alike_under_both_policies(mode: str) -> None:
    image = in_mode(mode)
    loaded = load_image(image)
    assert loaded.image.tobytes() == image.convert("RGB").tobytes()
    assert loaded.mode == mode
    assert loaded.notes == (() if mode in ("1", "L", "P", "RGB") else (f"{mode} converted to RGB",))


@pytest.mark.skipif(not (GOLDEN / "images" / "modes").is_dir(), reason="no recorded images (set DRAGONFLY_GOLDEN)")
def test_recorded_images_under_the_released_policy() -> None:
    paths = sorted(path for path in (GOLDEN / "images").rglob("*") if path.is_file())
    assert len(paths) > 8
    for path in paths:
        with Image.open(path) as image:
            assert load_image(path, RELEASED_POLICY).image.tobytes() == image.convert("RGB").tobytes(), path


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "La", "RGBa"])
def test_alpha_is_blended_on_white(mode: str) -> None:
    image = in_mode(mode)
    loaded = load_image(image)
    straight = np.asarray((image.convert("LA") if mode == "La" else image).convert("RGBA"), dtype=float)
    alpha = straight[..., 3:] / 255
    expected = straight[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(np.asarray(loaded.image, dtype=float) - expected).max() <= 1
    assert loaded.notes == ("alpha blended on white",)
    assert load_image(image, RELEASED_POLICY).notes[0] == "alpha dropped"


def test_opaque_alpha_changes_nothing_and_is_not_mentioned() -> None:
    image = rgb()
    image.putalpha(255)
    loaded = load_image(image)
    assert loaded.image.tobytes() == rgb().tobytes()
    assert loaded.notes == ()


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
def test_a_transparent_colour_becomes_white(mode: str) -> None:
    image = Image.new("RGB", (4, 2), (0, 0, 0))
    image.putpixel((0, 0), (255, 255, 255) if mode == "1" else (90, 90, 90))
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    transparent = image.getpixel((1, 0))
    data = encoded(image, "PNG", transparency=transparent)
    pixels = np.asarray(load_image(data).image)
    assert (pixels[0, 1:] == 255).all()
    assert (pixels[1] == 255).all()
    assert (pixels[0, 0] == (255 if mode == "1" else 90)).all()
    assert load_image(data, RELEASED_POLICY).image.tobytes() == image.convert("RGB").tobytes()


def test_palette_with_partial_transparency_is_quiet_under_both_policies() -> None:
    image = rgb().quantize(8)
    data = encoded(image, "PNG", transparency=bytes([0, 128, 255, 255, 10, 0, 200, 255]))
    assert load_image(data).notes == ("alpha blended on white",)
    loaded = load_image(data, RELEASED_POLICY)
    assert loaded.notes == ("alpha dropped",)
    assert loaded.image.tobytes() == image.convert("RGB").tobytes()


def grey_of(image_bytes: bytes, policy: ImagePolicy = DEFAULT_POLICY) -> list[int]:
    return np.asarray(load_image(image_bytes, policy).image)[0, :, 0].tolist()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_full_range(kind: str) -> None:
    data = encoded(sixteen_bit([0, 128, 129, 257, 1000, 32896, 65535]), kind)
    assert grey_of(data) == [0, 0, 1, 1, 4, 128, 255]  # nearest whole number of v / 257
    assert load_image(data).notes == ("16-bit grey scaled to 8 bits",)
    assert grey_of(data, RELEASED_POLICY) == [0, 128, 129, 255, 255, 255, 255]
    assert load_image(data, RELEASED_POLICY).notes == ("16-bit grey cut at 255",)


def test_the_same_sixteen_bit_grey_is_the_same_in_a_dark_and_a_bright_image() -> None:
    dark, bright = encoded(sixteen_bit([0, 5140]), "PNG"), encoded(sixteen_bit([5140, 65535]), "PNG")
    assert grey_of(dark)[1] == grey_of(bright)[0] == 20


def test_big_endian_sixteen_bits() -> None:
    assert np.asarray(load_image(in_mode("I;16B")).image)[-1, -1, 0] == 255
    assert load_image(in_mode("I;16B")).image.tobytes() == load_image(in_mode("I;16")).image.tobytes()


def test_a_transparent_sixteen_bit_grey_becomes_white() -> None:
    image = sixteen_bit([1000, 2000])
    data = encoded(image, "PNG", transparency=1000)
    if "transparency" not in Image.open(io.BytesIO(data)).info:
        pytest.fail("the encoder wrote no transparency")
    assert grey_of(data) == [255, 8]


def test_a_deep_pgm_is_sixteen_bits_however_dark() -> None:
    data = b"P5 3 1 65535 " + np.array([0, 255, 200], dtype=">u2").tobytes()
    assert grey_of(data) == [0, 1, 1]


def test_integers_within_eight_bits_are_taken_as_they_are() -> None:
    image = load_image(sixteen_bit([0, 7, 255], "int32"))
    assert np.asarray(image.image)[0, :, 0].tolist() == [0, 7, 255]
    assert image.notes == ("32-bit grey with values up to 255 taken as 8 bits",)
    assert np.asarray(load_image(sixteen_bit([0, 256, 65535], "int32")).image)[0, :, 0].tolist() == [0, 1, 255]


def test_numbers_without_an_agreed_grey_scale_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^PIL image holds grey values from -1000 to 3000, beyond 16 bits; name what"):
        load_image(sixteen_bit([-1000, 3000], "int32"))
    with pytest.raises(ValueError, match=r"^bytes holds floating-point grey, which has no agreed range; name what"):
        load_image(encoded(rgb().convert("F"), "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_window_shows_the_greys_that_a_deep_image_has(kind: str) -> None:
    """Twelve bits in sixteen are nearly black without; 100 to 1100 are black to white here, in a straight line."""
    data = encoded(sixteen_bit([0, 100, 350, 600, 1100, 4000]), kind)
    shown = load_image(data, view=View(window="600,1000"))
    assert np.asarray(shown.image)[0, :, 0].tolist() == [0, 0, 64, 128, 255, 255]
    assert shown.notes == ("grey 100 to 1100 scaled to 8 bits",)
    plain = load_image(data)
    assert np.asarray(plain.image).max() == 16
    assert plain.notes[1] == "nearly black: no grey is over 4000 of 65535; to show that range: #window=2000,4000"
    assert plain.sha256 != shown.sha256


def test_a_window_makes_greys_without_an_agreed_range_readable() -> None:
    data = encoded(Image.fromarray(np.array([[-1.5, 0.0, 0.5, np.nan, np.inf]], "float32")), "TIFF")
    shown = load_image(data, view=View(window="0,2"))
    assert np.asarray(shown.image)[0, :, 0].tolist() == [0, 128, 191, 0, 255]
    signed = encoded(Image.fromarray(np.array([[-1000, 0, 3000]], "int32")), "TIFF")
    assert np.asarray(load_image(signed, view=View(window="0,2000")).image)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("window", ["lung", "5", "1,0", "1,-3", "nan,1", "1,2+3,4+5,6"])
def test_a_window_of_a_deep_image_is_two_numbers(window: str) -> None:
    with pytest.raises(ValueError, match=r"^scan\.png has no window '.*'; accepted: centre,width with a width above 0"):
        load_image(encoded(sixteen_bit([1, 2]), "PNG"), name="scan.png", view=View(window=window))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured_by_default_and_ignored_when_released(kind: str, orientation: int) -> None:
    data = encoded(rgb(), kind, exif=exif(orientation))
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    loaded = load_image(data)
    assert loaded.image.tobytes() == upright.tobytes()
    assert loaded.size == ((14, 11) if orientation > 4 else (11, 14))
    assert loaded.notes == (() if orientation == 1 else (f"turned by EXIF orientation {orientation}",))
    assert load_image(data, RELEASED_POLICY).image.tobytes() == reference(data)
    assert load_image(data, RELEASED_POLICY).size == (11, 14)


@pytest.mark.parametrize("policy", [DEFAULT_POLICY, RELEASED_POLICY])
def test_a_tiff_is_turned_once_from_bytes_and_from_an_open_image(policy: ImagePolicy) -> None:
    data = encoded(rgb(), "TIFF", exif=exif(6))
    loaded = load_image(data, policy)
    assert loaded.image.tobytes() == reference(data) == rgb().transpose(Image.Transpose.ROTATE_270).tobytes()
    assert loaded.notes == ("turned by TIFF orientation 6",)
    with Image.open(io.BytesIO(data)) as image:
        assert load_image(image, policy).image.tobytes() == reference(data)


def test_orientation_of_an_image_in_memory() -> None:
    image = rgb()
    image.getexif()[0x0112] = 3
    assert load_image(image).image.tobytes() == rgb().transpose(Image.Transpose.ROTATE_180).tobytes()
    assert load_image(image, RELEASED_POLICY).image.tobytes() == rgb().tobytes()


def test_metadata_is_gone_so_that_nobody_turns_the_image_twice() -> None:
    image = load_image(encoded(rgb(), "JPEG", exif=exif(6)))
    assert image.image.info == {}
    assert ImageOps.exif_transpose(image.image).size == image.image.size


def test_broken_exif_leaves_the_image_upright() -> None:
    data = encoded(rgb(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert load_image(data).image.tobytes() == reference(encoded(rgb(), "JPEG"))


def test_a_colour_profile_is_ignored_and_mentioned() -> None:
    data = encoded(rgb(), "PNG", icc_profile=b"not applied")
    assert load_image(data).notes == ("ICC profile ignored",)
    assert load_image(data).image.tobytes() == rgb().tobytes()
