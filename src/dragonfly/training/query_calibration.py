"""The query projection of policy `question`, learned from evidence with tower, projector and embeddings as they are.

The choice is a bilinear form of two things that do not change meanwhile, the mean embedding of a question and what is seen of
a sub-image (`scoring.in_context`). So every image is encoded once, and all questions about all images are then a logistic
regression in memory: minutes for what takes hours where each question brings its image again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dragonfly.data import Manifest
from dragonfly.imaging import load_image
from dragonfly.inference import Engine
from dragonfly.models.query_projection import embed_questions, evidence_losses
from dragonfly.vision.layout import Box
from dragonfly.vision.scoring import evidence_areas, evidence_indices, in_context, question_scores

FEW = 3
"""Questions whose evidence lies in more high sub-images than this are about the page; they do not say where to look."""

HELD_OUT = 20
"""Every so many-th image is kept back, to tell how often the choice is right."""

FLOOR = 0.05
"""Directions in which embeddings differ less than this share of the mean are not blown up further by the whitening."""


@dataclass(frozen=True)
class Located:
    """A question about one image, and the boxes that hold its answer (source pixels)."""

    image: str | bytes
    text: str
    evidence: tuple[Box, ...]


def read_located(path: str | Path) -> list[Located]:
    """The questions of a manifest that have evidence. ValueError where there is none."""
    questions: list[Located] = []
    for sample in Manifest.open(path):
        for _, question, _, boxes in sample.evidence_turns():
            questions.append(Located(sample.images[0].source, question.text.strip(), boxes))
    if not questions:
        raise ValueError(f"{path} has no evidence: no row says which boxes hold its answer; `dragonfly synth` writes such data")
    return questions


@dataclass(frozen=True)
class Learned:
    """What the map was learned from; `recall`: how often the best `keep` of a held-out image hold all the evidence."""

    images: int
    questions: int
    held_out: int
    keep: int
    recall: float
    before: float

    def summary(self) -> str:
        return (
            f"query projection from {self.questions} questions on {self.images} images: the evidence of {self.held_out} held-out "
            f"questions is among the best {self.keep} in {100 * self.recall:.1f} % (before: {100 * self.before:.1f} %)"
        )


@dataclass
class Asked:
    """Questions as tensors: `words` (n, hidden), `image` (n,), `areas` (n, high) and `places` (n, high), where evidence is."""

    words: Tensor
    image: Tensor
    areas: Tensor
    places: Tensor


def learn_query_projection(
    engine: Engine, questions: Sequence[Located], *, steps: int = 2000, batch: int = 512, seed: int = 0
) -> Learned:
    """Overwrite the loaded model's query projection by what the evidence of these questions says.

    Args:
        engine: a model whose selection policy is `question`.
        questions: as `read_located` gives; those on every `HELD_OUT`-th image are not learned from.
        steps: of AdamW on `batch` drawn questions each, the learning rate falling to zero.

    Raises:
        ValueError: if too few questions are about a place, or images differ in their number of high sub-images.
    """
    model: Any = engine.model.model
    groups: dict[str | bytes, list[Located]] = {}
    for question in questions:
        groups.setdefault(question.image, []).append(question)
    views, areas, places, texts, owner = [], [], [], [], []
    for number, (image, about) in enumerate(groups.items()):
        seen, layout = _seen(engine, image)
        views.append(seen)
        for question in about:
            cells = evidence_indices(layout.level_boxes("high"), question.evidence)
            if 0 < len(cells) <= FEW:
                areas.append(evidence_areas(layout.level_boxes("high"), question.evidence))
                places.append([index in cells for index in range(len(seen))])
                texts.append(question.text)
                owner.append(number)
    if len({len(one) for one in views}) != 1 or len(groups) < HELD_OUT or not texts:
        sizes = sorted({len(one) for one in views})
        raise ValueError(
            f"a query projection takes questions with evidence on at least {HELD_OUT} images of one number of high sub-images; "
            f"got {len(texts)} on {len(groups)} images with {sizes} of them"
        )
    asked = Asked(_words(engine, texts), torch.tensor(owner), torch.tensor(areas), torch.tensor(places))
    every = torch.stack(views)
    kept_back = asked.image % HELD_OUT == HELD_OUT - 1
    keep = engine.processor.image_processor.spec.selection.keep
    before = _recall(model.query_projection, every, asked, kept_back, keep)
    weight = _fit(every, asked, ~kept_back, steps, batch, seed)
    with torch.no_grad():
        model.query_projection.weight.copy_(weight)
    after = _recall(model.query_projection, every, asked, kept_back, keep)
    return Learned(len(groups), int((~kept_back).sum()), int(kept_back.sum()), keep, after, before)


def _seen(engine: Engine, loaded: str | bytes) -> tuple[Tensor, Any]:
    """(high, seen) what the policy sees of an image's high sub-images, and its layout."""
    images = engine.processor.image_processor
    image = load_image(loaded, images.image_policy).image
    everything = {**images.encoder, "selection": {"policy": "all"}}  # pyright: ignore[reportGeneralTypeIssues]
    batch = images([image], encoder=everything, return_tensors="pt")
    pixels, layout = batch["pixel_values"][0], batch["layouts"][0]
    first = len(pixels) - layout.count("high")
    model: Any = engine.model.model
    with torch.inference_mode():
        high = model.embed_sub_images(pixels[first:].to(engine.device)).float().cpu()
    places = torch.tensor(layout.positions)[first:, 1:] if images.spec.selection.context == "row" else None
    return in_context(high[None], None if places is None else places[None])[0], layout


def _words(engine: Engine, texts: Sequence[str]) -> Tensor:
    """(n, hidden): what the policy sees of each question."""
    embed: Any = engine.model.get_input_embeddings()
    rows = []
    for text in texts:
        inputs = engine.processor.question_inputs([text])
        ids, mask = (inputs[name].to(engine.device) for name in ("question_ids", "question_mask"))
        rows.append(embed_questions(embed, ids, mask)[0].cpu())
    return torch.stack(rows)


def _fit(seen: Tensor, asked: Asked, chosen: Tensor, steps: int, batch: int, seed: int) -> Tensor:
    """(seen, hidden): the map that makes `question_scores` say where evidence is, by cross-entropy.

    Found between whitened views and questions of one length, where all directions are learned at one pace, and folded back.
    """
    rows = seen.flatten(0, 1)
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    values = values.clamp(min=0)
    whiten = vectors @ torch.diag((values + FLOOR * values.mean()).rsqrt()) @ vectors.T
    loudness = asked.words.norm(dim=1).mean()
    white, words = seen @ whiten, asked.words / loudness
    weight = nn.Parameter(torch.zeros(seen.shape[-1], words.shape[-1]))
    optimizer = torch.optim.AdamW([weight], lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    generator = torch.Generator().manual_seed(seed)
    pool = chosen.nonzero()[:, 0]
    for _ in range(steps):
        index = pool[torch.randint(len(pool), (batch,), generator=generator)]
        question = words[index] @ weight.T * 10  # AdamW's step is of one size whatever the numbers': this makes it a larger one
        scores = (white[asked.image[index]] @ question.unsqueeze(2)).squeeze(2)
        loss = evidence_losses(scores, asked.areas[index])[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return (whiten @ weight.detach()) * (10 / loudness * seen.shape[-1] ** 0.5)


@torch.no_grad()
def _recall(query_projection: nn.Module, seen: Tensor, asked: Asked, chosen: Tensor, keep: int) -> float:
    """The share of the chosen questions whose evidence all lies in the `keep` sub-images of the highest score."""
    index = chosen.nonzero()[:, 0]
    scores = question_scores(query_projection(asked.words[index]).float().cpu(), seen[asked.image[index]])
    best = scores.topk(min(keep, scores.shape[1]), dim=1).indices
    covered = asked.places[index].gather(1, best).sum(dim=1)
    return float((covered == asked.places[index].sum(dim=1)).float().mean())
