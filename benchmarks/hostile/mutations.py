"""Good images of every format, and what breaks them: flipped bits, a cut, a zeroed tail, pieces moved, data taken out."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from hostile.bombs import encoded
from PIL import Image

WIDTH, HEIGHT = 160, 120


def photo(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Smooth colours under noise, so that its data compresses like a photograph's."""
    random_state = np.random.default_rng(seed)
    colours = random_state.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC), dtype=int)
    return Image.fromarray((smooth + random_state.integers(-9, 10, smooth.shape)).clip(0, 255).astype(np.uint8))


def see_through() -> Image.Image:
    image = photo()
    image.putalpha(photo(1).convert("L"))
    return image


def animated(kind: str) -> bytes:
    frames = [photo(index, 64, 48) for index in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def seeds() -> dict[str, bytes]:
    """Name, "format: what it is", and bytes."""
    image, grey = photo(), photo().convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    return {
        "JPEG: baseline": encoded(image, "JPEG"),
        "JPEG: progressive": encoded(image, "JPEG", progressive=True),
        "JPEG: grey": encoded(grey, "JPEG"),
        "JPEG: CMYK": encoded(image.convert("CMYK"), "JPEG"),
        "JPEG: restart markers": encoded(image, "JPEG", restart_marker_rows=1),
        "JPEG: 4:4:4, optimised": encoded(image, "JPEG", subsampling=0, optimize=True),
        "PNG: RGB": encoded(image, "PNG"),
        "PNG: RGBA": encoded(see_through(), "PNG"),
        "PNG: palette": encoded(image.quantize(64), "PNG", transparency=3),
        "PNG: 16 bits": encoded(deep, "PNG"),
        "PNG: animated": animated("PNG"),
        "GIF: one frame": encoded(image.quantize(64), "GIF"),
        "GIF: animated": animated("GIF"),
        "WEBP: lossy": encoded(image, "WEBP"),
        "WEBP: lossless": encoded(see_through(), "WEBP", lossless=True),
        "WEBP: animated": animated("WEBP"),
        "AVIF: RGB": encoded(image, "AVIF", speed=10),
        "BMP: RGB": encoded(image, "BMP"),
        "BMP: palette": encoded(image.quantize(64), "BMP"),
        "TIFF: raw": encoded(image, "TIFF"),
        "TIFF: LZW": encoded(image, "TIFF", compression="tiff_lzw"),
        "TIFF: deflate": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF: JPEG": encoded(image, "TIFF", compression="jpeg"),
        "TIFF: pages": animated("TIFF"),
        "PPM: RGB": encoded(image, "PPM"),
        "PPM: bits": encoded(image.convert("1"), "PPM"),
    }


def flipped(data: bytes, dice: random.Random) -> bytes:
    """One to twenty bits; half of the files in their first 200 bytes, where headers are."""
    out, reach = bytearray(data), min(200, len(data)) if dice.random() < 0.5 else len(data)
    for _ in range(dice.randint(1, 20)):
        out[dice.randrange(reach)] ^= 1 << dice.randrange(8)
    return bytes(out)


def truncated(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(1, len(data))]


def zeroed(data: bytes, dice: random.Random) -> bytes:
    """Zeros from somewhere on, as a download leaves them that was given its size before its bytes."""
    keep = dice.randrange(1, len(data))
    return data[:keep] + bytes(len(data) - keep)


def spliced(data: bytes, dice: random.Random) -> bytes:
    """A piece copied over another place, inserted there, or swapped with it."""
    length = dice.randint(1, max(1, len(data) // 4))
    one, two = sorted(dice.randrange(len(data)) for _ in range(2))
    piece = data[one : one + length]
    return dice.choice(
        [data[:two] + piece + data[two + length :], data[:two] + piece + data[two:], data[:one] + data[two:] + piece]
    )


def robbed(data: bytes, dice: random.Random) -> bytes:
    """10 to 80 % of the data gone, from its end or its middle, the last bytes (an end marker) kept."""
    head, gone = len(data) // 8, int(len(data) * dice.uniform(0.1, 0.8))
    start = dice.choice([len(data) - 2 - gone, dice.randint(head, max(head, len(data) - 2 - gone))])
    start = max(start, head)
    return data[:start] + data[min(start + gone, len(data) - 2) :]


MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped bits": flipped,
    "truncated": truncated,
    "zeroed tail": zeroed,
    "spliced": spliced,
    "data taken out": robbed,
}
