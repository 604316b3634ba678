"""What other software expects of the model: transformers' loaders, compilers and pipelines, and the contracts of vLLM and TRL."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    pipeline,
)

from dragonfly.models import (
    DragonflyConfig,
    DragonflyForConditionalGeneration,
    DragonflyImageProcessor,
    DragonflyModel,
    DragonflyProcessor,
)
from tests import tiny

Model = DragonflyForConditionalGeneration
CENTRED = tiny.config("v1").spec.with_selection(policy="centred").to_dict()
ENCODERS = {name: tiny.config("v1").spec.with_selection(policy=name).to_dict() for name in ("uniform", "centred", "detail")}
ENCODERS["question"] = tiny.config().spec.with_selection(policy="question").to_dict()
ENCODERS["everything"] = (
    tiny.config()
    .spec.changed(
        {
            "position": "learned",
            "selection": {"scope": "image", "keep": 9, "min_per_region": 2, "diversity": 0.3, "pooled_remainder": 4},
        }
    )
    .to_dict()
)
UNIFORM = ENCODERS["uniform"]
SAVED = {
    "v1": {},
    "v2": {},
    "siglip": {"tower": "siglip"},
    "tied": {"tie_word_embeddings": True},
    "centred": {"encoder": CENTRED},
}


def make(**changes: Any) -> tuple[Model, DragonflyProcessor]:
    settings = tiny.config(**changes)
    return tiny.model(settings), tiny.processor(settings)


def encode(processor: DragonflyProcessor, text: Any = "<image>what?", **options: Any) -> Any:
    rows = [text] if isinstance(text, str) else text
    images = [tiny.image(seed=seed) for seed in range(sum(row.count("<image>") for row in rows))]
    return processor(text=text, images=images, return_tensors="pt", **options)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> None:
    one, other = a.state_dict(), b.state_dict()
    assert one.keys() == other.keys()
    assert not [key for key in one if not torch.equal(one[key], other[key])]


# saving and loading


@pytest.fixture(scope="module", params=sorted(SAVED))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    preset = request.param if request.param in ("v1", "v2") else "v1"
    model, processor = make(preset=preset, **SAVED[request.param])
    if request.param == "centred":
        mean_embedding: Any = model.model.mean_embedding
        mean_embedding.update(torch.randn(7, 32))
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, folder


def test_saved_and_loaded_bit_for_bit(saved: tuple[Model, Path]) -> None:
    model, folder = saved
    for cls in (Model, AutoModelForImageTextToText, AutoModelForMultimodalLM):
        read = cls.from_pretrained(folder)
        assert type(read) is Model
        same_weights(read, model)
    inputs = encode(AutoProcessor.from_pretrained(folder))
    assert torch.equal(Model.from_pretrained(folder)(**inputs).logits, model(**inputs).logits)


def test_every_auto_class(saved: tuple[Model, Path]) -> None:
    model, folder = saved
    assert type(AutoConfig.from_pretrained(folder)) is DragonflyConfig
    assert type(AutoProcessor.from_pretrained(folder)) is DragonflyProcessor
    assert type(AutoImageProcessor.from_pretrained(folder)) is DragonflyImageProcessor
    base = AutoModel.from_pretrained(folder)
    assert type(base) is DragonflyModel
    same_weights(base, model.model)
    assert type(AutoModel.from_config(model.config)) is DragonflyModel


def test_names_on_disk_are_ours(saved: tuple[Model, Path]) -> None:
    model, folder = saved
    stored = set(load_file(folder / "model.safetensors"))
    missing = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    assert stored == set(model.state_dict()) - missing


def test_ways_to_load(saved: tuple[Model, Path]) -> None:
    model, folder = saved
    ways: tuple[dict[str, Any], ...] = (
        {"low_cpu_mem_usage": True},
        {"device_map": {"": "cpu"}},
        {"attn_implementation": "eager"},
    )
    for options in ways:
        same_weights(Model.from_pretrained(folder, **options), model)


def test_meta_device(saved: tuple[Model, Path]) -> None:
    model, folder = saved
    with torch.device("meta"):
        empty = Model(model.config)
    assert all(value.is_meta for value in empty.parameters())
    assert {name: value.shape for name, value in empty.named_parameters()} == {n: v.shape for n, v in model.named_parameters()}
    empty.load_state_dict(Model.from_pretrained(folder).state_dict(), assign=True)
    same_weights(empty, model)


def test_half_precision_keeps_the_mean_embedding(saved: tuple[Model, Path]) -> None:
    model, folder = saved
    read = Model.from_pretrained(folder, dtype=torch.bfloat16)
    half = {name for name, value in read.state_dict().items() if value.dtype == torch.bfloat16}
    full = {name for name in read.state_dict() if "mean_embedding" in name}
    assert half == set(read.state_dict()) - full
    if full:
        written: Any = model.model.mean_embedding
        assert torch.equal(read.model.mean_embedding.mean, written.mean) and read.model.mean_embedding.count == 7
    logits = read(**encode(AutoProcessor.from_pretrained(folder))).logits
    assert logits.dtype == torch.bfloat16 and logits.isfinite().all()


def test_tied_embeddings() -> None:
    model, _ = make(tie_word_embeddings=True)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert make()[0].lm_head.weight is not make()[0].get_input_embeddings().weight


def test_resized_vocabulary() -> None:
    model, _ = make()
    model.resize_token_embeddings(300)
    assert model.lm_head.weight.shape[0] == model.config.get_text_config().vocab_size == 300


@pytest.fixture
def weights(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    make()[0].save_pretrained(tmp_path)
    return tmp_path, load_file(tmp_path / "model.safetensors")


def rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_checkpoint_that_does_not_fit_is_refused_by_name(weights: tuple[Path, dict[str, torch.Tensor]]) -> None:
    folder, tensors = weights
    name = "model.multi_modal_projector.weight"
    missing = {key: value for key, value in tensors.items() if key != name}
    for changed, words in (
        (missing, f"missing {name}"),
        ({**tensors, "model.extra": torch.zeros(1)}, "unexpected model.extra"),
        ({**tensors, name: torch.zeros(3, 3)}, f"mis-shaped {name}"),
    ):
        rewrite(folder, changed)
        with pytest.raises(ValueError, match=words) as caught:
            Model.from_pretrained(folder)
        assert "\n" not in str(caught.value)
    rewrite(folder, missing)
    assert type(Model.from_pretrained(folder, strict=False)) is Model


def test_a_full_towers_upper_layers_are_passed_over(weights: tuple[Path, dict[str, torch.Tensor]]) -> None:
    folder, tensors = weights
    names = [name for name in tensors if "vision_tower.encoder.layers.1." in name]
    top = {name.replace("layers.1.", "layers.2."): tensors[name].clone() for name in names}
    rest = {f"model.vision_tower.post_layernorm.{part}": torch.zeros(32) for part in ("weight", "bias")}
    assert top
    rewrite(folder, {**tensors, **top, **rest})
    model, info = Model.from_pretrained(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert len(model.model.vision_tower.encoder.layers) == 2


# training and compiling


@pytest.mark.parametrize("preset", ["v1", "v2"])
def test_gradient_checkpointing_gives_the_same_gradients(preset: str) -> None:
    model, processor = make(preset=preset)
    inputs = encode(processor)
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == model.config.image_token_id, -100)

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        model.train()(**inputs, labels=labels).loss.backward()
        return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}

    plain = gradients()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers 5.23 renames it, 5.19 knows no other
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    again = gradients()
    assert plain.keys() == again.keys() == {name for name, _ in model.named_parameters()}  # nothing is built that does not learn
    for name, value in plain.items():
        torch.testing.assert_close(again[name], value)


# The shape checks that tests add to vision/ cannot be traced, so the compiler is tried in a process without them.
COMPILE = """
import sys, torch
from tests.models.test_ecosystem import ENCODERS, encode, make

torch.set_num_threads(1)
backend, *cases = sys.argv[1:]
for case in cases:
    changes = {"preset": "v2"} if case == "v2" else {"encoder": ENCODERS[case]} if case in ENCODERS else {}
    model, processor = make(**changes)
    if case == "centred":
        model.model.mean_embedding.update(torch.randn(7, 32))
    inputs = dict(encode(processor, "<image>a<image>b"))
    if case == "selected":
        inputs["selected_high"] = torch.arange(12).expand(2, 12)
    torch.compiler.reset()
    compiled = torch.compile(model.forward, fullgraph=True, backend=backend)
    with torch.no_grad():
        torch.testing.assert_close(compiled(**inputs).logits, model(**inputs).logits, atol=1e-4, rtol=1e-4)
    print(case)
"""


def compile_whole(backend: str, *cases: str) -> None:
    done = subprocess.run([sys.executable, "-c", COMPILE, backend, *cases], capture_output=True, text=True, check=False)
    assert done.stdout.split() == list(cases), done.stderr


def test_forward_compiles_whole() -> None:
    compile_whole("eager", "v1")


@pytest.mark.slow
def test_forward_compiles_whole_under_other_encoders() -> None:
    compile_whole("eager", "v2", "selected", *ENCODERS)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler on this machine")
def test_forward_compiles_to_machine_code() -> None:
    compile_whole("inductor", "v1", "v2")


def test_pipeline(tmp_path: Path) -> None:
    model: Any
    model, processor = make()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    ask: Any = pipeline("image-text-to-text", model=str(tmp_path), device="cpu")
    messages = [{"role": "user", "content": [{"type": "image", "image": tiny.image()}, {"type": "text", "text": "what?"}]}]
    out = ask(text=messages, generate_kwargs={"max_new_tokens": 4, "do_sample": False}, return_full_text=False)
    inputs: Any = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    expected = model.generate(**inputs, max_new_tokens=4, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert out[0]["generated_text"] == processor.tokenizer.decode(expected, skip_special_tokens=True)


# vLLM


@pytest.mark.parametrize("preset", ["v1", "v2", "low-only", "v1-any"])
def test_vllm_replacements(preset: str) -> None:
    model, processor = make(preset=preset)
    out = processor(
        text="<image>" * 3,
        images=[tiny.image(), tiny.image(64, 96), tiny.image(20, 200)],
        return_text_replacement_offsets=True,
        return_tensors="pt",
    )
    (offsets,) = out["text_replacement_offsets"]
    assert len(offsets) == 3
    sizes = [(64, 96), (96, 64), (200, 20)]
    promised = processor._get_num_multimodal_tokens(image_sizes=sizes, any_option=1)
    for entry, size, count in zip(offsets, sizes, promised["num_image_tokens"], strict=True):
        ids = torch.tensor(processor.tokenizer(entry["replacement"], add_special_tokens=False)["input_ids"])
        layout = processor.image_processor.layout(size)
        assert len(ids) == count == layout.num_image_tokens
        assert ids.mode().values == processor.image_token_id == model.config.image_token_id
        assert (ids == processor.image_token_id).sum() == layout.num_features
        assert set(ids.tolist()) == {processor.image_token_id, processor.separator_token_id}
    assert promised["num_image_patches"] == [1, 1, 1] and out["pixel_values"].shape[0] == 3


def test_vllm_counts_tokens_without_pixels() -> None:
    _, processor = make()
    promised = processor._get_num_multimodal_tokens(image_sizes=[(10000, 10000)], do_resize=True, num_crops=3)
    assert promised["num_image_tokens"] == [17 * 18] and promised["num_image_patches"] == [1]
    assert processor._get_num_multimodal_tokens(image_sizes=None)["num_image_tokens"] is None


@pytest.mark.parametrize(
    "changes", [{}, {"encoder": UNIFORM}, {"encoder": {**UNIFORM, "max_enlargement": 1.0}}, {"preset": "v1-any"}]
)
def test_vllm_slices_by_rows_and_passes_by_name(changes: dict[str, Any]) -> None:
    model, processor = make(**changes)
    out = processor(text="<image>" * 2, images=[tiny.image(40, 40), tiny.image(300, 200)], return_tensors="pt")
    extras = {key: value for key, value in out.items() if key not in ("input_ids", "attention_mask")}
    assert all(isinstance(value, torch.Tensor) and value.shape[0] == 2 for value in extras.values())
    for owner in (DragonflyModel, model.model):
        assert set(extras) <= set(inspect.signature(owner.get_image_features).parameters)
    together: Any = model.model.get_image_features(**extras, return_dict=True).pooler_output
    for row in range(2):  # an image's features depend on that image alone
        alone: Any = model.model.get_image_features(
            **{key: value[row : row + 1] for key, value in extras.items()}, return_dict=True
        )
        torch.testing.assert_close(alone.pooler_output[0], together[row], atol=2e-5, rtol=1e-4)


def test_vllm_attributes() -> None:
    model, processor = make()
    assert model.get_decoder() is model.model.language_model and model.base_model is model.model
    assert model._supports_attention_backend and hasattr(processor, "image_processor") and processor.image_token == "<image>"
    assert model.get_input_embeddings() is model.model.language_model.embed_tokens


# TRL


def test_trl_batch() -> None:
    model, processor = make()
    question = {"role": "user", "content": [{"type": "image", "image": tiny.image()}, {"type": "text", "text": "what?"}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "a kite"}]}
    plain = {"role": "user", "content": [{"type": "text", "text": "and without an image?"}]}
    batch: Any = processor.apply_chat_template(
        [[question, answer], [plain, answer]],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        return_assistant_tokens_mask=True,
        processor_kwargs={"padding": True, "padding_side": "right", "pad_to_multiple_of": 8, "truncation": False},
    )
    labels = batch["input_ids"].masked_fill(batch.pop("assistant_masks") == 0, -100)
    loss = model(**batch, labels=labels).loss
    assert loss.isfinite() and (labels != -100).sum() == 2 * len("a kite<") and batch["input_ids"].shape[1] % 8 == 0


def test_trl_recognises_a_cut_prompt() -> None:
    model, processor = make()
    inputs = encode(processor)
    with pytest.raises(ValueError, match="Image features and image tokens do not match"):
        model(
            input_ids=inputs["input_ids"][:, :100],
            pixel_values=inputs["pixel_values"],
            sub_image_regions=inputs["sub_image_regions"],
        )
