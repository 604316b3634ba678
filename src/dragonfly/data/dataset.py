"""Samples as training examples: images opened, conversations encoded, bad rows replaced and named; lengths without pixels.

Promises that example i depends on (samples, processor, settings, i) alone, never on workers or on what was asked
before, and that a bad row is counted, named and, past `max_bad_share`, the end of the run.
"""

import hashlib
import io
import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from PIL import Image, UnidentifiedImageError
from torch.utils.data import Dataset, get_worker_info

from dragonfly.imaging import DEFAULT_POLICY, FORMATS, ImagePolicy, image_file, load_image
from dragonfly.imaging.decode import readable

from .encoding import TrainOn, encode
from .errors import BadRow, BadSample, check_bad
from .mixture import Mixture
from .sample import ImageRef, Sample, to_messages

logger = logging.getLogger(__name__)

T = TypeVar("T")
Transform = Callable[[Sample, random.Random], Sample]
EncodeSample = Callable[[Any, Sample, Sequence[Any]], dict[str, Any]]
"""(processor, sample, its images as PIL) -> an example: what `encoding.encode` returns, or more. `BadSample` if there is none."""

_ORIENTATION = 0x0112
_SWAPS = (5, 6, 7, 8)  # EXIF 2.3, section 4.6.4 A: the orientations in which width and height change places


def row_random(seed: int, epoch: int, index: int) -> random.Random:
    """The one source of chance for a row: the same in every process, whatever was drawn before."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


class EncodedDataset(Dataset[dict[str, Any]]):
    """Map-style: `dataset[i]` is what `encoding.encode` returns for sample i of `samples` (a sequence or a `Mixture`).

    `transform(sample, random)` may change a sample by chance (augment, choose turns); its randomness comes from
    (seed, epoch, index). A row that cannot be used is replaced by the next usable one, logged once and kept in `bad`,
    each process its own; ValueError once more than `max_bad_share` of the rows (of a worker's part of them) are bad.
    `image_policy` goes to `imaging.load_image`, `processor_kwargs` to the processor. `encode_sample` takes the place of
    `encoding.encode` and of its arguments (`train_on`, `max_length`, `processor_kwargs`); `lengths` stay those of plain
    conversations. `open_image` takes the place of `imaging.load_image`: an image as the processor takes it.
    """

    def __init__(
        self,
        samples: Sequence[Sample] | Mixture,
        processor: Any,
        *,
        train_on: TrainOn = "assistant",
        max_length: int | None = None,
        seed: int = 0,
        transform: Transform | None = None,
        max_bad_share: float = 0.0,
        image_policy: ImagePolicy = DEFAULT_POLICY,
        processor_kwargs: Mapping[str, Any] | None = None,
        encode_sample: EncodeSample | None = None,
        open_image: Callable[[ImageRef], Any] | None = None,
    ) -> None:
        if not len(samples):
            raise ValueError("no samples to train on; see the bad rows of the reader, or give a source with rows")
        check_bad([], 0, max_bad_share)
        self.samples, self.processor = samples, processor
        self.train_on: TrainOn = train_on
        self.max_length, self.seed = max_length, seed
        self.transform, self.max_bad_share, self.image_policy = transform, max_bad_share, image_policy
        self.processor_kwargs = dict(processor_kwargs or {})
        self.encode_sample, self.open_image = encode_sample, open_image
        self.bad: dict[tuple[str, int], BadRow] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        return self._first_usable(index, self.encoded)

    def lengths(self) -> list[int]:
        """Tokens of every example, from the layouts and the text alone: images are not decoded.

        Examples over `max_length` are counted as `max_length`. The processor's `_get_num_multimodal_tokens` must
        count an image's whole block, separators included.
        """
        return [self.length(index) for index in range(len(self))]

    def length(self, index: int) -> int:
        """Tokens of one example; see `lengths`."""
        return self._first_usable(index, self._length)

    def sample(self, index: int) -> Sample:
        """Sample `index` with its chance applied, images still closed."""
        sample = self.samples[index]
        if self.transform is None:
            return sample
        epoch, row = divmod(index, self._rows_per_epoch)
        return self.transform(sample, row_random(self.seed, epoch, row))

    @property
    def _rows_per_epoch(self) -> int:
        return self.samples.rows_per_epoch if isinstance(self.samples, Mixture) else len(self.samples)

    def encoded(self, sample: Sample) -> dict[str, Any]:
        """Any sample as an example under this dataset's settings; `BadSample` says why it cannot be one."""
        images = [self._open(image) for image in sample.images]
        if self.encode_sample is not None:
            return self.encode_sample(self.processor, sample, images)
        return encode(
            self.processor,
            to_messages(sample),
            images,
            train_on=self.train_on,
            max_length=self.max_length,
            evidence=sample.evidence,
            **self.processor_kwargs,
        )

    def _length(self, sample: Sample) -> int:
        length = count_tokens(self.processor, sample, self.image_policy)
        return length if self.max_length is None else min(length, self.max_length)

    def _open(self, image: ImageRef) -> Any:
        return loaded_image(image, self.image_policy) if self.open_image is None else self.open_image(image)

    def _first_usable(self, index: int, use: Callable[[Sample], T]) -> T:
        """`use` of sample `index`, or of the first one after it that is not bad."""
        for step in range(len(self)):
            position = (index + step) % len(self)
            try:
                return use(self.sample(position))
            except BadSample as error:
                self._note(self.samples[position], position, error)
        raise ValueError(f"none of the {len(self)} rows can be used; the first: {next(iter(self.bad.values()))}")

    def _note(self, sample: Sample, position: int, error: BadSample) -> None:
        place = sample.place or (sample.source, position % self._rows_per_epoch)
        if place in self.bad:
            return
        self.bad[place] = BadRow(*place, error.reason, f"sample {sample.id!r}: {error.detail}")
        logger.warning("bad row replaced by the next: %s", self.bad[place])
        worker = get_worker_info()
        check_bad(list(self.bad.values()), self._rows_per_epoch / (worker.num_workers if worker else 1), self.max_bad_share)


def loaded_image(image: ImageRef, policy: ImagePolicy = DEFAULT_POLICY) -> Image.Image:
    """An image's pixels. `BadSample` (broken-image) where there are none."""
    try:
        return load_image(image.source, policy, view=image.seen).image
    except ValueError as error:
        raise BadSample("broken-image", str(error)) from None


def image_size(image: ImageRef, policy: ImagePolicy = DEFAULT_POLICY) -> tuple[int, int]:
    """(height, width) as `imaging.load_image` will give it. `BadSample` (broken-image) where there is none."""
    try:
        with readable("without a readable header"), _opened(image) as opened:
            if opened is None:
                return load_image(image.source, policy, view=image.seen).size
            width, height = opened.size
            # The base class's method: the one for PNG decodes the image to look behind its pixels.
            swapped = policy.orient and Image.Image.getexif(opened).get(_ORIENTATION) in _SWAPS
    except ValueError as error:
        raise BadSample("broken-image", f"{image.path or 'bytes'} {error}") from None
    return (width, height) if swapped else (height, width)


def _opened(image: ImageRef) -> AbstractContextManager[Image.Image | None]:
    """The image's header; None for a view, a URL and a format of which Pillow reads none."""
    is_view = bool(image.view) if image.path is None else image_file(image.path) != image.path
    if is_view or (image.path is not None and not os.path.isfile(image.path)):  # noqa: PTH113
        return nullcontext()
    try:
        return Image.open(image.path or io.BytesIO(image.bytes or b""), formats=FORMATS)
    except UnidentifiedImageError:
        return nullcontext()


def count_tokens(processor: Any, sample: Sample, policy: ImagePolicy = DEFAULT_POLICY) -> int:
    """Tokens of the whole conversation: its text, and for each image what the processor says of its size."""
    text = processor.apply_chat_template(to_messages(sample), tokenize=False)
    tokenizer = processor.tokenizer
    written = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
    ids = tokenizer(text, add_special_tokens=not written)["input_ids"]  # as apply_chat_template does it
    if not sample.images:
        return len(ids)
    sizes = [image_size(image, policy) for image in sample.images]
    blocks = processor._get_num_multimodal_tokens(image_sizes=sizes).num_image_tokens
    return len(ids) - len(sizes) + sum(blocks)
