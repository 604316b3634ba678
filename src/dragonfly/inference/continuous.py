# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Continuous batching: rows join and leave between two tokens, so that none waits for another's end.

A row that joins reads its prompt, but for a beginning that `Prefixes` knows; its keys and values are put beside those of the rows
that run, padded on the left. Padding is masked and positions count what is not padding, so in float32 a row's answer is the one
that it gets alone. Rows may differ in all their options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from dragonfly.inference.answer import Answer
from dragonfly.inference.clock import Clock
from dragonfly.inference.encoded import EncodedImage
from dragonfly.inference.engine import Engine
from dragonfly.inference.options import Draw, Options
from dragonfly.inference.prefixes import Prefixes
from dragonfly.models.outputs import CACHE

# What a generation config may say without changing what greedy search chooses.
_HARMLESS = {
    *(
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "do_sample",
        "temperature",
        "top_p",
        "top_k",
        "max_length",
        "max_new_tokens",
    ),
    *(
        "transformers_version",
        "use_cache",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "return_dict_in_generate",
    ),
}


@dataclass(eq=False)
class Row:
    """One question that runs.

    Args:
        prompt: its ids, without padding.
        images: connected, in the order of their placeholders.
        options: how to generate.
        told: called with each new id that is no end.
    """

    prompt: list[int]
    images: Sequence[EncodedImage]
    options: Options
    told: Callable[[int], None] | None = None
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    done: bool = False
    clock: Clock = field(default_factory=Clock)
    draw: Draw | None = None


class ContinuousBatch:
    """The rows that run, with their keys and values. For one thread.

    Args:
        engine: one that `fits`.
        prefixes: what prompts begin with; shared by all rows.
    """

    def __init__(self, engine: Engine, prefixes: Prefixes | None = None) -> None:
        self.engine, self.prefixes = engine, Prefixes() if prefixes is None else prefixes
        self.rows: list[Row] = []
        self._states: list[Tensor] = []  # keys and values in turn by layer, each (rows, heads, columns, width)
        self._mask = torch.zeros(0, 0, dtype=torch.long)  # (rows, columns), 0 where a column is padding

    @staticmethod
    def fits(engine: Engine) -> bool:
        """Whether every layer attends to all that stands before, and greedy search alone chooses."""
        text = engine.model.config.get_text_config()
        said = {name for name, value in engine.model.generation_config.to_diff_dict().items() if value is not None}
        plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=text).layers)
        own = {name for name in said if not name.startswith("_")}
        return plain and own <= _HARMLESS

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> list[Row]:
        """Read the prompts of new rows and choose their first token; returns those that are done with it."""
        named = [(row, embeds, self.prefixes.names(embeds)) for row in rows for embeds in (self._embeds(row),)]
        known = [(*one, self.prefixes.longest(one[2], len(one[1]) - 1)) for one in named]
        known.sort(key=lambda one: len(one[1]) - _length(one[3]))
        while known:  # those that have about as much to read are read together
            most = 2 * (len(known[0][1]) - _length(known[0][3])) + 16
            group = [one for one in known if len(one[1]) - _length(one[3]) <= most]
            known = known[len(group) :]
            self._read(group)
        return [row for row in rows if row.done]

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One token more for every row; returns those that are done, which leave."""
        ids = torch.tensor([[row.ids[-1]] for row in self.rows], device=self.engine.device)
        self._mask = pad(self._mask, (0, 1), value=1)
        cache = self._cache(self._states)
        positions = self._mask.sum(dim=1, keepdim=True) - 1
        logits = self._forward(cache, input_ids=ids, attention_mask=self._mask, position_ids=positions)
        self._states = _states(cache)
        ran = self.rows
        self._choose(ran, logits)
        self._stay([not row.done for row in ran])
        return [row for row in ran if row.done]

    def drop(self, rows: Sequence[Row]) -> None:
        """Rows leave before they are done."""
        if rows:
            self._stay([row not in rows for row in self.rows])

    def answer(self, row: Row) -> Answer:
        """Of a row that is done."""
        return self.engine.finish(row.ids, row.logprobs, len(row.prompt), row.images, row.options, row.clock.report())

    def _embeds(self, row: Row) -> Tensor:
        """(tokens, hidden) of a prompt with its images in their places."""
        model = self.engine.model.model
        ids = torch.tensor(row.prompt, device=self.engine.device)
        embeds = model.get_input_embeddings()(ids)
        if not row.images:
            return embeds
        features = torch.cat([image.tokens for image in row.images if image.tokens is not None]).to(embeds)
        return embeds.masked_scatter(model.get_placeholder_mask(ids[None], embeds[None], features)[0], features)

    def _read(self, group: Sequence[tuple[Row, Tensor, list[bytes], list[Tensor]]]) -> None:
        """One pass over what of some prompts is not known yet; the rows that need more than one token then run."""
        before, new = [_length(known) for *_, known in group], [len(one[1]) - _length(one[3]) for one in group]
        left, right = max(before), max(new)
        embeds = torch.stack(
            [pad(one[1][start:], (0, 0, right - own, 0)) for one, start, own in zip(group, before, new, strict=True)]
        )
        mask = torch.zeros(len(group), left + right, dtype=torch.long, device=embeds.device)
        for row, (start, own) in enumerate(zip(before, new, strict=True)):
            mask[row, left - start : left] = mask[row, left + right - own :] = 1
        positions = (mask.cumsum(dim=1) - 1).clamp_min(0)[:, left:]
        cache = self._cache(_beside([known for *_, known in group], left) if left else [])
        logits = self._forward(cache, inputs_embeds=embeds, attention_mask=mask, position_ids=positions)
        self._choose([row for row, *_ in group], logits)
        states, joining = _states(cache), list[tuple[Row, list[Tensor]]]()
        for place, (row, _, names, _) in enumerate(group):
            columns = mask[place].bool()
            own = [state[place][:, columns] for state in states]
            self.prefixes.keep(names, own)
            if not row.done:
                joining.append((row, own))
        if joining:
            self._add(joining)

    def _add(self, joining: Sequence[tuple[Row, list[Tensor]]]) -> None:
        lengths = [_length(states) for _, states in joining]
        width = max(*lengths, self._mask.shape[1] if self.rows else 0, 0)
        added = _beside([states for _, states in joining], width)
        mask = torch.tensor([[0] * (width - one) + [1] * one for one in lengths], device=self.engine.device)
        if self.rows:
            short = width - self._mask.shape[1]
            added = [torch.cat([pad(old, (0, 0, short, 0)), new]) for old, new in zip(self._states, added, strict=True)]
            mask = torch.cat([pad(self._mask, (short, 0)), mask])
        self.rows = [*self.rows, *(row for row, _ in joining)]
        self._states, self._mask = added, mask

    def _stay(self, stays: Sequence[bool]) -> None:
        """The others leave, and columns that were theirs alone."""
        if all(stays):
            return
        self.rows = [row for row, one in zip(self.rows, stays, strict=True) if one]
        chosen = torch.tensor(stays, device=self._mask.device)
        self._mask = self._mask[chosen]
        first = int(self._mask.any(dim=0).long().argmax()) if self.rows else self._mask.shape[1]
        self._mask = self._mask[:, first:]
        self._states = [state[chosen][:, :, first:] for state in self._states] if self.rows else []

    def _forward(self, cache: DynamicCache, **inputs: Tensor) -> Tensor:
        """Logits (rows, vocabulary) of the last position, in float32."""
        output: Any = self.engine.model(**inputs, **{CACHE: cache}, use_cache=True, logits_to_keep=1, return_dict=True)
        return output.logits[:, -1].float()

    def _choose(self, rows: Sequence[Row], logits: Tensor) -> None:
        """The next id of each row, and whether it was the last."""
        scores = logits.clone() if any(row.options.temperature > 0 for row in rows) else logits
        for place, row in enumerate(rows):
            if row.options.temperature > 0:
                row.draw = row.draw or Draw(row.options, [row.options.seed], logits.device)
                scores[place] = row.draw(scores[place : place + 1], scores[place : place + 1])[0]  # looks at scores alone
        chosen = scores.argmax(dim=-1, keepdim=True)
        values = logits.log_softmax(-1).gather(1, chosen)
        if values.isnan().any():
            raise ValueError("logits are not finite")
        for row, token, value in zip(rows, chosen[:, 0].tolist(), values[:, 0].tolist(), strict=True):
            row.ids.append(token)
            row.logprobs.append(value)
            ended = token in self.engine.end_ids
            if row.told is not None and not ended:
                row.told(token)
            row.done = ended or len(row.ids) >= row.options.max_new_tokens or self._stopped(row)

    def _stopped(self, row: Row) -> bool:
        return bool(row.options.stop) and self.engine.text(row.ids, row.options.stop)[1]

    def _cache(self, states: Sequence[Tensor]) -> DynamicCache:
        cache = DynamicCache(config=self.engine.model.config.get_text_config())
        for layer in range(len(states) // 2):
            cache.update(states[2 * layer], states[2 * layer + 1], layer)
        return cache


def _length(states: Sequence[Tensor]) -> int:
    """Tokens of a row's keys and values."""
    return states[0].shape[1] if states else 0


def _states(cache: DynamicCache) -> list[Tensor]:
    layers: Any = cache.layers
    return [state for layer in layers for state in (layer.keys, layer.values)]


def _beside(rows: Sequence[Sequence[Tensor]], width: int) -> list[Tensor]:
    """Rows' keys and values, (heads, tokens, width) each, as batches of so many columns, padded on the left."""
    like = next(states for states in rows if states)
    filled = [states or [state[:, :0] for state in like] for states in rows]
    return [torch.stack([pad(one, (0, 0, width - one.shape[1], 0)) for one in each]) for each in zip(*filled, strict=True)]
