"""FSDP2 beside one process: 20 steps in float32 on a CPU, two processes over gloo whose weights are shared out.

Run: python benchmarks/fsdp2_parity.py [--output benchmarks/results/fsdp2_parity.json]

A tiny model (random weights) and eight rows, two of them without an image. Compared are the losses of every step and every
tensor of the finished model. What differs is the order in which numbers are added up. The second run is then cut back to its
step 10 and resumed. A bias of attention's keys is left out: softmax ignores it, so its gradient is rounding alone, which AdamW
enlarges.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

STEPS, PROCESSES = 20, 2
IGNORED = "k_proj.bias"


def differences(ours: Path, expected: Path) -> dict[str, float]:
    """The largest differences of two runs' losses (relative) and weights (absolute)."""
    from safetensors.torch import load_file
    from tests.training.small import losses

    mine, theirs = losses(ours), losses(expected)
    weights, others = load_file(ours / "model.safetensors"), load_file(expected / "model.safetensors")
    if len(mine) != STEPS or len(theirs) != STEPS or weights.keys() != others.keys():
        raise SystemExit(f"{ours.name} and {expected.name} have other steps or tensors")
    of_weights = [float((weights[name] - others[name]).abs().max()) for name in weights if not name.endswith(IGNORED)]
    return {
        "largest_relative_loss_difference": max(abs(a - b) / abs(b) for a, b in zip(mine, theirs, strict=True)),
        "largest_weight_difference": max(of_weights),
        "largest_weight_change_in_training": largest_change(expected),
        "tensors": len(of_weights),
    }


def largest_change(run: Path) -> float:
    """How far training moved any weight: what the differences stand beside."""
    from safetensors.torch import load_file

    before, after = load_file(run.parent / "base" / "model.safetensors"), load_file(run / "model.safetensors")
    return max(float((after[name] - before[name]).abs().max()) for name in after)


def measure(folder: Path) -> dict[str, Any]:
    from tests import tiny
    from tests.training import small
    from tests.training.launch import torchrun

    import dragonfly
    from dragonfly.training import run

    options: dict[str, Any] = {"steps": STEPS, "batch": {"global_size": 4, "per_device": 1}, "save": {"every": 10}}
    alone = run(small.recipe(folder, output=str(folder / "alone"), **options))
    shared = torchrun(folder, "shared", PROCESSES, fsdp=True, **options)
    found = {"processes": json.loads((shared / "run.json").read_text())["speed"]["processes"], **differences(shared, alone)}
    answers = [dragonfly.load(place).ask(tiny.image(), "what?", max_new_tokens=4).text for place in (shared, alone)]
    shutil.rmtree(shared / f"checkpoint-{STEPS}")
    for name in ("dragonfly.json", "model.safetensors"):
        (shared / name).unlink()
    torchrun(folder, "shared", PROCESSES, fsdp=True, **options)
    return {**found, "same_answer": answers[0] == answers[1], "resumed_from_step_10": differences(shared, alone)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "fsdp2_parity.json")
    arguments = parser.parse_args()
    from dragonfly.files import result_header, write_json

    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    write_json(arguments.output, {**result_header(), "steps": STEPS, "precision": "float32", "backend": "gloo", **found})
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
