"""What the door lets in, and how odd images become RGB. Data only, and the error of everything that is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ImagePolicy:
    """Limits and conversions for `load_image`.

    `max_pixels` width x height, checked before anything is decoded (the default, 2**26, leaves a process of 2 GiB alive).
    `max_bytes` size of the encoded image. `missing_data` of a JPEG: "refuse" the image; "note" it and show grey there;
    "ignore": do not look, which saves a second reading of trusted data. `orient` turn by the EXIF orientation. `alpha`
    "white": blend on white; "drop": keep the stored colours. `sixteen_bit` "scale": 0..65535 becomes 0..255; "saturate":
    Pillow's conversion, which cuts at 255. `urls` "refuse", or "public": fetch http(s) from public addresses only;
    `domains` where any is named, from these hosts and their subdomains only. `timeout` seconds for one fetch, redirects and
    name resolution included. `isolate` decode bytes, files and URLs in a process of their own, one for each image, that may
    use `cpu_seconds` and `memory` bytes: for images from strangers. `pdf_dpi` dots per inch at which a page of a PDF is
    drawn, fewer where they would be more than `max_pixels`.
    """

    max_pixels: int = 2**26
    max_bytes: int = 256 * 2**20
    missing_data: Literal["refuse", "note", "ignore"] = "refuse"
    orient: bool = True
    alpha: Literal["white", "drop"] = "white"
    sixteen_bit: Literal["scale", "saturate"] = "scale"
    urls: Literal["refuse", "public"] = "refuse"
    domains: tuple[str, ...] = ()
    timeout: float = 10.0
    isolate: bool = False
    cpu_seconds: int = 10
    memory: int = 3 * 2**29
    pdf_dpi: int = 200

    def serves(self, wanted: ImagePolicy) -> bool:
        """Whether pixels that were let in under this policy are those that `wanted` gives, its limit on pixels aside.

        So that what was decoded apart, or fetched, is not decoded here or fetched again by a caller with other limits.
        """
        kinds = ("orient", "alpha", "sixteen_bit", "pdf_dpi")
        alike = all(getattr(self, name) == getattr(wanted, name) for name in kinds)
        return alike and self.missing_data in ("refuse", wanted.missing_data)


class ImageError(ValueError):
    """A refusal in our own words, as a predicate ("is empty ..."): `load_image` puts the image's name before it.

    Told apart from the ValueErrors of Pillow's decoders, whose words need explaining.
    """


def check_pixels(size: tuple[int, int], policy: ImagePolicy) -> None:
    """Raise ImageError if `size` (width, height: PIL's order) is over the limit. Looks at no pixel."""
    width, height = size
    if width * height > policy.max_pixels:
        raise ImageError(
            f"has {width} x {height} = {width * height:,} pixels, over the limit of {policy.max_pixels:,}; "
            f"make it smaller or, if you trust it, allow it: --max-pixels {width * height} of ask, zoom and chat "
            "(in Python: ImagePolicy.max_pixels)"
        )


def check_bytes(count: int, policy: ImagePolicy) -> None:
    """Raise ImageError if an encoded image is over the limit."""
    if count > policy.max_bytes:
        raise ImageError(f"has {count:,} bytes, over the limit of {policy.max_bytes:,}; make it smaller")


INTENDED_USE = "research use, not a medical device"
"""The note of every scan and slide: it goes wherever an answer about one is shown."""

DEFAULT_POLICY = ImagePolicy()

RELEASED_POLICY = ImagePolicy(orient=False, alpha="drop", sixteen_bit="saturate")
"""What the released weights were trained with: bit for bit Pillow's `.convert("RGB")` of the first frame."""
