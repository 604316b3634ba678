"""What the door lets in, and how odd images become RGB. Data only, and the error of everything that is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ImagePolicy:
    """Limits and conversions for `load_image`.

    `max_pixels` width x height, checked before anything is decoded (the default is where Pillow itself refuses).
    `max_bytes` size of the encoded image. `orient` turn by the EXIF orientation. `alpha` "white": blend on white;
    "drop": keep the stored colours. `sixteen_bit` "scale": 0..65535 becomes 0..255; "saturate": Pillow's conversion,
    which cuts at 255. `urls` "refuse", or "public": fetch http(s) from public addresses only. `timeout` seconds for
    one fetch, redirects included, name resolution excluded.
    """

    max_pixels: int = 178_956_970
    max_bytes: int = 256 * 2**20
    orient: bool = True
    alpha: Literal["white", "drop"] = "white"
    sixteen_bit: Literal["scale", "saturate"] = "scale"
    urls: Literal["refuse", "public"] = "refuse"
    timeout: float = 10.0


class ImageError(ValueError):
    """A refusal in our own words, as a predicate ("is empty ..."): `load_image` puts the image's name before it.

    Told apart from the ValueErrors of Pillow's decoders, whose words need explaining.
    """


DEFAULT_POLICY = ImagePolicy()

RELEASED_POLICY = ImagePolicy(orient=False, alpha="drop", sixteen_bit="saturate")
"""What the released weights were trained with: bit for bit Pillow's `.convert("RGB")` of the first frame."""
