"""The steps between bytes and upright RGB pixels, in their order; run here or in a process of their own (`worker.py`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image

from dragonfly.imaging.convert import to_rgb
from dragonfly.imaging.decode import decode, readable
from dragonfly.imaging.dicom_file import is_dicom
from dragonfly.imaging.orient import orientation_of, turned
from dragonfly.imaging.pdf import PDF, draw_page
from dragonfly.imaging.policy import INTENDED_USE, ImageError, ImagePolicy
from dragonfly.imaging.view import View


@dataclass(frozen=True)
class Pixels:
    """`image` RGB, upright, without metadata. `mode` PIL's mode before conversion. `notes` what was done.

    `spacing` (height, width) of a pixel in millimetres, where the file says it. `label` which of several it
    is ("frame 3 of 8"), '' for one by itself.
    """

    image: Image.Image
    mode: str
    notes: list[str]
    spacing: tuple[float, float] | None = None
    label: str = ""


def from_bytes(data: bytes, policy: ImagePolicy, view: View | None = None) -> Pixels:
    """One view of a file. Raises ImageError, also for a view that its format does not have."""
    view = view or View()
    if data.startswith(PDF):
        view.check("a PDF", ("page",))
        image, notes = draw_page(data, int(view.page) if view.page else None, policy)
        return from_image(image, 1, policy, notes)
    if is_dicom(data):
        from dragonfly.imaging.dicom import read_dicom

        image, notes, spacing, label = read_dicom(data, view, policy)
        return replace(from_image(image, 1, policy, [*notes, INTENDED_USE]), spacing=spacing, label=label)
    if view.page:
        raise ImageError(f"is no PDF, and only a PDF has pages; leave #{view.page} out")
    view.check("an ordinary image", ())
    image, notes = decode(data, policy)
    return from_image(image, orientation_of(image.info), policy, notes)


def from_image(image: Image.Image, exif: int, policy: ImagePolicy, notes: list[str]) -> Pixels:
    """Of a loaded image that is ours to change, stored under EXIF orientation `exif`. Raises ImageError."""
    with readable("an image that cannot be converted to RGB"):
        mode, exif = image.mode, exif if policy.orient else 1
        rgb, more = to_rgb(image, policy)
        rgb = turned(rgb, exif)
    rgb.info.clear()
    return Pixels(rgb, mode, notes + more + ([f"turned by EXIF orientation {exif}"] if exif != 1 else []))
