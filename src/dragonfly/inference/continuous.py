# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Continuous batching: rows join and leave between two tokens, so that none waits for another's end.

A row that joins reads its prompt, but for a beginning that `Prefixes` knows, and then runs with the others. Each has its own
place (`Slots`) and its own positions, so in float32 a row's answer is the one that it gets alone. Rows may differ in all options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from dragonfly.inference.answer import Answer
from dragonfly.inference.clock import Clock
from dragonfly.inference.encoded import EncodedImage
from dragonfly.inference.options import Draw, Options
from dragonfly.inference.prefixes import Prefixes
from dragonfly.inference.slots import Slots
from dragonfly.models.head import accepted_arguments
from dragonfly.models.outputs import CACHE

if TYPE_CHECKING:
    from dragonfly.inference.engine import Engine

_CLOSE = 0.1  # log-probabilities of one reading and another, in the narrowest type
_SHARED = 64  # tokens that several rows begin with, from which on reading them once is worth a pass of its own
_ATTENTION = ("sdpa", "eager")  # take a mask that says for each query what it sees
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


@dataclass(eq=False)
class _Reading:
    """A row that joins: (tokens, hidden) of its prompt, the names of its blocks, and what of it is known."""

    row: Row
    embeds: Tensor
    names: list[bytes]
    known: Tensor | None

    @property
    def before(self) -> int:
        return 0 if self.known is None else self.known.shape[1]

    @property
    def new(self) -> int:
        return len(self.embeds) - self.before


class ContinuousBatch:
    """The rows that run, with their keys and values. For one thread.

    Args:
        engine: one that `fits`.
        prefixes: what prompts begin with, as far as it is known; the engine's own by default.
    """

    def __init__(self, engine: Engine, prefixes: Prefixes | None = None) -> None:
        self.engine, self.prefixes = engine, engine.prefixes if prefixes is None else prefixes
        self.rows: list[Row] = []
        self._lengths: list[int] = []  # tokens of each row whose keys and values are there
        self._slots = Slots(len(DynamicCache(config=engine.model.config.get_text_config()).layers))

    @classmethod
    def fits(cls, engine: Engine) -> bool:
        """Whether every layer attends to all that stands before, at positions and under a mask that it is told, and greedy search
        alone chooses. What the configuration does not say is tried.
        """
        text, model = engine.model.config.get_text_config(), engine.model
        said = {name for name, value in model.generation_config.to_diff_dict().items() if value is not None}
        own = {name for name in said if not name.startswith("_")}
        layers = DynamicCache(config=text).layers
        plain = bool(layers) and all(type(layer) is DynamicLayer for layer in layers) and text.model_type != "gpt_neo"  # a window
        arguments = accepted_arguments(model.model.language_model)
        told = getattr(text, "_attn_implementation", None) in _ATTENTION and (arguments is None or "position_ids" in arguments)
        together = len({*getattr(model, "hf_device_map", {}).values()}) < 2
        return plain and told and together and own <= _HARMLESS and cls(engine, Prefixes(max_bytes=0))._reads_as_the_model()

    @torch.inference_mode()
    def _reads_as_the_model(self) -> bool:
        """Whether the next word is as likely here as in the model's own reading; not if its keys or masks have other forms."""
        row = Row([self.engine.end_ids[0]] * 3, (), Options(max_new_tokens=1))
        try:
            self.join([row])
            logits: Any = self.engine.model(input_ids=torch.tensor([row.prompt], device=self.engine.device)).logits
        except (ValueError, TypeError, RuntimeError):
            return False
        return abs(float(logits[0, -1].float().log_softmax(-1)[row.ids[0]]) - row.logprobs[0]) < _CLOSE

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> list[Row]:
        """Read the prompts of new rows and choose their first token; returns those that are done with it."""
        waiting = [self._reading(row) for row in rows]
        while waiting:
            now, waiting = self._first_of_those_that_begin_alike(waiting)
            now.sort(key=lambda one: one.new)
            while now:  # those that have about as much to read are read together
                most = 2 * now[0].new + 16
                group = [one for one in now if one.new <= most]
                now = now[len(group) :]
                self._read(group)
            for one in waiting:
                one.known = self.prefixes.longest(one.names, len(one.embeds) - 1)
        return [row for row in rows if row.done]

    def run(self, rows: Sequence[Row]) -> list[Answer]:
        """Answers of rows that all join at once."""
        self.join(rows)
        while self.rows:
            self.step()
        return [self.answer(row) for row in rows]

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One token more for every row; returns those that are done, which leave."""
        ids = torch.tensor([[row.ids[-1]] for row in self.rows], device=self.engine.device)
        positions = torch.tensor(self._lengths, device=self.engine.device).unsqueeze(1)
        logits = self._forward(0, positions, torch.ones_like(positions, dtype=torch.bool), input_ids=ids)
        self._lengths = [length + 1 for length in self._lengths]
        ran = [*self.rows]
        self._choose(ran, logits)
        self._leave([row for row in ran if row.done])
        return [row for row in ran if row.done]

    @torch.inference_mode()
    def drop(self, rows: Sequence[Row]) -> None:
        """Rows leave before they are done."""
        self._leave([row for row in rows if row in self.rows])

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

    def _reading(self, row: Row) -> _Reading:
        embeds = self._embeds(row)
        names = self.prefixes.names(embeds)
        return _Reading(row, embeds, names, self.prefixes.longest(names, len(embeds) - 1))

    def _first_of_those_that_begin_alike(self, reading: Sequence[_Reading]) -> tuple[list[_Reading], list[_Reading]]:
        """Those to read now, and those that wait, because one of the first reads a long beginning that is theirs too."""
        enough = -(-_SHARED // self.prefixes.block)
        now, waiting, begun = list[_Reading](), list[_Reading](), set[bytes]()
        for one in reading:
            names = one.names[one.before // self.prefixes.block :]
            alike = len(names) >= enough and names[enough - 1] in begun
            (waiting if alike else now).append(one)
            begun.update(names[enough - 1 : enough])
        return now, waiting

    def _read(self, group: Sequence[_Reading]) -> None:
        """One pass over what of some prompts is not known yet; the rows that need more than one token then run."""
        first, right = len(self.rows), max(one.new for one in group)
        for place, one in enumerate(group, start=first):
            self._slots.reserve(first + len(group), len(one.embeds), one.known)
            if one.known is not None:
                self._slots.row(place, one.before).copy_(one.known)
        self.rows += [one.row for one in group]
        self._lengths += [len(one.embeds) for one in group]
        device = self.engine.device
        positions = torch.tensor(self._lengths[first:], device=device).unsqueeze(1) + torch.arange(-right, 0, device=device)
        own = positions >= torch.tensor([[one.before] for one in group], device=device)
        embeds = torch.stack([pad(one.embeds[one.before :], (0, 0, right - one.new, 0)) for one in group])
        logits = self._forward(first, positions.clamp_min(0), own, inputs_embeds=embeds)
        for place, one in enumerate(group, start=first):
            self.prefixes.keep(one.names, self._slots.row(place, len(one.embeds)))
        self._choose([one.row for one in group], logits)
        self._leave([one.row for one in group if one.row.done])

    def _leave(self, rows: Sequence[Row]) -> None:
        """The last rows take the places of those that leave."""
        for place in sorted(map(self.rows.index, rows), reverse=True):
            last = len(self.rows) - 1
            if place < last:
                self._slots.move(last, place, self._lengths[last])
                self.rows[place], self._lengths[place] = self.rows[last], self._lengths[last]
            self.rows.pop()
            self._lengths.pop()
        if not self.rows:
            self._slots.clear()

    def _forward(self, first: int, positions: Tensor, own: Tensor, **inputs: Tensor) -> Tensor:
        """Logits (rows, vocabulary) of the last query of the rows from `first` on, in float32.

        A query, (rows, queries) in `positions`, sees its row's columns up to its own; those that are not `own` are padding.
        """
        columns = int(positions.max()) + 1
        self._slots.reserve(first + len(positions), columns)
        cache = self._slots.cache(first, positions, own, columns)
        seen = torch.arange(columns, device=positions.device) <= positions.unsqueeze(-1)
        mask = torch.zeros(seen.shape, dtype=self.engine.model.dtype, device=positions.device)
        mask = mask.masked_fill_(~seen, torch.finfo(mask.dtype).min).unsqueeze(1)
        output: Any = self.engine.model(
            **inputs,
            **{CACHE: cache},
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
            return_dict=True,
        )
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
