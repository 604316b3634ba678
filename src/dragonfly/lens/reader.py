# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A model of any family as a lens uses it: count tokens, size views, answer, say where it attends, choose among views.

Tokens are the family's processor's own count of what an image takes in the prompt. The order of a message is fixed: the whole
image behind "Whole image:", then the close-ups from top to bottom behind "Close-up 1:" and so on, then the question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dragonfly.data.encoding import control_token_in
from dragonfly.inference.answer import confidence_of
from dragonfly.inference.integrity import bounded_generation
from dragonfly.lens.families import Options, family_of
from dragonfly.lens.grid import View
from dragonfly.models.chat_templates import default_of
from dragonfly.vision.layout import Size

MAX_SIDE = 4096  # pixels of a view's longer side: what is handed over does not grow with the image
MAX_ASPECT = 8  # a longer image is shown squeezed, for processors refuse narrower ones or keep nothing of them
STEPS = 16  # sizes that are tried per halving of a view's side
LEAST_SIDE = 28
CLOSE_UP, WHOLE = "Close-up {}:", "Whole image:"
NEUTRAL = "Describe the image."
CHOOSE = "{}\nWhich close-up shows what is needed to answer? Say its number alone."


@dataclass(frozen=True)
class Said:
    """What a model generated: text, ids with their log-probabilities, length of the prompt, why it ended, first logits."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    prompt_tokens: int
    finish: str
    first: torch.Tensor

    @property
    def confidence(self) -> float:
        return confidence_of(self.logprobs)

    def fields(self) -> dict[str, Any]:
        """What an `Answer` says of it."""
        names = ("text", "token_ids", "confidence", "prompt_tokens", "finish", "logprobs")
        return {name: getattr(self, name) for name in names}


class Reader:
    """Args: model in evaluation mode, its processor, and what to call it in messages."""

    def __init__(self, model: Any, processor: Any, name: str) -> None:
        self.model, self.processor, self.name = model, processor, name
        self.family = family_of(model)
        self.count: Callable[..., int] = lru_cache(maxsize=2**16)(self._count)
        self.window: Callable[[int], int | None] = lru_cache(maxsize=4096)(self._window)
        sides = (LEAST_SIDE, 64, 512, 2048)
        self.alike = (
            len({self.tokens((height, width)) for height in sides for width in sides[1:]}) == 1
        )  # every view takes as many
        self.side = self._side()
        self.prompt_tokens = 0  # of all prompts so far

    # -- tokens, before anything runs

    def _count(self, size: Size, options: tuple[tuple[str, Any], ...] = ()) -> int:
        """Tokens that an image of (height, width) takes, as the family's own processor counts them, or else makes them."""
        if count := getattr(self.processor, "_get_num_multimodal_tokens", None):
            return int(count(image_sizes=[size], **dict(options)).num_image_tokens[0])
        blank = Image.new("RGB", (size[1], size[0]))
        return self._made(self.processor(text=[self._text([""], "")], images=[blank], return_tensors="pt", **dict(options)))

    def _made(self, inputs: Any) -> int:
        return int(torch.isin(inputs["input_ids"], torch.tensor(self.processor.image_token_ids)).sum())

    def tokens(self, size: Size, options: Options | None = None) -> int:
        """Tokens of a view of (height, width); as one of several where `options` are not given."""
        chosen = self.family.close if options is None else options
        return self.count(size, tuple(sorted(chosen.items())))

    def fit(self, size: Size, tokens: int, options: Options | None = None) -> Size | None:
        """The largest (height, width) of this shape, up to the size itself, that takes so many tokens; None if none does."""
        if options is None and self.alike and self.side is not None:  # more than is encoded need not be handed over
            scale = min(1.0, self.side / min(size))
            size = (round(size[0] * scale), round(size[1] * scale))
        sizes = _ladder(size)
        low, high = 0, len(sizes) - 1
        if self.tokens(sizes[0], options) <= tokens:
            return sizes[0]
        if self.tokens(sizes[high], options) > tokens:
            return None
        while high - low > 1:  # sizes[low] takes too many, sizes[high] does not
            middle = (low + high) // 2
            low, high = (low, middle) if self.tokens(sizes[middle], options) <= tokens else (middle, high)
        return sizes[high]

    def least(self, size: Size, options: Options | None = None) -> int:
        """Tokens of the smallest view of an image."""
        return self.tokens(_ladder(size)[-1], options)

    def least_close_up(self) -> int:
        side = self.side or LEAST_SIDE
        return self.tokens((side, side))

    def whole(self, size: Size, tokens: int) -> tuple[Size, Options] | None:
        """How the whole image alone is shown in the most detail that so many tokens allow; None if they allow none."""
        for options in self.family.whole:
            if self.tokens(_ladder(size)[0], options) <= tokens:
                return _ladder(size)[0], options
        fitted = ((self.fit(size, tokens, options), options) for options in self.family.whole)
        return next(((found, options) for found, options in fitted if found is not None), None)

    def detail(self, view: View) -> float:
        """Pixels that are encoded per source pixel along a side, at most 1: below it a view is reduced."""
        left, top, right, bottom = view.box
        encoded = 1.0 if self.side is None else self.side / max(right - left, bottom - top)
        return min(1.0, view.reduced, encoded)

    def encoded(self, size: Size) -> Size:
        """Of a view that is handed over at (height, width), about the pixels that are encoded."""
        return size if self.side is None else (min(size[0], self.side), min(size[1], self.side))

    def _window(self, tokens: int) -> int | None:
        """Side of the largest square view that takes so many tokens and is encoded pixel for pixel; None if there is none."""
        if self.side is not None:
            return self.side if self.tokens((self.side, self.side)) <= tokens else None
        fitted = self.fit((MAX_SIDE, MAX_SIDE), tokens)
        return fitted and fitted[0]

    def _side(self) -> int | None:
        images = self.processor.image_processor
        if self.family.side is not None:
            return self.family.side(images)
        if not self.alike:
            return None
        size = dict(images.size)
        return int(size.get("height") or size.get("shortest_edge") or size.get("longest_edge") or MAX_SIDE)

    # -- calls

    def check_question(self, question: str) -> None:
        if not question.strip():
            raise ValueError("the question is empty; say what is asked about the image")
        if token := control_token_in(self.processor, question):
            raise ValueError(f"the question contains '{token}', which is a control token of the model; write it another way")

    def answer(
        self, views: Sequence[tuple[str, Image.Image]], question: str, options: Options, tokens: int, max_new_tokens: int
    ) -> Said:
        """Greedy answer about labelled views, or without one. ValueError where the processor makes more than `tokens` of them."""
        inputs = self._inputs(views, question, options, tokens)
        return self._generate(inputs, max_new_tokens)

    def choose(self, views: Sequence[tuple[str, Image.Image]], question: str, tokens: int) -> NDArray[np.float64]:
        """Probability that the model gives to the number of each close-up, when it is asked which one it needs; they sum to 1."""
        first = self._generate(self._inputs(views, CHOOSE.format(question), self.family.close, tokens), 1).first
        numbers = [self.processor.tokenizer(str(n), add_special_tokens=False)["input_ids"][-1] for n in range(1, len(views) + 1)]
        return first[numbers].double().softmax(0).numpy()

    def attention(self, image: Image.Image, question: str, tokens: int) -> NDArray[np.float64]:
        """How much the answer's first token attends to each place of the whole image: a map (rows, cols), its sum at most 1.

        Mean over the heads and the later half of the layers.
        """
        inputs = self._inputs([("", image)], question, self.family.close, tokens)
        ids = inputs["input_ids"][0]
        with self._attending(len(ids)) as rows:
            self._generate(inputs, 1)
        if not rows:
            raise ValueError(f"'{self.name}' does not show its attention; use another method, such as search")
        found = torch.stack(rows[len(rows) // 2 :]).mean(0)[(ids == self._image_id()).cpu()]
        return _as_map(found.double().numpy(), (image.height, image.width), self.side is not None, self._base())

    def _base(self) -> int | None:
        return self.family.base and self.family.base(self.processor)

    def _image_id(self) -> int:
        return int(self.processor.image_token_ids[0])

    @contextmanager
    def _attending(self, length: int) -> Generator[list[torch.Tensor]]:
        """Meanwhile each layer of the language model leaves the last token's attention, mean over heads, as (length,)."""
        rows: list[torch.Tensor] = []

        def keep(_: Any, __: Any, output: Any) -> None:
            weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
            if isinstance(weights, torch.Tensor) and weights.ndim == 4 and weights.shape[-2:] == (length, length):
                rows.append(weights[0, :, -1].float().mean(0).cpu())

        before = self.model.config._attn_implementation
        hooks = [one.register_forward_hook(keep) for one in self.model.modules() if hasattr(one, "layer_idx")]
        try:
            self.model.set_attn_implementation("eager")  # the only kernel that keeps its weights
            yield rows
        finally:
            for hook in hooks:
                hook.remove()
            self.model.set_attn_implementation(before)

    def _inputs(self, views: Sequence[tuple[str, Image.Image]], question: str, options: Options, tokens: int) -> Any:
        given: dict[str, Any] = {"images": [image for _, image in views], **options} if views else {}
        text = self._text([label for label, _ in views], question)
        inputs = self.processor(text=[text], return_tensors="pt", **given)
        made = self._made(inputs)
        if made > tokens:
            raise ValueError(f"the processor of '{self.name}' made {made} image tokens where it had counted {tokens}")
        for name in ("labels", "layouts"):
            inputs.pop(name, None)
        return inputs.to(self.model.device, self.model.dtype)

    def _text(self, labels: Sequence[str], question: str) -> str:
        """The prompt; without a chat template, as base models are asked: images first, then the labels and the question."""
        if default_of(self.processor.chat_template) is None:
            words = [label for label in labels if label]
            return self.processor.image_token * len(labels) + " ".join([*words, question])
        content: list[dict[str, str]] = []
        for label in labels:
            content += [{"type": "text", "text": f"{label}\n"}] if label else []
            content.append({"type": "image"})
        turns = [{"role": "user", "content": [*content, {"type": "text", "text": question}]}]
        return self.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)

    @torch.inference_mode()
    def _generate(self, inputs: Any, max_new_tokens: int) -> Said:
        tokenizer, settings = self.processor.tokenizer, bounded_generation(self.model.generation_config)
        settings.update(do_sample=False, max_new_tokens=max_new_tokens, return_dict_in_generate=True, output_logits=True)
        ends = settings.eos_token_id if settings.eos_token_id is not None else tokenizer.eos_token_id
        ends = set(ends) if isinstance(ends, list) else {ends}
        settings.pad_token_id = settings.pad_token_id if settings.pad_token_id is not None else tokenizer.pad_token_id
        length = inputs["input_ids"].shape[1]
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and length >= limit:
            raise ValueError(f"the prompt has {length} tokens and the model takes {limit}; ask shorter, or with fewer max_tokens")
        output = self.model.generate(**inputs, generation_config=settings)
        self.prompt_tokens += length
        ids = output.sequences[0, length:].tolist()
        ids = ids[: next((place + 1 for place, one in enumerate(ids) if one in ends), len(ids))]
        steps = [step[0].float().log_softmax(-1) for step in output.logits[: len(ids)]]
        logprobs = tuple(float(step[one]) for step, one in zip(steps, ids, strict=True))
        if any(math.isnan(value) for value in logprobs):
            raise ValueError(f"the logits of '{self.name}' are not finite, so it has no answer; load it in float32 (--dtype)")
        text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()
        finish = "stop" if ids and ids[-1] in ends else "length"
        return Said(text, tuple(ids), logprobs, length, finish, output.logits[0][0].float().cpu())


@lru_cache(maxsize=2**14)
def _ladder(size: Size) -> tuple[Size, ...]:
    """Sizes of one shape from the image's own, or as large as a view may be, down to the smallest, in even steps of the side."""
    height, width = size
    height, width = min(height, MAX_ASPECT * width), min(width, MAX_ASPECT * height)
    scale = min(1.0, MAX_SIDE / max(height, width))
    count = max(0, math.ceil(STEPS * math.log2(max(1.0, scale * max(height, width) / LEAST_SIDE))))
    scales = [scale * 2 ** (-step / STEPS) for step in range(count + 1)]
    sizes = [(max(1, round(height * one)), max(1, round(width * one))) for one in scales]
    return tuple(dict.fromkeys(sizes))


def _as_map(values: NDArray[np.float64], size: Size, square: bool, base: int | None) -> NDArray[np.float64]:
    """One image's tokens as (rows, cols): of a square map, else of the division of their number that is nearest in shape."""
    values = values[:base]
    count = len(values)
    if square and math.isqrt(count) ** 2 == count:
        return values.reshape(math.isqrt(count), -1)
    divisors = [rows for rows in range(1, count + 1) if count % rows == 0]
    rows = min(divisors, key=lambda rows: abs(math.log(rows * rows / count) - math.log(size[0] / size[1])))
    return values.reshape(rows, -1)
