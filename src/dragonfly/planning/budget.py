"""What fits a number of bytes: the largest batch, the presets, and the most high sub-images that may be kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from dragonfly.planning.estimate import cost_of
from dragonfly.planning.memory import answer_memory
from dragonfly.planning.model import ModelSize
from dragonfly.planning.training_memory import training_memory
from dragonfly.planning.work import Answers, Training
from dragonfly.vision.presets import PRESETS

LARGEST = 2**16  # a batch beyond which nobody asks


@dataclass(frozen=True)
class Fit:
    """What fits `budget` bytes.

    Args:
        budget: bytes of one device.
        needed: bytes of the work as it was asked, context included.
        largest_batch: 0 if not even one row fits.
        presets: those that fit at the batch that was asked, the most image tokens first, with their tower geometry that of the
            model; a preset that does not fit the tower is left out.
        largest_keep: the most of `selection.keep` that fits at that batch; None where the encoder keeps everything, 0 if none
            fits.
    """

    budget: int
    needed: int
    largest_batch: int
    presets: tuple[str, ...]
    largest_keep: int | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def fit(model: ModelSize, work: Answers | Training, budget: int, context: int = 0) -> Fit:
    """What of `work` fits `budget` bytes of a device on which `context` bytes are taken before any tensor."""

    def fits(other: ModelSize, batch: int) -> bool:
        return peak(other, replace(work, batch=batch)) + context <= budget

    return Fit(
        budget=budget,
        needed=peak(model, work) + context,
        largest_batch=_largest(lambda batch: fits(model, batch), LARGEST),
        presets=_presets(model, work, lambda other: fits(other, work.batch)),
        largest_keep=_largest_keep(model, lambda other: fits(other, work.batch)),
    )


def peak(model: ModelSize, work: Answers | Training) -> int:
    """Bytes at the fullest moment."""
    cost = cost_of(model, work.image_size, work.text_tokens)
    memory = answer_memory(model, cost, work) if isinstance(work, Answers) else training_memory(model, cost, work)
    return memory.peak


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number from 1 to `most` that fits, by halving; 0 if 1 does not."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _presets(model: ModelSize, work: Answers | Training, fits: Callable[[ModelSize], bool]) -> tuple[str, ...]:
    found: list[tuple[int, str]] = []
    for name in PRESETS:
        try:
            other = model.with_preset(name)
        except ValueError:  # its pooling does not divide this tower's patches
            continue
        if fits(other):
            found.append((cost_of(other, work.image_size, work.text_tokens).num_image_tokens, name))
    return tuple(name for _, name in sorted(found, key=lambda one: -one[0]))


def _largest_keep(model: ModelSize, fits: Callable[[ModelSize], bool]) -> int | None:
    """Kept numbers are tried upwards until the encoder has no more to keep, or memory is short."""
    if not model.spec.selects:
        return None
    best, keep = 0, 1
    while True:
        try:
            other = model.with_spec(model.spec.with_selection(keep=keep))
        except ValueError:
            return best
        if not fits(other):
            return best
        best, keep = keep, keep + 1
