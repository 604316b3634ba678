"""What a tower reads by itself: lines from patches, and how far a text is from another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dragonfly.files import write_json
from dragonfly.models.tower import tower_config
from dragonfly.research.curriculum.patch_ocr_head import CLASSES, WEIGHTS
from dragonfly.research.curriculum.reading import PageText, Reader, edits, folded
from tests import tiny
from tests.models.test_conv_tower import SMALL


def test_a_line_is_read_along_its_middle_from_the_row_surer_of_text() -> None:
    cells = [["", "x", "", "z"], ["a", "b c", "", "d"], ["q", "", "e", ""]]
    certain = [[0.0, 0.9, 0.0, 0.9], [0.9, 0.6, 0.0, 0.9], [0.2, 0.0, 0.8, 0.0]]
    page = PageText(cells, certain, (100.0, 50.0, 180.0, 110.0))  # cells of 20 x 20 source pixels, from (100, 50)
    assert page.line((100.0, 72.0, 180.0, 88.0)) == "ab cd"  # the middle of row 1: no other row is near
    assert page.line((100.0, 80.0, 180.0, 100.0)) == "ab ced"  # between rows 1 and 2: of each column the surer
    assert page.line((121.0, 72.0, 139.0, 88.0)) == "b c"
    assert page.line((100.0, 200.0, 180.0, 220.0)) == ""  # below all rows


def test_edits_and_folding() -> None:
    assert [edits(*pair) for pair in (("", ""), ("abc", ""), ("abc", "abc"), ("kitten", "sitting"), ("ab", "ba"))] == [
        0,
        3,
        0,
        3,
        2,
    ]
    assert folded(" Rm 12.50\tTotal ") == "RM12.50TOTAL"


def test_a_stage_is_read_as_its_head_says(tmp_path: Path) -> None:
    settings = tiny.config("baseline-1", vision_config=tower_config({"model_type": "dragonfly_conv_tower", **SMALL}))
    model = tiny.model(settings)
    model.save_pretrained(tmp_path)
    tiny.processor(settings).save_pretrained(tmp_path)
    torch.manual_seed(0)
    head = torch.nn.Linear(32, 1 + 2 * 4)  # no names; two characters of nothing, a, b and a blank
    with torch.no_grad():
        head.weight.mul_(20)
    save_file({name: tensor.detach().contiguous() for name, tensor in head.state_dict().items()}, str(tmp_path / WEIGHTS))
    write_json(tmp_path / CLASSES, {"names": [], "characters": "ab ", "near": 2, "slots": 0, "bound": False})
    reader = Reader(tmp_path)
    image = tiny.image()
    page = reader.read(image)
    inputs = reader.images([image], return_tensors="pt")
    with torch.no_grad():
        tokens = model.eval().model.vision_tower(pixel_values=inputs["pixel_values"][0]).last_hidden_state
        first, second = (part.argmax(dim=-1) for part in head(tokens)[..., 1:].split(4, -1))
    layout = inputs["layouts"][0]
    rows, columns = layout.levels[-1].grid
    assert (len(page.cells), len(page.cells[0])) == (4 * rows, 4 * columns) and page.area == (0.0, 0.0, *image.size)
    letters = ["", "a", "b", " "]
    for sub, row, column in ((0, 0, 0), (0, 1, 3), (rows * columns - 1, 3, 2)):
        one = 1 + sub, row * 4 + column  # behind the low sub-image
        says = letters[first[one]] + (letters[second[one]] if first[one] else "")
        assert page.cells[sub // columns * 4 + row][sub % columns * 4 + column] == says
    assert len({text for line in page.cells for text in line}) > 2  # the check above was about something
    (tmp_path / CLASSES).unlink()
    with pytest.raises(ValueError, match="holds no OCR head"):
        Reader(tmp_path)
