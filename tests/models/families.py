"""Tiny random language models of many families: every shape that a head, a cache or an embedding takes in transformers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 280  # more than `tiny.tokenizer` has, as real ones are rounded up
USUAL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
}
FEW = ("hidden_size", "num_hidden_layers", "num_attention_heads")
EXPERTS = {"num_experts_per_tok": 2, "output_router_logits": True, "router_aux_loss_coef": 0.5}
OLD = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512, "n_inner": 48}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}

LATENT = {
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "head_dim": 4,
    "num_key_value_heads": 4,
}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, tied": {"model_type": "llama", "tie_word_embeddings": True},
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": {"num_experts": 4, "moe_intermediate_size": 16, **EXPERTS},
    "mistral": {},
    "mixtral": {"num_local_experts": 4, **EXPERTS},
    "gemma2": {"final_logit_softcapping": 5.0, "sliding_window": 8},
    "gemma3_text": {"sliding_window": 8, "final_logit_softcapping": 5.0},
    "phi": {},
    "phi3": {"num_key_value_heads": 4},
    "granite": {"logits_scaling": 8.0, "embedding_multiplier": 12.0, "residual_multiplier": 0.2, "attention_multiplier": 0.1},
    "cohere2": {"logit_scale": 0.25, "sliding_window": 8},
    "olmo2": {},
    "smollm3": {},
    "gpt_neox": {},
    "gpt2": OLD,
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "opt, projected": {"model_type": "opt", "ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    "bamba": {**MAMBA, "attn_layer_indices": [1]},
    "qwen3_next": {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, **EXPERTS, **LINEAR},
}
"""Named in the documents."""

MORE: dict[str, dict[str, Any]] = {
    "falcon": {"new_decoder_architecture": False, "multi_query": True},
    "falcon, alibi": {"model_type": "falcon", "alibi": True},
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 64, "lm_head_multiplier": 0.5, "embedding_multiplier": 2.0},
    "stablelm": {},
    "granitemoe": {"num_local_experts": 4, "logits_scaling": 8.0, **EXPERTS},
    "granitemoehybrid": {
        "num_local_experts": 4,
        "shared_intermediate_size": 16,
        "layer_types": ["mamba", "attention"],
        **MAMBA,
        **EXPERTS,
    },
    "gpt_oss": {"num_local_experts": 4, "sliding_window": 8, **EXPERTS},
    "glm4": {},
    "glm": {},
    "nemotron": {},
    "minicpm3": LATENT,
    "deepseek_v2": {
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
        **LATENT,
    },
    "deepseek_v3": {
        "n_routed_experts": 4,
        "n_group": 2,
        "topk_group": 1,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
        **LATENT,
        "num_experts_per_tok": 2,
    },
    "olmo3": {"sliding_window": 8},
    "olmoe": {"num_experts": 4, **EXPERTS},
    "ernie4_5": {},
    "ernie4_5_moe": {
        "moe_num_experts": 4,
        "moe_k": 2,
        "moe_intermediate_size": 16,
        "use_bias": True,
        "output_router_logits": True,
    },
    "hunyuan_v1_dense": {},
    "phimoe": {"num_local_experts": 4, "lm_head_bias": True, **EXPERTS},
    "jamba": {
        "num_experts": 4,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
        **EXPERTS,
    },
    "bloom": {"n_layer": 2, "n_head": 4},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 512},
    "gptj": {**OLD, "rotary_dim": 8},
    "codegen": {**OLD, "rotary_dim": 8},
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 8},
    "gpt_bigcode": OLD,
    "xglm": {"d_model": 32, "ffn_dim": 48, "attention_heads": 4, "num_layers": 2},
    "biogpt": {},
    "gemma": {},
    "gemma3n_text": {
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 280,
        "num_kv_shared_layers": 0,
        "laurel_rank": 8,
        "layer_types": ["sliding_attention", "full_attention"],
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    "helium": {},
    "hyperclovax": {"logits_scaling": 2.0},
    "exaone4": {},
    "cohere": {"logit_scale": 0.25},
    "seed_oss": {},
    "starcoder2": {},
    "persimmon": {},
    "recurrent_gemma": {"num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 64},
    "lfm2": {"full_attn_idxs": [1]},
    "mamba": {"state_size": 8, "num_hidden_layers": 2},
    "mamba2": {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "expand": 2, "chunk_size": 8},
    "apertus": {},
    "arcee": {},
    "ministral": {"sliding_window": 8},
    "gemma4_text": {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 280},
    "llama4_text": {"num_local_experts": 2, "intermediate_size_mlp": 48, "no_rope_layers": [1, 0]},
    "qwen2_moe": {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, **EXPERTS},
    "qwen3_5_text": {**LINEAR},
    "glm4_moe": {"n_routed_experts": 4, "moe_intermediate_size": 16, "first_k_dense_replace": 1, "num_experts_per_tok": 2},
    "modernbert-decoder": {},
    "bert": {"is_decoder": True},
    "vaultgemma": {},
    "nanochat": {},
}


def config(name: str, families: dict[str, dict[str, Any]] | None = None) -> Any:
    """A family's configuration with the special ids of `tiny.tokenizer`."""
    values = {**FAMILIES, **MORE}[name] if families is None else families[name]
    kind = values.get("model_type", name.split(",", maxsplit=1)[0])
    ids = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 4, "pad_token_id": 4}
    given = {**USUAL, **ids, **{key: value for key, value in values.items() if key != "model_type"}}
    if kind in ("gpt2", "gptj", "codegen", "gpt_bigcode", "falcon", "mpt", "xglm", "bloom"):  # other words for the same
        given = {key: value for key, value in given.items() if key not in USUAL or (key in FEW and kind in ("bloom", "falcon"))}
    return AutoConfig.for_model(kind, **given)


def model(name: str, seed: int = 0) -> Any:
    """A family's causal language model with weights of a spread at which logits differ clearly between inputs."""
    torch.manual_seed(seed)
    built = AutoModelForCausalLM.from_config(config(name)).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.2)
            else:  # norms around one, biases around zero; some families start with gates that are shut
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return built
