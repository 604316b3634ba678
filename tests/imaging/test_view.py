"""A view is written one way, is part of what an image is known by, and is never left out silently."""

from pathlib import Path

import pytest
from PIL import Image

from dragonfly.imaging import View, join_view, load_image, split_view
from dragonfly.imaging.policy import ImageError


@pytest.mark.parametrize(
    ("source", "place", "parts"),
    [
        ("scan.pdf#2", "scan.pdf", {"page": "2"}),
        ("scan.dcm#window=lung", "scan.dcm", {"window": "lung"}),
        ("a#b/scan.dcm#window=-600,1500&frame=3-8", "a#b/scan.dcm", {"window": "-600,1500", "frame": "3-8"}),
        ("series/#slices=8", "series/", {"slices": "8"}),
        ("brain.nii.gz#plane=Axial&slice=60", "brain.nii.gz", {"plane": "axial", "slice": "60"}),
        ("slide.svs#region=0,10,512,256", "slide.svs", {"region": "0,10,512,256"}),
        ("page#two.png", "page#two.png", {}),
        ("data:image/png;base64,AA==#page=2", "data:image/png;base64,AA==#page=2", {}),
    ],
)
def test_a_name_is_taken_apart(source: str, place: str, parts: dict[str, str]) -> None:
    found, view = split_view(source)
    assert (found, view.parts) == (place, parts)


def test_a_file_of_the_whole_name_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "scan.png#window=lung"
    Image.new("RGB", (3, 2), "red").save(path, "PNG")
    assert split_view(str(path)) == (str(path), View())
    assert load_image(path).size == (2, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("colour=red", "'colour', which is not known"),
        ("window=", "empty 'window'"),
        ("slice=3&slice=4", "'slice' twice"),
        ("slice=middle", "slice='middle'"),
        ("plane=oblique", "plane='oblique'"),
        ("region=1,2,3", "region='1,2,3'"),
        ("region=0,0,0,5", "region='0,0,0,5'"),
    ],
)
def test_a_view_that_cannot_be_meant_is_refused(words: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        split_view(f"scan.dcm#{words}")


def test_equal_views_have_one_text_and_parse_back() -> None:
    one, other = View.parse("slice=60&plane=axial"), View.parse("plane=axial&slice=60")
    assert one == other
    assert one.text == other.text
    assert View.parse(one.text) == one
    assert View.parse("07").text == "7"


def test_fields_of_a_row_join_a_name_that_has_a_view() -> None:
    assert join_view("scan.dcm#window=lung", View.of({"frame": 3, "window": None})) == "scan.dcm#frame=3&window=lung"
    assert join_view("scan.dcm", View()) == "scan.dcm"


def test_what_a_format_lacks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (2, 2)).save(path)
    with pytest.raises(ValueError, match=r"a\.png#window=lung is an ordinary image, which has no window; leave #window=lung out"):
        load_image(f"{path}#window=lung")
    with pytest.raises(ValueError, match="loaded already, which has no window"):
        load_image(load_image(path), view=View(window="lung"))


def test_several_images_are_told_from_one() -> None:
    assert View.parse("slices=8").is_several
    assert View.parse("frame=2-5").is_several
    assert not View.parse("slices=8&montage=2x4").is_several
    assert not View.parse("slice=8").is_several
