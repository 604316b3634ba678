"""Boxes in a model's own words, in source pixels."""

from typing import Any

import pytest

from dragonfly.lens.grid import View
from dragonfly.lens.stated import stated_boxes

WHOLE = View((0, 0, 2000, 1000), (250, 500))  # box; (height, width) as it was handed over


@pytest.mark.parametrize(
    ("text", "scale", "boxes"),
    [
        ("The sign [50, 25, 100, 50].", None, [(200, 100, 400, 200)]),
        ("(50,25),(100,50)", None, [(200, 100, 400, 200)]),
        (
            '```json [{"bbox_2d": [100, 200, 300, 400], "label": "a"}, {"bbox_2d": [0, 0, 1000, 1000]}]',
            1000,
            [(200, 200, 600, 400), (0, 0, 2000, 1000)],
        ),
        ("[0.25, 0.5, 0.75, 1]", 1, [(500, 500, 1500, 1000)]),
        ("<loc0256><loc0512><loc0768><loc1023> cat", None, [(1000, 250, 1998.046875, 750)]),
        ("[0, 0, 10, 10] and [600, 0, 700, 10]", 500, [(0, 0, 40, 20)]),  # the second lies outside
        ("[30, 30, 10, 10], [1, 2, 3], 4 of 5", None, []),
        ("", None, []),
    ],
)
def test_boxes_of_an_answer(text: str, scale: float | None, boxes: list[Any]) -> None:
    assert stated_boxes(text, WHOLE, scale) == tuple(boxes)
