"""The doctor: a sound model is called sound, every kind of damage is named, and the command's codes and files say the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dragonfly.__main__ import main
from dragonfly.inference import memory
from dragonfly.inference.doctor import examine
from dragonfly.models.origin import write_origin
from tests.conftest import golden_directories
from tests.inference.test_loading import edit

RELEASED = [folder / name for folder in golden_directories() for name in ("v1", "v2") if (folder / name / "checkpoint").is_dir()]
PROJECTOR = "model.multi_modal_projector.weight"
LAYER = "model.language_model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def copy(saved_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_model, tmp_path / "copy"))


@pytest.fixture
def recorded(copy: Path) -> Path:
    write_origin(copy, {})
    return copy


def test_a_sound_model(recorded: Path) -> None:
    found = examine(str(recorded), verify=True, device="cpu")
    assert found.sound and found.faults == found.notes == []
    assert found.facts["tensors"]["dtypes"] == f"float32 {found.facts['tensors']['count']}"
    assert [bool(one["image"]) for one in found.answers] == [True, True, False]
    assert all(one["tokens"] > 0 and one["seconds"] > 0 and one["tokens_per_second"] > 0 for one in found.answers)
    assert found.facts["files"]["checked"] == "sizes and sha256"


@pytest.mark.parametrize("folder", RELEASED, ids=lambda path: path.name)
def test_the_released_format_is_sound(folder: Path) -> None:
    found = examine(str(folder / "checkpoint"), ask=False)
    assert found.faults == []
    assert found.facts["configuration"]["format"] == "released"
    assert [note.partition(":")[0] for note in found.notes] == ["files", "template"]


def _weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def _lose(folder: Path, token: str) -> None:
    def change(values: dict[str, Any]) -> None:
        values["added_tokens"] = [one for one in values["added_tokens"] if one["content"] != token]
        values["model"]["vocab"].pop(token, None)

    edit(folder / "tokenizer.json", change)


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda d: _weights(d, lambda t: t.pop(PROJECTOR)), f"tensors: missing: {PROJECTOR}"),
    "unexpected": (lambda d: _weights(d, lambda t: t.update(stray=torch.ones(2))), "tensors: unexpected: stray"),
    "mis-shaped": (
        lambda d: _weights(d, lambda t: t.update({PROJECTOR: torch.ones(3, 3)})),
        f"tensors: of another shape: {PROJECTOR} [3, 3], expected [32, 32]",
    ),
    "nan": (lambda d: _weights(d, lambda t: t[LAYER][0].fill_(torch.nan)), f"tensors: with NaN or infinity: {LAYER}"),
    "zero": (lambda d: _weights(d, lambda t: t[LAYER].zero_()), f"tensors: all zero: {LAYER}"),
    "integers": (
        lambda d: _weights(d, lambda t: t.update({LAYER: t[LAYER].int()})),
        f"tensors: not of a floating-point format: {LAYER} (int32)",
    ),
    "cut": (lambda d: (d / "model.safetensors").write_bytes(b"abc"), "tensors: "),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "files: '"),
    "no template": (lambda d: (d / "chat_template.jinja").unlink(), "template: no chat template in the directory"),
    "half a template": (lambda d: (d / "chat_template.jinja").write_text("{% if x"), "processor: "),
    "deaf template": (lambda d: (d / "chat_template.jinja").write_text("<image>"), "template: it leaves the user's words out"),
    "lost placeholder": (lambda d: _lose(d, "<image>"), "tokenizer: tokenizer.json has lost <image>; given new ids"),
    "lost control token": (lambda d: _lose(d, "<|eot_id|>"), "tokenizer: tokenizer.json has lost <|eot_id|>"),
    "unknown mark": (
        lambda d: (d / "chat_template.jinja").write_text("<|im_start|><image>{{ messages[0].content[1].text }}"),
        "template: it writes <|im_start|>, which the tokenizer does not know as one token",
    ),
    "another id": (
        lambda d: edit(d / "config.json", lambda c: c.update(image_token_id=9)),
        "tokenizer: config.json has image_token_id 9, the tokenizer 5",
    ),
    "broken config": (lambda d: (d / "config.json").write_text("{"), "config.json' is not JSON"),
    "another model": (lambda d: edit(d / "config.json", lambda c: c.update(model_type="llama")), "a model of type 'llama'"),
    "another encoder": (
        lambda d: edit(d / "processor_config.json", lambda c: c["image_processor"]["encoder"]["selection"].update(keep=2)),
        "processor: made for another encoder than the model",
    ),
    "newer record": (
        lambda d: (d / "dragonfly.json").write_text('{"schema": 99, "version": "7"}'),
        "has schema 99, written by dragonfly 7",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damage_is_named(copy: Path, fault: str) -> None:
    spoil, message = FAULTS[fault]
    spoil(copy)
    found = examine(str(copy), ask=False)
    assert any(message in line for line in found.faults), found.faults
    assert all("\n" not in line for line in found.faults)


def test_a_changed_byte_is_found_by_verify_alone(recorded: Path) -> None:
    weights = recorded / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    assert examine(str(recorded), ask=False).sound
    found = examine(str(recorded), ask=False, verify=True)
    assert found.faults == ["files: model.safetensors has other bytes than dragonfly.json says (sha256 differs)"]


def test_numbers_that_are_not_finite_are_found_by_asking(copy: Path) -> None:
    _weights(copy, lambda t: t[LAYER].fill_(torch.nan))
    found = examine(str(copy), device="cpu")
    assert any(fault.startswith("questions: ") for fault in found.faults)


def test_a_model_larger_than_the_machine_is_not_loaded(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1000)
    found = examine(str(copy))
    assert found.sound and found.answers == []
    assert any("not asked, since the weights do not fit" in note for note in found.notes)


def test_the_command(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(recorded), "--no-ask", "-o", str(tmp_path / "report.md")]) == 0
    text = capsys.readouterr().out
    assert (tmp_path / "report.md").read_text() == text and text.startswith("# dragonfly doctor: copy: sound\n")
    assert all(word in text for word in ("## machine", "- transformers: ", "## never verified", "never loaded by the authors"))
    assert str(tmp_path) not in text  # a report is pasted into public pages
    (recorded / "chat_template.jinja").unlink()
    assert main(["doctor", str(recorded), "--no-ask", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert not facts["sound"] and "files: chat_template.jinja is missing" in facts["faults"]
    assert facts["machine"]["torch"] == torch.__version__
    assert main(["doctor", str(tmp_path / "none")]) == 2
    assert "no model directory" in capsys.readouterr().err.splitlines()[-1]
