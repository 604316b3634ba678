"""What curation knows of an image (hash of its bytes, size, perceptual hash, or its fault), and which images look alike.

Every image passes through `imaging` once; a fault is a value, never an exception. The perceptual hash is the signs of the 64
lowest frequencies of a cosine transform without the mean, so that another brightness, contrast, size or compression changes few
of its bits. Mirroring changes the sign of every odd horizontal frequency, so the mirrored image's hash needs no second transform.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragonfly.files import sha256
from dragonfly.imaging import View, load_image

from .hashing import Indices, Numbers

SIDE = 32  # pixels of the small grey image that is transformed
BITS = 64
PLAIN = 1.5  # grey levels: an image that varies less (standard deviation) looks like every other plain one

# The lowest frequencies but the mean, by (vertical + horizontal), then vertical.
_FREQUENCIES = sorted(((v, h) for v in range(12) for h in range(12) if v + h), key=lambda pair: (sum(pair), pair))[:BITS]
_VERTICAL, _HORIZONTAL = (np.array(axis) for axis in zip(*_FREQUENCIES, strict=True))
_MIRROR = np.where(_HORIZONTAL % 2, -1.0, 1.0)


@dataclass(frozen=True)
class Facts:
    """One image: `key` is the first 64 bits of `sha256`, `height` and `width` are pixels.

    `looks` and `mirrored` are the perceptual hashes of the image and of its mirror image, None where it is too plain to compare.
    `fault` is "reason: detail", and then all else is 0 or None.
    """

    key: int = 0
    sha256: str | None = None
    looks: int | None = None
    mirrored: int | None = None
    height: int = 0
    width: int = 0
    fault: str | None = None


def describe(source: str | bytes, view: View | None = None) -> Facts:
    """The facts of an image given as a path or as encoded bytes and a view. URLs are a fault: nothing is fetched."""
    if isinstance(source, str) and "://" in source:
        return Facts(fault=f"remote-image: {source} would have to be fetched; download it first")
    try:
        image = load_image(source, view=view)
    except ValueError as error:
        reason = "missing-image" if str(error).endswith("does not exist; check the path") else "broken-image"
        return Facts(fault=f"{reason}: {error}")
    digest = image.sha256 or sha256(image.image.tobytes())
    looks = perceptual_hashes(image.image)
    height, width = image.size
    return Facts(int(digest[:16], 16), digest, *(looks or (None, None)), height, width)


def perceptual_hashes(image: Image.Image) -> tuple[int, int] | None:
    """(hash of the image, hash of its mirror image), 64 bits each, or None for an image that is too plain."""
    grey = image.convert("L")
    # Two calls, width and then height, as everywhere: no Pillow version changes a pixel.
    small = grey.resize((SIDE, grey.height), Image.Resampling.BICUBIC).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pixels = np.asarray(small, dtype=np.float64)
    if pixels.std() < PLAIN:
        return None
    basis = _cosines()
    low = (basis @ pixels @ basis.T)[_VERTICAL, _HORIZONTAL]
    return _bits(low), _bits(low * _MIRROR)


def _bits(values: NDArray[np.float64]) -> int:
    # Frequencies that a symmetric image lacks are 0 up to rounding, and must not be decided by it.
    return int(np.packbits(values > 1e-6).view(">u8")[0])


def _cosines() -> NDArray[np.float64]:
    """The rows of the DCT-II that are used: (12, SIDE)."""
    place = np.arange(SIDE)
    return np.cos(np.pi * np.outer(np.arange(12), 2 * place + 1) / (2 * SIDE))


MAX_RADIUS = 11  # beyond it a band may differ in three bits, and the search compares almost each with each

_BANDS, _BAND_BITS = 4, 16
_PAIRS_AT_ONCE = 4_000_000


def near_pairs(hashes: Numbers, others: Numbers, radius: int) -> tuple[Indices, Indices]:
    """All (i, j) where hashes[i] and others[j] differ in at most `radius` of 64 bits, sorted by i, then j; none is missed.

    Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012): two such hashes agree, up to radius // 4 bits, in at least one of
    four 16-bit bands, and every pair found that way is compared whole. ValueError for a radius outside 0 to `MAX_RADIUS`.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"image radius is {radius} bits of 64; give 0 to {MAX_RADIUS} (beyond, unrelated images match)")
    hashes, others = np.asarray(hashes, dtype=np.uint64), np.asarray(others, dtype=np.uint64)
    pairs_of_bands = [np.empty((0, 2), dtype=np.int64)]
    for band in range(_BANDS):
        ours, keys = _band(hashes, band), _band(others, band)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange(2**_BAND_BITS + 1))
        for mask in _masks(radius // _BANDS):
            probes = ours ^ mask
            for left, right in _expanded(starts[probes], starts[probes + 1]):
                right = order[right]  # noqa: PLW2901 - positions in the sorted band become indices
                near = np.bitwise_count(hashes[left] ^ others[right]) <= radius
                pairs_of_bands.append(np.stack([left[near], right[near]], axis=1))
    pairs = np.unique(np.concatenate(pairs_of_bands), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _band(hashes: Numbers, band: int) -> Indices:
    return ((hashes >> np.uint64(band * _BAND_BITS)) & np.uint64(2**_BAND_BITS - 1)).astype(np.int64)


def _masks(most: int) -> Iterator[int]:
    """Every 16-bit number with at most `most` bits set."""
    for bits in range(most + 1):
        for chosen in combinations(range(_BAND_BITS), bits):
            yield sum(1 << bit for bit in chosen)


def _expanded(starts: Indices, ends: Indices) -> Iterator[tuple[Indices, Indices]]:
    """(item, position) for every position from starts[item] up to ends[item], at most some `_PAIRS_AT_ONCE` at a time."""
    counts = ends - starts
    edges = np.flatnonzero(np.diff(np.cumsum(counts) // _PAIRS_AT_ONCE, prepend=0))
    for items in np.split(np.arange(len(counts)), edges):
        own = counts[items]
        left = np.repeat(items, own)
        offset = np.arange(len(left)) - np.repeat(np.cumsum(own) - own, own)
        yield left, starts[left] + offset
