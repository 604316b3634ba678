"""What the curation knows of an image: its bytes' hash, its size, a hash of how it looks, or why it cannot be used.

Promises that every image passes through `imaging`, once, and that a fault is a value and never an exception. The perceptual
hash is the signs of the 64 lowest frequencies of a cosine transform (the mean left out), so a change of brightness or
contrast, another size or another compression changes few of its bits. Mirroring turns the sign of every odd
horizontal frequency, so the hash of the mirrored image comes for free. Knows nothing of rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragonfly.files import sha256
from dragonfly.imaging import load_image

SIDE = 32  # pixels of the small grey image that is transformed
BITS = 64
PLAIN = 1.5  # grey levels: an image that varies less (standard deviation) looks like every other plain one

# The lowest frequencies but the mean, by (vertical + horizontal), then vertical.
_FREQUENCIES = sorted(((v, h) for v in range(12) for h in range(12) if v + h), key=lambda pair: (sum(pair), pair))[:BITS]
_VERTICAL, _HORIZONTAL = (np.array(axis) for axis in zip(*_FREQUENCIES, strict=True))
_MIRROR = np.where(_HORIZONTAL % 2, -1.0, 1.0)


@dataclass(frozen=True)
class Facts:
    """One image. `key` is the first 64 bits of `sha256`; `looks` and `mirrored` are None where it is too plain to compare.

    `fault` is "reason: detail", and then the rest is 0 or None.
    """

    key: int = 0
    sha256: str | None = None
    looks: int | None = None
    mirrored: int | None = None
    height: int = 0
    width: int = 0
    fault: str | None = None


def describe(source: str | bytes) -> Facts:
    """The facts of an image given as a path or as encoded bytes. URLs are a fault: nothing is fetched."""
    if isinstance(source, str) and "://" in source:
        return Facts(fault=f"remote-image: {source} would have to be fetched; download it first")
    try:
        image = load_image(source)
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
