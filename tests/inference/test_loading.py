"""Loading: what is accepted, what is refused in one line, and what every override changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig
from transformers.utils import logging as transformers_logging

from dragonfly.inference import Engine, load, loading
from dragonfly.inference.integrity import bounded_generation
from dragonfly.inference.loading import describe
from dragonfly.models.origin import write_origin
from tests import tiny
from tests.conftest import golden_directories

RELEASED = [folder / name for folder in golden_directories() for name in ("v1", "v2") if (folder / name / "checkpoint").is_dir()]


@pytest.fixture
def copy(saved_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_model, tmp_path / "copy"))


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def refusal(folder: Any, **options: Any) -> str:
    with pytest.raises(ValueError) as caught:
        load(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_load_is_silent_and_ready(saved_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown = transformers_logging.is_progress_bar_enabled()
    engine = load(str(saved_model), device="cpu")
    assert not engine.model.training
    assert engine.name == str(saved_model)
    assert engine.device == torch.device("cpu")
    assert transformers_logging.is_progress_bar_enabled() == shown
    assert capfd.readouterr() == ("", "")


def test_a_checkpoints_sampling_settings_do_not_leak(copy: Path, engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    edit(copy / "generation_config.json", lambda data: data.update(do_sample=True, temperature=0.6, top_p=0.9))
    assert load(copy).ask(None, "Who?", max_new_tokens=8).token_ids == engine.ask(None, "Who?", max_new_tokens=8).token_ids
    assert capfd.readouterr() == ("", "")


def test_number_formats(saved_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = tmp_path / "half"
    model: Any = tiny.model()
    model.to(torch.bfloat16).save_pretrained(half)
    tiny.processor().save_pretrained(half)
    assert load(half).model.dtype == torch.float32  # small and on a CPU
    assert load(half, dtype="float16").model.dtype == torch.float16
    assert load(half, dtype=torch.bfloat16).model.dtype == torch.bfloat16
    monkeypatch.setattr(loading, "FLOAT32_BELOW", 1000)
    assert load(half).model.dtype == torch.bfloat16  # too large for float32: its own
    assert load(saved_model).model.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "device: 'gpu' is not one of: auto, cpu, cuda, mps"),
        ({"device": "cpu:first"}, "device: 'cpu:first' is not one of"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not there on this machine; use 'auto' or 'cpu'"),
        ({"dtype": "bf16"}, "dtype: 'bf16' is not one of: auto, float32, bfloat16, float16; did you mean 'bfloat16'?"),
        ({"quantization": "int3"}, "quantization: 'int3' is not one of: int8, int4; did you mean"),
        ({"device_map": "gpu"}, "device_map: 'gpu' is not one of: auto, balanced, balanced_low_0, sequential"),
        ({"overrides": ["model.selction.keep=1"]}, "did you mean 'model.selection.keep'?"),
        ({"overrides": ["selection.keep=1"]}, "did you mean 'model.selection.keep'?"),
        ({"overrides": ["model.selection.policy=simlarity"]}, "did you mean 'similarity'?"),
        ({"overrides": ["model.preset=v1-relased"]}, "did you mean 'v1-released'?"),
        ({"overrides": ["model.preset=3"]}, "model.preset: must be a string (got 3)"),
        ({"overrides": ["model.preset"]}, "override 'model.preset' is not of the form key=value"),
        ({"overrides": ["model.regions=rastr"]}, "did you mean 'raster'?"),
        ({"overrides": ["model.selection.keep=many"]}, "model.selection.keep: must be an integer (got 'many')"),
        ({"overrides": ["model.selection.keep=1.5"]}, "(got 1.5)"),
        ({"overrides": ["model.selection.keep=7"]}, "selection.keep 7 is more than the 6 of each region"),
        ({"overrides": ["model.selection.seed=x"]}, "(got 'x')"),
        ({"overrides": ["model.max_enlargement=0"]}, "max_enlargement must be positive"),
        ({"overrides": ["model.encoder_batch=0"]}, "model.encoder_batch: must be greater than 0 (got 0)"),
        ({"overrides": ["model.preset=low-only", "model.selection.keep=1"]}, "this encoder has no high level"),
    ],
)
def test_settings_that_cannot_be_meant(saved_model: Path, options: dict[str, Any], message: str) -> None:
    assert message in refusal(saved_model, **options)


def _keep(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


PROJECTOR = "model.multi_modal_projector.weight"


def _lose(tokenizer: dict[str, Any]) -> None:
    """Without the end of a turn: not among the added tokens, not in the vocabulary."""
    tokenizer["added_tokens"] = [one for one in tokenizer["added_tokens"] if one["content"] != "<|eot_id|>"]
    tokenizer["model"]["vocab"].pop("<|eot_id|>", None)


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing tensor": (lambda d: _keep(d, lambda t: t.pop(PROJECTOR)), f"does not fit the model: missing {PROJECTOR}"),
    "extra tensor": (lambda d: _keep(d, lambda t: t.update(stray=torch.ones(2))), "does not fit the model: unexpected stray"),
    "mis-shaped tensor": (
        lambda d: _keep(d, lambda t: t.update({PROJECTOR: torch.ones(3, 3)})),
        f"does not fit the model: mis-shaped {PROJECTOR}",
    ),
    "cut weights": (lambda d: (d / "model.safetensors").write_bytes(b"abc"), "has a damaged weights file"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "has no weights (*.safetensors or *.bin)"),
    "no config": (lambda d: (d / "config.json").unlink(), "is no model directory: it has no config.json"),
    "broken config": (lambda d: (d / "config.json").write_text("{"), "config.json' is not JSON"),
    "another model": (
        lambda d: edit(d / "config.json", lambda c: c.update(model_type="llama")),
        "holds a model of type 'llama', not 'dragonfly'",
    ),
    "no tokenizer": (lambda d: (d / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "no template": (lambda d: (d / "chat_template.jinja").unlink(), "has no chat template (chat_template.jinja)"),
    "half a template": (lambda d: (d / "chat_template.jinja").write_text("{% for m in messages %}{{ m."), "the chat template"),
    "lost tokens": (lambda d: edit(d / "tokenizer.json", _lose), "has a tokenizer that has lost "),
    "integers": (
        lambda d: _keep(d, lambda t: t.update({PROJECTOR: torch.zeros_like(t[PROJECTOR], dtype=torch.int32)})),
        f"holds {PROJECTOR} as I32, and weights are floating-point numbers",
    ),
    "an index that climbs out": (
        lambda d: (d / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../secret.safetensors"}}'),
        "names the weights '../secret.safetensors', which is no file of its directory",
    ),
    "nested without end": (lambda d: (d / "config.json").write_text("[" * 5000 + "]" * 5000), "config.json' is not JSON"),
    "a list for a number": (
        lambda d: edit(d / "config.json", lambda c: c["text_config"].update(hidden_size=[32])),
        "cannot be loaded",
    ),
    "negative layers": (
        lambda d: edit(d / "config.json", lambda c: c["text_config"].update(num_hidden_layers=-3)),
        "does not fit the model",
    ),
    "no processor": (lambda d: (d / "processor_config.json").unlink(), "cannot be loaded: Can't load image processor"),
    "broken processor": (lambda d: (d / "processor_config.json").write_text("{"), "is not a valid JSON file"),
    "another encoder": (
        lambda d: edit(
            d / "processor_config.json", lambda c: c["image_processor"]["encoder"]["selection"].update(keep=2, policy="detail")
        ),
        "has a processor made for another encoder than its model; save both together",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_checkpoint_is_refused(copy: Path, fault: str) -> None:
    spoil, message = FAULTS[fault]
    spoil(copy)
    said = refusal(copy)
    assert message in said and str(copy) in said


def test_files_are_held_to_the_record(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_origin(copy, {"recipe": "mine"})
    expected = load(copy, device="cpu").ask(None, "Who?", max_new_tokens=3).token_ids
    edit(copy / "generation_config.json", lambda c: c.update(num_beams=1_000_000, max_new_tokens=10**9))
    assert load(copy, device="cpu").ask(None, "Who?", max_new_tokens=3).token_ids == expected
    assert "generation_config.json has" in caplog.text and "max_new_tokens, num_beams of the model's" in caplog.text
    edit(copy / "config.json", lambda c: c.update(vision_feature_layer=-1))
    said = refusal(copy)
    assert "is not as it was saved: config.json has" in said and "or delete its dragonfly.json if you changed it" in said
    (copy / "dragonfly.json").unlink()
    assert "does not fit the model" in refusal(copy)  # for this change does not fit the weights


def test_a_generation_configuration_is_obeyed_within_bounds() -> None:
    given = GenerationConfig(eos_token_id=[4, 5], repetition_penalty=1.2, num_beams=7, top_k=3, do_sample=True)
    kept = bounded_generation(given)
    assert (kept.eos_token_id, kept.repetition_penalty, kept.num_beams) == ([4, 5], 1.2, None)
    assert bounded_generation(GenerationConfig(repetition_penalty=1e9)).repetition_penalty is None


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    assert "no model directory './none' (--model names it); give a directory with a config.json, a hub name" in refusal("./none")
    assert "is no model directory: it has no config.json" in refusal(tmp_path)
    said = refusal("nobody/no-such-model")  # the tests run without a network
    assert said.startswith(
        "no model directory 'nobody/no-such-model' (--model names it), and the Hugging Face hub does not give it ("
    )
    assert said.endswith("download it elsewhere and name its directory")
    assert "File name too long" not in refusal("x" * 5000)
    assert refusal("nanno").endswith("or a model in the package: nano, nano-scans")


def test_models_in_the_package_are_loaded_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert [describe(name)["model"] for name in (None, "nano", "nano-scans")] == ["nano (bundled)"] * 2 + ["nano-scans (bundled)"]
    (tmp_path / "nano-scans").mkdir()
    assert "'nano-scans' is no model directory: it has no config.json" in refusal("nano-scans")


def _first(engine: Engine, size: tuple[int, int] = (96, 64)) -> Any:
    answer = engine.ask(tiny.image(*size), "What?", max_new_tokens=1)
    return answer, answer.layouts[0]


def kept(answer: Any) -> list[int]:
    return [item.index for item in answer.selections[0] if item.kept]


def test_selection_overrides(saved_model: Path, engine: Engine) -> None:
    def loaded(*settings: str) -> Any:
        return _first(load(saved_model, overrides=[f"model.selection.{setting}" for setting in settings]))[0]

    base = _first(engine)[0]
    assert len(kept(base)) == 12
    assert kept(loaded("policy=uniform")) == kept(loaded("policy=uniform")) != kept(base)
    assert kept(loaded("policy=detail")) != kept(base)
    assert len(kept(loaded("keep=1"))) == 4 and set(kept(loaded("keep=1"))) < set(kept(base))
    assert len(kept(loaded("scope=image", "keep=5"))) == 5
    assert kept(loaded("policy=random", "seed=1")) != kept(loaded("policy=random", "seed=2"))
    assert loaded("keep=1").prompt_tokens == base.prompt_tokens - 8 * 18
    assert len(kept(loaded("policy=all"))) == 24


def test_encoder_overrides(saved_model: Path, engine: Engine) -> None:
    def loaded(*settings: str, size: tuple[int, int] = (96, 64)) -> Any:
        return _first(load(saved_model, overrides=[f"model.{setting}" for setting in settings]), size)

    base, layout = _first(engine)
    assert loaded("regions=raster")[1].regions == tuple(index // 6 for index in range(24)) != layout.regions
    released = loaded("grid_rule=released", size=(30, 10))[1]
    assert _first(engine, (30, 10))[1].levels != released.levels
    assert [level.name for level in loaded("max_enlargement=1.5")[1].levels] == ["low", "mid"]
    assert loaded("max_enlargement=null")[1] == layout
    low, low_layout = loaded("preset=low-only")
    assert low_layout.num_sub_images == 1 and low.selections == ((),)
    assert loaded("preset=v1-high16")[1].count("high") == 16
    padded = load(saved_model, overrides=["model.preset=baseline-1", "model.fit=pad"])
    assert _first(padded)[1].levels[0].extent != (64.0, 96.0)
    small, _ = loaded("encoder_batch=2")
    assert kept(small) == kept(base) and small.token_ids == base.token_ids
    assert load(saved_model, overrides=["model.encoder_batch=2"]).model.config.encoder_batch == 2


def test_describe_reads_no_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    facts = describe(copy)
    counted = sum(parameter.numel() for parameter in tiny.model().parameters())
    assert facts["parameters"]["total"] == counted
    assert (facts["preset"], facts["tokens_per_image"]) == ("v1", 17 * 18)
    assert (facts["vision_tower"], facts["language_model"], facts["origin"]) == ("clip_vision_model", "llama", None)
    assert facts["sub_images"] == {"resolution": 32, "encoded": 29, "kept": 17}


def test_describe_counts_as_encoded_what_the_tower_gets(tmp_path: Path) -> None:
    tiny.model(settings := tiny.config("v1-any")).save_pretrained(tmp_path)
    tiny.processor(settings).save_pretrained(tmp_path)
    facts = describe(tmp_path)
    assert facts["sub_images"] == {"resolution": 32, "encoded": 17, "kept": 17} and facts["preset"] == "v1-any"
    engine = load(tmp_path)  # an image of 8 x 10 sub-images, asked and drawn as any other
    answer = engine.ask(tiny.image(300, 200), "What?", max_new_tokens=2)
    assert (len(answer.selections[0]), sum(one.kept for one in answer.selections[0])) == (80, 12)
    assert answer.prompt_tokens < 17 * 18 + 40


@pytest.mark.parametrize("folder", RELEASED, ids=lambda path: path.name)
def test_a_released_checkpoint_end_to_end(folder: Path) -> None:
    engine = load(folder / "checkpoint")
    assert engine.model.config.preset == f"{folder.name}-released"
    image = tiny.image(640, 480)
    answer = engine.ask(image, "What is in the image?", max_new_tokens=6)
    assert answer.layouts[0].num_image_tokens == {"v1": 867, "v2": 2098}[folder.name]
    content: Any = [{"type": "image", "image": image}, {"type": "text", "text": "What is in the image?"}]
    inputs: Any = engine.processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    tokens = inputs["input_ids"].shape[1]
    model: Any = engine.model
    new = model.generate(**inputs, max_new_tokens=6, do_sample=False, eos_token_id=engine.end_ids)[0, tokens:]
    assert (answer.prompt_tokens, answer.token_ids) == (tokens, tuple(new.tolist()))
    assert "".join(engine.stream(image, "What is in the image?", max_new_tokens=6)) == answer.text


def test_every_part_of_a_selection_policy_is_an_override_and_in_recipes() -> None:
    from dragonfly.inference.loading import ModelOverrides
    from dragonfly.training.recipe import ModelOptions
    from dragonfly.vision.selection_spec import SelectionSpec
    from dragonfly.vision.spec import SelectionChanges

    assert set(SelectionChanges.model_fields) == set(SelectionSpec.model_fields)
    for options in (ModelOverrides, ModelOptions):
        part: Any = options.model_fields["selection"].annotation
        assert set(part.model_fields) == set(SelectionSpec.model_fields)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("model.selection.min_per_region=-1", "selection.min_per_region must be at least 0.*got -1"),
        ("model.selection.diversity=2", "selection.diversity 0 to 1.*got 0, 2.0"),
        ("model.selection.pooled_remainder=3", "selection.pooled_remainder one of 0, 1, 4, 9; got 0, 0.0 and 3"),
        ("model.position=lerned", "did you mean 'learned'"),
    ],
)
def test_new_overrides_are_checked(saved_model: Path, override: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        load(saved_model, overrides=[override])
