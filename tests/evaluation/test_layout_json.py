"""A layout comes back from JSON as it was, whatever the encoder."""

import json
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragonfly.evaluation.layout_json import layout_of, view_of
from dragonfly.inference.answer import describe_selection
from dragonfly.vision import EncoderSpec, make_layout
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.selection_spec import POOLED_REMAINDERS

SELECTIONS = [{}, {"policy": "similarity", "scope": "region", "keep": 2}, {"policy": "detail", "scope": "image", "keep": 5}]


def specs() -> list[EncoderSpec]:
    """Every preset under every combination of options that it can be given."""
    options = product(PRESETS.values(), SELECTIONS, POOLED_REMAINDERS, (None, 0.9, 1.5), ("none", "learned"), ("stretch", "pad"))
    found: list[EncoderSpec] = []
    for preset, selection, remainder, cap, position, fit in options:
        try:
            spec = preset.spec.with_changes(max_enlargement=cap, position=position, fit=fit)
            found.append(spec.with_selection(**selection, pooled_remainder=remainder))
        except ValueError:  # for example padding with grids that are no multiple of the mid grid
            continue
    return found


SPECS = specs()


def survives(size: tuple[int, int], spec: EncoderSpec) -> None:
    layout = make_layout(size, spec)
    high = layout.count("high")
    kept = list(range(high))[: layout.num_kept_high]
    scores = [1 / 3 + n for n in range(high)] if high else None
    again, indices, values = layout_of(json.loads(json.dumps(view_of(layout, describe_selection(layout, kept, scores)))))
    assert (again, indices) == (layout, kept)
    assert (again.boxes, again.num_image_tokens) == (layout.boxes, layout.num_image_tokens)
    assert values == (None if scores is None else pytest.approx(scores, rel=1e-3))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SPECS), st.integers(1, 4000), st.integers(1, 4000))
def test_the_layout_of_any_image_under_any_options_survives(spec: EncoderSpec, height: int, width: int) -> None:
    survives((height, width), spec)


def test_every_preset_under_every_combination_of_options_survives() -> None:
    assert {spec.selection.pooled_remainder for spec in SPECS} == set(POOLED_REMAINDERS)
    assert {(spec.fit, spec.max_enlargement, spec.position, spec.selection.scope) for spec in SPECS} == set(
        product(("stretch", "pad"), (None, 0.9, 1.5), ("none", "learned"), ("region", "image"))
    )
    for spec in SPECS:
        survives((301, 407), spec)


def test_a_pooled_remainders_tokens_are_not_lost() -> None:
    layout = make_layout((301, 407), PRESETS["v1"].spec.with_selection(pooled_remainder=1))
    again, _, _ = layout_of(view_of(layout, describe_selection(layout, list(range(12)), None)))
    assert again.num_image_tokens == layout.num_image_tokens == 875
