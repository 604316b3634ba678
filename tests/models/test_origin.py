"""`dragonfly.json`: true after every save, upgraded when old, refused when newer; files are held against what it says."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

import dragonfly
from dragonfly.files import sha256
from dragonfly.installation import bundled_model
from dragonfly.models import DragonflyForConditionalGeneration, DragonflyProcessor
from dragonfly.models.origin import SCHEMA, file_faults, model_files, read_origin, write_origin
from tests import tiny


@pytest.fixture
def copy(saved_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_model, tmp_path / "copy"))


def record(folder: Path) -> dict[str, Any]:
    found = read_origin(folder)
    assert found is not None
    return found


def test_a_record_names_every_file_of_the_model_and_no_other(copy: Path) -> None:
    for stray in ("run.json", "loss.jsonl", "loss.png", ".hidden.json"):
        (copy / stray).write_text("{}")
    (copy / "checkpoint-3").mkdir()
    (copy / "checkpoint-3" / "model.safetensors").write_bytes(b"")
    write_origin(copy, {"recipe": "mine", "schema": 1, "version": "0.0", "files": {"x": 1}})
    found = record(copy)
    assert (found["schema"], found["version"], found["recipe"]) == (SCHEMA, dragonfly.__version__, "mine")
    names = {"model.safetensors", "config.json", "tokenizer.json", "processor_config.json", "chat_template.jinja"}
    assert names < set(found["files"]) and not {"run.json", "loss.jsonl", ".hidden.json", "dragonfly.json"} & set(found["files"])
    weights = found["files"]["model.safetensors"]
    assert weights == {"size": (copy / "model.safetensors").stat().st_size, "sha256": sha256(copy / "model.safetensors")}
    assert file_faults(copy, found, hash_below=math.inf) == []


def test_saving_again_keeps_the_record_true_and_what_it_tells(copy: Path) -> None:
    write_origin(copy, {"recipe": "mine"})
    before = record(copy)["files"]
    model = DragonflyForConditionalGeneration.from_pretrained(copy)
    model.model.multi_modal_projector.weight.data.add_(1.0)
    model.save_pretrained(copy)
    after = record(copy)
    assert after["recipe"] == "mine" and after["files"] != before
    assert file_faults(copy, after, hash_below=math.inf) == []
    processor = DragonflyProcessor.from_pretrained(copy)
    processor.tokenizer.model_max_length = 77
    processor.save_pretrained(copy)
    assert file_faults(copy, record(copy), hash_below=math.inf) == []
    assert record(copy)["files"]["model.safetensors"] == after["files"]["model.safetensors"]


def test_a_folder_without_a_record_gets_none_by_a_mere_save(tmp_path: Path) -> None:
    tiny.model().save_pretrained(tmp_path / "new")
    tiny.processor().save_pretrained(tmp_path / "new")
    assert read_origin(tmp_path / "new") is None


def test_a_record_that_lost_its_table_of_files_is_refused_in_words(copy: Path) -> None:
    write_origin(copy, {})
    told = record(copy)
    del told["files"]
    (copy / "dragonfly.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"dragonfly.json' has files that are no table; copy the model again"):
        read_origin(copy)


def test_changed_files_are_named(copy: Path) -> None:
    write_origin(copy, {})
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert file_faults(copy, record(copy), hash_below=0) == []
    assert file_faults(copy, record(copy), hash_below=math.inf) == [
        "model.safetensors has other bytes than dragonfly.json says (sha256 differs)"
    ]
    weights.write_bytes(data[:-1])
    (copy / "chat_template.jinja").unlink()
    size = len(data)
    assert file_faults(copy, record(copy), hash_below=math.inf) == [
        "chat_template.jinja is missing",
        f"model.safetensors has {size - 1:,} bytes, dragonfly.json says {size}",
    ]
    climbing = {"files": {"../secret": {"size": 1, "sha256": ""}}}
    assert "names '../secret', which is no file of a model directory" in file_faults(copy, climbing, hash_below=math.inf)[0]


def test_an_old_record_is_upgraded_in_memory_alone(tmp_path: Path) -> None:
    """As records were written before there were schemas."""
    old = {
        "version": "0.1.0",
        "parameters": {"question_map": {"total": 4}},
        "data": {"pictures": "a", "words": "b"},
        "pictures": 5,
    }
    (tmp_path / "dragonfly.json").write_text(json.dumps(old))
    found = record(tmp_path)
    assert json.loads((tmp_path / "dragonfly.json").read_text()) == old
    assert found["schema"] == SCHEMA and found["files"] == {}
    assert found["parameters"] == {"query_projection": {"total": 4}} and found["images"] == 5
    assert set(found["data"]) == {"pictures", "words"}  # names of sources stay


def test_the_bundled_models_record_lists_its_files() -> None:
    found = record(bundled_model())
    assert found["schema"] == SCHEMA and set(found["files"]) == {file.name for file in model_files(bundled_model())}
    assert file_faults(bundled_model(), found, hash_below=math.inf) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 99, "version": "7.1"}', rf"has schema 99, written by dragonfly 7.1; .* reads up to {SCHEMA}: upgrade"),
        ("{", "is not JSON"),
        ("[1]", "is no record of a model"),
        ('{"schema": "2"}', "is no record of a model"),
        ('{"schema": 2, "files": [1]}', "files that are no table"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_written(copy: Path, text: str, message: str) -> None:
    (copy / "dragonfly.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_origin(copy)
    before = {file.name: sha256(file) for file in model_files(copy)}
    with pytest.raises(ValueError, match=message):
        tiny.model(seed=5).save_pretrained(copy)
    assert {file.name: sha256(file) for file in model_files(copy)} == before
