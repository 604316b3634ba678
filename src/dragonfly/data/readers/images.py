"""An image as rows name it, as an `ImageRef`. Opens nothing: existence and content are checked by the callers."""

import base64
import binascii
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dragonfly.imaging import VIEW_PARTS

from ..errors import BadSample
from ..manifest import is_url
from ..sample import ImageRef
from .views import viewed


def image_refs(value: Any, root: Path | None, group: str | None = None) -> tuple[ImageRef, ...]:
    """Nothing, one image or a list of them, in order."""
    if value is None or value == "":
        return ()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(image_ref(item, root, group) for item in value)
    return (image_ref(value, root, group),)


def image_ref(value: Any, root: Path | None, group: str | None = None) -> ImageRef:
    """A path or URL, a data: URI, encoded bytes, {"bytes", "path"}, {"url"} or a PIL image. Else `BadSample`.

    An object may say besides which view of the image it means: {"path": "scan.dcm", "window": "lung"}.
    """
    if isinstance(value, dict):
        if said := {name: value[name] for name in VIEW_PARTS if value.get(name) not in (None, "")}:
            return viewed(said, image_ref({name: part for name, part in value.items() if name not in said}, root, group))
        value = next((value[key] for key in ("bytes", "path", "url", "image") if value.get(key)), None)
    if isinstance(value, Image.Image):
        return ImageRef(bytes=_png(value), group=group)
    if isinstance(value, bytes):
        return ImageRef(bytes=value, group=group)
    if not isinstance(value, str) or not value:
        raise BadSample("bad-image-field", f"{type(value).__name__}; a path, bytes or an image is expected")
    if value.startswith("data:"):
        return ImageRef(bytes=_data_uri(value), group=group)
    if is_url(value) or root is None:
        return ImageRef(path=value, group=group)
    # By name alone: a link inside the folder was put there by whoever owns it, a row's path by whoever wrote the row.
    if not Path(os.path.abspath(root / value)).is_relative_to(os.path.abspath(root)):  # noqa: PTH100
        raise BadSample("outside-root", f"{value} lies outside {root}; name the folder that holds all images as image_root")
    return ImageRef(path=str(root / value), group=group)


def _png(image: Image.Image) -> bytes:
    """Lossless bytes of an already decoded image; modes that PNG lacks (CMYK, ...) become RGB."""
    buffer = io.BytesIO()
    (image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


def _data_uri(uri: str) -> bytes:
    header, _, body = uri.partition(",")
    try:
        if not header.endswith(";base64"):
            raise ValueError(header[:60])
        return base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error):
        raise BadSample("bad-image-field", "a data: URI that is not base64; write data:image/png;base64,...") from None
