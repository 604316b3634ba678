"""Decoding apart gives the same pixels and the same refusals, and whatever the process does ends as one line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from dragonfly.imaging import ImagePolicy, load_image, worker
from tests.imaging.images import encoded, exif, rgb

APART = ImagePolicy(isolate=True)
DATA = encoded(rgb(), "PNG")


def test_the_same_pixels_notes_and_hash_come_back() -> None:
    image = rgb(700, 300)  # more rows than travel at once
    image.putalpha(rgb(700, 300, 1).convert("L"))
    data = encoded(image, "PNG", exif=exif(6))
    apart, here = load_image(data, APART), load_image(data)
    assert apart.image.tobytes() == here.image.tobytes()
    assert (apart.size, apart.mode, apart.sha256) == (here.size, here.mode, here.sha256) == ((300, 700), "RGBA", here.sha256)
    assert apart.notes == here.notes == ("alpha blended on white", "turned by EXIF orientation 6")
    assert apart.policy == APART


@pytest.mark.parametrize(
    ("data", "policy"),
    [(encoded(rgb(), "JPEG")[:-100], APART), (b"question,answer", APART), (DATA, replace(APART, max_pixels=100))],
)
def test_refusals_are_the_same_line(data: bytes, policy: ImagePolicy) -> None:
    with pytest.raises(ValueError) as apart:
        load_image(data, policy)
    with pytest.raises(ValueError) as here:
        load_image(data, replace(policy, isolate=False))
    assert str(apart.value) == str(here.value)


def test_memory_is_bounded() -> None:
    data = encoded(Image.new("RGB", (3000, 3000)), "PNG", compress_level=1)
    with pytest.raises(ValueError, match=r"^bytes needs more memory than this process may use; make it smaller$"):
        load_image(data, replace(APART, memory=2**24))


ENDLESS = (
    "import sys; from dragonfly.imaging import worker, ImagePolicy; worker._bound(ImagePolicy(cpu_seconds=0))\nwhile True: pass"
)


@pytest.mark.parametrize(
    ("program", "seconds", "fault"),
    [
        (ENDLESS, 20, r"takes more than 20 seconds to decode"),
        ("import time; time.sleep(60)", 0, r"takes more than 0 seconds to decode"),
        ("import os; os.abort()", 20, r"stops the process that decodes it"),
        ("print('no answer')", 20, r"stops the process that decodes it"),
        ('print(\'{"width": 99999999, "height": 9999, "mode": "RGB", "notes": []}\')', 20, r"stops the process"),
        ('print(\'{"width": 9, "height": 9, "mode": "RGB", "notes": []}\')', 20, r"stops the process"),
        ('print(\'{"error": "is \\\\u001b[2J odd"}\')', 20, r"^bytes is \?\[2J odd$"),
    ],
)
def test_a_process_that_hangs_dies_or_lies_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, program: str, seconds: int, fault: str
) -> None:
    monkeypatch.setattr(worker, "_CHILD", program)
    with pytest.raises(ValueError, match=fault):
        load_image(DATA, replace(APART, cpu_seconds=seconds))
