"""The steps between bytes and upright RGB pixels, in their order; run here or in a process of their own (`worker.py`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from dragonfly.imaging import nifti
from dragonfly.imaging.convert import DEEP, to_rgb
from dragonfly.imaging.decode import decode, readable
from dragonfly.imaging.dicom_file import is_dicom
from dragonfly.imaging.grey import Window, parse_window
from dragonfly.imaging.orient import orientation_of, turned
from dragonfly.imaging.pdf import PDF, draw_page
from dragonfly.imaging.policy import INTENDED_USE, ImageError, ImagePolicy, check_bytes
from dragonfly.imaging.slide import Slide, read_slide
from dragonfly.imaging.view import View


@dataclass(frozen=True)
class Pixels:
    """`image` RGB, upright, without metadata. `mode` PIL's mode before conversion. `notes` what was done.

    `spacing` (height, width) of a pixel in millimetres, where the file says it. `label` which of several it is ("frame 3 of 8"),
    '' for one by itself. `slide` what `image` is a reduced copy of.
    """

    image: Image.Image
    mode: str
    notes: list[str]
    spacing: tuple[float, float] | None = None
    label: str = ""
    slide: Slide | None = None


def from_bytes(data: bytes, policy: ImagePolicy, view: View | None = None) -> Pixels:
    """One view of a file. Raises ImageError, also for a view that its format does not have."""
    view = view or View()
    if data.startswith(PDF):
        view.check("a PDF", ("page",))
        image, notes = draw_page(data, int(view.page) if view.page else None, policy)
        return from_image(image, 1, policy, notes)
    if nifti.is_nifti(data):
        view.check("a NIfTI volume", nifti.READABLE)
        image, notes, spacing, label = nifti.draw_slice(data, view, policy)
        return replace(from_image(image, 1, policy, [*notes, INTENDED_USE]), spacing=spacing, label=label)
    if is_dicom(data):
        from dragonfly.imaging.dicom import read_dicom

        image, notes, spacing, label = read_dicom(data, view, policy)
        return replace(from_image(image, 1, policy, [*notes, INTENDED_USE]), spacing=spacing, label=label)
    if view.page:
        raise ImageError(f"is no PDF, and only a PDF has pages; leave #{view.page} out")
    view.check("an ordinary image", ("window",))
    image, notes = decode(data, policy)
    if not image.mode.startswith(DEEP):
        view.check("an ordinary image", ())
    window = parse_window(view.window, {}) if view.window else None
    return from_image(image, orientation_of(image.info), policy, notes, window)


def from_file(path: str | Path, policy: ImagePolicy, view: View, *, whole: bool = False) -> Pixels:
    """One view of a file that may be a slide; `whole` as one image, however large. Raises ImageError."""
    if found := read_slide(path, view, policy, whole=whole):
        return Pixels(found.image, "RGB", [*found.notes, INTENDED_USE], found.spacing, slide=found.slide)
    check_bytes(Path(path).stat().st_size, policy)
    return from_bytes(Path(path).read_bytes(), policy, view)


def from_image(image: Image.Image, exif: int, policy: ImagePolicy, notes: list[str], window: Window | None = None) -> Pixels:
    """Of a loaded image that is ours to change, stored under EXIF orientation `exif`. Raises ImageError."""
    with readable("an image that cannot be converted to RGB"):
        mode, exif = image.mode, exif if policy.orient else 1
        rgb, more = to_rgb(image, policy, window)
        rgb = turned(rgb, exif)
    rgb.info.clear()
    return Pixels(rgb, mode, notes + more + ([f"turned by EXIF orientation {exif}"] if exif != 1 else []))
