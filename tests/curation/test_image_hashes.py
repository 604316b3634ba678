"""What is told of an image: faults by name, hashes that survive a change of size, compression and side."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from dragonfly.curation.image_hashes import describe, near_pairs, perceptual_hashes
from dragonfly.files import sha256
from tests.curation.fakes import image, saved


def distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def looks(image: Image.Image) -> int:
    hashes = perceptual_hashes(image)
    assert hashes is not None
    return hashes[0]


def test_a_sound_image(tmp_path: Path) -> None:
    path = saved(tmp_path, 1)
    facts = describe(str(path))
    assert facts.fault is None and (facts.height, facts.width) == (48, 64)
    assert facts.sha256 == sha256(path) and f"{facts.key:016x}" == sha256(path)[:16]
    assert describe(path.read_bytes()) == facts


def test_faults_are_values_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(saved(tmp_path, 1).read_bytes()[:200])
    (tmp_path / "words.png").write_text("no image")
    found = {name: describe(str(tmp_path / name)).fault or "" for name in ("cut.png", "words.png", "none.png")}
    assert found["cut.png"].startswith("broken-image: ") and "truncated" in found["cut.png"]
    assert found["words.png"].startswith("broken-image: ") and "is not an image" in found["words.png"]
    assert found["none.png"].startswith("missing-image: ") and found["none.png"].endswith("does not exist; check the path")
    remote = describe("https://example.org/a.png")
    assert remote.fault == "remote-image: https://example.org/a.png would have to be fetched; download it first"


def test_small_changes_move_few_bits_and_other_images_many() -> None:
    for seed in range(20):
        first = image(seed, 160, 120)
        buffer = io.BytesIO()
        first.save(buffer, "JPEG", quality=50)
        changed = (Image.open(io.BytesIO(buffer.getvalue())), first.resize((80, 60)), first.point(lambda value: value * 0.7))
        assert max(distance(looks(first), looks(other)) for other in changed) <= 6
        assert distance(looks(first), looks(image(seed + 100, 160, 120))) > 12


def test_the_second_hash_is_the_mirrored_images_first() -> None:
    for seed in range(10):
        first = image(seed, 96, 64)
        assert perceptual_hashes(ImageOps.mirror(first)) == tuple(reversed(perceptual_hashes(first) or ()))
        assert distance(looks(first), looks(ImageOps.flip(first))) > 12  # upside down is another image


def test_a_plain_image_has_no_looks() -> None:
    assert perceptual_hashes(Image.new("RGB", (50, 50), (10, 200, 30))) is None
    faint = np.full((50, 50), 100, dtype=np.uint8)
    faint[::2] += 1
    assert perceptual_hashes(Image.fromarray(faint)) is None


@given(st.integers(0, 2**32), st.integers(0, 11), st.integers(2, 60))
@settings(max_examples=40, deadline=None)
def test_every_near_pair_is_found_and_no_other(seed: int, radius: int, count: int) -> None:
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    for place in range(1, count, 2):  # a neighbour some bits away, spread or within one band
        bits = random.choice(64 if place % 4 == 1 else 16, random.integers(0, 14), replace=False)
        hashes[place] = hashes[place - 1] ^ np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64), initial=np.uint64(0))
    others = hashes[::2]
    expected = np.argwhere(np.bitwise_count(hashes[:, None] ^ others[None]) <= radius)
    found = np.stack(near_pairs(hashes, others, radius), axis=1)
    assert np.array_equal(found, expected)


def test_a_radius_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="image radius is 12 bits of 64; give 0 to 11"):
        near_pairs(np.zeros(1, np.uint64), np.zeros(1, np.uint64), 12)
