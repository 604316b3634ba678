"""Whole slides: regions to the pixel, magnification, levels read one by one, and one line for what cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragonfly.imaging import ImagePolicy, load_image
from dragonfly.imaging import slide as slides
from dragonfly.imaging.policy import INTENDED_USE
from dragonfly.vision.resizing import resize
from tests.imaging.slides import write_large, write_slide

SMALL = ImagePolicy(max_pixels=400_000)  # what the slide below is too large for
HALF_MICROMETRE: dict[str, Any] = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
APERIO = "Aperio Image Library v10.0.51\r\n1000x800 [0,0 1000x800] (256x256) RGB|AppMag = {power}"


def pixels(height: int = 800, width: int = 1000) -> np.ndarray:
    """Smooth, so that reducing before resizing changes little, with detail in every part."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


FINEST = pixels()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    levels = [FINEST, np.asarray(Image.fromarray(FINEST).reduce(4))]
    return write_slide(tmp_path_factory.mktemp("slides") / "slide.tiff", levels, **HALF_MICROMETRE)


def difference(image: Image.Image, expected: np.ndarray | Image.Image) -> int:
    return int(np.abs(np.asarray(image, dtype=int) - np.asarray(expected, dtype=int)).max())


def refusal(source: Any, policy: ImagePolicy = SMALL) -> str:
    with pytest.raises(ValueError) as caught:
        load_image(source, policy)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(source))
    return str(caught.value)


@pytest.mark.parametrize("region", [(0, 0, 300, 200), (255, 511, 2, 3), (700, 600, 300, 200), (999, 799, 1, 1)])
def test_a_region_is_read_to_the_pixel(path: Path, region: tuple[int, int, int, int]) -> None:
    left, top, width, height = region
    loaded = load_image(f"{path}#region={left},{top},{width},{height}", SMALL)
    assert loaded.size == (height, width) and loaded.slide is None
    assert difference(loaded.image, FINEST[top : top + height, left : left + width]) == 0
    assert loaded.spacing == (0.0005, 0.0005)


def test_magnification_reads_the_level_that_has_it(path: Path) -> None:
    loaded = load_image(f"{path}#magnification=5", SMALL)
    assert loaded.size == (200, 250) and difference(loaded.image, Image.fromarray(FINEST).reduce(4)) == 0
    assert loaded.spacing == pytest.approx((0.002, 0.002))
    part = load_image(f"{path}#region=100,200,400,400&magnification=10", SMALL)
    whole = resize(Image.fromarray(FINEST), (400, 500), Image.Resampling.BICUBIC)
    assert part.size == (200, 200) and difference(part.image, whole.crop((50, 100, 250, 300))) <= 1


def test_a_small_tiled_tiff_stays_the_image_that_it_was(path: Path) -> None:
    loaded = load_image(path)
    assert loaded.slide is None and loaded.size == (800, 1000) and difference(loaded.image, FINEST) == 0
    assert loaded.sha256 == load_image(path.read_bytes()).sha256


def test_a_slide_over_the_limit_is_held_reduced_and_read_from_its_pyramid(path: Path) -> None:
    loaded = load_image(path, SMALL)
    assert loaded.slide is not None and loaded.size == (800, 1000)
    assert loaded.notes == (
        "slide (generic-tiff) of 1000 x 800 pixels, 2 levels, 0.5 micrometres a pixel, 20 x",
        "low, mid and high are each read from its pyramid, and drawn on a reduced copy",
        INTENDED_USE,
    )
    assert load_image(loaded, SMALL) is loaded
    again = load_image(loaded.image, ImagePolicy(max_pixels=1))  # as a processor is handed it
    assert again.slide is loaded.slide and (again.content, again.spacing) == (loaded.content, loaded.spacing)


@pytest.mark.parametrize("box", [(0, 0, 1000, 800), (250, 400, 500, 800), (123.4, 56.7, 345.6, 234.5), (900, 700, 1000, 800)])
@pytest.mark.parametrize("size", [(60, 60), (224, 100)])
def test_what_is_read_is_what_resizing_the_whole_image_gives_there(path: Path, box: Any, size: tuple[int, int]) -> None:
    slide = load_image(path, SMALL).slide
    assert slide is not None
    left, top, right, bottom = box
    height, width = size
    expected = (
        Image.fromarray(FINEST)
        .resize((width, 800), Image.Resampling.BICUBIC, box=(left, 0, right, 800))
        .resize((width, height), Image.Resampling.BICUBIC, box=(0, top, width, bottom))
    )
    error = np.abs(np.asarray(slide.read(box, size), dtype=int) - np.asarray(expected, dtype=int))
    reads_finest = min((right - left) / width, (bottom - top) / height) < 3.9
    assert error.max() <= (1 if reads_finest else 12)


def test_more_than_is_held_at_once_is_averaged_while_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = load_image(f"{path}#region=0,0,1000,700", SMALL).slide
    assert slide is not None
    monkeypatch.setattr(slides, "_HELD", 1)
    monkeypatch.setattr(slides, "_BLOCK", 100)
    whole = slide.read((0, 0, 1000, 700), (70, 100))
    assert difference(whole, Image.fromarray(FINEST[:700]).resize((100, 70), Image.Resampling.BOX)) <= 25
    plain = resize(Image.fromarray(FINEST[:700]), (70, 100), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(whole, dtype=int) - np.asarray(plain, dtype=int)).mean() < 3


def test_a_large_region_is_a_slide_of_its_own(path: Path) -> None:
    loaded = load_image(f"{path}#region=100,50,800,700", SMALL)
    assert loaded.slide is not None and loaded.size == (700, 800)
    assert "region 100,50,800,700: boxes count from its corner" in loaded.notes
    assert difference(loaded.slide.read((10, 20, 110, 120), (100, 100)), FINEST[70:170, 110:210]) == 0
    assert loaded.content not in (load_image(path, SMALL).content, load_image(f"{path}#region=0,50,800,700", SMALL).content)


def test_the_hash_follows_the_content_of_the_file(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.tiff"
    copy.write_bytes(path.read_bytes())
    before = load_image(copy, SMALL).content
    assert before == load_image(path, SMALL).content
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    assert load_image(copy, SMALL).content != before


@pytest.mark.parametrize("power", [20, 40])
def test_the_objective_of_a_vendors_file_is_believed(tmp_path: Path, power: int) -> None:
    file = write_slide(tmp_path / "a.svs", [FINEST], description=APERIO.format(power=power))
    loaded = load_image(f"{file}#magnification=10")
    assert f"slide (aperio) of 1000 x 800 pixels, 1 level, {power} x" in loaded.notes
    assert loaded.size == (800 * 10 // power, 1000 * 10 // power) and loaded.spacing is None
    assert f"is a slide of {power} x, and no more than that is in it" in refusal(f"{file}#magnification={power + 1}")


@pytest.mark.parametrize("options", [{}, {"resolution": (300, 300), "resolutionunit": "INCH"}])
def test_a_slide_without_a_scale_takes_no_magnification_and_printers_dots_are_none(tmp_path: Path, options: Any) -> None:
    file = write_slide(tmp_path / "a.tiff", [FINEST], **options)
    assert "says neither its magnification nor its pixel size" in refusal(f"{file}#magnification=10")
    loaded = load_image(f"{file}#region=0,0,9,9")
    assert loaded.spacing is None and "no magnification or pixel size in it" in loaded.notes[0]


def test_what_cannot_be_read_is_one_line(path: Path, tmp_path: Path) -> None:
    assert "is a slide of 1000 x 800 pixels, and region=900,0,101,10" in refusal(f"{path}#region=900,0,101,10")
    assert "which has no slice" in refusal(f"{path}#region=0,0,1,1&slice=3")
    assert "has 1000 x 800 = 800,000 pixels, over the limit" in refusal(f"{path}#magnification=20")
    assert "magnification=0" in refusal(f"{path}#magnification=0") or "up to 20" in refusal(f"{path}#magnification=0")
    strips = tmp_path / "strips.tiff"
    Image.fromarray(FINEST).save(strips)
    assert "is no slide that OpenSlide reads" in refusal(f"{strips}#region=0,0,1,1")
    assert "has no region" in refusal(f"{_png(tmp_path)}#region=0,0,1,1")
    with pytest.raises(ValueError, match=r"^bytes .* over the limit"):
        load_image(path.read_bytes(), SMALL)


def _png(folder: Path) -> Path:
    Image.new("L", (3, 3)).save(folder / "a.png")
    return folder / "a.png"


def test_a_slide_without_a_level_near_enough_is_refused_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "MAX_READ", 40_000)
    assert "is a slide without a level near enough: " in refusal(path)
    monkeypatch.setattr(slides, "MAX_READ", 800_000)
    slide = load_image(path, SMALL).slide
    assert slide is not None
    monkeypatch.setattr(slides, "MAX_READ", 1000)
    with pytest.raises(ValueError, match=f"^{path} is a slide without a level near enough: 250 x 200 pixels would be read"):
        slide.read((0, 0, 1000, 800), (10, 10))


def test_tiles_that_would_be_held_whole_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "MAX_TILE", 256 * 256 - 1)
    assert "is a slide of tiles of 256 x 256 pixels" in refusal(path)


def test_isolated_a_slide_is_one_image_within_the_limit(path: Path) -> None:
    loaded = load_image(path, ImagePolicy(max_pixels=50_000, isolate=True))
    assert loaded.slide is None and loaded.size == (200, 250)
    assert "1000 x 800 pixels reduced to 250 x 200, in which boxes count" in loaded.notes
    assert difference(loaded.image, Image.fromarray(FINEST).reduce(4)) == 0
    assert "reaches beyond it" in refusal(f"{path}#region=0,0,1001,1", ImagePolicy(isolate=True))


def test_without_openslide_a_region_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    assert load_image(path).size == (800, 1000)
    assert "OpenSlide reads, and it is not installed: " in refusal(f"{path}#region=0,0,1,1")
    assert "over the limit" in refusal(path)


def test_what_a_scanner_left_out_is_white() -> None:
    block = Image.new("RGBA", (2, 1))
    block.putpixel((0, 0), (10, 20, 30, 255))
    assert [slides._on_white(block).getpixel((x, 0)) for x in range(2)] == [(10, 20, 30), (255, 255, 255)]


def test_damage_in_a_tile_is_one_line_when_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "THUMBNAIL", 10_000)  # read from the coarse level, which is whole
    file = write_large(tmp_path / "a.tiff", 1024, (1, 4), lambda reduction, left, top: None)
    data = bytearray(file.read_bytes())
    start = data.index(b"\xff\xd8\xff")  # the first tile
    data[start : start + 300] = bytes(300)
    file.write_bytes(data)
    slide = load_image(file, ImagePolicy(max_pixels=10_000)).slide
    assert slide is not None
    with pytest.raises(ValueError, match=f"^{file} is a damaged slide") as caught:
        slide.read((0, 0, 100, 100), (100, 100))
    assert "\n" not in str(caught.value)
