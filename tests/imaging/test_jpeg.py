"""JPEGs that lost data are refused, noted or let through as the policy says; odd whole ones load as Pillow loads them."""

from __future__ import annotations

import re

import pytest

from dragonfly.imaging import ImagePolicy, load_image
from tests.imaging.images import encoded, reference, rgb

END = b"\xff\xd9"
PHOTO = rgb(60, 80).resize((320, 240))
JPEG, PROGRESSIVE = encoded(PHOTO, "JPEG"), encoded(PHOTO, "JPEG", progressive=True)
CUT = JPEG[: len(JPEG) // 2] + END
NOTE, IGNORE = ImagePolicy(missing_data="note"), ImagePolicy(missing_data="ignore")


@pytest.mark.parametrize(
    "data",
    [
        encoded(PHOTO.convert("CMYK"), "JPEG"),
        encoded(PHOTO.convert("L"), "JPEG"),
        encoded(PHOTO.convert("CMYK"), "JPEG", progressive=True),
        encoded(PHOTO, "JPEG", restart_marker_rows=1),
        encoded(PHOTO, "JPEG", keep_rgb=True),
        encoded(PHOTO, "JPEG", subsampling=0, optimize=True),
        encoded(PHOTO, "JPEG", comment=b"c" * 60_000, icc_profile=b"p" * 200_000),
        encoded(PHOTO, "MPO", save_all=True, append_images=[rgb()]),
        PROGRESSIVE + b"a maker's notes" * 50,
        JPEG + PROGRESSIVE[:500],
        JPEG[:-2] + bytes(4000) + END,
        JPEG[:-2] + b"\xff" * 4000 + END,
        JPEG.replace(b"\xff\xda", b"\xff\xff\xff\xda", 1),
        JPEG.replace(b"JFIF\0\x01", b"JFIF\0\x07"),
        JPEG[:2] + b"\xff\xe1\x04\x00" + JPEG[:1022] + JPEG[2:],  # a thumbnail that is cut, in metadata
    ],
)
def test_whole_files_load_as_pillow_loads_them(data: bytes) -> None:
    loaded = load_image(data)
    assert loaded.image.tobytes() == reference(data)
    assert not any("missing" in note for note in loaded.notes)
    assert load_image(data, IGNORE).image.tobytes() == reference(data)


@pytest.mark.parametrize("whole", [JPEG, PROGRESSIVE, encoded(PHOTO.convert("CMYK"), "JPEG", restart_marker_rows=1)])
@pytest.mark.parametrize("gone", [0.1, 0.3, 0.8])
def test_data_that_is_gone_is_noticed_wherever_it_was(whole: bytes, gone: float) -> None:
    start = whole.index(b"\xff\xda") + 20
    count = int((len(whole) - start) * gone)
    for data in (whole[: -count - 2] + END, whole[:start] + whole[start + count :], whole[:-count] + bytes(count)):
        with pytest.raises(ValueError, match=r"^bytes is a damaged or truncated JPEG file \(.+\); copy or export it again$"):
            load_image(data)


def test_scans_that_are_gone_are_noticed_though_no_byte_is_wrong() -> None:
    scans = [match.start() for match in re.finditer(rb"\xff\xda", PROGRESSIVE)]
    assert len(scans) == 10
    for place in scans[1:]:
        with pytest.raises(ValueError, match=r"JPEG file \(its last scans are missing\)"):
            load_image(PROGRESSIVE[:place] + END)


def test_a_file_without_end_marker_is_whole_if_its_data_is() -> None:
    loaded = load_image(JPEG[:-2])
    assert loaded.image.tobytes() == reference(JPEG)
    assert loaded.notes == ("end marker of the JPEG missing, its data complete",)
    with pytest.raises(ValueError, match="premature end"):
        load_image(JPEG[:-5])


def test_missing_data_is_noted_or_not_looked_for_on_request() -> None:
    noted = load_image(CUT, NOTE)
    assert noted.image.tobytes() == reference(CUT)
    assert re.fullmatch(r"JPEG with missing data \(Corrupt JPEG data: .*\): grey or torn where it is missing", noted.notes[0])
    assert load_image(CUT, IGNORE).notes == ()
    assert load_image(CUT[:-2], NOTE).image.tobytes() == reference(CUT)
    with pytest.raises(ValueError, match="damaged or truncated JPEG file"):
        load_image(CUT[:-2], IGNORE)


def test_scans_that_send_the_same_twice_are_refused() -> None:
    last = PROGRESSIVE.rindex(b"\xff\xda")
    with pytest.raises(ValueError, match="its scans contradict each other"):
        load_image(PROGRESSIVE[:-2] + PROGRESSIVE[last:])
