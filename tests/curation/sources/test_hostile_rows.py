"""Whatever JSON stands in a row, it becomes a sample or a named fault, and its neighbours are read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragonfly.curation.sources import SOURCES
from dragonfly.data import BadRow, Sample

from .layouts import LAYOUTS, write_json

FILES = {
    "sharegpt4v": "sharegpt4v_instruct_gpt4-vision_cap100k.json",
    "svit": "data/conversation.json",
    "llava-pretrain": "blip_laion_cc_sbu_558k.json",
    "openhermes": "openhermes2_5.json",
    "mathinstruct": "MathInstruct.json",
    "llava-med-60k": "instruct/llava_med_instruct_60k.json",
    "medicat": "s2_full_figures.jsonl",
    "slake": "train.json",
}
KEYS = {
    *("id", "image", "image_id", "conversations", "conversatons", "content", "from", "value", "instruction", "output"),
    *("source", "pdf_hash", "fig_uri", "s2_caption", "oa_info", "oa", "license", "img_name", "question", "answer", "q_lang"),
}
names = st.sampled_from(["a.png", "../../etc/passwd", "\0", "x" * 300, "", "user", "gpt", "human", "<image>", "en", "<image>\nQ"])
leaves = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False) | names
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(KEYS)), inner, max_size=4)
)
rows = st.lists(st.dictionaries(st.sampled_from(sorted(KEYS)), values, max_size=8) | values, max_size=4)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows)
def test_any_row_is_a_sample_or_a_named_fault(name: str, rows: list[Any], tmp_path: Path):
    folder = tmp_path / name
    if not folder.is_dir():
        LAYOUTS[name](folder)
    file = folder / FILES[name]
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        write_json(file, rows)
    read = [row for row in SOURCES[name].read(folder) if _place(row)[0] == str(file)]
    assert {_place(row)[1] for row in read} == set(range(len(rows)))
    assert name == "svit" or len(read) == len(rows)


def _place(row: Sample | BadRow) -> tuple[str, int]:
    return (row.file, row.row) if isinstance(row, BadRow) else row.place or ("", -1)
