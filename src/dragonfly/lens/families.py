"""What a family of models needs beyond the one code path: a few lines of data each.

Tokens are never computed here. A family says under which options of its own processor one image is one tile, which of its
options show an image in more detail, and at which side in pixels a tile is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dragonfly.vision.layout import choose_grids
from dragonfly.vision.spec import EncoderSpec

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """How views are handed to a family's processor.

    Args:
        close: the processor's options for a view that is one of several.
        whole: options for the whole image alone, the most detailed first.
        side: of an image processor, the side in pixels at which it encodes one view; None finds it in `size` where the number of
            tokens does not depend on the image's size, and leaves it open where it does.
        boxes: what the coordinates that the family's models write count to (`stated`); None for pixels of the view.
        base: of a processor, how many of an image's first tokens are a square map of the whole of it; None means all.
    """

    close: Options = field(default_factory=dict[str, Any])
    whole: tuple[Options, ...] = ({},)
    side: Callable[[Any], int] | None = None
    base: Callable[[Any], int] | None = None
    boxes: float | None = None


_TILES = ({"crop_to_patches": True, "max_patches": count} for count in (12, 9, 6, 4, 3, 2))
_IDEFICS = Family(
    close={"do_image_splitting": False},
    whole=({"do_image_splitting": True}, {"do_image_splitting": False}),
    side=lambda images: images.max_image_size["longest_edge"],
)


def _side_of_square(spec: EncoderSpec) -> int:
    """Side of the square that a Dragonfly's finest level holds pixel for pixel, at its least where the grid follows the image."""
    mid, high = choose_grids((1, 1), spec)
    return spec.resolution * min(high or mid or (1, 1))


FAMILIES: dict[str, Family] = {
    "llava_next": Family(
        side=lambda images: images.crop_size["height"],
        base=lambda processor: (processor.image_processor.crop_size["height"] // processor.patch_size) ** 2,
    ),
    "llava_onevision": Family(
        side=lambda images: images.size["height"],
        base=lambda processor: processor.num_image_tokens,
    ),
    "internvl": Family(close={"crop_to_patches": False}, whole=(*_TILES, {"crop_to_patches": False}), boxes=1000),
    "qwen2_vl": Family(boxes=1000),
    "qwen3_vl": Family(boxes=1000),
    "idefics3": _IDEFICS,
    "smolvlm": _IDEFICS,
    "dragonfly": Family(side=lambda images: _side_of_square(images.spec)),
}
"""By `model_type`. Families that are missing here (Qwen2.5-VL, Gemma 3, PaliGemma and others) need nothing."""


def family_of(model: Any) -> Family:
    return FAMILIES.get(model.config.model_type, Family())
