"""What each sub-image contributed to an answer: the log-probability that the answer loses when the sub-image is left out.

A sub-image left out stays in its place, and no later token attends to it. The tower is not run again and positions do not
change, so what differs is what the left-out sub-images said. The answer explained is the model's own, right or wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from dragonfly.inference.answer import Answer
from dragonfly.inference.conversation import Row, conversation_of
from dragonfly.inference.encoded import EncodedImage
from dragonfly.inference.engine import Engine
from dragonfly.models.outputs import DragonflyImageFeatures
from dragonfly.vision.layout import Box
from dragonfly.vision.spec import LevelName

Place = tuple[int, int]  # (image, sub-image among those that the language model is given)


@dataclass(frozen=True)
class Contribution:
    """One sub-image that the language model was given.

    Args:
        image: the number of the image.
        level: low, mid or high.
        index: raster index within its level.
        box: source box.
        place: its place among those given, for `answer_logprobs`.
        value: log-probability that the answer loses without it, in nats; below 0 the answer gains.
    """

    image: int
    level: LevelName
    index: int
    box: Box
    place: Place
    value: float


@dataclass(frozen=True)
class Why:
    """An answer's log-probability with all sub-images, and each one's contribution, greatest first."""

    logprob: float
    contributions: tuple[Contribution, ...]

    def high(self) -> list[Contribution]:
        """Of the high level alone, greatest first; equal ones in order."""
        return [one for one in self.contributions if one.level == "high"]

    def of_image(self, image: int) -> dict[tuple[LevelName, int], float]:
        """The contributions of one image's sub-images, by level and raster index."""
        return {(one.level, one.index): one.value for one in self.contributions if one.image == image}

    def to_dict(self) -> dict[str, Any]:
        """The form that JSON holds."""
        keys = ("image", "level", "index", "box", "value")
        rows = [{key: getattr(one, key) for key in keys} for one in self.contributions]
        return {"logprob": self.logprob, "contributions": [{**row, "box": list(row["box"])} for row in rows]}


def explain(engine: Engine, images: Sequence[EncodedImage], question: str, answer: Answer, system: str | None = None) -> Why:
    """Leave out every sub-image once. ValueError for an answer without tokens or a question without images."""
    given = [one for number, image in enumerate(images) for one in _given(number, image)]
    if not given:
        raise ValueError("there is no image, so no sub-image contributed anything")
    left_out = [(), *([one.place] for one in given)]
    whole, *without = answer_logprobs(engine, images, question, answer.token_ids, left_out, system=system)
    valued = [replace(one, value=whole - lost) for one, lost in zip(given, without, strict=True)]
    return Why(whole, tuple(sorted(valued, key=lambda one: -one.value)))


def _given(number: int, image: EncodedImage) -> list[Contribution]:
    """The sub-images of an image in the order in which the language model gets them."""
    layout = image.layout
    kept = [item.index for item in sorted((one for one in image.selection if one.kept), key=lambda one: one.place or 0)]
    found: list[Contribution] = []
    for level in layout.levels:
        for index in kept if level.name == "high" else range(level.num_sub_images):
            found.append(Contribution(number, level.name, index, level.box(index), (number, len(found)), 0.0))
    return found


@torch.inference_mode()
def answer_logprobs(
    engine: Engine,
    images: Sequence[EncodedImage],
    question: str,
    token_ids: Sequence[int],
    left_out: Sequence[Collection[Place]],
    *,
    system: str | None = None,
    batch_size: int = 8,
) -> list[float]:
    """The log-probability of an answer, once for each set of left-out sub-images.

    Args:
        images: from `Engine.encode` and `Engine.connect`.
        token_ids: the answer's ids (`Answer.token_ids`).
        left_out: for each result the sub-images that are not attended to; an empty set leaves out nothing.

    Raises:
        ValueError: for an answer without tokens, or a sub-image that there is not.
    """
    if not token_ids:
        raise ValueError("the answer has no tokens, so there is no probability to explain")
    prompt = engine.prompt([conversation_of(Row(None, question, system), images)], [list(images)])
    spans = _spans(engine, prompt["input_ids"][0].tolist(), images)
    answer = torch.tensor([list(token_ids)], device=engine.device)
    ids = torch.cat([prompt["input_ids"], answer], dim=1)
    found: list[float] = []
    for start in range(0, len(left_out), batch_size):
        mask = torch.cat([_mask(ids, spans, places) for places in left_out[start : start + batch_size]])
        features = [image.tokens for image in images] * len(mask)
        given: dict[str, Any] = {}
        if features:
            given["mm_encoder_outputs"] = {"image": DragonflyImageFeatures(pooler_output=features)}  # pyright: ignore[reportArgumentType]
        logits = engine.model(
            input_ids=ids.expand(len(mask), -1), attention_mask=mask, logits_to_keep=answer.shape[1] + 1, use_cache=False, **given
        ).logits
        each = logits[:, :-1].float().log_softmax(-1).gather(2, answer.expand(len(mask), -1).unsqueeze(-1))
        found += each.sum(dim=(1, 2)).tolist()
    return found


def _spans(engine: Engine, ids: list[int], images: Sequence[EncodedImage]) -> dict[Place, tuple[int, int]]:
    """(first, after last) position of every sub-image with its separator."""
    places = (index for index, token in enumerate(ids) if token == engine.processor.image_token_id)
    return dict(_walk(places, images))


def _walk(places: Iterator[int], images: Sequence[EncodedImage]) -> Iterator[tuple[Place, tuple[int, int]]]:
    for number, image in enumerate(images):
        for index, count in enumerate(image.layout.token_counts):
            own = [next(places) for _ in range(count)]
            yield (number, index), (own[0], own[-1] + 2)


def _mask(ids: torch.Tensor, spans: dict[Place, tuple[int, int]], left_out: Collection[Place]) -> torch.Tensor:
    mask = torch.ones_like(ids)
    for place in left_out:
        if place not in spans:
            raise ValueError(f"there is no sub-image {place}; (image, sub-image) go up to {max(spans, default=None)}")
        first, end = spans[place]
        mask[:, first:end] = 0
    return mask
