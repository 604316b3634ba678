"""`convert`: the new directory means the same as the old one, says where it came from, and is never half there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from dragonfly import __version__
from dragonfly.files import sha256
from dragonfly.models import DragonflyForConditionalGeneration, DragonflyProcessor
from dragonfly.models.checkpoints import convert
from tests import tiny
from tests.models import golden as g
from tests.models.golden import Golden


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A directory of our own."""
    settings = tiny.config()
    folder = tmp_path / "ours"
    tiny.model(settings).save_pretrained(folder)
    tiny.processor(settings).save_pretrained(folder)
    return folder


def outputs(folder: Path, image: Any, text: str = "What is it?") -> tuple[Any, torch.Tensor]:
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    inputs = AutoProcessor.from_pretrained(folder)(text=[text], images=[[image]], return_tensors="pt")
    with torch.no_grad():
        return inputs, model(**inputs).logits


@pytest.mark.parametrize("golden", g.parameters(list(g.versions())))
def test_released_checkpoint(golden: Golden, tmp_path: Path) -> None:
    model, processor = g.load(golden)
    case = g.smallest_image_case(golden)
    report = convert(golden.checkpoint, tmp_path / "new")
    inputs, logits = outputs(tmp_path / "new", case.images[0], case.texts[0])
    direct = processor(text=case.texts, images=[case.images], return_tensors="pt")
    assert inputs.keys() == direct.keys() and all(torch.equal(inputs[key], direct[key]) for key in inputs)
    with torch.no_grad():
        assert torch.equal(logits, model(**direct).logits)
    assert (report.tensors, report.parameters) == (len(model.state_dict()), sum(p.numel() for p in model.parameters()))
    assert report.preset == f"{golden.version}-released" and report.dtype == "float32"
    assert report.bytes == sum(file.stat().st_size for file in (tmp_path / "new").iterdir())
    # Once more, from the new directory.
    convert(tmp_path / "new", tmp_path / "again")
    assert torch.equal(outputs(tmp_path / "again", case.images[0], case.texts[0])[1], logits)


@pytest.mark.parametrize("golden", g.parameters(list(g.versions())))
def test_what_stands_in_the_directory(golden: Golden, tmp_path: Path) -> None:
    convert(golden.checkpoint, tmp_path / "new")
    record = json.loads((tmp_path / "new" / "dragonfly.json").read_text())
    assert record["version"] == __version__ and record["preset"] == f"{golden.version}-released"
    assert record["source"] == "checkpoint" and record["date"]
    assert record["source_sha256"] == {f.name: sha256(f) for f in golden.checkpoint.glob("model*.safetensors")}
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert "image_encoder" not in config and config["vision_config"]["image_size"] in (224, 336)
    generation = json.loads((tmp_path / "new" / "generation_config.json").read_text())
    ids = golden.manifest["special_token_ids"]
    assert generation["eos_token_id"] == [ids["<|eot_id|>"], ids["<|end_of_text|>"]]
    assert (tmp_path / "new" / "chat_template.jinja").is_file()
    assert not [name for name in _tensor_names(tmp_path / "new") if "image_encoder" in name]


def _tensor_names(folder: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:  # pyright: ignore[reportPrivateImportUsage]
        return list(file.keys())


@pytest.mark.parametrize("golden", g.parameters(list(g.versions())))
def test_preset_and_dtype(golden: Golden, tmp_path: Path) -> None:
    report = convert(golden.checkpoint, tmp_path / "new", preset=golden.version, dtype="bfloat16")
    assert (report.preset, report.dtype) == (golden.version, "bfloat16")
    model = DragonflyForConditionalGeneration.from_pretrained(tmp_path / "new")
    processor = DragonflyProcessor.from_pretrained(tmp_path / "new")
    assert model.dtype == torch.bfloat16 and model.config.spec.grid_rule == "aspect"
    assert processor.image_processor.spec == model.config.spec and not processor.block_first


def test_our_own_directory(ours: Path, tmp_path: Path) -> None:
    convert(ours, tmp_path / "new")
    _, logits = outputs(ours, tiny.image(), "<image>What?")
    assert torch.equal(outputs(tmp_path / "new", tiny.image(), "<image>What?")[1], logits)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"model_type": "internvl"}', "it holds a model of type 'internvl', not 'dragonfly'"),
        ("[1]", "it holds a model of type None"),
        ('{"model', "config.json cannot be read"),
    ],
)
def test_what_is_no_dragonfly_is_not_converted(ours: Path, tmp_path: Path, config: str, words: str) -> None:
    shutil.copytree(ours, tmp_path / "other")
    (tmp_path / "other" / "config.json").write_text(config)
    with pytest.raises(ValueError, match=words):
        convert(tmp_path / "other", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_refusals(ours: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot convert .*absent: no config\.json there"):
        convert(tmp_path / "absent", tmp_path / "new")
    with pytest.raises(ValueError, match="the checkpoint lies in it"):
        convert(ours, tmp_path)
    with pytest.raises(ValueError, match="the checkpoint lies in it"):
        convert(ours, ours)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match="exists and is not empty"):
        convert(ours, tmp_path / "full")
    with pytest.raises(ValueError, match="unknown dtype 'int3'; use one of float32, bfloat16, float16"):
        convert(ours, tmp_path / "new", dtype="int3")
    with pytest.raises(ValueError, match="unknown preset: 'v9'"):
        convert(ours, tmp_path / "new", preset="v9")
    shutil.copytree(ours, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ValueError, match=r"no weights there \(model\*\.safetensors, pytorch_model\*\.bin\)"):
        convert(tmp_path / "bare", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_failure_midway_leaves_nothing(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(tmp_path.iterdir())

    def fail(self: Any, folder: Path) -> None:
        assert (folder / "model.safetensors").is_file()  # the weights are written by now
        raise OSError("no space left")

    monkeypatch.setattr(DragonflyProcessor, "save_pretrained", fail)
    with pytest.raises(OSError, match="no space left"):
        convert(ours, tmp_path / "new")
    assert sorted(tmp_path.iterdir()) == before
