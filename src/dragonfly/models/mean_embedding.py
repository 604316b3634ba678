# pyright: reportUnknownMemberType=false
"""The mean embedding of policy `centred`: what all sub-image embeddings have in common, learned while training or by calibration.

It changes at one moment only, `commit`, once per optimiser step; between two of them every sub-image is centred alike. What
is observed is counted where the trainer says so (`observing`), so work done again for gradients is not counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, distributed, nn
from transformers.utils.import_utils import torch_compilable_check

# Summaries that count at most: the projector moves while it is trained, so those seen long ago fade.
HORIZON = 2**16


class MeanEmbedding(nn.Module):
    """The running mean of sub-image embeddings (`mean`, float32) and how many it stands for (`count`, at most `HORIZON`)."""

    mean: Tensor
    count: Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(hidden, dtype=torch.float32))
        self.register_buffer("count", torch.zeros((), dtype=torch.float32))
        self._observing = False
        self._pending: Tensor | None = None  # sum of the embeddings of this step, and their number behind it

    def value(self) -> Tensor | None:
        """The mean; before the first commit that of what this step has shown; None where nothing has been counted."""
        if torch.compiler.is_compiling():  # a segment on the count would cut the graph in two
            torch_compilable_check(self.count > 0, "policy 'centred' needs a mean embedding; run `dragonfly lab calibrate`")
            return self.mean
        if self.count > 0:
            return self.mean
        return self._pending[:-1] / self._pending[-1] if self._pending is not None else None

    @torch.no_grad()
    def observe(self, embeddings: Tensor) -> None:
        """Note (..., hidden) embeddings for the next `commit`, where `observing` allows it and the model is trained."""
        if self._observing and self.training:
            rows = embeddings.detach().float().flatten(0, -2)
            noted = torch.cat([rows.sum(dim=0), rows.new_tensor([len(rows)])])
            self._pending = noted if self._pending is None else self._pending + noted

    @contextmanager
    def observing(self) -> Generator[None]:
        """Inside, the forward pass of a training step is observed; its recomputation for gradients happens outside."""
        self._observing = True
        try:
            yield
        finally:
            self._observing = False

    @torch.no_grad()
    def commit(self) -> None:
        """Take in what was observed since the last time, on all processes. Each of them must call it."""
        noted = torch.zeros(len(self.mean) + 1, device=self.mean.device) if self._pending is None else self._pending
        self._pending = None
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(noted)
        self._take(noted[:-1], noted[-1])

    @torch.no_grad()
    def update(self, embeddings: Tensor) -> None:
        """Take in (n, hidden) detached embeddings at once."""
        self._take(embeddings.float().sum(dim=0), torch.tensor(float(len(embeddings)), device=embeddings.device))

    @torch.no_grad()
    def set(self, mean: Tensor, count: int) -> None:
        """Put a mean of `count` embeddings in place of what was there."""
        self.mean.copy_(mean)
        self.count.fill_(min(count, HORIZON))

    def _take(self, total: Tensor, number: Tensor) -> None:
        seen = (self.count + number).clamp(min=1.0)
        self.mean += (total - number * self.mean) / seen
        self.count.copy_(seen.clamp(max=HORIZON) if number > 0 else self.count)

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        """Moves to a device go through, changes of the number format do not: the count would stop at 256 in bfloat16."""
        kept = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)
        for name, before in kept.items():
            after = self._buffers[name]
            if after is not None and after.dtype != torch.float32:
                self._buffers[name] = before.to(after.device)
        return self
