"""Memory: what autograd saves, layer by layer; how shards, adapters and checkpointing divide it; what fits a budget."""

from __future__ import annotations

import json
import runpy
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from dragonfly.models.tower import build_tower
from dragonfly.planning import (
    KNOWN_LANGUAGE_MODELS,
    Answers,
    LanguageModelSize,
    ModelSize,
    TowerSize,
    Training,
    fit,
    get_device,
    parse_bytes,
    plan_inference,
    plan_training,
    training_flops,
)
from dragonfly.planning.activations import AUTOCAST, BFLOAT16, FLOAT32, language_layer, language_scores, tower_layer
from dragonfly.planning.budget import peak
from dragonfly.planning.estimate import cost_of
from dragonfly.planning.families import FAMILIES
from dragonfly.planning.training_memory import lora_elements
from dragonfly.vision.towers import CLIP_BASE, CLIP_LARGE, KNOWN_TOWERS

ROOT = Path(__file__).parents[1]
TOKENS, HIDDEN, INNER = 96, 64, 304
NUMBERS = {"float32": FLOAT32, "autocast": AUTOCAST, "bfloat16": BFLOAT16}
LLAMA = KNOWN_LANGUAGE_MODELS["meta-llama/Llama-3.1-8B-Instruct"]
EVERYTHING = ("vision_tower", "multi_modal_projector", "language_model", "lm_head")


def model(preset: str = "v1") -> ModelSize:
    return ModelSize.from_configs(KNOWN_TOWERS[CLIP_LARGE if preset == "v2" else CLIP_BASE], LLAMA, preset=preset)


def saved_bytes(module: torch.nn.Module, run: Any) -> int:
    """Bytes of the storages that autograd keeps, the module's own weights left out."""
    own = {tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run()
    assert output is not None  # and what it holds lives until here
    return sum(kept.values())


def decoder(kind: str, layers: int) -> PreTrainedConfig:
    sizes = {"hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": layers, "num_attention_heads": 4}
    more: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 16}
    if kind in ("opt", "gpt2", "gpt_neox"):
        more = {"opt": {"ffn_dim": INNER}, "gpt2": {"n_inner": INNER}}.get(kind, {})
    if kind in ("mixtral", "qwen3_moe"):
        more |= {"num_local_experts": 4, "num_experts_per_tok": 2}
    if kind == "qwen3_moe":
        more["moe_intermediate_size"] = 40
    config = AutoConfig.for_model(kind, **sizes, **more, vocab_size=128, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    for name in ("attention_dropout", "attn_pdrop"):
        if hasattr(config, name):
            setattr(config, name, 0.0)  # or a CPU's attention is not the fused one
    return config


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3_text", "gpt_neox", "opt", "mixtral"])
@pytest.mark.parametrize("trained", [True, False], ids=["trained", "frozen"])
def test_a_layer_keeps_what_autograd_saves(kind: str, numbers: str, trained: bool) -> None:
    """The difference that one more layer makes. Experts are few tokens each, where sorting them counts."""
    found: list[int] = []
    for layers in (1, 2):
        built = AutoModelForCausalLM.from_config(decoder(kind, layers)).train().requires_grad_(trained)
        built = built.to(torch.bfloat16) if numbers == "bfloat16" else built
        rows = torch.randn(1, TOKENS, HIDDEN, requires_grad=True, dtype=built.dtype)
        with torch.autocast("cpu", torch.bfloat16) if numbers == "autocast" else nullcontext():
            found.append(saved_bytes(built, lambda net=built, rows=rows: net.base_model(inputs_embeds=rows, use_cache=False)))
    size = LanguageModelSize.from_config(decoder(kind, 2))
    casts = size.matrices if numbers == "autocast" else 0  # 2 bytes each of a half of the matrices
    planned = TOKENS * language_layer(size, NUMBERS[numbers], trained) + language_scores(size, TOKENS, NUMBERS[numbers], "sdpa")
    assert planned == pytest.approx(found[1] - found[0] - casts, rel=0.25 if kind == "mixtral" else 0.13)


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("kind", ["clip_vision_model", "siglip_vision_model", "vit", "dinov2"])
def test_a_towers_layer_keeps_what_autograd_saves(kind: str, numbers: str) -> None:
    sizes = {"hidden_size": HIDDEN, "intermediate_size": 4 * HIDDEN, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = AutoConfig.for_model(kind, **sizes, image_size=64, patch_size=8)
    found: list[int] = []
    for layers in (1, 2):
        tower = build_tower(config, layers).train()
        tower = tower.to(torch.bfloat16) if numbers == "bfloat16" else tower
        pixels = torch.randn(3, 3, 64, 64, dtype=next(tower.parameters()).dtype)
        with torch.autocast("cpu", torch.bfloat16) if numbers == "autocast" else nullcontext():
            found.append(saved_bytes(tower, lambda tower=tower, pixels=pixels: tower(pixel_values=pixels)))
    casts = 2 * 12 * HIDDEN**2 if numbers == "autocast" else 0
    rows = 3 * (64 + (kind != "siglip_vision_model"))
    planned = rows * tower_layer(TowerSize.from_config(config), NUMBERS[numbers])
    assert planned == pytest.approx(found[1] - found[0] - casts, rel=0.05)


def test_eager_attention_keeps_its_scores() -> None:
    size = LanguageModelSize.from_config(LLAMA)
    assert language_scores(size, 1000, BFLOAT16, "sdpa") == 0
    assert language_scores(size, 1000, BFLOAT16, "eager") == 8 * 32 * 1000**2


def test_weights_of_an_answer_by_numbers() -> None:
    v1, matrices = model(), LanguageModelSize.from_config(LLAMA).matrices
    total = sum(v1.elements.values())
    cases: list[tuple[dict[str, Any], float]] = [
        ({"dtype": "float32"}, 4 * total),
        ({}, 2 * total),
        ({"quantize": "int8"}, 2 * (total - matrices) + matrices),
        ({"quantize": "int4"}, 2 * (total - matrices) + 0.5625 * matrices),
    ]
    for options, expected in cases:
        assert plan_inference(v1, Answers(**options)).memory.moments["last token"]["weights"] == round(expected)


def test_keys_values_and_logits_of_an_answer() -> None:
    held = plan_inference(model(), Answers(batch=3, text_tokens=64, new_tokens=69)).memory.moments["last token"]
    assert held["keys and values"] == 3 * (867 + 64 + 69) * 32 * 2 * 8 * 128 * 2
    assert held["logits"] == 3 * 128256 * 6  # of one position each, and in float32


def test_a_training_step_computes_logits_of_the_text_alone() -> None:
    for preset in ("v1", "low-only"):  # 867 and 51 tokens of an image: none of them has logits
        held = plan_training(model(preset), Training(batch=2, text_tokens=100)).memory.moments["end of the forward pass"]
        assert held["logits"] == 2 * 100 * 128256 * (4 + 4 + 2)


def step(**options: Any) -> dict[str, int]:
    return dict(plan_training(model(), Training(**options)).memory.moments["optimiser's step"])


def test_what_a_step_holds_by_its_sharding() -> None:
    """Bytes per trained weight: 4 + 4 + 8 in float32; 2 + 2 + 12 under DeepSpeed, whose share-out begins with the 12."""
    total = sum(model().elements.values())
    for options, weights, gradients, optimiser in (
        ({"precision": "float32"}, 4, 4, 8),
        ({}, 4, 4, 8),
        ({"sharding": "zero1", "devices": 8}, 2, 2, 12 / 8),
        ({"sharding": "zero2", "devices": 8}, 2, 2 / 8, 12 / 8),
    ):
        held = step(trainable=EVERYTHING, **options)
        got = (held["weights"], held["gradients"], held["optimiser"])
        assert got == tuple(pytest.approx(number * total, rel=1e-6) for number in (weights, gradients, optimiser))
    alone, shared = step(trainable=EVERYTHING), step(trainable=EVERYTHING, sharding="fsdp", devices=8)
    layer = LanguageModelSize.from_config(LLAMA).layer_matrix_parameters
    assert shared["weights"] == pytest.approx(alone["weights"] / 8 + 2 * 2 * layer, rel=1e-6)
    assert step(sharding="zero3", devices=8)["weights"] == pytest.approx(2 * total / 8 + 2 * 2 * layer, rel=1e-6)


def test_frozen_parts_hold_neither_gradients_nor_state_nor_activations() -> None:
    parts = model().elements
    held = step(trainable=("multi_modal_projector",))
    assert held["gradients"] == 4 * parts["multi_modal_projector"]
    assert held["optimiser"] == 8 * parts["multi_modal_projector"]
    end = "end of the forward pass"
    moments = [
        plan_training(model(), Training(trainable=names)).memory.moments[end]
        for names in (("lm_head",), ("multi_modal_projector",), ("language_model",), ("vision_tower", "language_model"))
    ]
    kept = [held["activations"] for held in moments]
    assert kept == sorted(kept) and len(set(kept)) == 4
    assert moments[0]["casts of weights"] < moments[1]["casts of weights"]


def test_checkpointing_keeps_a_layers_input_alone() -> None:
    size, tokens = LanguageModelSize.from_config(LLAMA), 867 + 128
    work = Training(batch=2, trainable=("language_model",), precision="float32")
    kept = [
        plan_training(model(), replace(work, gradient_checkpointing=again)).memory.moments["end of the forward pass"][
            "activations"
        ]
        for again in (False, True)
    ]
    per_layer = language_layer(size, FLOAT32, True) - 4 * size.hidden_size
    mask = 4 * 2 * tokens**2  # a batch is padded, and each layer keeps its own copy
    assert kept[0] - kept[1] == 32 * (2 * tokens * per_layer + mask)


def test_an_adapter_is_what_peft_adds() -> None:
    from peft import LoraConfig, get_peft_model

    config = decoder("llama", 2)
    built = AutoModelForCausalLM.from_config(config)
    targets = r".*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    adapted: Any = get_peft_model(built, LoraConfig(r=4, target_modules=targets))
    trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert lora_elements(LanguageModelSize.from_config(config), 4) == trained


def test_a_quantised_base_leaves_the_rest_in_float32() -> None:
    plain = plan_training(model(), Training(lora_rank=16, trainable=())).memory.moments["optimiser's step"]["weights"]
    small = plan_training(model(), Training(lora_rank=16, trainable=(), quantize="int4")).memory.moments["optimiser's step"][
        "weights"
    ]
    size, total = LanguageModelSize.from_config(LLAMA), sum(model().elements.values())
    adapter = 4 * lora_elements(size, 16)
    assert (plain, small) == (2 * total + adapter, 4 * (total - size.matrices) + round(0.5625 * size.matrices) + adapter)


def test_training_flops_by_passes() -> None:
    v1 = model()
    cost = cost_of(v1, (768, 1024), 64)
    size, tokens = v1.language_model, cost.prompt_tokens
    attention = 4 * tokens**2 * 32 * 128 * 32
    matrices, tower = 2 * tokens * size.matrices, cost.tower_flops or 0
    head = 2 * 64 * size.embeddings  # of the text alone, as training computes logits
    projector = cost.projector_flops or 0
    for names, expected in (
        (EVERYTHING, 3 * (matrices + attention + head + tower + projector)),
        (("multi_modal_projector",), 2 * (matrices + head) + 3 * attention + tower + 2 * projector),
        (("lm_head",), matrices + attention + 3 * head + tower + projector),
    ):
        assert training_flops(v1, cost, Training(trainable=names, text_tokens=64)) == expected
    again = Training(trainable=EVERYTHING, gradient_checkpointing=True, batch=2, accumulation=3, text_tokens=64)
    assert training_flops(v1, cost, again) == 6 * (4 * (matrices + attention + tower) + 3 * (head + projector))


def test_hours_follow_from_the_stated_share() -> None:
    work = Training(trainable=EVERYTHING, devices=8, batch=4, sharding="zero1")
    fast, slow = (
        plan_training(model(), work, device=get_device("h100"), utilisation=share, samples=1e6, epochs=2).time
        for share in (0.5, 0.25)
    )
    assert fast is not None and slow is not None and fast.hours is not None and slow.hours is not None
    assert fast.seconds_per_step == pytest.approx(fast.flops_per_step / (0.5 * 989e12))
    assert fast.samples_per_second == pytest.approx(32 / fast.seconds_per_step)
    assert fast.hours == pytest.approx(2e6 / fast.samples_per_second / 3600)
    assert slow.hours == pytest.approx(2 * fast.hours)
    assert plan_training(model(), work, device=get_device("CPU"), samples=10).time is None
    assert plan_training(model(), work, samples=10).fits is None


def test_a_token_is_bound_by_bandwidth_and_a_large_batch_by_arithmetic() -> None:
    device, v1 = get_device("RTX-4090"), model()
    one, many = (plan_inference(v1, Answers(batch=batch), device=device).time for batch in (1, 512))
    read = 2 * (LanguageModelSize.from_config(LLAMA).parameters - 128256 * 4096)
    assert one and many
    assert one.seconds_per_token == pytest.approx(read / (0.6 * 1008e9), rel=0.02)
    assert many.answers_per_second > 10 * one.answers_per_second
    halved = plan_inference(v1, Answers(quantize="int8"), device=device).time
    assert halved and halved.seconds_per_token < 0.6 * one.seconds_per_token


@pytest.mark.parametrize("work", [Answers(), Training(trainable=(), lora_rank=16, gradient_checkpointing=True)])
def test_what_fits_a_budget_is_the_largest(work: Any) -> None:
    v1, budget, context = model(), parse_bytes("24GB"), 800 * 10**6
    found = fit(v1, work, budget, context)
    assert peak(v1, replace(work, batch=found.largest_batch)) + context <= budget
    assert peak(v1, replace(work, batch=found.largest_batch + 1)) + context > budget
    assert found.needed == peak(v1, work) + context and found.largest_keep == 6  # of each region's 6
    assert found.presets[0] == "baseline-3" and "v2" not in found.presets  # whose pooling does not divide 7 patches
    tight = found.needed + 10**6
    kept = fit(v1, work, tight, context)
    assert (kept.largest_batch, kept.largest_keep) == (1, 3)
    assert "v1" in kept.presets and "baseline-3" not in kept.presets
    nothing = fit(v1, work, 10**9, context)
    assert (nothing.largest_batch, nothing.presets, nothing.largest_keep) == (0, (), 0)


def test_the_peak_is_within_15_percent_of_what_was_measured() -> None:
    """Of today's formulas, on the machine and sizes of the committed result file."""
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "plan_memory.py"))
    rows = json.loads((ROOT / "benchmarks" / "results" / "plan_memory.json").read_text(encoding="utf-8"))["rows"]
    table = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")
    for row in rows:
        config = benchmark["config_of"](row["size"])
        size = ModelSize.from_configs(
            config.vision_config.to_dict(), config.text_config.to_dict(), encoder=config.encoder, feature_layer=-2
        )
        planned = benchmark["plan_of"](size, row["work"], row["batch"], row["tokens"]).memory.peak
        assert planned == pytest.approx(row["measured_bytes"], rel=0.15), (row["size"], row["work"])
        assert benchmark["table_row"](row) in table


def test_every_family_and_precision_has_a_plan() -> None:
    for kind in FAMILIES:
        text = decoder(kind, 2).to_dict()
        tiny = ModelSize.from_configs(KNOWN_TOWERS[CLIP_BASE], text)
        cases: list[dict[str, Any]] = [
            {},
            {"sharding": "zero2", "devices": 2},
            {"lora_rank": 4, "trainable": ()},
            {"precision": "float32"},
        ]
        for options in cases:
            planned = plan_training(tiny, Training(**options))
            assert planned.memory.peak == max(sum(held.values()) for held in planned.memory.moments.values())
            assert all(count >= 0 for held in planned.memory.moments.values() for count in held.values())
            assert sum(planned.memory.parts.values()) == planned.memory.peak


def test_mistakes_are_one_line() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"lora_rank": 0, "trainable": ()}, "lora_rank must be at least 1, got 0"),
        ({"sharding": "zero4"}, "sharding: 'zero4' is not one of: none, zero1"),
        ({"precision": "float16"}, "precision: 'float16' is not one of: float32, bfloat16"),
        ({"trainable": ("projector",)}, "trainable: 'projector' is not one of.*multi_modal_projector"),
        ({"trainable": ()}, "nothing would be trained"),
        ({"quantize": "int4"}, "quantised weights .int4. are not trained themselves"),
        ({"lora_rank": 8}, "leaves language_model and lm_head frozen"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            Training(**options)
    with pytest.raises(ValueError, match="quantize: 'int3' is not one of: int8, int4"):
        Answers(quantize="int3")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"utilisation is a share above 0 and at most 1, got 40"):
        plan_inference(model(), Answers(), utilisation=40)
    with pytest.raises(ValueError, match=r"samples and epochs must be above 0, got -1 and 1\.0"):
        plan_training(model(), Training(), samples=-1)
    with pytest.raises(ValueError, match=r"device: 'H1000' is not one of: .*did you mean 'H100'"):
        get_device("H1000")
    with pytest.raises(ValueError, match="memory '24' is not a number with a unit, such as 24GB"):
        parse_bytes("24")
    assert (parse_bytes("22.5GiB"), parse_bytes("24 gb")) == (int(22.5 * 2**30), 24 * 10**9)
