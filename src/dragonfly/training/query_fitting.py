"""How policy `question` learns where evidence is, from images in memory: by cross-entropy, as a whole or by patches.

What is seen of a sub-image as a whole makes it a logistic regression. Among patches a network learns which print a question
means. It could as well learn the pages by heart, so parts of questions, network and patches are left out at random meanwhile,
and patches are blurred by noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dragonfly.models.query_projection import PatchQuery, QueryProjection, evidence_losses
from dragonfly.vision.scoring import found_scores, in_context, question_scores
from dragonfly.vision.selection_spec import HEADS, patch_query_size

FLOOR = 0.05
"""Directions in which embeddings differ less than this share of the mean are not blown up further by the whitening."""

DIRECTIONS = 256
"""Patches are held in at most so many directions, those in which they differ most."""

SAMPLED = 32
"""Images from whose patches the directions are found."""

IMAGES = 8
"""Images of one step among patches, with all their questions."""

LEFT_OUT, LEFT_OUT_PATCHES = 0.2, 0.3
"""Shares of a question's and the network's numbers, and of an image's patches, that are left out of a step."""

NOISE = 0.7
"""Added to patches, beside their spread of one: real print is read less surely than what it was learned from."""

SHARPNESS = 3.0
"""Of agreement among patches at first, when vectors are as long as chance makes them."""


@dataclass
class WholeViews:
    """Images whose sub-images are each seen as a whole (`scoring.in_context`), `in_rows` with row and place."""

    in_rows: bool
    seen: list[Tensor] = field(default_factory=list[Tensor])

    def add(self, high: Tensor, positions: Tensor) -> None:
        """An image's (high, tokens, hidden) and the (high, 2) places of its sub-images."""
        embeddings = high.mean(dim=1)[None]
        self.seen.append(in_context(embeddings, positions[None] if self.in_rows else None)[0])

    def scores(self, asked: Tensor, image: Tensor) -> Tensor:
        """(n, high) of n questions (n, seen), each about its image."""
        return question_scores(asked, torch.stack(self.seen)[image])

    def fit(
        self, words: Tensor, image: Tensor, areas: Tensor, chosen: Tensor, *, steps: int = 2000, batch: int = 512, seed: int = 0
    ) -> QueryProjection:
        """The map that makes `question_scores` say where evidence is.

        Found between whitened views and questions of one length, where all directions are learned at one pace, and folded back.

        Args:
            words: (n, hidden) what the policy sees of each question.
            image: (n,) the image that it is about.
            areas: (n, high) area that each high sub-image shares with its evidence.
            chosen: (n,) which questions to learn from.
            steps: of AdamW on `batch` drawn questions each, the learning rate falling to zero.
        """
        seen = torch.stack(self.seen)
        rows = seen.flatten(0, 1)
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        values = values.clamp(min=0)
        whiten = vectors @ torch.diag((values + FLOOR * values.mean()).rsqrt()) @ vectors.T
        loudness = words.norm(dim=1).mean()
        white, words = seen @ whiten, words / loudness
        weight = nn.Parameter(torch.zeros(seen.shape[-1], words.shape[-1]))
        optimizer = torch.optim.AdamW([weight], lr=3e-3, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
        generator = torch.Generator().manual_seed(seed)
        pool = chosen.nonzero()[:, 0]
        for _ in range(steps):
            index = pool[torch.randint(len(pool), (batch,), generator=generator)]
            question = words[index] @ weight.T * 10  # AdamW's step is of one size whatever the numbers': a larger one by this
            scores = (white[image[index]] @ question.unsqueeze(2)).squeeze(2)
            loss = evidence_losses(scores, areas[index])[0].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        learned = QueryProjection(words.shape[-1], seen.shape[-1])
        with torch.no_grad():
            learned.weight.copy_((whiten @ weight) * (10 / loudness * seen.shape[-1] ** 0.5))
        return learned


@dataclass
class PatchViews:
    """Images whose patches are seen one by one, whitened and in half precision once `SAMPLED` of them have said how."""

    patches: list[Tensor] = field(default_factory=list[Tensor])
    positions: list[Tensor] = field(default_factory=list[Tensor])
    mean: Tensor | float = 0.0
    whiten: Tensor | None = None

    def add(self, high: Tensor, positions: Tensor) -> None:
        """An image's (high, patches, hidden) and the (high, 2) places of its sub-images."""
        self.patches.append(high if self.whiten is None else ((high - self.mean) @ self.whiten).half())
        self.positions.append(positions)
        if len(self.patches) == SAMPLED:
            self._settled()

    def _settled(self) -> Tensor:
        """The whitening, (hidden, directions). What all patches share is taken away: it changes no ranking."""
        if self.whiten is not None:
            return self.whiten
        rows = torch.cat([one.flatten(0, 1) for one in self.patches])
        self.mean = rows.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov(rows.T))
        values, vectors = values[-DIRECTIONS:].clamp(min=0), vectors[:, -DIRECTIONS:]
        whiten: Tensor = vectors * (values + FLOOR * values.mean()).rsqrt()
        self.patches = [((one - self.mean) @ whiten).half() for one in self.patches]
        self.whiten = whiten
        return whiten

    def scores(self, asked: Tensor, image: Tensor) -> Tensor:
        """(n, high) of n questions (n, seen), each about its image."""
        turn = _turn(self._settled())
        wanted, rest = asked[:, : HEADS * len(turn)].unflatten(1, (HEADS, len(turn))), asked[:, HEADS * len(turn) :]
        asked = torch.cat([(wanted @ torch.linalg.pinv(turn).T).flatten(1), rest], dim=1)
        scores = asked.new_zeros(len(asked), len(self.positions[0]))
        for number in image.unique().tolist():
            scores[image == number] = self._scores(asked[image == number], number)
        return scores

    def _scores(self, asked: Tensor, image: int, learning: bool = False) -> Tensor:
        """`scoring.patch_scores` of questions about one image, in whitened directions."""
        patches = self.patches[image].float()
        if learning:
            patches = patches + torch.randn(patches.shape) * NOISE
            patches = patches * (torch.rand(patches.shape[:2]) >= LEFT_OUT_PATCHES).unsqueeze(2)
        size = patches.shape[2]
        wanted = asked[:, : HEADS * size].reshape(-1, size)
        agreement = (patches @ wanted.T).unflatten(2, (len(asked), HEADS)).permute(2, 0, 1, 3) / size**0.5
        return found_scores(agreement, asked[:, HEADS * size :], self.positions[image].expand(len(asked), -1, -1))

    def fit(self, words: Tensor, image: Tensor, areas: Tensor, chosen: Tensor, *, passes: int = 8, seed: int = 0) -> PatchQuery:
        """The network that makes `patch_scores` say where evidence is; arguments as for `WholeViews.fit`, but passes over images.

        It learns between whitened patches and questions of one spread, and both are folded into its outer layers.
        """
        mean, spread = words[chosen].mean(dim=0), words[chosen].std(dim=0) + 1e-3
        asked, size = (words - mean) / spread, self._settled().shape[1]
        network = PatchQuery(words.shape[1], patch_query_size(size))
        with torch.no_grad():
            network.weights[-1][: HEADS * size] *= SHARPNESS
        about = {number: (chosen & (image == number)).nonzero()[:, 0] for number in image[chosen].unique().tolist()}
        steps = math.ceil(passes * len(about) / IMAGES)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for _ in range(steps):
                losses: list[Tensor] = []
                for number in [[*about][at] for at in torch.randperm(len(about))[:IMAGES].tolist()]:
                    index = about[number]
                    looked_for = network(nn.functional.dropout(asked[index], LEFT_OUT), LEFT_OUT)
                    losses.append(evidence_losses(self._scores(looked_for, number, learning=True), areas[index])[0])
                optimizer.zero_grad()
                torch.cat(losses).mean().backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
        return self._folded(network, mean, spread)

    @torch.no_grad()
    def _folded(self, network: PatchQuery, mean: Tensor, spread: Tensor) -> PatchQuery:
        """The same for patches and questions as they are."""
        turn = _turn(self._settled())
        hidden, size = turn.shape
        whole = PatchQuery(len(mean), patch_query_size(hidden))
        first = network.weights[0] / spread
        whole.weights[0].copy_(first)
        whole.biases[0].copy_(network.biases[0] - first @ mean)
        whole.weights[1].copy_(network.weights[1])
        whole.biases[1].copy_(network.biases[1])
        for source, target in ((network.weights[2], whole.weights[2]), (network.biases[2], whole.biases[2])):
            wanted, rest = source[: HEADS * size].unflatten(0, (HEADS, size)), source[HEADS * size :]
            target.copy_(torch.cat([torch.einsum("hd,nd...->nh...", turn, wanted).flatten(0, 1), rest]))
        return whole


def _turn(whiten: Tensor) -> Tensor:
    """(hidden, directions): from what is looked for among whitened patches to what is among patches as they are."""
    hidden, directions = whiten.shape
    return whiten * (hidden / directions) ** 0.5
