"""An image's layout and selection as JSON beside the model's reply, so that a report draws them without the model.

`layout_of(view_of(layout, ...))` equals the layout: no geometry is computed again.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from dragonfly.inference import SubImageScore
from dragonfly.vision.layout import LevelLayout, SubImageLayout


def view_of(layout: SubImageLayout, selection: Sequence[SubImageScore]) -> dict[str, Any]:
    """One image: its layout, the raster indices of the high sub-images kept, and all scores to four digits (None without).

    `pooled_remainders` is (number of groups, tokens of each).
    """
    scores = [item.score for item in selection]
    return {
        "size": list(layout.size),
        "resolution": layout.resolution,
        "levels": [
            [level.name, list(level.grid), list(level.content), [str(side) for side in level.extent], level.tokens]
            for level in layout.levels
        ],
        "regions": list(layout.regions),
        "pooled_remainders": [layout.num_pooled_remainders, layout.pooled_remainder_tokens],
        "kept": [item.index for item in selection if item.kept],
        "scores": None if None in scores else [float(f"{score:.4g}") for score in scores if score is not None],
    }


def layout_of(view: dict[str, Any]) -> tuple[SubImageLayout, list[int], list[float] | None]:
    """The layout, the kept indices and the scores of a view."""
    levels = tuple(
        LevelLayout(name, _pair(grid), _pair(content), (Fraction(extent[0]), Fraction(extent[1])), tokens)
        for name, grid, content, extent, tokens in view["levels"]
    )
    kept = len(view["kept"])
    layout = SubImageLayout(
        _pair(view["size"]), view["resolution"], levels, tuple(view["regions"]), kept, *view["pooled_remainders"]
    )
    return layout, view["kept"], view["scores"] or None


def _pair(values: Sequence[int]) -> tuple[int, int]:
    first, second = values
    return first, second
