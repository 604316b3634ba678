"""The part of `benchmarks/gpu.py` that answers: tower, prompt, memory, tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from gpu_parts.bench import Bench, Cases, Row, planned  # pyright: ignore[reportMissingImports]
from scaling import Case, Point  # pyright: ignore[reportMissingImports]
from transformers import StoppingCriteria, StoppingCriteriaList


def answering(bench: Bench) -> Cases:
    """The tower alone, the prompt alone, memory of both, and tokens of an answer, with a cache that grows and a compiled one."""
    for preset in bench.scale.towers:
        yield from answering_by(bench, preset)
    for preset in bench.scale.towers:  # last, because compiling takes longest
        yield from decoding_by(bench, preset, "static")


def answering_by(bench: Bench, preset: str) -> Cases:
    model, size = bench.model(preset, "8B", torch.bfloat16), bench.scale.model_size(preset, "8B")

    def encoding(batch: int) -> Row:
        took = bench.seconds(Case(model, Point("batch", size.spec, batch)).tower)
        return bench.share(batch * (planned(size, batch).cost.tower_flops or 0), took) | {"images_per_second": batch / took}

    def prompt(batch: int) -> Row:
        plan = planned(size, batch)
        bench.forget_peak()
        case = Case(model, Point("batch", size.spec, batch))
        case.answer()
        held = bench.held(plan.memory.peak)
        took = bench.seconds(case.prefill)
        rate = {"tokens_per_second": batch * plan.cost.prompt_tokens / took}
        return bench.share(batch * (plan.cost.prefill_flops or 0), took) | rate | held

    for batch in bench.scale.batches:
        yield f"{preset}: encoding, batch {batch}", partial(encoding, batch)
        yield f"{preset}: prompt, batch {batch}", partial(prompt, batch)
    yield from decoding_by(bench, preset, "dynamic", model)


def decoding_by(bench: Bench, preset: str, cache: str, model: Any = None) -> Cases:
    model = model or bench.model(preset, "8B", torch.bfloat16)
    for batch in bench.scale.batches[:2]:
        point = Point("batch", bench.scale.model_size(preset, "8B").spec, batch)
        yield f"{preset}: decoding, {cache} cache, batch {batch}", partial(decoding, bench, model, point, cache)


class Stamps(StoppingCriteria):
    """When each token was there, for all rows."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self.wait, self.times = wait, list[float]()

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.wait()
        self.times.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def decoding(bench: Bench, model: Any, point: Point, cache: str) -> Row:
    """Seconds to the first token without preprocessing, and tokens a second behind it; the first of two answers warms up."""
    case, tokens = Case(model, point), bench.scale.new_tokens
    model.model.spec = point.spec

    def answer() -> list[float]:
        stamps = Stamps(bench.wait)
        bench.wait()
        start = time.perf_counter()
        model.generate(
            input_ids=case.ids,
            attention_mask=torch.ones_like(case.ids),
            do_sample=False,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            stopping_criteria=StoppingCriteriaList([stamps]),
            **({"cache_implementation": "static"} if cache == "static" else {}),  # which transformers compiles on a GPU
            **case.inputs,
        )
        return [one - start for one in stamps.times]

    first = answer()
    times = answer()
    each = (times[-1] - times[0]) / (len(times) - 1)
    return {
        "first_token_seconds": times[0],
        "tokens_per_second": point.batch / each,
        "warming_up_seconds": first[-1],
        "weights_bytes_per_second": sum(one.nbytes for one in model.model.language_model.parameters()) / each,
    }
