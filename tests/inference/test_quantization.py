"""Weights in 8 and 4 bits: what is quantised, what stays, what is refused, and that a part on a disk changes no answer."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dragonfly.evaluation import describe_model
from dragonfly.inference import Engine, load, quantization
from dragonfly.inference.quantization import quantization_config
from tests import tiny
from tests.inference.test_loading import refusal

QUESTION = "What is it?"


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Packages as if they were not installed."""

    def hide(*names: str) -> None:
        monkeypatch.setattr(quantization, "find_spec", lambda name: None if name in names else find_spec(name))

    return hide


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_the_language_models_matrices_are_quantised_and_nothing_else(saved_model: Path, engine: Engine, kind: str) -> None:
    pytest.importorskip("torchao")
    small = load(saved_model, device="cpu", quantization=kind)
    inside = [part.weight for part in small.model.model.language_model.modules() if isinstance(part, nn.Linear)]
    assert inside and all(type(weight) is not nn.Parameter for weight in inside)
    whole = {name: weight for name, weight in small.model.named_parameters() if "language_model.layers" not in name}
    assert whole and all(type(weight) is nn.Parameter for weight in whole.values())
    image = tiny.image(96, 64)
    answer, plain = (one.ask(image, QUESTION, max_new_tokens=4) for one in (small, engine))
    assert answer.prompt_tokens == plain.prompt_tokens and len(answer.token_ids) == len(plain.token_ids)
    kept = [[item.index for item in one.selections[0] if item.kept] for one in (answer, plain)]
    assert kind == "int4" or kept[0] == kept[1]  # int4 computes in bfloat16, tower included
    assert small.model.dtype == (torch.float32 if kind == "int8" else torch.bfloat16)
    assert describe_model(small)["fingerprint"] != describe_model(engine)["fingerprint"]


def test_int8_logits_are_close_to_the_models_own(saved_model: Path, engine: Engine) -> None:
    pytest.importorskip("torchao")
    inputs = engine.processor(images=[tiny.image()], text="<image>hello", return_tensors="pt")
    small = load(saved_model, device="cpu", quantization="int8")
    with torch.no_grad():
        one, other = (each.model(**inputs).logits[0, -1] for each in (engine, small))
    assert 0 < float((one - other).abs().max()) < 0.1 * float(one.abs().max())


def test_matrices_that_fit_no_kernel_are_left_or_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("torchao")
    base = tiny.config().text_config.to_dict()
    settings = tiny.config(text_config={**base, "hidden_size": 24, "intermediate_size": 40, "head_dim": 8})
    tiny.model(settings).save_pretrained(tmp_path)
    tiny.processor(settings).save_pretrained(tmp_path)
    said = refusal(tmp_path, quantization="int4", device="cpu")
    assert "none of the language model's" in said and said.endswith("use int8")
    wider = tiny.config(text_config={**base, "intermediate_size": 40})  # 40 fits nothing, 32 does
    tiny.model(wider).save_pretrained(tmp_path)
    with caplog.at_level("WARNING"):
        assert load(tmp_path, quantization="int4", device="cpu").ask(None, QUESTION, max_new_tokens=1).token_ids
    assert "6 of the language model's 14 matrices are not quantised" in caplog.text
    assert load(tmp_path, quantization="int8", device="cpu").ask(None, QUESTION, max_new_tokens=1).token_ids


def test_what_is_not_installed_is_named_with_its_command(saved_model: Path, without: Any) -> None:
    without("torchao", "bitsandbytes", "accelerate")
    for kind in ("int8", "int4"):
        assert refusal(saved_model, quantization=kind, device="cpu") == (
            f"quantization '{kind}' needs torchao; install it: pip install torchao"
        )
    assert refusal(saved_model, device_map="auto").endswith("needs accelerate; install it: pip install accelerate")
    with pytest.raises(ValueError, match=r"'int4' on CUDA needs bitsandbytes; install it: pip install bitsandbytes"):
        quantization_config("int4", torch.device("cuda"))


def test_int4_is_refused_on_mps() -> None:
    with pytest.raises(ValueError, match=r"'int4' has no kernel on mps; use int8, or the CPU"):
        quantization_config("int4", torch.device("mps"))


def test_parts_that_wait_on_a_disk_answer_alike(saved_model: Path, engine: Engine) -> None:
    pytest.importorskip("accelerate")
    places = {
        "model.vision_tower": "disk",
        "model.multi_modal_projector": "cpu",
        "model.language_model": "disk",
        "lm_head": "cpu",
    }
    spread = load(saved_model, device_map=places)
    assert any(weight.is_meta for weight in spread.model.parameters())
    image = tiny.image(96, 64)
    assert spread.ask(image, QUESTION, max_new_tokens=4).token_ids == engine.ask(image, QUESTION, max_new_tokens=4).token_ids
    assert describe_model(spread)["fingerprint"]
