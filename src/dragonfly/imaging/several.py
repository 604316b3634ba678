"""Which frames or slices of how many a view means, and several of them in one image."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from dragonfly.imaging.policy import ImageError, ImagePolicy, check_pixels

MAX_SEVERAL = 256
"""Images that one view may stand for."""


def evenly(count: int, total: int) -> list[int]:
    """`count` of the numbers 1 to `total`, evenly spread: the middle of each of as many equal parts."""
    return [(2 * part + 1) * total // (2 * count) + 1 for part in range(count)]


def chosen(what: str, one: str, spread: str, total: int) -> list[int]:
    """The numbers, from 1, that `frame=` and `frames=` (or `slice=`, `slices=`) mean; [] where neither is given.

    Raises:
        ImageError: for a number that there is not.
    """
    if one and spread:
        raise ImageError(f"has a view with both {what}={one} and {what}s={spread}; give one of the two")
    if spread:
        count = int(spread)
        if not 1 <= count <= min(total, MAX_SEVERAL):
            most = min(total, MAX_SEVERAL)
            raise ImageError(
                f"has {total} {what}{'s' * (total != 1)}, and {what}s={count} asks for too many or none; accepted: 1 to {most}"
            )
        return evenly(count, total)
    if not one:
        return []
    first, _, last = ("1", "-", str(total)) if one == "all" else one.partition("-")
    begin, end = int(first), int(last or first)
    if not 1 <= begin <= end <= total:
        raise ImageError(f"has {total} {what}{'s' * (total != 1)}, counted from 1, and no {what} {one}")
    if end - begin >= MAX_SEVERAL:
        raise ImageError(
            f"has a view of {end - begin + 1} {what}s, over the limit of {MAX_SEVERAL}; {what}s=8 takes eight of them"
        )
    return list(range(begin, end + 1))


def cells(montage: str) -> tuple[int, int]:
    """(rows, columns) of `3x4`."""
    rows, _, columns = montage.partition("x")
    return int(rows), int(columns)


def in_montage(montage: str, numbers: Sequence[int], total: int, what: str) -> list[int]:
    """What stands in a montage: the numbers that are asked for, else as many evenly spread as it has cells. Raises ImageError."""
    rows, columns = cells(montage)
    if len(numbers) > rows * columns:
        raise ImageError(f"has a montage of {montage} for {len(numbers)} {what}s; it has {rows * columns} cells")
    return list(numbers) or evenly(min(rows * columns, total), total)


def check_montage(montage: str, size: tuple[int, int], policy: ImagePolicy) -> None:
    """Raise ImageError if a montage of images of `size` (width, height) is over the limit of pixels."""
    rows, columns = cells(montage)
    check_pixels((size[0] * columns, size[1] * rows), policy)


def tiled(montage: str, images: Sequence[Image.Image], policy: ImagePolicy) -> Image.Image:
    """RGB images of one size side by side, row by row; what is left is black. Raises ImageError."""
    rows, columns = cells(montage)
    if len({image.size for image in images}) > 1:
        raise ImageError("holds images of different sizes, which make no montage; ask about them one by one")
    width, height = images[0].size
    check_montage(montage, images[0].size, policy)
    page = Image.new("RGB", (width * columns, height * rows))
    for place, image in enumerate(images):
        page.paste(image, (place % columns * width, place // columns * height))
    return page
