"""Generation: whatever way tokens are made, they are the same tokens."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import TextIteratorStreamer
from transformers.generation.streamers import BaseStreamer

from tests import tiny

NEW = 4
SHORT = tiny.config("v1").spec.with_selection(keep=1).to_dict()
FIXED = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False}
QUESTIONS = ["<image>what?", "no image at all here", "first <image> then <image> and?"]
IMAGES = [[tiny.image(seed=1)], [], [tiny.image(64, 96, seed=2), tiny.image(seed=3)]]


def make(preset: str = "v1", **changes: Any) -> tuple[Any, Any]:
    """One high sub-image of each region instead of v1's three, for short prompts."""
    settings = tiny.config(preset, **{**({"encoder": SHORT} if preset == "v1" else {}), **changes})
    return tiny.model(settings), tiny.processor(settings)


def batch(processor: Any, rows: Any = slice(None), side: str = "left") -> Any:
    loaded_images = IMAGES[rows]
    images = loaded_images if any(loaded_images) else None
    return processor(text=QUESTIONS[rows], images=images, padding=True, padding_side=side, return_tensors="pt")


def answer(model: Any, inputs: Any, **options: Any) -> list[list[int]]:
    out = model.generate(**inputs, **{**FIXED, **options})
    return out[:, inputs["input_ids"].shape[1] :].tolist()  # pyright: ignore[reportIndexIssue, reportCallIssue, reportArgumentType]


@pytest.mark.parametrize("preset", ["v1", "v2"])
def test_batch_equals_one_by_one(preset: str) -> None:
    model, processor = make(preset)
    together = answer(model, batch(processor))
    alone = [answer(model, batch(processor, slice(row, row + 1)))[0] for row in range(3)]
    assert together == alone
    assert len({tuple(row) for row in together}) > 1  # the questions do matter


def test_cached_equals_uncached_equals_static() -> None:
    model, processor = make()
    inputs = batch(processor)
    expected = answer(model, inputs)
    assert answer(model, inputs, use_cache=False) == expected
    assert answer(model, inputs, cache_implementation="static", disable_compile=True) == expected


@pytest.mark.parametrize("tower", sorted(tiny.TOWERS))
@pytest.mark.parametrize("head", tiny.HEADS)
def test_towers_and_heads(tower: str, head: str) -> None:
    model, processor = make("v1", tower=tower, head=head, encoder=tiny.config(tower=tower).spec.with_selection(keep=1).to_dict())
    inputs = batch(processor, slice(0, 2))
    expected = [answer(model, batch(processor, slice(row, row + 1)))[0] for row in range(2)]
    assert answer(model, inputs) == expected == answer(model, inputs, use_cache=False)


def test_beams_and_return_sequences() -> None:
    model, processor = make()
    inputs = batch(processor)
    beams = answer(model, inputs, num_beams=2)
    alone = [answer(model, batch(processor, slice(row, row + 1)), num_beams=2)[0] for row in range(3)]
    assert beams == alone
    greedy = answer(model, inputs)
    torch.manual_seed(0)
    sampled = answer(model, inputs, do_sample=True, top_k=1, num_return_sequences=2)
    assert sampled == [row for row in greedy for _ in range(2)]  # the only candidate, whichever copy


class _Ids(BaseStreamer):
    """Collects what a streamer is given."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def put(self, value: Any) -> None:
        self.seen += value.flatten().tolist()

    def end(self) -> None:
        pass


def test_streamed_equals_not_streamed() -> None:
    model, processor = make()
    inputs = batch(processor, slice(2, 3))
    expected = answer(model, inputs)[0]
    ids = _Ids()
    answer(model, inputs, streamer=ids)
    assert ids.seen[-NEW:] == expected
    streamer = TextIteratorStreamer(processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    thread = Thread(target=model.generate, kwargs={**inputs, **FIXED, "streamer": streamer})
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert text == processor.tokenizer.decode(expected, skip_special_tokens=True)


def test_images_encoded_once_and_handed_in() -> None:
    model, processor = make()
    inputs = batch(processor)
    expected = answer(model, inputs)
    calls: list[int] = []
    model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    features = model.get_image_features(inputs["pixel_values"], inputs["sub_image_regions"])
    text = {key: inputs[key] for key in ("input_ids", "attention_mask")}
    for _ in range(2):  # a second turn uses the same features again
        assert answer(model, text, mm_encoder_outputs={"image": features}) == expected
    assert len(calls) == 1
    assert answer(model, inputs) == expected
    assert len(calls) == 2  # generate encodes once, not once per token


def test_uneven_images_generate_as_each_alone() -> None:
    model, processor = make(encoder={**SHORT, "max_enlargement": 1.0})
    images = [tiny.image(40, 40, seed=1), tiny.image(200, 300, seed=2)]
    text = ["<image>what?", "<image>and what?"]
    together = processor(text=text, images=images, padding=True, padding_side="left", return_tensors="pt")
    assert together["num_sub_images"].tolist() == [1, 29]
    alone = [processor(text=one, images=image, return_tensors="pt") for one, image in zip(text, images, strict=True)]
    assert answer(model, together) == [answer(model, one)[0] for one in alone]
    beams = answer(model, together, num_beams=2)
    assert beams == [answer(model, one, num_beams=2)[0] for one in alone]


def test_from_embeddings() -> None:
    model, processor = make()
    inputs = batch(processor, slice(0, 1))
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    rest = {key: value for key, value in inputs.items() if key != "input_ids"}
    out = model.generate(inputs_embeds=embeds, **rest, **FIXED)
    assert out.tolist() == answer(model, inputs)  # pyright: ignore[reportAttributeAccessIssue]


# transformers 5.19 makes wrong tokens here, with its own models too.
if Version(transformers.__version__) >= Version("5.23"):

    def test_prefill_in_chunks() -> None:
        model, processor = make()
        inputs = batch(processor, slice(2, 3))
        assert answer(model, inputs, prefill_chunk_size=50) == answer(model, inputs)
