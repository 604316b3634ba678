"""How likely an answer is when some sub-images are left out: they stay in their places, and no later token attends to them.

The tower is not run again and positions do not change, so what differs is what the left-out sub-images said. Knows no ranking
and no policy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch

from dragonfly.inference.engine import EncodedImage, Engine, Row, _conversation
from dragonfly.models.outputs import DragonflyImageFeatures

Place = tuple[int, int]  # (image, sub-image among those that the language model is given)


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
        images: from `Engine.encode`.
        token_ids: the answer's ids (`Answer.token_ids`).
        left_out: for each result the sub-images that are not attended to; an empty set leaves out nothing.

    Raises:
        ValueError: for an answer without tokens, or a sub-image that there is not.
    """
    if not token_ids:
        raise ValueError("the answer has no tokens, so there is no probability to explain")
    prompt = engine._prompt([_conversation(Row(None, question, system), len(images))], [list(images)])
    spans = _spans(engine, prompt["input_ids"][0].tolist(), images)
    answer = torch.tensor([list(token_ids)], device=engine.device)
    ids = torch.cat([prompt["input_ids"], answer], dim=1)
    found: list[float] = []
    for start in range(0, len(left_out), batch_size):
        mask = torch.cat([_mask(ids, spans, places) for places in left_out[start : start + batch_size]])
        features = [image.features for image in images] * len(mask)
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
