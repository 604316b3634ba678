"""What a tower reads by itself: lines from patches, and how far a text is from another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dragonfly.files import write_json
from dragonfly.models.tower import tower_config
from dragonfly.research.curriculum.patch_ocr_head import CLASSES, WEIGHTS
from dragonfly.research.curriculum.reading import PageText, Reader, ReadWord, edits, folded, joined
from tests import tiny
from tests.models.test_conv_tower import SMALL


def test_a_line_is_read_along_its_middle_from_the_row_surer_of_text() -> None:
    cells = [["", "x", "", "z"], ["a", "b c", "", "d"], ["q", "", "e", ""]]
    certain = [[0.0, 0.9, 0.0, 0.9], [0.9, 0.6, 0.0, 0.9], [0.2, 0.0, 0.8, 0.0]]
    words = [
        [ReadWord(at, at, text, sure) for at, (text, sure) in enumerate(zip(*row, strict=True)) if text]
        for row in zip(cells, certain, strict=True)
    ]
    page = PageText(words, 4, (100.0, 50.0, 180.0, 110.0))  # patches of 20 x 20 source pixels, from (100, 50)
    assert page.line((100.0, 72.0, 180.0, 88.0)) == "ab c d"  # the middle of row 1: no other row is near
    assert page.line((100.0, 80.0, 180.0, 100.0)) == "ab ced"  # between rows 1 and 2: of each column the surer
    assert page.line((121.0, 72.0, 139.0, 88.0)) == "b c"
    assert page.line((100.0, 200.0, 180.0, 220.0)) == ""  # below all rows


def test_of_each_sub_image_one_row_is_read() -> None:
    """Another row may divide the same print otherwise: words of both would say it twice."""
    upper = [ReadWord(0, 4, " TOTAL ", 0.9), ReadWord(6, 8, " 12.5O ", 0.5)]
    lower = [ReadWord(1, 2, " TO ", 0.9), ReadWord(3, 4, " TAI ", 0.8), ReadWord(5, 8, " 12.50 ", 0.8)]
    page = PageText([upper, lower], 10, (0.0, 0.0, 10.0, 2.0), 5)
    assert " ".join(joined(page.along([0, 1])).split()) == "TOTAL 12.50"


def test_neighbours_spell_one_word_together_and_an_edge_of_a_sub_image_joins_its_parts(tmp_path: Path) -> None:
    reader = reader_with(tmp_path, {"names": [], "characters": "aBb ", "near": 2, "slots": 3, "bound": False}, 1 + 5 * 5)

    def row(*patches: tuple[str, str, float]) -> torch.Tensor:
        """Patches that say the characters in them and a word, so surely."""
        patches += (("", "", 3.0),) * (-len(patches) % 4)
        said = torch.zeros(len(patches), 5, 5)
        for at, (near, word, sure) in enumerate(patches):
            for column, letter in enumerate(near.ljust(2, "-") + word.ljust(3, "-")):
                said[at, column, 1 + "aBb ".index(letter) if letter in "aBb " else 0] = sure
        return said.log_softmax(dim=-1)

    def text(*patches: tuple[str, str, float]) -> list[str]:
        return [word.text for word in reader._words(row(*patches), 4)]  # pyright: ignore[reportPrivateUsage]

    assert text(("a", "aba", 1.0), ("b", "aBa", 1.0), ("a", "aba", 3.0), ("", "", 3.0)) == ["aba "]  # the surest decides
    assert text(("", "", 3.0), ("", "", 3.0), ("b", "b", 3.0), ("a", "a", 3.0), ("b", "b", 3.0)) == [" b ", " a", "b "]
    assert text(("", "", 3.0), ("", "", 3.0), ("", "", 3.0), ("a ", "a", 3.0), (" b", "b", 3.0)) == [" a ", " b "]
    assert text(("a", "", 3.0), ("b", "", 3.0)) == []  # nothing is spelled
    # What the word leaves open, the patch decides that shows the letter.
    assert text(("a", "aba", 2.0), ("B", "aBa", 2.0), ("a", "a-a", 2.0), ("", "", 3.0)) == ["aBa "]
    assert text(("a", "aba", 2.0), ("b", "aBa", 2.0), ("a", "a-a", 2.0), ("", "", 3.0)) == ["aba "]


def test_edits_and_folding() -> None:
    assert [edits(*pair) for pair in (("", ""), ("abc", ""), ("abc", "abc"), ("kitten", "sitting"), ("ab", "ba"))] == [
        0,
        3,
        0,
        3,
        2,
    ]
    assert folded(" Rm 12.50\tTotal ") == "RM12.50TOTAL"


def reader_with(folder: Path, classes: dict[str, Any], outputs: int) -> Reader:
    """A small tower and a head of such classes, untrained and sure of itself."""
    settings = tiny.config("baseline-1", vision_config=tower_config({"model_type": "dragonfly_conv_tower", **SMALL}))
    tiny.model(settings).save_pretrained(folder)
    tiny.processor(settings).save_pretrained(folder)
    torch.manual_seed(0)
    head = torch.nn.Linear(32, outputs)
    with torch.no_grad():
        head.weight.mul_(20)
    save_file({name: tensor.detach().contiguous() for name, tensor in head.state_dict().items()}, str(folder / WEIGHTS))
    write_json(folder / CLASSES, classes)
    return Reader(folder)


def test_a_stage_is_read_as_its_head_says(tmp_path: Path) -> None:
    # no names; two characters of nothing, a, b and a blank
    reader = reader_with(tmp_path, {"names": [], "characters": "ab ", "near": 2, "slots": 0, "bound": False}, 1 + 2 * 4)
    image = tiny.image()
    page = reader.read(image)
    inputs = reader.images([image], return_tensors="pt")
    with torch.no_grad():
        tokens = reader.model.vision_tower(pixel_values=inputs["pixel_values"][0]).last_hidden_state
        first, second = (part.argmax(dim=-1) for part in reader.model.head(tokens)[..., 1:].split(4, -1))
    layout = inputs["layouts"][0]
    rows, columns = layout.levels[-1].grid
    assert (len(page.words), page.columns) == (4 * rows, 4 * columns) and page.area == (0.0, 0.0, *image.size)
    letters = ["", "a", "b", " "]
    for sub, row, column in ((0, 0, 0), (0, 1, 3), (rows * columns - 1, 3, 2)):
        one = 1 + sub, row * 4 + column  # behind the low sub-image
        says = letters[first[one]] + (letters[second[one]] if first[one] else "")
        there = {word.first: word.text for word in page.words[sub // columns * 4 + row]}
        assert there.get(sub % columns * 4 + column, "") == says
    assert len({word.text for line in page.words for word in line}) > 1  # the check above was about something
    (tmp_path / CLASSES).unlink()
    with pytest.raises(ValueError, match="holds no OCR head"):
        Reader(tmp_path)
