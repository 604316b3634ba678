"""Samples as training examples: images opened, conversations encoded, bad rows replaced and named.

Promises that example i depends on (samples, processor, settings, i) alone, never on workers or on what was asked
before, and that a bad row is counted, named and, past `max_bad_share`, the end of the run.
"""

import hashlib
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from torch.utils.data import Dataset, get_worker_info

from dragonfly.imaging import DEFAULT_POLICY, ImagePolicy, load_image

from .attention_targets import attention_targets
from .encoding import TrainOn, encode
from .errors import BadRow, BadSample, check_bad
from .lengths import count_tokens
from .mixture import Mixture
from .sample import ImageRef, Sample, to_messages
from .shared_prefix import encode_shared_prefix

logger = logging.getLogger(__name__)

T = TypeVar("T")
Transform = Callable[[Sample, random.Random], Sample]


def row_random(seed: int, epoch: int, index: int) -> random.Random:
    """The one source of chance for a row: the same in every process, whatever was drawn before."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


class EncodedDataset(Dataset[dict[str, Any]]):
    """Map-style: `dataset[i]` is what `labels.encode` returns for sample i of `samples` (a sequence or a `Mixture`).

    `transform(sample, random)` may change a sample by chance (augment, choose turns); its randomness comes from
    (seed, epoch, index). A row that cannot be used is replaced by the next usable one, logged once and kept in `bad`,
    each process its own; ValueError once more than `max_bad_share` of the rows (of a worker's part of them) are bad.
    `image_policy` goes to `imaging.load_image`, `processor_kwargs` to the processor. `shared_prefix` asks every turn as if it
    were the only one (`segment_ids.encode_shared_prefix`); lengths are then those of the turns in one conversation, a little
    more. `attention_supervision` adds to those what `attention_supervision.points` gives.
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
        shared_prefix: bool = False,
        attention_supervision: bool = False,
    ) -> None:
        if not len(samples):
            raise ValueError("no samples to train on; see the bad rows of the reader, or give a source with rows")
        check_bad([], 0, max_bad_share)
        self.samples, self.processor = samples, processor
        self.train_on: TrainOn = train_on
        self.max_length, self.seed = max_length, seed
        self.transform, self.max_bad_share, self.image_policy = transform, max_bad_share, image_policy
        self.processor_kwargs = dict(processor_kwargs or {})
        self.shared_prefix, self.attention_supervision = shared_prefix, attention_supervision
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
        if self.shared_prefix:
            options: Mapping[str, Any] = {"max_length": self.max_length, "evidence": sample.evidence, **self.processor_kwargs}
            example = encode_shared_prefix(self.processor, to_messages(sample), images, **options)
            return (
                {**example, "attention_targets": attention_targets(self.processor, example, sample, images)}
                if self.attention_supervision
                else example
            )
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
        try:
            return load_image(image.source, self.image_policy).image
        except ValueError as error:
            raise BadSample("broken-image", str(error)) from None

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
