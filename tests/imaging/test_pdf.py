"""Pages of a PDF: which, how large, within which limits, and one line for what cannot be drawn."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dragonfly.imaging import ImagePolicy, load_image
from dragonfly.installation import install_advice

COLOURS = ["red", "lime", "blue"]


def document(*objects: str, size: str = "300 144", trailer: str = "") -> bytes:
    """A PDF of one page of a size in points, written by hand; more objects and entries of the trailer as given."""
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size}] >>"
    body = ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, *objects]
    data = bytearray(b"%PDF-1.4\n")
    places = []
    for number, text in enumerate(body, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{text}\nendobj\n".encode()
    start = len(data)
    data += f"xref\n0 {len(body) + 1}\n0000000000 65535 f \n".encode() + b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(data + f"trailer << /Size {len(body) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode())


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Three pages of 72 x 36 points, one colour each."""
    pages = [Image.new("RGB", (72, 36), colour) for colour in COLOURS]
    path = tmp_path / "scan.pdf"
    pages[0].save(path, "PDF", save_all=True, append_images=pages[1:], resolution=72)
    return path


@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_page_is_named_by_its_number_and_drawn_at_200_dpi(scan: Path, page: int, kind: type) -> None:
    loaded = load_image(kind(f"{scan}#{page}"))
    assert loaded.size == (100, 200) and loaded.source == f"{scan}#{page}"
    expected = Image.new("RGB", (1, 1), COLOURS[page - 1]).getpixel((0, 0))
    assert np.abs(np.asarray(loaded.image, dtype=int) - expected).max() < 4
    assert loaded.notes == (f"PDF: page {page} of 3, drawn at 200 dpi",)


def test_without_a_number_it_is_the_first_and_that_is_said_where_there_are_more(scan: Path) -> None:
    loaded = load_image(scan)
    assert loaded.image.tobytes() == load_image(f"{scan}#1").image.tobytes()
    assert loaded.notes == ("PDF: page 1 of 3, drawn at 200 dpi; #2 after the name is the second",)
    assert load_image(document()).notes == ("PDF: page 1 of 1, drawn at 200 dpi",)


def test_pages_of_a_file_are_different_images_to_a_cache(scan: Path) -> None:
    keys = [load_image(f"{scan}#{page}").content for page in (1, 2, 3)]
    assert len(set(keys)) == 3 and load_image(scan).content == keys[0]


def test_a_file_of_the_whole_name_comes_first(scan: Path) -> None:
    other = scan.with_name("scan.pdf#2")
    Image.new("RGB", (5, 4)).save(other, "PNG")
    assert load_image(other).size == (4, 5) and load_image(str(other)).size == (4, 5)


def test_the_worker_draws_the_same(scan: Path) -> None:
    alone = load_image(f"{scan}#2", ImagePolicy(isolate=True))
    here = load_image(f"{scan}#2")
    assert (alone.image.tobytes(), alone.notes, alone.sha256) == (here.image.tobytes(), here.notes, here.sha256)


@pytest.mark.parametrize("page", [0, 4, 999999])
def test_a_page_that_there_is_not(scan: Path, page: int) -> None:
    with pytest.raises(ValueError, match=rf"scan.pdf#{page} is a PDF of 3 pages, counted from 1, and has no page {page}$"):
        load_image(f"{scan}#{page}")


def test_names_with_a_number_that_are_no_page(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png#2 is no PDF, and only a PDF has pages; leave #2 out"):
        load_image(tmp_path / "a.png#2")
    with pytest.raises(ValueError, match=r"none\.pdf#2 does not exist; check the path"):
        load_image(tmp_path / "none.pdf#2")


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 14_400), st.integers(1, 14_400), st.integers(400, 60_000))
def test_any_page_is_drawn_within_the_limit_on_pixels(width: int, height: int, limit: int) -> None:
    policy = ImagePolicy(max_pixels=limit)
    data = document(size=f"{width} {height}")
    if max(width, height) / min(width, height) > limit / 4:  # less than a pixel wide or so
        with suppress(ValueError):
            load_image(data, policy)
        return
    loaded = load_image(data, policy)
    assert 1 <= loaded.size[0] * loaded.size[1] <= limit
    dpi = int(loaded.notes[0].partition("drawn at ")[2].removesuffix(" dpi"))
    assert dpi <= 200 and loaded.size[1] == pytest.approx(width * dpi / 72, abs=2 + width / 72)


def test_other_dots_per_inch_are_another_policy(scan: Path) -> None:
    coarse = ImagePolicy(pdf_dpi=72)
    loaded = load_image(scan, coarse)
    assert loaded.size == (36, 72) and load_image(loaded).size == (100, 200)


ENCRYPTED = document(
    f"<< /Filter /Standard /V 1 /R 2 /O <{'ab' * 32}> /U <{'cd' * 32}> /P -4 >>",
    trailer=f"/Encrypt 4 0 R /ID [<{'ef' * 16}> <00>]",
)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (ENCRYPTED, "is a PDF that asks for a password; save it without one"),
        (document()[:60], "is a damaged PDF file"),
        (b"%PDF-1.7", "is a damaged PDF file"),
        (document().replace(b"/Kids [3 0 R] /Count 1", b"/Kids [     ] /Count 0"), "is a damaged PDF file"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(data: bytes, said: str) -> None:
    for policy in (ImagePolicy(), ImagePolicy(isolate=True)):
        with pytest.raises(ValueError) as caught:
            load_image(data, policy)
        assert said in str(caught.value) and "\n" not in str(caught.value) and str(caught.value).startswith("bytes ")


def test_a_missing_package_is_named_with_what_installs_it_here(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(ValueError) as caught:
        load_image(scan)
    assert f"is not installed: {install_advice('pdf')}; or save the page as PNG" in str(caught.value)
