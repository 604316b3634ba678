# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""How to generate: the options of every question, the stop strings while tokens come, and draws that touch nobody else's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper
from transformers.generation.streamers import BaseStreamer

from dragonfly.config import nearest


@dataclass(frozen=True)
class Options:
    """Greedy where `temperature` is 0; else sampling, reproducible by `seed`. `stop`: texts that end the answer before them.

    Two ways to decode faster are off by default, because their products have other shapes: the last bits of a logit may differ,
    and a token with them where two are as good as equal. `prompt_lookup` guesses so many tokens at a time from what stands in the
    prompt, and keeps those that the model says too (greedy, one question at a time). `static_cache` keeps keys and values in room
    for the whole answer, which transformers compiles for on a GPU.

    Raises:
        ValueError: for a value that cannot be meant.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    prompt_lookup: int = 0
    static_cache: bool = False

    def __post_init__(self) -> None:
        _check("max_new_tokens", self.max_new_tokens, int, lambda value: value >= 1, "an integer of at least 1")
        _check("temperature", self.temperature, (int, float), lambda value: 0 <= value < math.inf, "a number of at least 0")
        _check("top_p", self.top_p, (int, float), lambda value: 0 < value <= 1, "a number above 0 and at most 1")
        _check("seed", self.seed, int, lambda value: 0 <= value < 2**63, "an integer of at least 0, below 2**63")
        _check("prompt_lookup", self.prompt_lookup, int, lambda value: value >= 0, "an integer of at least 0")
        if self.prompt_lookup and (self.temperature > 0 or self.static_cache):
            raise ValueError(
                "prompt_lookup guesses what greedy search says, in a cache that grows; leave temperature and static_cache out"
            )
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        for mark in stop:
            _check("stop", mark, str, bool, "one or more texts that are not empty")
        object.__setattr__(self, "stop", stop)

    @property
    def decoding(self) -> dict[str, Any]:
        """How to decode, in the words of transformers' `generate`; empty for the usual way."""
        found: dict[str, Any] = {"prompt_lookup_num_tokens": self.prompt_lookup} if self.prompt_lookup else {}
        return {**found, "cache_implementation": "static"} if self.static_cache else found

    @classmethod
    def of(cls, **values: Any) -> Options:
        """As the constructor; an unknown name raises a ValueError with the nearest legal one."""
        legal = [one.name for one in fields(cls)]
        for name in values:
            if name not in legal:
                raise ValueError(f"unknown option: {nearest(name, legal)}")
        return cls(**values)


@dataclass(frozen=True)
class Hooks:
    """What a caller does while a batch is generated: see ids as they come, give rows seeds of their own, end rows early."""

    streamer: BaseStreamer | None = None
    seeds: Sequence[int] | None = None
    endings: Sequence[StoppingCriteria] = ()


def _check(name: str, value: Any, kinds: Any, legal: Callable[[Any], bool], wanted: str) -> None:
    if isinstance(value, bool) or not isinstance(value, kinds) or not legal(value):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")


class StopAt(StoppingCriteria):
    """Ends a row when its new text holds a stop string.

    transformers' own criterion also looks at the prompt's last letters, and cannot see letters whose bytes lie in several
    tokens.

    Args:
        stopped: ids of the new tokens -> whether their text holds a stop string.
        prompt_length: how many ids stand before the new ones.
    """

    def __init__(self, stopped: Callable[[list[int]], bool], prompt_length: int) -> None:
        self.stopped, self.prompt_length = stopped, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows = input_ids[:, self.prompt_length :].tolist()
        return torch.tensor([self.stopped(row) for row in rows], dtype=torch.bool, device=input_ids.device)


class Draw(LogitsProcessor):
    """Makes greedy search draw: to each row's log-probabilities it adds Gumbel noise of that row's own generator.

    The greatest sum is distributed as a sample of the row is (Gumbel-max). A generator per row disturbs nobody else's, and draws
    the same for a row alone and among others.

    Args:
        options: temperature above 0, and top_p.
        seeds: of each row.
    """

    def __init__(self, options: Options, seeds: Sequence[int], device: torch.device) -> None:
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self.warpers: list[LogitsProcessor] = [TemperatureLogitsWarper(float(options.temperature))]
        if options.top_p < 1:
            self.warpers.append(TopPLogitsWarper(float(options.top_p)))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        scores = scores.float()
        for warper in self.warpers:
            scores = warper(input_ids, scores)  # pyright: ignore[reportArgumentType]
        noise = torch.empty_like(scores)
        for row, generator in zip(noise, self.generators, strict=True):
            row.exponential_(generator=generator)
        return scores - noise.clamp_min_(torch.finfo(noise.dtype).tiny).log_()
