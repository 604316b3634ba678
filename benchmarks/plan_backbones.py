"""What five pairs of vision tower and language model cost on three machines, by `dragonfly plan`; fills in docs/backbones.md.

Run: python benchmarks/plan_backbones.py

Nothing is downloaded and nothing runs on a GPU: the sizes below are those of the models' published config.json, on the
pages of the Hugging Face hub that their names give. Every figure is an estimate of `dragonfly plan`, with its command beside it.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
RESULT, PAGE = ROOT / "benchmarks" / "results" / "plan_backbones.json", ROOT / "docs" / "backbones.md"
BEGIN, END = "<!-- costs: written by benchmarks/plan_backbones.py -->", "<!-- end of costs -->"

SIGLIP = {"model_type": "siglip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 27}
QWEN3 = {"model_type": "qwen3", "vocab_size": 151936, "head_dim": 128, "num_key_value_heads": 8, "use_sliding_window": False}
LLAMA = {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32}
CONFIGS: dict[str, dict[str, Any]] = {
    "google/siglip2-so400m-patch16-384": SIGLIP
    | {"hidden_size": 1152, "intermediate_size": 4304, "image_size": 384, "patch_size": 16},
    "google/siglip2-base-patch16-256": SIGLIP
    | {"hidden_size": 768, "intermediate_size": 3072, "image_size": 256, "patch_size": 16}
    | {"num_hidden_layers": 12, "num_attention_heads": 12},
    "facebook/dinov3-vitl16-pretrain-lvd1689m": {
        "model_type": "dinov3_vit",
        **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
        **{"image_size": 224, "patch_size": 16, "num_register_tokens": 4},
    },
    "Qwen/Qwen3-8B": QWEN3
    | {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32}
    | {"tie_word_embeddings": False},
    "Qwen/Qwen3-1.7B": QWEN3
    | {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16}
    | {"tie_word_embeddings": True},
    "meta-llama/Llama-3.1-8B-Instruct": LLAMA | {"model_type": "llama", "num_key_value_heads": 8, "vocab_size": 128256},
    "mistralai/Mistral-7B-Instruct-v0.3": LLAMA
    | {"model_type": "mistral", "num_key_value_heads": 8, "vocab_size": 32768, "sliding_window": None},
    "HuggingFaceTB/SmolLM3-3B": {
        "model_type": "smollm3",
        **{"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16},
        **{"num_key_value_heads": 4, "vocab_size": 128256, "tie_word_embeddings": True},
    },
}
PAIRS = [  # tower, language model, preset
    ("google/siglip2-so400m-patch16-384", "Qwen/Qwen3-8B", "v2"),
    ("google/siglip2-base-patch16-256", "Qwen/Qwen3-1.7B", "v2"),
    ("openai/clip-vit-large-patch14-336", "meta-llama/Llama-3.1-8B-Instruct", "v2"),
    ("openai/clip-vit-base-patch32", "HuggingFaceTB/SmolLM3-3B", "v1"),
    ("facebook/dinov3-vitl16-pretrain-lvd1689m", "mistralai/Mistral-7B-Instruct-v0.3", "v1"),
]
STAGE1 = "--train --checkpointing --trainable multi_modal_projector --text-tokens 64 --samples 558e3 --zero 1"
STAGE2 = "--train --checkpointing --text-tokens 256 --samples 665e3"
MACHINES = {  # name -> options of all its plans, and those of its second stage
    "1 x 24 GB": ("--device RTX-4090", "--lora 16 --quantize int4"),
    "1 x 80 GB": ("--device A100-80GB", "--lora 16"),
    "8 x 80 GB": ("--device H100 --devices 8", "--zero 1"),
}
RELEASED = {  # what README.md's table says of memory
    "nano": ("dragonfly plan nano --dtype float32", None),
    "nano-scans": ("dragonfly plan nano-scans --dtype float32", None),
    "v1": ("dragonfly plan --preset v1-released", "dragonfly plan --preset v1-released --quantize int4"),
    "v2": (
        "dragonfly plan --preset v2-released --language-model meta-llama/Llama-3.1-8B-Instruct",
        "dragonfly plan --preset v2-released --language-model meta-llama/Llama-3.1-8B-Instruct --quantize int4",
    ),
}
WAYS = {"--lora 16 --quantize int4": "QLoRA", "--lora 16": "LoRA", "--zero 1": "all weights"}


def planned(command: str, folder: Path) -> dict[str, Any]:
    """What `dragonfly plan ... --json` prints, the named models read from `folder`."""
    from dragonfly.__main__ import main

    words = [str(folder / word) if (folder / word / "config.json").is_file() else word for word in command.split()[1:]]
    with redirect_stdout(io.StringIO()) as out:
        code = main([*words, "--json"])
    if code:
        raise SystemExit(f"{command} ended with {code}")
    return json.loads(out.getvalue())


def write_configs(folder: Path) -> None:
    for name, values in CONFIGS.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps(values))


def cell(command: str, folder: Path) -> dict[str, Any]:
    """Memory in GB, whether it fits, and the time: hours of a run, or seconds of an answer of 128 tokens."""
    plan = planned(command, folder)
    time = plan["time"]
    found = {"command": command, "gb": round(plan["memory"]["needed_bytes"] / 1e9, 1), "fits": plan["fits"]}
    return found | (
        {"hours": round(time["hours"], 1)} if "--train" in command else {"answers_per_second": time["answers_per_second"]}
    )


def released(folder: Path) -> dict[str, Any]:
    """Parameters, image tokens, and memory of an answer in GB: as it is, and with the language model in 4 bits."""
    found = {}
    for name, (command, four_bits) in RELEASED.items():
        plan = planned(command, folder)
        found[name] = {
            "command": command,
            "parameters": sum(plan["parameters"].values()),
            "image_tokens": plan["num_image_tokens"],
            "gb": round(plan["memory"]["needed_bytes"] / 1e9, 2),
            "gb_int4": round(planned(four_bits, folder)["memory"]["needed_bytes"] / 1e9, 2) if four_bits else None,
        }
    return found


def measure() -> dict[str, Any]:
    from dragonfly.files import result_header

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_configs(folder)
        weights = released(folder)
        for tower, language_model, preset in PAIRS:
            base = f"dragonfly plan --tower {tower} --language-model {language_model} --preset {preset}"
            whole = planned(base, folder)
            machines = {}
            for machine, (options, second) in MACHINES.items():
                machines[machine] = {
                    "answer": cell(f"{base} {options.replace(' --devices 8', '')}", folder),
                    "stage1": cell(f"{base} {options} {STAGE1}", folder),
                    "stage2": cell(f"{base} {options} {STAGE2} {second}", folder) | {"way": WAYS[second]},
                }
            parameters = sum(whole["parameters"].values())
            rows.append(
                {"tower": tower, "language_model": language_model, "preset": preset, "parameters": parameters}
                | {"image_tokens": whole["num_image_tokens"], "machines": machines}
            )
    return {**result_header(), "image_size": "1024x768", "estimate": True, "released": weights, "pairs": rows}


def render(result: dict[str, Any]) -> str:
    """The table of docs/backbones.md."""
    lines = [
        "| pair, preset, parameters, image tokens | machine | answers | stage 1 | stage 2 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in result["pairs"]:
        what = f"`{row['tower']}` + `{row['language_model']}`, `{row['preset']}`, {row['parameters'] / 1e9:.1f}B, "
        what += f"{row['image_tokens']:,}"
        for machine, cells in row["machines"].items():
            answer, first, second = cells["answer"], cells["stage1"], cells["stage2"]
            rate = f"{answer['gb']} GB, {answer['answers_per_second']:.2f} per s" if answer["fits"] else _too_much(answer)
            ways = [_run(first), f"{second['way']}: {_run(second)}"]
            lines.append(f"| {what} | {machine} | {rate} | {' | '.join(ways)} |")
            what = ""
    return "\n".join(lines)


def _run(found: dict[str, Any]) -> str:
    return f"{found['gb']} GB, {found['hours']:,.0f} h" if found["fits"] else _too_much(found)


def _too_much(found: dict[str, Any]) -> str:
    return f"does not fit ({found['gb']} GB)"


def with_table(page: str, result: dict[str, Any]) -> str:
    """The page with the table between its two marks written anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{render(result)}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    from dragonfly.files import write_json, write_text

    written = measure()
    write_json(RESULT, written)
    if PAGE.is_file():
        write_text(PAGE, with_table(PAGE.read_text(encoding="utf-8"), written))
    print(render(written))
