"""What rows say of their images beside the names: which view of each, and how several are labelled.

Fields named as the parts of a view (`window`, `slice`, `frame`, `page`, ...) are joined to the images of the row. A path that
stands for several images (`series/#slices=8`) becomes them, each with its label before it: this alone looks at files, at their
headers only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dragonfly.imaging import VIEW_PARTS, View, each_image, image_file, join_view

from ..errors import BadSample
from ..manifest import is_url
from ..sample import ImageRef, Message, Part, question_content

LABELS = "image_labels"
_ONE_VIEW = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def viewed(row: Mapping[str, Any], image: ImageRef) -> ImageRef:
    """The image as the row's fields show it. Where its name says that it has no views, such fields are any others of the row.

    `BadSample` (bad-view) for a field of another form.
    """
    given = {name: row[name] for name in VIEW_PARTS if row.get(name) not in (None, "")}
    if not given or (image.path is not None and image_file(image.path).lower().endswith(_ONE_VIEW)):
        return image
    try:
        view = View.of(given)
        return replace(image, view=view.text) if image.path is None else replace(image, path=join_view(image.path, view))
    except ValueError as error:
        raise BadSample("bad-view", f"{image.path or 'an image'} {error}") from None


def taken_apart(
    row: Mapping[str, Any], images: tuple[ImageRef, ...], messages: tuple[Message, ...]
) -> tuple[tuple[ImageRef, ...], tuple[Message, ...]]:
    """The conversation with each image by itself, labelled where the row or its path says how; else as it was."""
    each = [_alone(viewed(row, image)) for image in images]
    labels = _labels(row, len(images))
    if not any(labels) and all(len(one) == 1 for one in each):
        return tuple(one[0][0] for one in each), messages
    waiting = iter([[(image, own or label) for image, own in one] for one, label in zip(each, labels, strict=True)])
    found: list[ImageRef] = []
    told: list[Message] = []
    is_alone = sum(map(len, each)) == 1
    for message in messages:
        parts: list[Part] = []
        for part in message.content:
            members = next(waiting, None) if part.type == "image" else None
            if members is None:
                parts.append(part)
                continue
            found += [image for image, _ in members]
            # A second, empty label: whether an image has one depends on the whole row, not on its own placeholder.
            shown = [label for _, label in members] + ([] if is_alone else [""])
            parts += question_content(shown, "")[: -1 if is_alone else -2]
        told.append(replace(message, content=tuple(parts)))
    return (*found, *(image for members in waiting for image, _ in members)), tuple(told)


def _alone(image: ImageRef) -> list[tuple[ImageRef, str]]:
    if image.path is None or is_url(image.path):
        return [(image, "")]
    try:
        return [(replace(image, path=path), label) for path, label in each_image(image.path)]
    except ValueError as error:
        raise BadSample("broken-image", str(error)) from None


def _labels(row: Mapping[str, Any], count: int) -> list[str]:
    given = row.get(LABELS)
    if given in (None, ""):
        return [""] * count
    labels = list(_texts(given))
    if len(labels) != count:
        raise BadSample("bad-labels", f"{len(labels)} {LABELS} for {count} images; give one to each")
    return labels


def _texts(value: Any) -> Iterator[str]:
    """A list, or text with | between."""
    yield from (piece.strip() for piece in value.split("|")) if isinstance(value, str) else map(str, value)
