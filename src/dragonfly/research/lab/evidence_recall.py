"""Evidence recall: how often a policy keeps the sub-images that hold the answer. The language model does not run.

Every policy selects through the processor and the model, as for a question that is asked. `random` (one draw, and its exact
expectation) and `oracle` (the upper bound) are always reported beside. Intervals are bootstrapped over images. Policy `question`
selects once per question, the others once per image.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from dragonfly.config import nearest
from dragonfly.data import Manifest
from dragonfly.evaluation import describe_model
from dragonfly.evaluation.metrics import mean
from dragonfly.evaluation.statistics import interval
from dragonfly.files import result_header, sha256
from dragonfly.imaging import load_image
from dragonfly.inference import Engine
from dragonfly.training.calibration import mean_embedding_of
from dragonfly.vision.layout import SubImageLayout
from dragonfly.vision.selection import choose
from dragonfly.vision.selection_spec import NEEDS, Policy, Scope
from dragonfly.vision.spec import EncoderSpec
from dragonfly.vision.trimming import image_layout

from .evidence import Located, area_share, covered, random_area, random_covered, read_located

BESIDE: tuple[Policy, ...] = ("random", "oracle")
EXACT = "random (exact)"

Kept = tuple[int, ...]
Progress = Callable[[int, int], None]


@dataclass
class Tally:
    """For each (number kept, policy): one (covered, area share) per question, in the questions' order."""

    rows: dict[tuple[int, str], list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, keep: int, policy: str, values: tuple[float, float]) -> None:
        self.rows.setdefault((keep, policy), []).append(values)


def recall(
    engine: Engine,
    data: str | Path,
    *,
    policies: Sequence[str] | None = None,
    keep: Sequence[int] = (1, 2, 3),
    scope: Scope | str | None = None,
    by: Sequence[str] = (),
    limit: int | None = None,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """The recall of every policy at every number kept.

    Args:
        engine: a model with a high level.
        data: a manifest with evidence.
        policies: names from `vision.spec.NEEDS`; None for all that the model has weights for.
        keep: numbers of high sub-images kept, of each region or of the image.
        scope: `region` or `image`; None for the model's own.
        by: meta keys to break the recall down by.
        limit: at most so many questions.
        progress: called with (done, total) questions.

    Returns:
        The content of a result file of kind `recall`; shares are 0 to 1.

    Raises:
        ValueError: for a model without high level, an unknown policy, more kept than there are, or data without evidence.
    """
    spec = engine.model.config.spec
    chosen = check_policies(policies, spec.selection.policy)
    if spec.high is None:
        raise ValueError(f"model '{engine.name}' has no high level, so there is nothing to select; name another --model")
    changes = {"policy": "random", "scope": scope or spec.selection.scope}
    specs = {k: spec.changed({"selection": {**changes, "keep": k}}) for k in sorted(set(keep))}
    questions = read_located(data, limit)
    tally, left_out = Tally(), 0
    asked: list[Located] = []
    high: set[int] = set()
    with mean_embedding_of(engine, [question.image for question in questions], "centred" in chosen) as origin:
        chooser = Chooser(engine, specs)
        for number, question in enumerate(questions):
            progress(number, len(questions))
            layout = chooser.open(question)
            if not layout.regions:
                left_out += 1  # with an enlargement cap a small image has no high level
                continue
            asked.append(question)
            high.add(layout.count("high"))
            for k, rule in specs.items():
                drawn = (layout, question.evidence, k, rule.selection.scope)
                chance = random_covered(*drawn), random_area(*drawn)
                tally.add(k, EXACT, chance)
                for policy in chosen:
                    kept = chooser.kept(question, policy, k)
                    found = float(covered(layout, question.evidence, kept)), area_share(layout, question.evidence, kept)
                    tally.add(k, policy, found)
    progress(len(questions), len(questions))
    if not asked:
        raise ValueError(f"no image of {data} gets a high level under this model's enlargement cap; raise model.max_enlargement")
    return {
        "kind": "recall",
        **result_header(),
        "model": describe_model(engine),
        "data": {"sha256": sha256(Manifest.open(data).path), "questions": len(asked), "images": len({q.group for q in asked})},
        "without_high_level": left_out,
        "scope": changes["scope"],
        "high": sorted(high),
        "mean_embedding": origin,
        "recall": _summary(tally, asked),
        "by": {key: _broken_down(tally, asked, key) for key in by},
    }


def check_policies(policies: Sequence[str] | None, own: Policy | None = None) -> list[Policy]:
    """The policies to compare, in the order of `NEEDS`, with `random` and `oracle`. ValueError with the nearest legal name.

    A policy that depends on the question needs weights that other models lack, so it is compared if named or the model's `own`.
    """
    legal = cast("list[Policy]", [policy for policy in NEEDS if policy != "all"])
    for name in policies or ():
        if name not in legal:
            raise ValueError(f"policy {nearest(name, legal)}")
    usual = policies or [policy for policy in legal if NEEDS[policy] != "question" or policy == own]
    return [policy for policy in legal if policy in usual or policy in BESIDE]


class Chooser:
    """The high sub-images that each policy keeps of one image at a time, selected as the served model selects."""

    def __init__(self, engine: Engine, specs: dict[int, EncoderSpec]) -> None:
        self.engine, self.specs = engine, specs
        self.scores: dict[tuple[Policy, str], torch.Tensor] = {}  # by policy, and by question where the policy depends on it
        self.chosen: dict[tuple[Policy, int], Kept] = {}
        self.source: str | bytes | None = None
        self.image: Any = None
        self.layout: Any = None

    def open(self, question: Located) -> SubImageLayout:
        """Load the question's image, unless it is loaded already; its layout."""
        if question.image != self.source:
            self.source, self.scores, self.chosen = question.image, {}, {}
            self.image = load_image(question.image, self.engine.processor.image_processor.image_policy).image
            self.layout = image_layout(self.image, next(iter(self.specs.values())))
        return self.layout

    def kept(self, question: Located, policy: Policy, keep: int) -> Kept:
        """Raster indices that the policy keeps for this question; selected once per image where it does not depend on it."""
        if (policy, keep) in self.chosen:
            return self.chosen[policy, keep]
        found = self._choose(question, policy, keep)
        if NEEDS[policy] not in ("question", "evidence"):
            self.chosen[policy, keep] = found
        return found

    def _choose(self, question: Located, policy: Policy, keep: int) -> Kept:
        spec = self.specs[keep].with_selection(policy=policy)
        if spec.selection.early:
            batch = self.engine.processor.image_processor(
                [self.image], encoder=spec.to_dict(), evidence=[list(question.evidence)], return_tensors="pt"
            )
            return tuple(index for index in batch["selected_high"][0].tolist() if index >= 0)
        asked = question.text if NEEDS[policy] == "question" else ""
        if (policy, asked) not in self.scores:
            self.scores[policy, asked] = scores_of(self.engine, spec, self.image, question.text)
        scores = self.scores[policy, asked]
        regions = torch.tensor([self.layout.regions])
        count = spec.num_kept_high(self.layout.count("mid"), self.layout.count("high"))
        return tuple(choose(scores, regions, spec.selection, count)[0].tolist())


@torch.inference_mode()
def scores_of(engine: Engine, spec: EncoderSpec, image: Image.Image, question: str) -> torch.Tensor:
    """(1, num_high): the model's own scores under another selection policy. The language model does not run."""
    with encoder(engine, spec):
        message: Any = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
        text = engine.processor.apply_chat_template([message], add_generation_prompt=True)
        batch = engine.processor(text=[text], images=[image], return_tensors="pt")
        wanted = inspect.signature(engine.model.model.get_image_features).parameters
        inputs = {name: value.to(engine.device) for name, value in batch.items() if name in wanted}
        selection = engine.model.get_image_features(**inputs, return_dict=True).selection
    found = selection[0] if isinstance(selection, list) else selection
    if found is None:  # the policy keeps all sub-images, so none is better than another
        return torch.zeros(1, len(image_layout(image, spec).regions))
    return found.scores.cpu()


@contextmanager
def encoder(engine: Engine, spec: EncoderSpec) -> Generator[None]:
    """Give the engine another encoder inside the block; only fields that need no other weights may differ."""
    model, processor = engine.model, engine.processor.image_processor
    before = model.config.encoder, model.model.spec
    try:
        model.config.encoder = processor.encoder = spec.to_dict()
        model.model.spec = spec
        yield
    finally:
        model.config.encoder = processor.encoder = before[0]
        model.model.spec = before[1]


def _summary(tally: Tally, asked: list[Located]) -> dict[str, Any]:
    groups = [question.group for question in asked]
    table: dict[str, Any] = {}
    for (keep, policy), values in tally.rows.items():
        table.setdefault(str(keep), {})[policy] = {
            name: _score([value[column] for value in values], groups) for column, name in enumerate(("recall", "area"))
        }
    return table


def _broken_down(tally: Tally, asked: list[Located], key: str) -> dict[str, Any]:
    """For every value of a meta key: the number and the recall of the questions that have it."""
    rows: dict[str, list[int]] = {}
    for index, question in enumerate(asked):
        if key in question.meta:
            rows.setdefault(str(question.meta[key]), []).append(index)
    if not rows:
        known = sorted({name for question in asked for name in question.meta})
        raise ValueError(f"no question has the meta key {key!r}; known: {', '.join(known) or 'none'}")
    table: dict[str, Any] = {}
    for value, some in sorted(rows.items()):
        part = Tally({name: [values[index] for index in some] for name, values in tally.rows.items()})
        table[value] = {"questions": len(some), **_summary(part, [asked[index] for index in some])}
    return table


def _score(values: list[float], groups: list[str]) -> dict[str, Any]:
    """{value, low, high}: the mean and its 95 % bootstrap interval over images, None for a single image."""
    columns = np.stack([np.array(values), np.ones(len(values))], axis=1)
    found = interval(columns, groups, mean)
    low, high = (None, None) if found is None else (round(found[0], 6), round(found[1], 6))
    return {"value": round(float(np.mean(values)), 6), "low": low, "high": high}
