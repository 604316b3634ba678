# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Training a close reader: its language model's layers learn to answer from one of several views; what makes views is frozen.

The questions behind the same views do not see each other (`shared_prefix_inputs`), so each is trained as if it were asked alone.
Attention is told which views hold the answer (`attention_supervision`), and budgets grow, so that close-ups become more and more:
else a model this small does not find out for long which of several close-ups a question is about.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dragonfly.data import IGNORE_INDEX
from dragonfly.research.curriculum.attention_supervision import AttentionSupervision, attention_supervision_loss
from dragonfly.research.curriculum.shared_prefix import shared_prefix_inputs

from .examples import Example, examples
from .pages import Page
from .prompts import Prompts

SUPERVISION = AttentionSupervision(words=0, places=1, heads=2, weight=2.0)
"""Of places alone; the layer of words has no targets."""

POOL = 4
"""Batches that are drawn together, and divided by length."""


@dataclass(frozen=True)
class Schedule:
    """How a close reader is trained.

    Args:
        steps: of the optimiser.
        batch: examples of a step.
        rate: highest learning rate; it rises over `warmup` steps and falls to 0 in a straight line.
        seed: of what is drawn.
        growth: share of the steps over which budgets grow.
    """

    steps: int
    batch: int = 8
    rate: float = 1e-3
    warmup: int = 30
    seed: int = 0
    growth: float = 0.25

    def rate_at(self, step: int) -> float:
        """The share of the highest rate at a step, counted from 0."""
        return min((step + 1) / self.warmup, (self.steps - step) / max(1, self.steps - self.warmup))


@dataclass(frozen=True)
class Batch:
    """Examples as rows, padded on the right.

    Args:
        embeds: (rows, length, hidden).
        labels: (rows, length).
        segment_ids: (rows, length), 0 for what is shared, else the question's number.
        looks: (rows, length), a bit per question, set on the tokens of views that hold its answer.
        segments: mask and positions.
    """

    embeds: Tensor
    labels: Tensor
    segment_ids: Tensor
    looks: Tensor
    segments: dict[str, Tensor]


def collated(model: Any, rows: Sequence[Example]) -> Batch:
    """The rows as the language model is given them. Nothing that makes a view or an embedding gets a gradient."""
    base, ids, labels, segment_ids = model.model, list[Tensor](), list[Tensor](), list[Tensor]()
    embeds, looks, image = list[Tensor](), list[Tensor](), model.config.image_token_id
    for row in rows:
        shared = row.inputs["input_ids"][0, : row.shared]
        ids.append(torch.cat([shared, *map(torch.tensor, row.tails)]))
        tails = zip(row.tails, row.answers, strict=True)
        own = [torch.tensor([IGNORE_INDEX] * (len(tail) - count) + tail[-count:]) for tail, count in tails]
        labels.append(torch.cat([torch.full_like(shared, IGNORE_INDEX), *own]))
        numbers = [torch.full((len(tail),), number) for number, tail in enumerate(row.tails, start=1)]
        segment_ids.append(torch.cat([torch.zeros_like(shared), *numbers]))
        looks.append(places(ids[-1] == image, row))
    with torch.no_grad():
        for row, one in zip(rows, ids, strict=True):
            found = base.get_input_embeddings()(one)
            place = (one == image).unsqueeze(-1)
            embeds.append(found.masked_scatter(place, views(model, row.inputs).to(found.dtype)))
    mask = pad_sequence([torch.ones_like(one) for one in ids], batch_first=True)
    padded = pad_sequence(segment_ids, batch_first=True)
    return Batch(
        pad_sequence(embeds, batch_first=True),
        pad_sequence(labels, batch_first=True, padding_value=IGNORE_INDEX),
        padded,
        pad_sequence(looks, batch_first=True),
        shared_prefix_inputs(padded, mask, "eager"),
    )


def places(image: Tensor, row: Example) -> Tensor:
    """(length,): a bit per question on the tokens of the views that hold its answer; `image` (length,) is where views stand."""
    begins = image & ~torch.cat([image.new_zeros(1), image[:-1]])
    view = torch.where(image, begins.cumsum(0) - 1, -1)
    found = torch.zeros_like(view)
    for number, target in enumerate(row.targets):
        for at in target.views:
            found |= (view == at).long() << number
    return found


def views(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The projected views of a prompt, as the model itself packs them: (tokens, hidden)."""
    found = model.model.get_image_features(inputs["pixel_values"], inputs["image_sizes"])
    return torch.cat(list(found.pooler_output))


def answer_logits(model: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (tokens, vocabulary) of all answers' tokens, the tokens themselves, and the loss of attention."""
    model.set_attn_implementation({"text_config": "eager"})  # the only kernel that gives its weights
    output = model.model.language_model(inputs_embeds=batch.embeds, use_cache=False, output_attentions=True, **batch.segments)
    at = batch.labels[:, 1:] != IGNORE_INDEX  # a token is told by the position before it
    given = (batch.looks, batch.segment_ids, batch.labels, batch.looks >= 0)
    looked = attention_supervision_loss(SUPERVISION, output.attentions, *given)
    return model.lm_head(output.last_hidden_state[:, :-1][at]), batch.labels[:, 1:][at], looked


def train(
    model: Any,
    processor: Any,
    data: Sequence[Page],
    schedule: Schedule,
    *,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Train in place. `report` is told every step's loss."""
    trained = [*model.model.language_model.layers.parameters(), *model.model.language_model.norm.parameters()]
    model.requires_grad_(False)
    for weight in trained:
        weight.requires_grad_(True)
    optimiser = torch.optim.AdamW(trained, lr=schedule.rate, betas=(0.9, 0.98), weight_decay=0.01)
    pace = torch.optim.lr_scheduler.LambdaLR(optimiser, schedule.rate_at)
    for step, rows in zip(range(schedule.steps), batches(Prompts(model, processor), data, schedule), strict=False):
        with torch.autocast("cpu", torch.bfloat16):
            logits, labels, looked = answer_logits(model, collated(model, rows))
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        (loss + SUPERVISION.weight * looked).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        pace.step()
        optimiser.zero_grad()
        report(step, loss.item())


def batches(prompts: Prompts, data: Sequence[Page], schedule: Schedule) -> Iterator[list[Example]]:
    """Examples of pages in a new order each time round, those of a length together."""
    rng, step, pool = random.Random(schedule.seed), 0, list[Example]()
    while True:
        for page in rng.sample(data, len(data)):
            pool += examples(prompts, page, rng, min(1.0, step / (schedule.growth * schedule.steps)))
            if len(pool) >= POOL * schedule.batch:
                pool.sort(key=lambda row: row.shared + sum(map(len, row.tails)))
                parts = [pool[start : start + schedule.batch] for start in range(0, POOL * schedule.batch, schedule.batch)]
                pool = pool[POOL * schedule.batch :]
                yield from rng.sample(parts, POOL)
                step += POOL


@torch.inference_mode()
def right_by_kind(model: Any, rows: Sequence[Example], batch: int = 8) -> dict[str, tuple[float, int]]:
    """Of each kind of target, the share of answers whose every token is the likeliest, and how many there are."""
    found: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        with torch.autocast("cpu", torch.bfloat16):
            logits, labels, _ = answer_logits(model, collated(model, part))
        hits = iter((logits.argmax(-1) == labels).split([count for row in part for count in row.answers]))
        for target in [target for row in part for target in row.targets]:
            found[target.kind].append(bool(next(hits).all()))
    return {kind: (sum(right) / len(right), len(right)) for kind, right in sorted(found.items())}
