"""The recorded behaviour of the released models: what a directory of it holds, our own run of a case, and the comparisons.

A directory has a MANIFEST.json (versions, cases, pixel hashes), images, and per version a checkpoint and one .npz file per case.
Nothing here knows the name of an image or a case. `docs/fidelity.md` says what is recorded and what is kept of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dragonfly.models import DragonflyForConditionalGeneration, DragonflyProcessor, connector
from dragonfly.vision.selection import Selection, SelectionInputs
from tests.conftest import golden_directories

TOLERANCE = 1e-4  # of logits and embeddings; two faithful implementations differ by up to 7e-6 on these weights
RELATIVE = 1e-5  # of scores and embeddings, times the image's largest; leaving CLS out of them moves them by 1e-3


@dataclass(frozen=True)
class Golden:
    """One version (v1 or v2) of one directory."""

    directory: Path
    version: str

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return _manifest(self.directory)[self.version]

    @property
    def folder(self) -> Path:
        return self.directory / self.version

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    def image(self, name: str) -> Image.Image:
        return Image.open(self.directory / "images" / name).convert("RGB")

    @cached_property
    def cases(self) -> list[Case]:
        return [Case(self, name, meta) for name, meta in self.manifest["cases"].items()]

    def __str__(self) -> str:
        return f"{self.directory.name}-{self.version}"


@dataclass(frozen=True, eq=False)
class Case:
    """One recorded call of the released code."""

    golden: Golden
    name: str
    meta: dict[str, Any]

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        with np.load(self.golden.folder / self.meta["file"]) as file:
            return {key: file[key] for key in file.files}

    @property
    def texts(self) -> list[str]:
        return self.meta["text"] if "text" in self.meta else [item["text"] for item in self.meta["items"]]

    @property
    def generates(self) -> bool:
        return bool(self.meta.get("is_generate"))

    @cached_property
    def images(self) -> list[Image.Image]:
        """The images that reach the model: none if any row lacks one (docs/fidelity.md, item 25)."""
        names = self.meta.get("images") or [None]
        return [] if None in names else [self.golden.image(name) for name in names if name]

    def recorded(self, *names: str) -> dict[str, Tensor]:
        return {name: torch.from_numpy(self.tensors[name]).long() for name in names}

    def __str__(self) -> str:
        return f"{self.golden}-{self.name}"


@cache
def _manifest(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "MANIFEST.json").read_text(encoding="utf-8"))


@cache
def versions() -> tuple[Golden, ...]:
    return tuple(
        Golden(directory, name)
        for directory in golden_directories()
        for name, value in _manifest(directory).items()
        if isinstance(value, dict) and "cases" in value
    )


def parameters(items: list[Any]) -> list[Any]:
    """Pytest parameters; without any recorded directory one that is skipped with the reason."""
    if not versions():
        reason = "no recorded directory: set DRAGONFLY_GOLDEN or put ../shared/golden/set_a in place"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    return [pytest.param(item, id=str(item)) for item in items]


def cases(*kinds: str) -> list[Case]:
    return [case for golden in versions() for case in golden.cases if case.meta["kind"] in kinds]


def smallest_image_case(golden: Golden) -> Case:
    """A generation case with one image and everything recorded in detail, if there is one."""
    found = [case for case in golden.cases if case.meta["kind"] == "single_generate"]
    return min(found, key=lambda case: "projected_low" not in case.tensors)


@cache
def load(golden: Golden) -> tuple[Any, Any]:
    """Model and processor of a checkpoint, as found."""
    model = DragonflyForConditionalGeneration.from_pretrained(golden.checkpoint).eval()
    return model, DragonflyProcessor.from_pretrained(golden.checkpoint)


def our_inputs(case: Case, processor: Any) -> Any:
    """Our processor's output for a case with images, with the options that the recorded call had."""
    return processor(
        text=case.texts,
        images=[[image] for image in case.images],
        padding=True,
        padding_side="left" if case.generates else "right",
        truncation=True,
        max_length=case.meta["max_length"],
        add_end_of_text=not case.generates,
        return_tensors="pt",
    )


@dataclass
class Trace:
    """One forward pass, and what happened on the way."""

    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    inputs_embeds: Tensor = field(default_factory=lambda: torch.empty(0))
    features: Tensor | None = None  # (images, features per image, hidden)
    embeddings: SelectionInputs | None = None
    selection: Selection | None = None


@contextmanager
def observed(model: Any, trace: Trace) -> Iterator[None]:
    """Note what the language model is given and what the selection looked at, without changing either."""
    select = connector.select

    def noted(inputs: SelectionInputs, *rest: Any, **more: Any) -> Selection:
        trace.embeddings, trace.selection = inputs, select(inputs, *rest, **more)
        return trace.selection

    def embeddings(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        trace.inputs_embeds = kwargs["inputs_embeds"]

    hook = model.model.language_model.register_forward_pre_hook(embeddings, with_kwargs=True)
    connector.select = noted
    try:
        yield
    finally:
        connector.select = select
        hook.remove()


@torch.no_grad()
def forward(model: Any, inputs: Any, **kwargs: Any) -> Trace:
    trace = Trace()
    with observed(model, trace):
        output = model(**inputs, **kwargs)
    trace.logits = output.logits
    if output.image_hidden_states is not None:
        trace.features = output.image_hidden_states.unflatten(0, (len(inputs["input_ids"]), -1))
    return trace


# --- comparisons: each raises AssertionError ---


def compare(ours: Tensor, recorded: np.ndarray, tolerance: float = TOLERANCE, name: str = "values") -> None:
    error = distance(ours, recorded)
    assert error <= tolerance, f"{name} differ by {error:.3g}, allowed {tolerance:.3g}"


def distance(ours: Tensor, recorded: np.ndarray) -> float:
    assert tuple(ours.shape) == recorded.shape, f"shape {tuple(ours.shape)}, recorded {recorded.shape}"
    return float((ours - torch.from_numpy(recorded)).abs().max()) if recorded.size else 0.0


def logits_error(logits: Tensor, case: Case, mask: Tensor, prefix: str = "") -> float:
    """Largest difference at the recorded positions, padding left out."""
    positions = torch.from_numpy(case.tensors[f"{prefix}logits_positions"]).long()
    real = mask[:, positions].bool()
    assert bool(real.any()), "only padding was recorded"
    return distance(logits[:, positions][real], case.tensors[f"{prefix}logits"][real.numpy()])


def compare_logits(logits: Tensor, case: Case, mask: Tensor, prefix: str = "") -> None:
    error = logits_error(logits, case, mask, prefix)
    assert error <= TOLERANCE, f"logits differ by {error:.3g}"
    if f"{prefix}logits_lse" not in case.tensors:
        return
    real = mask.bool()
    compare(logits.logsumexp(-1)[real], case.tensors[f"{prefix}logits_lse"][real.numpy()], name="logsumexp")
    best = torch.from_numpy(case.tensors[f"{prefix}logits_argmax"]).long().unsqueeze(-1)
    # Where two tokens are level within the tolerance, either may lead.
    behind = (logits.amax(-1) - logits.gather(-1, best).squeeze(-1))[real]
    assert float(behind.max()) <= TOLERANCE, "another token leads than the recorded one"


def compare_embeddings(trace: Trace, case: Case, mask: Tensor) -> None:
    positions = torch.from_numpy(case.tensors["inputs_embeds_positions"]).long()
    real = mask[:, positions].bool()
    compare(trace.inputs_embeds[:, positions][real], case.tensors["inputs_embeds"][real.numpy()], name="inputs_embeds")


def compare_selection(trace: Trace, case: Case, regions: Tensor) -> None:
    """Kept indices exact, scores within `RELATIVE`, what lies outside a region exactly masked, the order of the best."""
    assert trace.selection is not None
    assert trace.selection.indices.tolist() == case.tensors["selected_high"].tolist()
    if "region_scores_masked" in case.tensors:
        compare_scores(trace.selection.scores, regions, case.tensors["region_scores_masked"])
        best = _best_per_region(trace.selection.scores, regions, case.tensors["region_topk"].shape[2])
        assert best == case.tensors["region_topk"].tolist()


def compare_scores(scores: Tensor, regions: Tensor, recorded: np.ndarray) -> None:
    number = torch.arange(recorded.shape[1]).view(1, -1, 1)
    masked = torch.where(regions.unsqueeze(1) == number, scores.unsqueeze(1), -torch.inf)
    for ours, theirs in zip(masked, torch.from_numpy(recorded), strict=True):
        inside = torch.isfinite(theirs)
        assert torch.equal(torch.isfinite(ours), inside), "other sub-images are masked"
        assert bool((ours[~inside] == theirs[~inside]).all())
        allowed = RELATIVE * float(theirs[inside].abs().max())
        compare(ours[inside], theirs[inside].numpy(), allowed, "scores")


def compare_sub_image_embeddings(trace: Trace, case: Case, tokens: int, prefix: int) -> None:
    """Means over all tokens of a sub-image, read off what went into the selection or into the language model."""
    ours = sub_image_means(trace, case, tokens, prefix)
    for row, recorded in zip(ours, case.tensors["sub_image_mean_embed"], strict=True):
        compare(row, recorded, RELATIVE * float(np.abs(recorded).max()), "embeddings")


def sub_image_means(trace: Trace, case: Case, tokens: int, prefix: int) -> Tensor:
    """(images, sub_images, hidden). A pooled token stands for as many tokens as its window holds."""
    assert trace.features is not None
    low = trace.features[:, :tokens].mean(dim=1, keepdim=True)
    if trace.embeddings is not None:
        assert trace.embeddings.mid is not None and trace.embeddings.high is not None
        return torch.cat([low, trace.embeddings.mid, trace.embeddings.high], dim=1)
    others = case.tensors["sub_image_mean_embed"].shape[1] - 1
    pooled = trace.features[:, tokens:].unflatten(1, (others, -1))
    window = (tokens - prefix) // (pooled.shape[2] - prefix)
    total = pooled[:, :, :prefix].sum(dim=2) + window * pooled[:, :, prefix:].sum(dim=2)
    return torch.cat([low, total / tokens], dim=1)


def _best_per_region(scores: Tensor, regions: Tensor, keep: int) -> list[list[list[int]]]:
    """Indices of the best of each region, best first."""
    return [
        [
            sorted((regions_row == region).nonzero().flatten().tolist(), key=lambda i, row=row: -float(row[i]))[:keep]
            for region in range(int(regions_row.max()) + 1)
        ]
        for row, regions_row in zip(scores, regions, strict=True)
    ]


def high_regions(inputs: Any) -> Tensor:
    """(images, high) regions of the high sub-images."""
    codes = inputs["sub_image_regions"]
    return codes[:, (codes[0] >= 0)]
