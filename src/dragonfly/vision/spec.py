"""What an encoder configuration says: the tower's geometry, the levels with their grids, and the selection policy.

An `EncoderSpec` is plain data: a preset is one, a checkpoint stores one (as a dictionary), and every count in the project
follows from one. It knows no image; `layout.make_layout` joins it with an image's size.

Sizes and grids are (height, width) / (rows, cols). The paper writes grids (columns, rows).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, Optional, Self, get_args

from pydantic import create_model, model_validator

from dragonfly.config import Config
from dragonfly.vision.grids import MAX_HIGH_SIDE, Grid, grown
from dragonfly.vision.selection_spec import SelectionSpec
from dragonfly.vision.spec_part import SpecPart

LevelName = Literal["low", "mid", "high"]
LEVELS: tuple[LevelName, ...] = get_args(LevelName)
Partners = tuple[tuple[Grid, tuple[Grid, ...]], ...]

GEOMETRY = ("resolution", "patch_size", "num_prefix_tokens")  # the vision tower's own: kept where another preset is taken


class LevelSpec(SpecPart):
    """One level: its allowed grids in tie order, and the mean-pool window over its patch grid (1 keeps every token)."""

    grids: tuple[Grid, ...]
    pool: int = 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.grids or any(rows < 1 or cols < 1 for rows, cols in self.grids):
            raise ValueError(f"grids must be (rows, cols) of at least 1 each, got {list(self.grids)}")
        return self


class EncoderSpec(SpecPart):
    """A complete encoder configuration.

    Args:
        resolution: side of a sub-image in pixels (R).
        patch_size: side of a vision-transformer patch in pixels. Where it does not divide `resolution`, the patches leave out
            a strip at the right and at the bottom of every sub-image, as the towers themselves do (SigLIP SO400M: 384 and 14).
        num_prefix_tokens: tokens before the patch tokens (1 for a tower with CLS, 0 for SigLIP); never pooled.
        low, mid, high: the levels; a missing one is not encoded.
        partners: for each mid grid the high grids it may be joined with, in tie order; None chooses the two freely.
        grid_rule: `aspect` (closest to the image's aspect ratio, exact arithmetic), `released` (most useful pixels, in
            floating point, as the released weights were trained with) or `resolution` (as `aspect`, but the high grids named
            here are the least: they grow by whole rows and columns of the mid grid until a high sub-image covers at most R x R
            source pixels, or to `grids.MAX_HIGH_SIDE` rows and columns).
        regions: `spatial` (a high sub-image belongs to the mid sub-image above it) or `raster` (equal runs in raster order).
        fit: `stretch` the image onto each level's canvas, or keep its aspect ratio and `pad` right and below.
        max_enlargement: a mid or high level that would enlarge the image by more than this factor per side is left out.
        slides: an image too large to be held, a slide, is read level by level from its `pyramid`, or is its reduced copy
            (`thumbnail`) and then an image like any other.
        trim: leave out blank margins (`trimming`): only the printed area of an image is cut into sub-images.
        resizer: `pillow`, or `torch`: several times faster, for models that were not trained with Pillow's pixels (`resizing`).
        position: `learned` adds to every token of a sub-image what its level, row and column have learned; zero when new.
        selection: which high sub-images reach the language model.
    """

    resolution: int
    patch_size: int
    num_prefix_tokens: int = 1
    low: LevelSpec | None = LevelSpec(grids=((1, 1),))
    mid: LevelSpec | None = None
    high: LevelSpec | None = None
    partners: Partners | None = None
    grid_rule: Literal["aspect", "released", "resolution"] = "aspect"
    regions: Literal["spatial", "raster"] = "spatial"
    fit: Literal["stretch", "pad"] = "stretch"
    max_enlargement: float | None = None
    slides: Literal["pyramid", "thumbnail"] = "pyramid"
    trim: bool = False
    resizer: Literal["pillow", "torch"] = "pillow"
    position: Literal["none", "learned"] = "none"
    selection: SelectionSpec = SelectionSpec()

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_geometry(self)
        _check_partners(self)
        _check_regions(self)
        _check_keep(self)
        _check_trim(self)
        return self

    @property
    def patch_side(self) -> int:
        """Whole patches along one side of a sub-image."""
        return self.resolution // self.patch_size

    @property
    def selects(self) -> bool:
        """Whether some high sub-images are left out."""
        return self.high is not None and self.selection.policy != "all"

    @property
    def largest_grid(self) -> Grid:
        """The most rows and the most columns of any grid of any level."""
        grids = [grid for level in (self.low, self.mid, self.high) if level for grid in level.grids]
        grids += [high for _, high in self.pairs() if high]
        return max(rows for rows, _ in grids), max(cols for _, cols in grids)

    def level(self, name: LevelName) -> LevelSpec | None:
        return {"low": self.low, "mid": self.mid, "high": self.high}[name]

    def tokens(self, name: LevelName) -> int:
        """Tokens of one sub-image of a level after pooling, its separator not counted."""
        level = self.level(name)
        assert level is not None, name
        return self.num_prefix_tokens + (self.patch_side // level.pool) ** 2

    def num_kept_high(self, mid: int, high: int) -> int:
        """High sub-images that reach the language model, of an image cut into `mid` and `high` sub-images."""
        if not self.selects or not high:
            return high
        return self.selection.keep * (max(mid, 1) if self.selection.scope == "region" else 1)

    def num_pooled_remainders(self, mid: int, high: int) -> int:
        """Groups of high sub-images that are not kept and get tokens together: each region's, or the image's."""
        if not self.selection.pooled_remainder or self.num_kept_high(mid, high) == high:
            return 0
        return max(mid, 1) if self.selection.scope == "region" else 1

    def pairs(self) -> list[tuple[Grid | None, Grid | None]]:
        """Every (mid grid, high grid) that an image can be given; under grid_rule `resolution` the least and the largest ones."""
        pairs: list[tuple[Grid | None, Grid | None]]
        if self.partners is not None:
            pairs = [(mid, high) for mid, highs in self.partners for high in highs]
        else:
            mids = self.mid.grids if self.mid else (None,)
            highs = self.high.grids if self.high else (None,)
            pairs = [(mid, high) for mid in mids for high in highs]
        if self.grid_rule != "resolution":
            return pairs
        most = (MAX_HIGH_SIDE, MAX_HIGH_SIDE)
        return [*pairs, *((mid, grown(high, mid or (1, 1), most)) for mid, high in pairs if high)]

    def with_selection(self, **changes: Any) -> EncoderSpec:
        """The same encoder with another selection policy; unknown names raise a ValueError with the nearest legal one."""
        return self.with_changes(selection=self.selection.with_changes(**changes))

    def changed(self, changes: Mapping[str, Any]) -> EncoderSpec:
        """The same encoder with some fields changed; `selection` may name a part of the policy.

        Raises:
            ValueError: for an unknown or illegal value, or a policy where there is no high level to keep from.
        """
        values = dict(changes)
        if part := values.pop("selection", None):
            if self.high is None:
                raise ValueError("this encoder has no high level, so there is nothing to select; choose another model.preset")
            values["selection"] = self.selection.with_changes(**part)
        return self.with_changes(**values)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary that JSON and YAML hold; `from_dict` reads it back to an equal spec."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EncoderSpec:
        """Read `to_dict`'s form. Unknown keys raise a ValueError with the nearest legal name."""
        return cls(**data)


def spec_of(encoder: Mapping[str, Any]) -> EncoderSpec:
    """The object of a plain dictionary. Equal dictionaries share one, so a file is parsed once however often it is asked."""
    return _parsed(json.dumps(encoder, sort_keys=True))


@lru_cache(maxsize=64)
def _parsed(text: str) -> EncoderSpec:
    return EncoderSpec.from_dict(json.loads(text))


def _changes(model: type[Config], name: str, doc: str, **own: Any) -> type[Config]:
    """A model of the fields of `model` but geometry and levels, every one of which may be left out (None)."""
    fields: dict[str, Any] = {
        key: (Optional[field.annotation], None)  # noqa: UP045 - `|` does not take what a field's annotation may be
        for key, field in model.model_fields.items()
        if key not in (*GEOMETRY, *LEVELS, "partners")
    }
    return create_model(name, __base__=Config, __doc__=doc, **{**fields, **own})


SelectionChanges = _changes(SelectionSpec, "SelectionChanges", "Changes to a selection policy; what is None stays as it is.")
EncoderChanges = _changes(
    EncoderSpec,
    "EncoderChanges",
    "Changes to an encoder; what is None stays as it is. Recipes and overrides take their options from here.",
    selection=(SelectionChanges, SelectionChanges()),
)


def _check_geometry(spec: EncoderSpec) -> None:
    """The tower's numbers, and what one level alone can have wrong."""
    if spec.low is None and spec.mid is None and spec.high is None:
        raise ValueError("an encoder needs at least one of the levels low, mid, high; all three are missing")
    if spec.low and len(spec.low.grids) > 1:
        raise ValueError(f"low is one view and takes one grid, got {list(spec.low.grids)}; put the others at mid")
    if spec.resolution < 1 or spec.patch_size < 1 or spec.num_prefix_tokens < 0:
        raise ValueError(
            "resolution and patch_size must be at least 1 and num_prefix_tokens at least 0, got "
            f"{spec.resolution}, {spec.patch_size} and {spec.num_prefix_tokens}"
        )
    if spec.patch_size > spec.resolution:
        raise ValueError(
            f"patch_size {spec.patch_size} is more than resolution {spec.resolution}; a sub-image holds one patch or more"
        )
    if spec.max_enlargement is not None and (spec.low is None or spec.max_enlargement <= 0):
        raise ValueError(
            f"max_enlargement must be positive and needs a low level, which is never left out; got "
            f"{spec.max_enlargement} {'without' if spec.low is None else 'with'} low"
        )
    for name in LEVELS:
        level = spec.level(name)
        if level and (level.pool < 1 or spec.patch_side % level.pool):
            raise ValueError(
                f"{name}.pool {level.pool} does not divide the {spec.patch_side} x {spec.patch_side} patch grid; "
                f"use one of {[n for n in range(1, spec.patch_side + 1) if spec.patch_side % n == 0]}"
            )


def _check_partners(spec: EncoderSpec) -> None:
    """Partners must name each level's grids, all of them and no others."""
    if spec.partners is None:
        return
    if spec.mid is None or spec.high is None:
        raise ValueError("partners need both a mid and a high level")
    mids = [mid for mid, _ in spec.partners]
    highs = {high for _, partners in spec.partners for high in partners}
    for name, level, named in (("mid", spec.mid, set(mids)), ("high", spec.high, highs)):
        if named != set(level.grids):
            odd = sorted(named ^ set(level.grids))
            raise ValueError(f"partners and {name}.grids must name the same grids; only one of them has {odd}")
    if len(mids) > len(set(mids)) or not all(partners for _, partners in spec.partners):
        raise ValueError(f"partners must name each mid grid once, with at least one high grid; got {list(spec.partners)}")


def _check_regions(spec: EncoderSpec) -> None:
    """Every joinable pair of grids must split into equal regions, or the number kept would depend on the image."""
    if spec.grid_rule == "resolution" and (spec.regions, spec.fit) != ("spatial", "stretch"):
        raise ValueError(
            "grid_rule 'resolution' gives each axis as many high sub-images as its pixels fill, which needs regions 'spatial' "
            f"and fit 'stretch'; got regions '{spec.regions}' and fit '{spec.fit}'"
        )
    if spec.mid is None or spec.high is None:
        return
    for mid, high in spec.pairs():
        assert mid is not None and high is not None
        across = (high[0] / mid[0], high[1] / mid[1])
        whole = high[0] % mid[0] == 0 and high[1] % mid[1] == 0
        if spec.regions == "spatial" and not whole:
            raise ValueError(
                f"high grid {high} does not divide evenly among the regions of mid grid {mid}; "
                "name partners that are whole multiples both ways, or use regions='raster'"
            )
        if spec.regions == "raster" and (high[0] * high[1]) % (mid[0] * mid[1]):
            raise ValueError(f"the {high[0] * high[1]} sub-images of {high} do not split into {mid[0] * mid[1]} equal runs")
        if spec.fit == "pad" and (not whole or across[0] != across[1]):
            raise ValueError(
                f"fit='pad' needs high grids that are their mid grid times one factor both ways; {high} is not of {mid}"
            )


def _check_keep(spec: EncoderSpec) -> None:
    if not spec.selects:
        return
    assert spec.high is not None
    if spec.selection.policy in ("similarity", "centred", "residual") and spec.mid is None:
        raise ValueError(f"policy '{spec.selection.policy}' compares high with mid sub-images, and there is no mid level")
    for mid, high in spec.pairs():
        assert high is not None
        total = high[0] * high[1]
        regions = mid[0] * mid[1] if mid else 1
        limit = total // regions if spec.selection.scope == "region" else total
        if spec.selection.keep > limit:
            raise ValueError(f"selection.keep {spec.selection.keep} is more than the {limit} of each {spec.selection.scope}")
        min_per_region = spec.selection.min_per_region
        if min_per_region * regions > spec.selection.keep or min_per_region > total // regions:
            raise ValueError(
                f"selection.min_per_region {min_per_region} of each of {regions} regions of {total // regions} sub-images does "
                f"not fit selection.keep {spec.selection.keep}; lower it, or keep more"
            )
    if spec.selection.pooled_remainder > spec.patch_side**2:
        raise ValueError(
            f"selection.pooled_remainder {spec.selection.pooled_remainder} is more than the {spec.patch_side**2} patches "
            "of a sub-image"
        )


def _check_trim(spec: EncoderSpec) -> None:
    """Placeholders are counted from an image's size alone, which does not tell what is left of it."""
    sizes = {(mid[0] * mid[1] if mid else 0, high[0] * high[1] if high else 0) for mid, high in spec.pairs()}
    counts = {(m, spec.num_kept_high(m, h), spec.num_pooled_remainders(m, h)) for m, h in sizes}
    if spec.trim and (len(counts) > 1 or spec.max_enlargement is not None):
        raise ValueError(
            "trim needs grids that all give as many tokens, and no max_enlargement; the grids here reach the language model as "
            + " or ".join(f"{m} mid, {kept} high sub-images and {rest} pooled remainders" for m, kept, rest in sorted(counts))
        )
