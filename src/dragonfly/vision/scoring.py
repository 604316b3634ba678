"""The score of every selection policy: how much each high sub-image deserves to be kept (paper, section 3.2).

A policy is one function from what it needs (`SelectionInputs`, `spec.NEEDS`) to a float32 score per high sub-image. How many
are kept, and which of them under a scope, is `selection`'s matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dragonfly.vision.layout import Box
from dragonfly.vision.selection_spec import HALF_TURNS, HEADS, NEEDS, Need, Policy, SelectionSpec

Scores = Float[Tensor, "images high"]


@dataclass(frozen=True)
class SelectionInputs:
    """What the policies may look at; each reads only what it needs.

    Args:
        mid: embeddings (mean projected token) of the mid sub-images.
        high: embeddings of the high sub-images.
        high_patches: projected patch tokens of the high sub-images, prefix tokens left out (`detail`, and `question` among
            patches).
        mean_embedding: the running mean of all embeddings (`centred`).
        question: what the question looks for: in the space of what is seen of a sub-image, or among its patches (`question`).
        positions: (row, column) of the high sub-images in their grid (`uniform`, and `question` with context).
        residual: what of each high sub-image the enlarged mid level lacks, from `tiling.residual` (`residual`).
        boxes: source boxes of the high sub-images, one list per image (`oracle`).
        evidence: boxes that hold the answers, one list per image (`oracle`).
        checksums: one integer per image that depends on its pixels alone (`random`).
    """

    mid: Float[Tensor, "images mid hidden"] | None = None
    high: Float[Tensor, "images high hidden"] | None = None
    high_patches: Float[Tensor, "images high patches hidden"] | None = None
    mean_embedding: Float[Tensor, " hidden"] | None = None
    question: Float[Tensor, "images seen"] | None = None
    positions: Int[Tensor, "images high 2"] | None = None
    residual: Float[Tensor, "images high"] | None = None
    boxes: Sequence[Sequence[Box]] | None = None
    evidence: Sequence[Sequence[Box]] | None = None
    checksums: Sequence[int] | None = None


def _similarity(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Dot product of embeddings: with the region's mid sub-image, or the best of all mid ones (paper, section 3.2, 5.1)."""
    mid, high = _embeddings(inputs, spec.policy)
    return _match(mid, high, regions, spec)


def _centred(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Similarity after the component that all sub-images share is taken away."""
    mid, high = _embeddings(inputs, spec.policy)
    if inputs.mean_embedding is None:
        raise ValueError("policy 'centred' needs a mean embedding and this model has none; run `dragonfly lab calibrate` on it")
    shared = inputs.mean_embedding.float()
    return _match(mid - shared, high - shared, regions, spec)


def _match(mid: Tensor, high: Tensor, regions: Tensor, spec: SelectionSpec) -> Scores:
    # Multiply and sum, not a matrix product: autocast and TF32 lower a product's precision, and with it change choices.
    mid, high = mid.float(), high.float()
    if spec.scope == "image":
        return (mid.unsqueeze(2) * high.unsqueeze(1)).sum(dim=-1).amax(dim=1)
    own = mid.gather(1, regions.long().unsqueeze(-1).expand_as(high))
    return (own * high).sum(dim=-1)


def _detail(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Variance of the tokens inside a sub-image: what is uniform has nothing to read."""
    if inputs.high_patches is None:
        raise ValueError("policy 'detail' needs the projected patch tokens of the high sub-images (high_patches)")
    return inputs.high_patches.float().var(dim=2, correction=0).mean(dim=-1)


def _question(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    return asked_scores(inputs, spec)


def asked_scores(inputs: SelectionInputs, spec: SelectionSpec) -> Scores:
    """Agreement with the question; see `question_scores` and `patch_scores`."""
    if inputs.question is None:
        raise ValueError(
            "policy 'question' needs the question that the image is asked (question_ids, question_mask); the processor makes "
            "them from the user's text"
        )
    if spec.context != "none" and inputs.positions is None:
        raise ValueError(
            f"selection.context '{spec.context}' needs each high sub-image's row and column (positions); the layout has them"
        )
    if spec.context == "patches":
        if inputs.high_patches is None or inputs.positions is None:
            raise ValueError("selection.context 'patches' needs the projected patch tokens of the high sub-images (high_patches)")
        return patch_scores(inputs.question, inputs.high_patches, inputs.positions)
    if inputs.high is None:
        raise ValueError("policy 'question' needs the embeddings of high sub-images (high)")
    return question_scores(inputs.question, in_context(inputs.high, inputs.positions if spec.context == "row" else None))


def question_scores(question: Float[Tensor, "images seen"], high: Float[Tensor, "images high seen"]) -> Scores:
    """Dot product of a question with what is seen of each high sub-image (`in_context`), over the root of its length."""
    return (high * question.float().unsqueeze(1)).sum(dim=-1) / high.shape[-1] ** 0.5


def in_context(
    high: Float[Tensor, "images high hidden"], positions: Int[Tensor, "images high 2"] | None
) -> Float[Tensor, "images high seen"]:
    """What policy `question` sees of high sub-images: embeddings; with positions also the mean of each one's row, and its place.

    The image's mean is taken away. It changes no ranking and keeps the numbers small, so that rounding decides less. A place is
    how far down and how far right: the shares themselves, and their cosines of one to `HALF_TURNS` half turns.
    """
    seen = high.float() - high.float().mean(dim=1, keepdim=True)
    if positions is None:
        return seen
    same = _same_row(positions).unsqueeze(3)
    row = (seen.unsqueeze(1) * same).sum(dim=2) / same.sum(dim=2)  # no matrix product: autocast and TF32 lower its precision
    return torch.cat([seen, row, _places(positions)], dim=-1)


def patch_scores(
    question: Float[Tensor, "images seen"],
    patches: Float[Tensor, "images high patches hidden"],
    positions: Int[Tensor, "images high 2"],
) -> Scores:
    """Agreement of a question with the patches of each high sub-image; see `found_scores`.

    A question is `HEADS` vectors that patches may agree with, by the dot product over the root of its length, and what follows.
    """
    hidden = patches.shape[3]
    asked, number = question.float(), HEADS * hidden
    vectors = [asked[:, start : start + hidden] for start in range(0, number, hidden)]
    agreement = [(patches.float() * one[:, None, None]).sum(dim=-1) / hidden**0.5 for one in vectors]
    return found_scores(torch.stack(agreement, dim=-1), asked[:, number:], positions)


def found_scores(
    agreement: Float[Tensor, "images high patches heads"],
    rest: Float[Tensor, "images rest"],
    positions: Int[Tensor, "images high 2"],
) -> Scores:
    """How much of what a question looks for is in a sub-image and in its row, and whether it is where one would look.

    Of each of `HEADS` things a sub-image has as much as its patches say (the logarithm of the mean of their exponentials: nearly
    the best patch), a row as much as its best sub-image. How much either counts, and where on the image to look, the question
    says too: `rest` is two weights of each thing, and one of each number of a place.
    """
    weights, where = rest[:, : 2 * HEADS], rest[:, 2 * HEADS :]
    own = agreement.logsumexp(dim=2) - math.log(agreement.shape[2])
    row = own.unsqueeze(1).masked_fill(~_same_row(positions).unsqueeze(3), -torch.inf).amax(dim=2)
    found = (torch.cat([own, row], dim=-1) * weights.unsqueeze(1)).sum(dim=-1)
    return found + (_places(positions) * where.unsqueeze(1)).sum(dim=-1)


def _same_row(positions: Int[Tensor, "images high 2"]) -> Bool[Tensor, "images high high"]:
    rows = positions[..., 0]
    return rows.unsqueeze(1) == rows.unsqueeze(2)


def _places(positions: Int[Tensor, "images high 2"]) -> Float[Tensor, "images high place"]:
    """How far down and right each sub-image lies, `PLACE` numbers, without their mean: see `in_context`."""
    shares = (positions + 0.5) / (positions.amax(dim=1, keepdim=True) + 1)
    place = torch.cat([shares, *(torch.cos(torch.pi * turns * shares) for turns in range(1, HALF_TURNS + 1))], dim=-1)
    return place - place.mean(dim=1, keepdim=True)


def _uniform(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Evenly spread over the image, whatever it shows: at half density nearly a chessboard, never stripes.

    A lattice in place of chance: (row, column) -> the fractional part of row / g + column / g^2, where g is the plastic number
    1.3247... (Martin Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences", 2018). Its smallest values are spread
    over any grid for any number kept. In whole numbers, so that no rounding decides; the middle of the grid comes first.
    """
    if inputs.positions is None:
        raise ValueError("policy 'uniform' needs each high sub-image's row and column (positions); the layout has them")
    places = inputs.positions.long()
    row, column = (places - (places.amax(dim=1, keepdim=True) + 1).div(2, rounding_mode="floor")).unbind(dim=-1)
    values = (row * 3242174889 + column * 2447445414).remainder(2**32)  # 2^32 / g and 2^32 / g^2
    return -values.div(2**8, rounding_mode="floor").float()  # 24 bits: exact in float32


def _residual(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """What the enlarged mid level does not already show: a plain or smooth sub-image has nothing to add."""
    if inputs.residual is None:
        raise ValueError("policy 'residual' needs the pixels that mid lacks (residual); the image processor makes them")
    return inputs.residual


def _random(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Seeded by the policy's seed and the image, never by its place in the batch."""
    if inputs.checksums is None:
        raise ValueError("policy 'random' needs one checksum per image (checksums); the image processor makes them")
    rows: list[Tensor] = []
    for checksum in inputs.checksums:
        generator = torch.Generator().manual_seed((spec.seed * 0x9E3779B97F4A7C15 + checksum) % 2**63)
        rows.append(torch.rand(regions.shape[1], generator=generator))
    return torch.stack(rows).to(regions.device)


def _oracle(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Area in source pixels that a sub-image shares with the evidence: the upper bound for every other policy."""
    if inputs.boxes is None or inputs.evidence is None:
        raise ValueError("policy 'oracle' needs the answer's boxes; pass evidence=[[(left, top, right, bottom), ...], ...]")
    rows = [evidence_areas(boxes, evidence) for boxes, evidence in zip(inputs.boxes, inputs.evidence, strict=True)]
    return torch.tensor(rows, dtype=torch.float32, device=regions.device)


def evidence_areas(boxes: Sequence[Box], evidence: Sequence[Box]) -> list[float]:
    """The area in source pixels that each of `boxes` shares with the evidence."""
    return [sum((_overlap(box, truth) for truth in evidence), start=0.0) for box in boxes]


def evidence_indices(boxes: Sequence[Box], evidence: Iterable[Box]) -> frozenset[int]:
    """Indices of those of `boxes` that hold the centre of an evidence box (half-open: among tiles each centre has one)."""
    centres = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in evidence]
    return frozenset(
        index for x, y in centres for index, box in enumerate(boxes) if box[0] <= x < box[2] and box[1] <= y < box[3]
    )


def _all(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    return torch.zeros(regions.shape, device=regions.device)


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _embeddings(inputs: SelectionInputs, policy: str) -> tuple[Tensor, Tensor]:
    if inputs.mid is None or inputs.high is None:
        raise ValueError(f"policy '{policy}' needs the embeddings of mid and high sub-images (mid, high)")
    return inputs.mid, inputs.high


Score = Callable[[SelectionInputs, Tensor, SelectionSpec], Scores]
SCORES: dict[Policy, Score] = {
    "all": _all,
    "uniform": _uniform,
    "random": _random,
    "residual": _residual,
    "oracle": _oracle,
    "similarity": _similarity,
    "centred": _centred,
    "detail": _detail,
    "question": _question,
}


def add_policy(name: Policy, needs: Need, score: Score) -> None:
    """A policy of your own, from then on as good as ours: in configurations, recipes, overrides and studies.

    Args:
        name: as `selection.policy` names it. Whoever loads a model that names it must have added it before.
        needs: what it looks at, which decides when it runs: with "tokens" in the model, where `SelectionInputs` holds the
            embeddings of mid and high sub-images and the patch tokens of the high ones; with "layout", "pixels" or "evidence" in
            the image processor, so that what it drops is never encoded.
        score: (inputs, regions (images, high), spec) -> float32 scores (images, high); more is kept first.

    Raises:
        ValueError: if there is a policy of that name.
    """
    if name in NEEDS:
        raise ValueError(f"there is a policy '{name}' already; choose a name that is none of {', '.join(NEEDS)}")
    NEEDS[name] = needs
    SCORES[name] = score
