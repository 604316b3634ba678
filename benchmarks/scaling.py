"""What an answer and a training step cost against resolution, grid, kept number, batch and text, and how well `plan` knows.

Run: python benchmarks/scaling.py [--rounds N] [--fresh] [--output benchmarks/results/scaling.json]

One model of medium size (a tower of CLIP ViT-B's width and a Llama as wide, so that products of matrices dominate), random
weights, on one thread, in processor seconds. float32 and bfloat16 take turns within a round; a time is the least of the rounds,
which neighbours on a machine change least. The peaks of memory are of forked processes that had run nothing yet, float32. A step
is a forward and a backward pass through all weights, supervised on the text; the optimiser, which depends on none of this, is
left out.

Every point is written when it is measured, and a second start measures what is missing. Laws are fitted to the points that are
not held out (`HELD_OUT`), by relative least squares; both the laws and `planning`'s formulas then predict the others.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from peers import image, peak_mib, seconds  # noqa: E402  # pyright: ignore[reportMissingImports]

from dragonfly.data import IGNORE_INDEX  # noqa: E402
from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration, DragonflyImageProcessor  # noqa: E402
from dragonfly.models.connector import Views  # noqa: E402
from dragonfly.models.modeling_dragonfly import DragonflyImageFeatures  # noqa: E402
from dragonfly.models.outputs import CACHE  # noqa: E402
from dragonfly.planning import Answers, ModelSize, Training, plan_inference, plan_training, training_flops  # noqa: E402
from dragonfly.training.objective import supervised_logits  # noqa: E402
from dragonfly.vision.presets import get_preset  # noqa: E402
from dragonfly.vision.spec import EncoderSpec  # noqa: E402

SIZE = (768, 1024)
VOCABULARY = 4096
IMAGE, SEPARATOR = VOCABULARY - 2, VOCABULARY - 1
TOWER: dict[str, Any] = {
    "model_type": "clip_vision_model",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 4,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
}
TEXT: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 768,
    "intermediate_size": 2112,
    "num_hidden_layers": 4,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DECODED = 8  # tokens
PIXELS = ((480, 640), (768, 1024), (1536, 2048), (3024, 4032), (4992, 6656))  # (height, width): 0.3 to 33 megapixels
PROCESSED = ("low-only", "v1", "v2")
PHASES = ("tower", "connector", "prefill", "decode", "step")
KNOWN = ("tower", "prefill", "decode", "step")
"""What `planning` has a formula for that time follows: the connector moves tokens more than it multiplies them."""


@dataclass(frozen=True)
class Point:
    """One place in the grid: an encoder, `batch` images with `text` tokens each."""

    axis: str
    spec: EncoderSpec
    batch: int = 1
    text: int = 64


def _points() -> dict[str, Point]:
    v1, grids = get_preset("v1").spec, ("low-only", "baseline-1", "baseline-2", "baseline-3", "v1-high16", "v1", "v1-high48")
    found = {name: Point("grid", get_preset(name).spec) for name in grids}
    found["v1, residual"] = Point("grid", v1.with_selection(policy="residual"))
    found |= {f"v1, {4 * keep} kept": Point("kept", v1.with_selection(keep=keep)) for keep in (1, 2, 4, 6)}
    found |= {f"baseline-1, batch {n}": Point("batch", get_preset("baseline-1").spec, batch=n) for n in (2, 3, 4)}
    return found | {f"v1, text {n}": Point("text", v1, text=n) for n in (256, 512, 1024)}


POINTS = _points()
HELD_OUT = ("baseline-2", "v1-high48", "v1, 16 kept", "baseline-1, batch 3", "v1, text 512")


class Case:
    """A point's work on one model; every method is one phase, and leaves what the next one needs."""

    def __init__(self, model: Any, point: Point) -> None:
        self.model, self.point = model, point
        inputs = DragonflyImageProcessor(encoder=point.spec.to_dict())([image(SIZE)] * point.batch, return_tensors="pt")
        layout = inputs.pop("layouts")[0]
        tokens, device = model.config, model.device
        marks = (tokens.image_token_id, tokens.separator_token_id)
        block = [one for count in layout.token_counts for one in (*marks[:1] * count, marks[1])]
        self.ids = torch.tensor([[1, *block, *range(100, 99 + point.text)]] * point.batch, device=device)
        self.inputs = {**inputs.to(device), "pixel_values": inputs["pixel_values"].to(device, model.dtype)}
        self.labels = self.ids.clone()
        self.labels[:, : len(block) + 1] = IGNORE_INDEX
        self.sub_images = layout_count(inputs["pixel_values"])
        self.encoded: Any = None
        self.features: Any = None
        self.cache: Any = None

    @torch.inference_mode()
    def tower(self) -> None:
        self.model.model.spec = self.point.spec
        self.encoded = self.model.model.encode_views(Views(self.inputs["pixel_values"], self.inputs["sub_image_regions"]))

    @torch.inference_mode()
    def connector(self) -> None:
        self.features = [self.model.model.connect(*one).tokens[0] for one in self.encoded]

    @torch.inference_mode()
    def prefill(self) -> None:
        outputs = {"image": DragonflyImageFeatures(pooler_output=self.features)}  # pyright: ignore[reportArgumentType]
        done = self.model(input_ids=self.ids, mm_encoder_outputs=outputs, logits_to_keep=1, use_cache=True)
        self.cache = getattr(done, CACHE)

    @torch.inference_mode()
    def decode(self) -> None:
        for _ in range(DECODED):
            self.model(input_ids=self.ids[:, -1:], use_cache=True, **{CACHE: self.cache})

    def step(self) -> None:
        self.model.model.spec = self.point.spec
        supervised = {"labels": self.labels, **supervised_logits(self.labels)}
        self.model(input_ids=self.ids, use_cache=False, **supervised, **self.inputs).loss.backward()

    def answer(self) -> None:
        self.tower()
        self.connector()
        self.encoded = None
        self.prefill()

    def times(self) -> dict[str, float]:
        found = {phase: seconds(getattr(self, phase)) for phase in PHASES}
        self.model.zero_grad(set_to_none=True)
        self.encoded = self.features = self.cache = None
        return {**found, "decode": found["decode"] / DECODED}


def layout_count(pixel_values: torch.Tensor) -> int:
    """Sub-images that enter the tower in a call."""
    return pixel_values.shape[0] * pixel_values.shape[1]


def models() -> dict[str, Any]:
    encoder = get_preset("v1").spec.to_dict()
    config = DragonflyConfig(
        vision_config=TOWER, text_config=TEXT, encoder=encoder, image_token_id=IMAGE, separator_token_id=SEPARATOR
    )
    torch.manual_seed(0)
    made: Any = DragonflyForConditionalGeneration(config).eval()
    return {name: copy.deepcopy(made).to(dtype) for name, dtype in DTYPES.items()}


def planned(point: Point) -> dict[str, float]:
    """What `plan` says of a point: FLOPs by phase, bytes that a token of all rows reads, MiB of both peaks beyond weights."""
    model = ModelSize.from_configs(TOWER, TEXT, encoder=point.spec.to_dict())
    answers = plan_inference(model, Answers(SIZE, point.batch, point.text, DECODED, "float32"))
    work = Training(SIZE, point.batch, text_tokens=point.text, precision="float32")
    step, cost, size = plan_training(model, work), answers.cost, model.language_model
    read = size.parameters + point.batch * size.cache_elements(cost.prompt_tokens + DECODED // 2)

    def beyond(memory: Any, without: tuple[str, ...]) -> int:
        return max(sum(count for what, count in one.items() if what not in without) for one in memory.moments.values())

    return {
        "tower": point.batch * (cost.tower_flops or 0),
        "prefill": point.batch * (cost.prefill_flops or 0),
        "decode": read,
        "step": training_flops(model, cost, work),
        "answer_mib": beyond(answers.memory, ("weights",)) / 2**20,
        "step_mib": beyond(step.memory, ("weights", "optimiser")) / 2**20,
    }


def processing(rounds: int) -> list[dict[str, Any]]:
    """Processor seconds of an image processor, decoding left out, by size of the image."""
    rows: list[dict[str, Any]] = []
    for size in PIXELS:
        one = image(size)
        row: dict[str, Any] = {"megapixels": round(size[0] * size[1] / 1e6, 2), "seconds": {}}
        for name in PROCESSED:
            processor = DragonflyImageProcessor(encoder=get_preset(name).spec.to_dict())
            processor(one, return_tensors="pt")
            row["seconds"][name] = min(seconds(partial(processor, one, return_tensors="pt")) for _ in range(rounds))
        rows.append(row)
    return rows


def peaks(model: Any) -> dict[str, dict[str, float]]:
    """MiB that an answer and a step need beyond what was there, each in a process of its own; before anything else has run."""
    found: dict[str, dict[str, float]] = {}
    for name, point in POINTS.items():
        case = Case(model, point)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what was freed and kept would serve the child, and not be seen
        found[name] = {"answer_mib": peak_mib(case.answer), "step_mib": peak_mib(case.step)}
        print(name, found[name], flush=True)
    return found


def measured(made: dict[str, Any], name: str, rounds: int) -> dict[str, Any]:
    point = POINTS[name]
    cases = {kind: Case(model, point) for kind, model in made.items()}
    taken: dict[str, list[dict[str, float]]] = {kind: [] for kind in cases}
    for _ in range(rounds):
        for kind, case in cases.items():
            taken[kind].append(case.times())
            gc.collect()
    any_case = next(iter(cases.values()))
    return {
        "axis": point.axis,
        "held_out": name in HELD_OUT,
        "batch": point.batch,
        "prompt_tokens": any_case.ids.shape[1],
        "sub_images": any_case.sub_images,
        "seconds": {kind: {phase: min(one[phase] for one in rows) for phase in PHASES} for kind, rows in taken.items()},
    }


# Terms of each law, of a row as `measured` gives it; what it is a law of; its unit.
LAWS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], list[float]]]] = {
    "tower": (("call", "sub-image"), lambda row: [1.0, row["sub_images"]]),
    "prefill": (
        ("call", "token", "token squared"),
        lambda row: [1.0, row["batch"] * row["prompt_tokens"], row["batch"] * row["prompt_tokens"] ** 2],
    ),
    "decode": (("call", "token in the cache"), lambda row: [1.0, row["batch"] * row["prompt_tokens"]]),
    "step": (
        ("call", "sub-image", "token", "token squared"),
        lambda row: [1.0, row["sub_images"], row["batch"] * row["prompt_tokens"], row["batch"] * row["prompt_tokens"] ** 2],
    ),
    "answer_mib": (
        ("call", "sub-image", "token"),
        lambda row: [1.0, row["sub_images"], row["batch"] * row["prompt_tokens"]],
    ),
    "step_mib": (
        ("call", "sub-image", "token"),
        lambda row: [1.0, row["sub_images"], row["batch"] * row["prompt_tokens"]],
    ),
}


def law(terms: tuple[str, ...], columns: list[list[float]], values: list[float]) -> dict[str, dict[str, float]]:
    """Relative least squares of values on columns: each term's coefficient and half of its 95 % interval."""
    from scipy.optimize import curve_fit
    from scipy.stats import t as student

    x, y = np.array(columns).T, np.array(values)
    scale = x.max(axis=1)  # so that no term is lost beside a larger one

    def linear(at: Any, *parameters: float) -> Any:
        return np.asarray(parameters) @ at

    found, covariance = curve_fit(linear, x / scale[:, None], y, p0=np.full(len(x), y.mean()), sigma=y)
    half = student.ppf(0.975, len(y) - len(x)) * np.sqrt(np.diag(covariance))
    return {
        term: {"value": float(value / unit), "plus_minus": float(width / unit)}
        for term, value, width, unit in zip(terms, found, half, scale, strict=True)
    }


def fitted(rows: dict[str, dict[str, Any]], value: Callable[[dict[str, Any]], float], name: str) -> dict[str, Any]:
    """A law on the points that are not held out, and what is left: of the law, and of `plan`'s number times one factor."""
    terms, columns = LAWS[name]
    known = {key: row for key, row in rows.items() if not row["held_out"]}
    found = law(terms, [columns(row) for row in known.values()], [value(row) for row in known.values()])
    coefficients = [found[term]["value"] for term in terms]
    factor = math.exp(np.mean([math.log(value(row) / row["planned"][name]) for row in known.values()]))

    def errors(predict: Callable[[dict[str, Any]], float]) -> dict[str, Any]:
        of = {key: round(predict(row) / value(row) - 1, 4) for key, row in rows.items()}
        outside = [abs(error) for key, error in of.items() if rows[key]["held_out"]]
        inside = [abs(error) for key, error in of.items() if not rows[key]["held_out"]]
        return {"fitted_max": max(inside), "held_out_max": max(outside), "held_out_mean": float(np.mean(outside)), "of": of}

    return {
        "terms": found,
        "law": errors(lambda row: float(np.dot(coefficients, columns(row)))),
        "plan": {"factor": factor, **errors(lambda row: factor * row["planned"][name])},
    }


def laws(result: dict[str, Any]) -> dict[str, Any]:
    """All laws: times by number format, memory beside what is planned of it, preprocessing."""
    rows = result["points"]

    def taken(kind: str, phase: str) -> Callable[[dict[str, Any]], float]:
        return lambda row: row["seconds"][kind][phase]

    found: dict[str, Any] = {kind: {phase: fitted(rows, taken(kind, phase), phase) for phase in KNOWN} for kind in DTYPES}
    found["memory"] = {}
    for name in ("answer_mib", "step_mib"):
        terms, columns = LAWS[name]
        x = [columns(row) for row in rows.values()]
        found["memory"][name] = {
            "measured": law(terms, x, [result["peaks"][key][name] for key in rows]),
            "planned": law(terms, x, [row["planned"][name] for row in rows.values()]),
        }
    sizes = result["preprocessing"]
    found["preprocessing"] = {
        name: law(("image", "megapixel"), [[1.0, row["megapixels"]] for row in sizes], [row["seconds"][name] for row in sizes])
        for name in PROCESSED
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="measure all again, whatever the file holds")
    parser.add_argument("--fit", action="store_true", help="measure nothing; plan and fit what the file holds")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "scaling.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    begun = options.output.is_file() and not options.fresh
    result: dict[str, Any] = json.loads(options.output.read_text(encoding="utf-8")) if begun else {}
    if not options.fit:
        result = measure(result, options.rounds, options.output)
    for name, row in result["points"].items():
        row["planned"] = planned(POINTS[name])
    write_json(options.output, {**result, "laws": laws(result)})


def measure(result: dict[str, Any], rounds: int, output: Path) -> dict[str, Any]:
    """What `result` lacks, written after each point."""
    result = {**result, **result_header(), "benchmark": "scaling", "bfloat16": torch.cpu._is_avx512_bf16_supported()}
    result |= {"rounds": rounds, "tower": TOWER, "language_model": TEXT, "load_average": list(os.getloadavg())}
    made = models()
    if "peaks" not in result:
        result["peaks"] = peaks(made["float32"])
    if "preprocessing" not in result:
        result["preprocessing"] = processing(3)
    result.setdefault("points", {})
    for name in [name for name in POINTS if name not in result["points"]]:
        begin = time.perf_counter()
        result["points"][name] = measured(made, name, rounds)
        write_json(output, result)
        print(f"{name}: {time.perf_counter() - begin:.0f} s {result['points'][name]['seconds']}", flush=True)
    return result


if __name__ == "__main__":
    main()
