"""What a question took: as many sub-images as the tower was given."""

from __future__ import annotations

from typing import Any

import pytest

from dragonfly.evaluation.cost import block_cost
from dragonfly.inference import Engine
from tests import tiny


@pytest.mark.parametrize(("policy", "encoded"), [("uniform", 1 + 4 + 8), ("detail", 1 + 4 + 24), ("all", 1 + 4 + 24)])
def test_what_is_dropped_before_the_tower_is_not_counted(policy: str, encoded: int) -> None:
    encoder: Any = tiny.config().encoder
    settings = tiny.config(encoder={**encoder, "selection": {"policy": policy, "keep": 2}})
    engine = Engine(tiny.model(settings), tiny.processor(settings))
    answer = engine.ask([tiny.image(96, 64), tiny.image(64, 96)], "What?", max_new_tokens=2)
    assert block_cost(0, [answer, "no answer"])["sub_images"] == 2 * encoded
