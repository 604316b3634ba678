"""The query projection of policy `question`, learned from evidence with tower, projector and embeddings as they are.

What is compared does not change meanwhile: the mean embedding of a question, and what is seen of a sub-image. So every image is
encoded once, and all questions about all images are then learned from in memory (`query_fitting`): minutes for what takes hours
where each question brings its image again.
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
from dragonfly.models.query_projection import embed_questions
from dragonfly.training.query_fitting import PatchViews, WholeViews
from dragonfly.vision.layout import Box
from dragonfly.vision.scoring import evidence_areas, evidence_indices

FEW = 3
"""Questions whose evidence lies in more high sub-images than this are about the page; they do not say where to look."""

HELD_OUT = 20
"""Every so many-th image is kept back, to tell how often the choice is right."""


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


def learn_query_projection(engine: Engine, questions: Sequence[Located], *, seed: int = 0) -> Learned:
    """Overwrite the loaded model's query projection by what the evidence of these questions says.

    Args:
        engine: a model whose selection policy is `question`.
        questions: as `read_located` gives; those on every `HELD_OUT`-th image are not learned from.

    Raises:
        ValueError: if too few questions are about a place, or images differ in their number of high sub-images.
    """
    model: Any = engine.model.model
    selection = engine.processor.image_processor.spec.selection
    groups: dict[str | bytes, list[Located]] = {}
    for question in questions:
        groups.setdefault(question.image, []).append(question)
    views = PatchViews() if selection.context == "patches" else WholeViews(in_rows=selection.context == "row")
    sizes: set[int] = set()
    areas, places, texts, owner = [], [], [], []
    for number, (image, about) in enumerate(groups.items()):
        high, positions, layout = _encoded(engine, image)
        boxes = layout.level_boxes("high")
        sizes.add(len(boxes))
        views.add(high if selection.context != "patches" else high[:, engine.model.config.spec.num_prefix_tokens :], positions)
        for question in about:
            cells = evidence_indices(boxes, question.evidence)
            if 0 < len(cells) <= FEW:
                areas.append(evidence_areas(boxes, question.evidence))
                places.append([index in cells for index in range(len(boxes))])
                texts.append(question.text)
                owner.append(number)
    if len(sizes) != 1 or len(groups) < HELD_OUT or not texts:
        raise ValueError(
            f"a query projection takes questions with evidence on at least {HELD_OUT} images of one number of high sub-images; "
            f"got {len(texts)} on {len(groups)} images with {sorted(sizes)} of them"
        )
    asked = Asked(_words(engine, texts), torch.tensor(owner), torch.tensor(areas), torch.tensor(places))
    kept_back = asked.image % HELD_OUT == HELD_OUT - 1
    before = _recall(model.query_projection, views, asked, kept_back, selection.keep)
    fitted = views.fit(asked.words, asked.image, asked.areas, ~kept_back, seed=seed)
    model.query_projection.load_state_dict(fitted.state_dict())
    after = _recall(model.query_projection, views, asked, kept_back, selection.keep)
    return Learned(len(groups), int((~kept_back).sum()), int(kept_back.sum()), selection.keep, after, before)


def _encoded(engine: Engine, loaded: str | bytes) -> tuple[Tensor, Tensor, Any]:
    """(high, tokens, hidden) projected tokens of an image's high sub-images, their (high, 2) rows and columns, and the layout."""
    images = engine.processor.image_processor
    image = load_image(loaded, images.image_policy).image
    everything = {**images.encoder, "selection": {"policy": "all"}}  # pyright: ignore[reportGeneralTypeIssues]
    batch = images([image], encoder=everything, return_tensors="pt")
    pixels, layout = batch["pixel_values"][0], batch["layouts"][0]
    first = len(pixels) - layout.count("high")
    model: Any = engine.model.model
    with torch.inference_mode():
        high = model.multi_modal_projector(model.encode(pixels[first:].to(engine.device))).float().cpu()
    return high, torch.tensor(layout.positions)[first:, 1:], layout


def _words(engine: Engine, texts: Sequence[str]) -> Tensor:
    """(n, hidden): what the policy sees of each question."""
    embed: Any = engine.model.get_input_embeddings()
    rows = []
    for text in texts:
        inputs = engine.processor.question_inputs([text])
        ids, mask = (inputs[name].to(engine.device) for name in ("question_ids", "question_mask"))
        rows.append(embed_questions(embed, ids, mask)[0].cpu())
    return torch.stack(rows)


@torch.no_grad()
def _recall(network: nn.Module, views: WholeViews | PatchViews, asked: Asked, chosen: Tensor, keep: int) -> float:
    """The share of the chosen questions whose evidence all lies in the `keep` sub-images of the highest score."""
    index = chosen.nonzero()[:, 0]
    scores = views.scores(network(asked.words[index].to(next(network.parameters()).device)).float().cpu(), asked.image[index])
    best = scores.topk(min(keep, scores.shape[1]), dim=1).indices
    covered = asked.places[index].gather(1, best).sum(dim=1)
    return float((covered == asked.places[index].sum(dim=1)).float().mean())
