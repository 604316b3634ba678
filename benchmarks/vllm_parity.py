"""Greedy answers of vLLM beside `Engine`, token by token, in float32 on a CPU: no image, one, and three.

Run: python benchmarks/vllm_parity.py --vllm-python build/vllm/bin/python [--output benchmarks/results/vllm_parity.json]

Models are saved and asked by the Python that runs this, with the newest transformers; the other Python, which has vLLM and the
transformers that vLLM wants, serves the same directories (`make vllm` makes it). Compared are the prompt's ids, which two chat
paths made, and the answer's. `DRAGONFLY_GOLDEN` names directories in the released format; their attention heads, too small for
vLLM's kernels on a CPU, are widened with zeros, which changes no answer (that is checked too).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

IMAGES = [ROOT / "examples" / "images" / name for name in ("receipt.png", "chart.png", "panel.png")]
QUESTIONS = {0: "What is the date?", 1: "Give the qty.", 3: "Which of the images has a total?"}
LONGEST = 16
HEAD = 32  # the smallest head that vLLM's attention on a CPU knows
NANO = {
    "similarity": ("model.selection.policy=similarity",),
    "centred": ("model.selection.policy=centred",),
    "residual": ("model.selection.policy=residual",),
    "pooled remainder": ("model.selection.policy=similarity", "model.selection.pooled_remainder=1"),
    "sub-images differ in number": ("model.selection.policy=uniform", "model.max_enlargement=1.0"),
    "learned position": ("model.selection.policy=similarity", "model.position=learned"),
}


def nano_shaped(folder: Path) -> dict[str, Path]:
    """The bundled model under policies that do not read the question."""
    import torch

    import dragonfly

    found: dict[str, Path] = {}
    for name, overrides in NANO.items():
        target = found[f"nano, {name}"] = folder / name.replace(" ", "-")
        if target.exists():
            continue
        engine = dragonfly.load("nano", dtype="float32", overrides=overrides)
        torch.manual_seed(0)
        for part in ("mean_embedding", "sub_image_position"):
            for tensor in getattr(engine.model.model, part).state_dict().values() if hasattr(engine.model.model, part) else ():
                tensor.copy_(
                    torch.randn_like(tensor).mul(0.1) if tensor.is_floating_point() and tensor.ndim else torch.tensor(100)
                )
        engine.model.save_pretrained(target)
        engine.processor.save_pretrained(target)
    return found


def golden(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Directories in the released format: what is served, and the original that it must answer like."""
    from tests.conftest import golden_directories

    found: dict[str, tuple[Path, Path]] = {}
    for directory in golden_directories():
        for version in ("v1", "v2"):
            original = directory / version / "checkpoint"
            target = folder / directory.name / version / "checkpoint"
            found[f"released format, {directory.name} {version}"] = (widened(original, target), original)
    return found


def widened(original: Path, target: Path) -> Path:
    """The checkpoint with heads of `HEAD`, the rest zeros; turned by the same angles and scaled alike."""
    if target.exists():
        return target
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(original.parent, target.parent, copy_function=shutil.copyfile)
    for file in [target.parent, *target.parent.rglob("*")]:
        file.chmod(0o755 if file.is_dir() else 0o644)
    config = json.loads((original / "config.json").read_text())
    text = config["text_config"]
    size = text["hidden_size"] // text["num_attention_heads"]
    places = torch.tensor([index % (size // 2) + HEAD // 2 * (index // (size // 2)) for index in range(size)])
    text |= {"head_dim": HEAD, "rope_theta": config["rope_theta"] ** (HEAD / size), "rms_norm_eps": text["rms_norm_eps"]}
    weights = load_file(original / "model.safetensors")
    for name, weight in weights.items():
        part = name.removesuffix(".weight").rpartition(".")[2]
        if name.startswith("language_model.") and part in ("q_proj", "k_proj", "v_proj"):
            heads = weight.view(-1, size, weight.shape[1])
            wide = torch.zeros(len(heads), HEAD, weight.shape[1])
            wide[:, places] = heads * ((HEAD / size) ** 0.5 if part == "q_proj" else 1)
            weights[name] = wide.flatten(0, 1)
        elif name.startswith("language_model.") and part == "o_proj":
            heads = weight.view(len(weight), -1, size)
            wide = torch.zeros(len(weight), heads.shape[1], HEAD)
            wide[:, :, places] = heads
            weights[name] = wide.flatten(1)
    (target / "config.json").write_text(json.dumps(config))
    save_file(weights, target / "model.safetensors")
    return target


def adapter(folder: Path, base: Path) -> Path:
    """A LoRA adapter of the language model, trained for some steps so that answers differ from the base's."""
    if (folder / "out" / "adapter_config.json").exists():
        return folder / "out"
    from tests.training import small

    from dragonfly.training import Recipe, run

    small.rows(folder / "data")
    chosen = small.values(
        folder,
        init_from={"checkpoint": str(base)},
        lora={"r": 8, "targets": r".*language_model.*\.(q|k|v|o)_proj"},
        trainable=[],
        optim={"learning_rate": 0.02},
        steps=8,
    )
    return run(Recipe.model_validate(chosen))


def ask_engine(model: Path) -> list[dict[str, Any]]:
    """What `Engine` says, with the ids of its prompts."""
    import dragonfly
    from dragonfly.inference import Row
    from dragonfly.inference.engine import conversation_of

    engine, found = dragonfly.load(model, dtype="float32", device="cpu"), []
    for number, question in QUESTIONS.items():
        images = [str(image) for image in IMAGES[:number]]
        encoded = engine.encode(images)
        prompt = engine.prompt([conversation_of(Row(None, question), encoded)], [encoded])
        answer = engine.ask(images, question, max_new_tokens=LONGEST)
        found.append({"prompt": prompt["input_ids"][0].tolist(), "ids": list(answer.token_ids), "text": answer.text})
    return found


def ask_vllm(jobs: list[dict[str, Any]]) -> None:
    """In the other Python: every job in a process of its own, forked after the imports, which take longer than the answers."""
    os.environ.update(VLLM_CPU_KVCACHE_SPACE="1", VLLM_ENABLE_V1_MULTIPROCESSING="0", HF_HUB_OFFLINE="1")
    import multiprocessing

    import transformers  # noqa: F401

    for job in jobs:
        child = multiprocessing.get_context("fork").Process(target=_answer, args=(job,))
        child.start()
        child.join()


def _answer(job: dict[str, Any]) -> None:
    """Write what vLLM says, or the reason for which it refuses the model."""
    from PIL import Image
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    options: dict[str, Any] = {"enable_lora": True, "max_lora_rank": 8} if job["adapter"] else {}
    try:
        served = LLM(
            job["model"], dtype="float32", enforce_eager=True, max_num_seqs=4, limit_mm_per_prompt={"image": 3}, seed=0, **options
        )
    except ValueError as error:
        reason = next((line.strip() for line in str(error).splitlines() if "policy" in line), str(error))
        Path(job["target"]).write_text(json.dumps({"refused": reason}))
        return
    lora = LoRARequest("adapter", 1, job["adapter"]) if job["adapter"] else None
    answers = []
    for number, question in QUESTIONS.items():
        parts: list[Any] = [{"type": "image_pil", "image_pil": Image.open(image)} for image in IMAGES[:number]]
        turn: Any = [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]
        (said,) = served.chat(turn, SamplingParams(temperature=0, max_tokens=LONGEST), lora_request=lora, use_tqdm=False)
        answers.append({"prompt": said.prompt_token_ids, "ids": list(said.outputs[0].token_ids), "text": said.outputs[0].text})
    Path(job["target"]).write_text(json.dumps({"answers": answers}))


def in_vllm(python: Path, folder: Path, models: dict[str, tuple[Path, Path | None]]) -> list[dict[str, Any]]:
    """What vLLM says to all questions, of each model and adapter by its name; `folder` keeps it."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        {"model": str(model), "adapter": lora and str(lora), "target": str(folder / f"{name}.json")}
        for name, (model, lora) in models.items()
    ]
    if new := [job for job in jobs if not Path(job["target"]).exists()]:
        run = subprocess.run([str(python), __file__, "--jobs", json.dumps(new)], capture_output=True, text=True, check=False)
        if missing := [job["model"] for job in new if not Path(job["target"]).exists()]:
            raise SystemExit(f"no answer of {missing}\n{run.stdout[-4000:]}\n{run.stderr[-8000:]}")
    return [json.loads(Path(job["target"]).read_text()) for job in jobs]


def compare(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line per question: equal, or where the answers part."""
    lines = []
    for (images, question), one, other in zip(QUESTIONS.items(), ours, theirs, strict=True):
        pairs = zip(one["ids"], other["ids"], strict=False)
        parting = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one["ids"]), len(other["ids"])))
        same = one["ids"] == other["ids"]
        lines.append(
            {
                "images": images,
                "question": question,
                "prompt_tokens": len(one["prompt"]),
                "same_prompt": one["prompt"] == other["prompt"],
                "answer_tokens": len(one["ids"]),
                "same_answer": same,
                "first_difference": None
                if same
                else {"at": parting, "engine": one["ids"][parting:], "vllm": other["ids"][parting:]},
                "text": one["text"],
            }
        )
    return lines


def models(folder: Path) -> list[tuple[str, Path, Path, Path | None]]:
    """Name, what vLLM serves, what `Engine` loads, adapter."""
    shaped = nano_shaped(folder / "nano")
    rows: list[tuple[str, Path, Path, Path | None]] = [(name, path, path, None) for name, path in shaped.items()]
    rows += [(name, served, original, None) for name, (served, original) in golden(folder / "released").items()]
    base = shaped["nano, similarity"]
    trained = adapter(folder / "adapter", base)
    return [*rows, ("nano, LoRA adapter", base, trained, trained)]


def measure(python: Path, folder: Path, only: str) -> tuple[list[dict[str, Any]], str]:
    """One entry per model, and what vLLM says of the bundled one, which reads the question."""
    from dragonfly.installation import bundled_model

    rows = [row for row in models(folder) if re.search(only, row[0])]
    asked = {name: (served, lora) for name, served, _, lora in rows} | {"bundled": (bundled_model(), None)}
    *told, refused = in_vllm(python, folder / "answers", asked)
    found = []
    for (name, served, original, lora), said in zip(rows, told, strict=True):
        if "refused" in said:
            raise SystemExit(f"{name}: vLLM refuses: {said['refused']}")
        expected = ask_engine(original)
        entry: dict[str, Any] = {"model": name, "cases": compare(expected, said["answers"])}
        for key, other in (("widened_answers_as_the_original", lora is None), ("answers_as_its_base", lora is not None)):
            if served != original and other:
                entry[key] = [one["ids"] for one in ask_engine(served)] == [one["ids"] for one in expected]
        found.append(entry)
        print(json.dumps(entry), flush=True)
    return found, refused["refused"].removeprefix("Value error, ").partition(" [type=")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "vllm_parity.json")
    parser.add_argument("--vllm-python", type=Path, help="the Python of the environment that has vLLM")
    parser.add_argument("--only", default="", help="models whose name this regular expression finds")
    parser.add_argument("--folder", type=Path, help="keeps models and vLLM's answers; a run that was cut short resumes by it")
    parser.add_argument("--jobs", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.jobs:
        ask_vllm(json.loads(arguments.jobs))
        return
    if arguments.vllm_python is None:
        parser.error("--vllm-python names the Python of an environment with vLLM; `make vllm` makes one")
    from dragonfly.files import result_header, write_json

    script = "import json, torch, transformers, vllm; from importlib.metadata import version; print(json.dumps({" + (
        "'vllm': vllm.__version__, 'torch': torch.__version__, 'transformers': transformers.__version__}))"
    )
    versions = subprocess.run([arguments.vllm_python, "-c", script], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        found, refused = measure(arguments.vllm_python, arguments.folder or Path(folder), arguments.only)
    cases = [case for entry in found for case in entry["cases"]]
    report = {
        **result_header(),
        "vllm_versions": json.loads(versions.splitlines()[-1]),
        "precision": "float32",
        "cases": len(cases),
        "same_answers": sum(case["same_answer"] for case in cases),
        "same_prompts": sum(case["same_prompt"] for case in cases),
        "models": found,
        "bundled_model_refused": refused,
    }
    write_json(arguments.output, report)
    print(f"{report['same_answers']} of {len(cases)} answers equal; {arguments.output}")


if __name__ == "__main__":
    main()
