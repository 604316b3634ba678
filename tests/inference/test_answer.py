"""What an answer is in JSON, and how sub-images are described."""

from __future__ import annotations

import json

from dragonfly.inference import Answer, SubImageScore
from dragonfly.inference.answer import describe_layout, describe_selection
from dragonfly.vision.layout import make_layout
from dragonfly.vision.presets import get_preset

SIZE = (60, 120)  # twice as wide as high


def test_json_has_exactly_the_documented_keys() -> None:
    layout = make_layout(SIZE, get_preset("v1").spec)
    scored = describe_selection(layout, [1], [float(index) for index in range(24)])
    answer = Answer("yes", (5, 4), 0.5, 900, (layout, layout), (scored, scored[:2]), {"total": 1.0}, ("a note",), "length")
    data = answer.to_dict()
    assert list(data) == [
        "text", "token_ids", "confidence", "prompt_tokens", "layouts", "selections", "timings", "notes", "finish",
    ]  # fmt: skip
    assert [list(item) for item in data["selections"]] == [["image", "index", "box", "score", "kept", "region"]] * 26
    assert [item["image"] for item in data["selections"]] == [0] * 24 + [1] * 2
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert (data["token_ids"], data["notes"], data["finish"]) == ([5, 4], ["a note"], "length")


def test_a_layout_in_json() -> None:
    data = describe_layout(make_layout(SIZE, get_preset("v1").spec))
    assert data["size"] == [60, 120] and data["resolution"] == 224
    assert [(level["name"], level["grid"], level["sub_images"], level["tokens"]) for level in data["levels"]] == [
        ("low", [1, 1], 1, 50),
        ("mid", [2, 2], 4, 50),
        ("high", [4, 6], 24, 50),
    ]
    assert (data["num_sub_images"], data["num_kept"], data["num_image_tokens"]) == (29, 17, 867)


def test_every_high_sub_image_is_described() -> None:
    layout = make_layout(SIZE, get_preset("v1").spec)
    described = describe_selection(layout, [0, 23], None)
    assert described[0] == SubImageScore(0, (0.0, 0.0, 20.0, 15.0), None, True, 0, 0)
    assert described[23] == SubImageScore(23, (100.0, 45.0, 120.0, 60.0), None, True, 3, 1)
    assert [item.index for item in described if item.kept] == [0, 23]
    assert all(item.kept for item in describe_selection(layout, None, None))
    assert describe_selection(make_layout(SIZE, get_preset("baseline-1").spec), None, None) == ()
