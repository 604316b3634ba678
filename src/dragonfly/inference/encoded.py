"""An image after the vision tower, and the bounded cache in which it waits for the next question.

The tower is nearly all of an image's cost. Any number of questions, a batch, an evaluation with its baselines, a chat and an
explanation of an answer encode an image once.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, fields
from threading import Lock

from torch import Tensor

from dragonfly.inference.answer import SubImageScore
from dragonfly.models.connector import LevelCounts, Views
from dragonfly.vision.layout import SubImageLayout


@dataclass(frozen=True)
class EncodedImage:
    """All that later questions need of an image; accepted wherever an image is, by the engine that made it.

    Args:
        key: content hash, decoding policy and encoder; images of one key are the same to the model.
        layout: how it was cut.
        tokens: (features, hidden) embeddings for the language model; None under policy `question` until it is connected.
        selection: every high sub-image, kept or not; empty as long as `tokens` is None.
        views, counts: the tower's output of every sub-image, (1, sub_images, tokens, vision hidden), where the question chooses.
        notes: what was done to the image that a user should know, its name before each.
        label, spacing: of the image, as `LoadedImage` has them.
    """

    key: str
    layout: SubImageLayout
    tokens: Tensor | None = None
    selection: tuple[SubImageScore, ...] = ()
    views: Views | None = None
    counts: LevelCounts | None = None
    notes: tuple[str, ...] = ()
    label: str = ""
    spacing: tuple[float, float] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        held = [self.tokens, *(getattr(self.views, one.name) for one in fields(Views) if self.views is not None)]
        return sum(tensor.nbytes for tensor in held if tensor is not None)


class EncodedCache:
    """The images asked about last, up to `max_bytes` of tensors; safe for several threads. 0 keeps nothing."""

    def __init__(self, max_bytes: int = 512 * 2**20) -> None:
        self.max_bytes = max_bytes
        self._images: OrderedDict[str, EncodedImage] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._images)

    def get(self, key: str) -> EncodedImage | None:
        """The image of that key, which is then the last to go."""
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
            return self._images.get(key)

    def put(self, image: EncodedImage) -> None:
        """Keep an image; those that were not asked about for longest go until all fit. One too large alone is not kept."""
        with self._lock:
            if image.key in self._images or image.nbytes > self.max_bytes:
                return
            self._images[image.key] = image
            self._bytes += image.nbytes
            while self._bytes > self.max_bytes:
                self._bytes -= self._images.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget all: what they were encoded by has changed."""
        with self._lock:
            self._images.clear()
            self._bytes = 0
