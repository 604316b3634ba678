"""Rows that are read while training, for data that fits neither memory nor disk.

Promises that the stream of every worker is a pure function of the rows, the recipe and the number of workers, so that a
resumed run replays it to its place. Replayed rows are read and not encoded. Lengths are unknown: no epochs, no grouping.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, islice
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from dragonfly.data import BadRow, BadSample, Sample, check_bad

logger = logging.getLogger(__name__)

BUFFER = 1000  # rows held to be drawn from, in each worker
FEW = 1000  # rows below which the share of bad ones is judged as of this many

Reader = Callable[[], Iterable[Sample | BadRow]]


class Stream(IterableDataset[dict[str, Any]]):
    """Examples without end: a source is drawn by its weight, begins anew when it is at its end, and is shuffled in part.

    `encode` makes an example of a sample; one that raises `BadSample` is replaced by the next. `batch` is how many
    examples of one worker make a batch (of all processes together); the first `skip` batches are placeholders of one
    token, which the trainer passes over.
    """

    def __init__(
        self,
        readers: Mapping[str, Reader],
        weights: Mapping[str, float],
        encode: Callable[[Sample], dict[str, Any]],
        *,
        seed: int,
        max_bad_share: float,
        batch: int,
        skip: int = 0,
    ) -> None:
        self.readers, self.weights, self.encode = readers, weights, encode
        self.seed, self.max_bad_share, self.batch, self.skip = seed, max_bad_share, batch, skip

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        bad: list[BadRow] = []
        samples = self.samples(number, workers, bad)
        ahead: deque[Sample] = deque()
        for index in count():
            if not ahead:
                ahead.append(next(samples))
            passed_over = index // self.batch * workers + number < self.skip
            yield _placeholder() if passed_over else self._usable(ahead, samples, index, bad)
            ahead.popleft()

    def _usable(self, ahead: deque[Sample], samples: Iterator[Sample], index: int, bad: list[BadRow]) -> dict[str, Any]:
        """The first sample from the place on that can be encoded. It is not taken away: places stay where they are."""
        for step in count():
            if step == len(ahead):
                ahead.append(next(samples))
            try:
                return self.encode(ahead[step])
            except BadSample as error:
                if step == 0:
                    place = ahead[0].place or (ahead[0].source, index)
                    bad.append(BadRow(*place, error.reason, error.detail))
                    logger.warning("bad row replaced by the next: %s", bad[-1])
                    self._judge(bad, index + 1)
        raise AssertionError("count() does not end")

    def samples(self, worker: int, workers: int, bad: list[BadRow]) -> Iterator[Sample]:
        """One worker's samples: of all good rows in their drawn order every `workers`-th, shuffled within a buffer."""
        chance = random.Random(f"{self.seed}/{worker}/{workers}")
        buffer: list[Sample] = []
        for sample in islice(self._drawn(bad), worker, None, workers):
            buffer.append(sample)
            if len(buffer) == BUFFER:
                place = chance.randrange(BUFFER)
                buffer[place], buffer[-1] = buffer[-1], buffer[place]
                yield buffer.pop()

    def _drawn(self, bad: list[BadRow]) -> Iterator[Sample]:
        chance = random.Random(self.seed)
        sources = [self._endless(name, bad) for name in self.readers]
        weights = [self.weights[name] for name in self.readers]
        while True:
            yield next(chance.choices(sources, weights)[0])

    def _endless(self, name: str, bad: list[BadRow]) -> Iterator[Sample]:
        for turn in count():
            good = 0
            for seen, row in enumerate(self.readers[name](), start=1):
                if not isinstance(row, BadRow):
                    good += 1
                    yield row
                elif turn == 0:
                    bad.append(row)
                    self._judge(bad, seen)
            if not good:
                raise ValueError(f"source {name!r} has no usable rows; see its path and format")

    def _judge(self, bad: list[BadRow], seen: int) -> None:
        check_bad(bad, max(seen, FEW), self.max_bad_share)


def _placeholder() -> dict[str, Any]:
    one = torch.zeros(1, dtype=torch.long)
    return {"input_ids": one, "attention_mask": one + 1, "labels": one - 100}
