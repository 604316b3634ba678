"""One page of a PDF becomes an image, drawn at a stated number of dots per inch. pypdfium2 (extra `pdf`) draws it.

Pixels are within the policy's limit, whatever size a page claims. Scripts are not run. Who does not trust a file isolates it
(`worker.py`): how long a page takes to draw is bounded there alone.
"""

from __future__ import annotations

import math
import threading
from typing import Any

from PIL import Image

from dragonfly.imaging.decode import readable
from dragonfly.imaging.policy import ImageError, ImagePolicy
from dragonfly.installation import install_advice

PDF = b"%PDF-"
_POINTS = 72  # of an inch: the unit of a page's size
_lock = threading.Lock()  # PDFium is not made for threads


def draw_page(data: bytes, page: int | None, policy: ImagePolicy) -> tuple[Image.Image, list[str]]:
    """RGB pixels of a page, counted from 1, and a note that says which of how many and how it was drawn. Raises ImageError."""
    try:
        import pypdfium2  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise ImageError(
            f"is a PDF, which pypdfium2 reads, and it is not installed: {install_advice('pdf')}; or save the page as PNG"
        ) from None
    with _lock, readable("a damaged PDF file"):
        try:
            document: Any = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise ImageError("is a PDF that asks for a password; save it without one") from None
            raise
        try:
            return _drawn(document, page, policy)
        finally:
            document.close()


def _drawn(document: Any, page: int | None, policy: ImagePolicy) -> tuple[Image.Image, list[str]]:
    count = len(document)
    number = 1 if page is None else page
    if not 1 <= number <= count:
        raise ImageError(f"is a PDF of {count} page{'s' * (count != 1)}, counted from 1, and has no page {number}")
    document.init_forms()  # what was filled in is drawn too
    opened = document[number - 1]
    width, height = opened.get_size()
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise ImageError(f"is a PDF whose page {number} has no area; save it as PNG")
    scale, most = policy.pdf_dpi / _POINTS, policy.max_pixels
    while math.ceil(width * scale) * math.ceil(height * scale) > most:  # rounding up may need a second step
        if width * scale < 1 or height * scale < 1:
            raise ImageError(f"is a PDF whose page {number} is too long for {most:,} pixels; save it as PNG")
        scale *= 0.999 * min(1.0, math.sqrt(most / (width * scale * height * scale)))
    image = opened.render(scale=scale).to_pil().convert("RGB")
    drawn = f"drawn at {scale * _POINTS:.0f} dpi"
    if page is None and count > 1:
        return image, [f"PDF: page 1 of {count}, {drawn}; #2 after the name is the second"]
    return image, [f"PDF: page {number} of {count}, {drawn}"]
