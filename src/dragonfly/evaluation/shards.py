"""Several workers for one run: each asks its own blocks, and the blocks are joined in the order of an undivided run.

Worker i of n takes every n-th block of a task's questions, from the i-th on, whole: so it forms the same batches, and what
is joined is the same to the byte. Each writes into a folder of its own, `shard-2of4` within the task's, of one run folder
that all share or of copies put together later. Knows no model and no score.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragonfly.files import write_text

from .predictions import BLOCK
from .questions import Question

PREDICTIONS = "predictions.jsonl"
MAJORITY = "majority.json"


@dataclass(frozen=True)
class Shard:
    """Worker `index` (from 1) of `count`."""

    index: int
    count: int

    @classmethod
    def of(cls, text: str) -> "Shard":
        """`2/4`. ValueError for anything else."""
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip())
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"shard {text!r} is not I/N with I from 1 to N, such as 2/4")
        return cls(int(match[1]), int(match[2]))

    @property
    def folder(self) -> str:
        return f"shard-{self.index}of{self.count}"

    def part(self, questions: Sequence[Question]) -> list[Question]:
        """The questions of this worker's blocks, in order."""
        return [question for place, question in enumerate(questions) if place // BLOCK % self.count == self.index - 1]

    def size(self, total: int) -> int:
        """How many of `total` questions are this worker's."""
        return sum(min(BLOCK, total - start) for start in range((self.index - 1) * BLOCK, total, self.count * BLOCK))


def join(folder: Path, total: int, count: int, *, with_baselines: bool) -> None:
    """Write the workers' joined files into the task's `folder`. ValueError naming the first worker that is not done.

    predictions.jsonl comes last: where it is, all is joined.
    """
    shards = [Shard(index, count) for index in range(1, count + 1)]
    names = sorted({path.name for shard in shards for path in (folder / shard.folder).glob("predictions*.jsonl")})
    files = {name: _joined([_lines(folder, name, shard, total) for shard in shards], total) for name in names}
    for shard in shards:
        if with_baselines and not (folder / shard.folder / MAJORITY).is_file():
            raise ValueError(f"worker {shard.index} of {count} has not asked all baselines; {_again(shard)}")
    if not names:
        raise ValueError(f"no worker has answered anything in {folder}; {_again(shards[0])}")
    if with_baselines:
        write_text(folder / MAJORITY, (folder / shards[0].folder / MAJORITY).read_text(encoding="utf-8"))
    for name in sorted(names, key=lambda name: (name == PREDICTIONS, name)):
        write_text(folder / name, files[name])


def _joined(parts: list[list[bytes]], total: int) -> str:
    """Block b of the run is the next block of worker b mod n."""
    count = len(parts)
    blocks = range(-(-total // BLOCK))
    lines = (parts[block % count][block // count * BLOCK :][:BLOCK] for block in blocks)
    return b"".join(line for block in lines for line in block).decode()


def _lines(folder: Path, name: str, shard: Shard, total: int) -> list[bytes]:
    path, expected = folder / shard.folder / name, shard.size(total)
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    done = sum(line.endswith(b"\n") for line in lines)
    if done != expected:
        raise ValueError(f"{path} answers {done} of {expected} questions; {_again(shard)}")
    return lines


def _again(shard: Shard) -> str:
    return f"finish it with `dragonfly eval --shard {shard.index}/{shard.count}`"
