"""What was shown comes back from JSON as it was."""

import json

import pytest

from dragonfly.evaluation.layout_json import layout_of, view_of
from dragonfly.inference.answer import describe_selection
from dragonfly.vision.layout import make_layout
from dragonfly.vision.presets import PRESETS


@pytest.mark.parametrize("preset", ["low-only", "v1", "v2", "v1-released"])
@pytest.mark.parametrize("size", [(301, 407), (90, 1000)])
def test_a_layout_survives(preset: str, size: tuple[int, int]) -> None:
    layout = make_layout(size, PRESETS[preset].spec)
    high = layout.count("high")
    kept = list(range(high))[: layout.num_kept_high]
    scores = [1 / 3 + n for n in range(high)] if high else None
    again, indices, values = layout_of(json.loads(json.dumps(view_of(layout, describe_selection(layout, kept, scores)))))
    assert (again, indices) == (layout, kept)
    assert again.boxes == layout.boxes
    assert values == (None if scores is None else pytest.approx(scores, rel=1e-3))
