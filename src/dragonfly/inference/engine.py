# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The Engine: images are cut and encoded once, then questions are answered, alone, in batches, streamed or in a chat."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from transformers.generation.streamers import BaseStreamer

from dragonfly.data.encoding import control_token_in
from dragonfly.imaging import ImagePolicy, LoadedImage, load_image
from dragonfly.inference.answer import Answer, confidence_of
from dragonfly.inference.clock import Clock
from dragonfly.inference.connecting import connected
from dragonfly.inference.continuous import ContinuousBatch
from dragonfly.inference.continuous import Row as Running
from dragonfly.inference.conversation import Images, Row, as_list, conversation_of, described, text_of, turn
from dragonfly.inference.encoded import EncodedCache, EncodedImage
from dragonfly.inference.options import Draw, Hooks, Options, StopAt
from dragonfly.inference.prefixes import Prefixes
from dragonfly.inference.stream import Pieces, Stream
from dragonfly.models import DragonflyForConditionalGeneration, DragonflyProcessor
from dragonfly.models.connector import Views
from dragonfly.models.modeling_dragonfly import DragonflyImageFeatures

_IDS = ("input_ids", "attention_mask")


class Engine:
    """A loaded model with its processor. Made by `dragonfly.load`.

    Args:
        model: in evaluation mode, on its device.
        processor: of the same encoder.
        name: what to call the model in messages.

    `image_options` overrules fields of the model's `ImagePolicy`: limits that the caller lifts, such as `max_pixels`.
    `reuse_prompts` reads a prompt on from where it departs from those before it (`prefixes`): the next question about an image,
    the next turn of a chat. Models that `ContinuousBatch` does not fit read all of it all the same.
    """

    def __init__(self, model: DragonflyForConditionalGeneration, processor: DragonflyProcessor, name: str = "model") -> None:
        self.model, self.processor, self.name = model, processor, name
        self.tokenizer = processor.tokenizer
        self.cache = EncodedCache()
        self.image_options: dict[str, Any] = {}
        self.reuse_prompts = False
        self.prefixes = Prefixes()
        self.end_ids = processor.stop_ids(model.generation_config)
        self._lead = self._lead_text()

    @property
    def device(self) -> torch.device:
        """Where inputs go: where the embeddings lie, or are brought to where they wait elsewhere (a device map)."""
        embeddings: Any = self.model.get_input_embeddings()
        return torch.device(embeddings._hf_hook.execution_device) if embeddings.weight.is_meta else embeddings.weight.device

    @property
    def image_policy(self) -> ImagePolicy:
        """How images are loaded: as the model wants them, with what the caller allows besides (`image_options`)."""
        return replace(self.processor.image_processor.image_policy, **self.image_options)

    def ask(self, images: Images, question: str, *, system: str | None = None, **options: Any) -> Answer:
        """Answer one question about any number of images.

        Args:
            images: an image or a sequence of images, or None for a question without one.
            question: the user's text.
            system: an optional system message.
            options: `max_new_tokens`, `temperature`, `top_p`, `seed`, `stop`, `prompt_lookup`, `static_cache` (`Options`).
        """
        return self.ask_batch([Row(images, question, system)], **options)[0]

    def ask_batch(self, rows: Iterable[Row | tuple[Images, str]], *, batch_size: int = 8, **options: Any) -> list[Answer]:
        """Answer many questions; equal to asking one by one. Each row draws by a generator of its own, from the same seed."""
        return list(self.ask_many(rows, batch_size=batch_size, **options))

    def ask_many(self, rows: Iterable[Row | tuple[Images, str]], *, batch_size: int = 8, **options: Any) -> Iterator[Answer]:
        """As `ask_batch`, but yields answers as their batch is done."""
        chosen = Options.of(**options)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        batch_size = 1 if chosen.prompt_lookup else batch_size
        pending = iter(rows)
        while block := [row if isinstance(row, Row) else Row(*row) for row in islice(pending, batch_size)]:
            clock = Clock()
            images = self._encode_rows([as_list(row.images) for row in block], clock)
            messages = [conversation_of(row, own) for row, own in zip(block, images, strict=True)]
            yield from self.answer_conversations(messages, images, chosen, clock)

    def stream(self, images: Images, question: str, *, system: str | None = None, **options: Any) -> Stream:
        """Answer piece by piece: iterate over the text, then read `.answer`. The pieces joined are `ask`'s text."""
        chosen, clock, row = Options.of(**options), Clock(), Row(images, question, system)
        loaded_images = self._encode_rows([as_list(images)], clock)
        messages = [conversation_of(row, loaded_images[0])]

        def generate(streamer: BaseStreamer) -> Answer:
            return self.answer_conversations(messages, loaded_images, chosen, clock, Hooks(streamer))[0]

        return Stream(generate, self.pieces(chosen))

    def pieces(self, options: Options) -> Pieces:
        """Makes text of an answer's ids as they come."""
        return Pieces(lambda ids: self.text(ids, options.stop)[0], max((len(stop) - 1 for stop in options.stop), default=0))

    def chat(self, images: Images = None, *, system: str | None = None) -> Chat:
        """A conversation of several turns; every image is encoded once."""
        return Chat(self, images, system)

    def encode(self, images: Sequence[Any], clock: Clock | None = None) -> list[EncodedImage]:
        """Images after the vision tower, each encoded once: those of the cache and those encoded already are taken as they are.

        Raises:
            ValueError: for an image that cannot be read, or one that another encoder has encoded.
        """
        clock, policy = clock or Clock(), self.image_policy
        given = [one if isinstance(one, EncodedImage) else clock.timed("images", load_image, one, policy) for one in images]
        keys = [image.key if isinstance(image, EncodedImage) else self.key(image.content, image.policy) for image in given]
        found = {key: image for key in dict.fromkeys(keys) if (image := self.cache.get(key))}
        new = {key: image for key, image in zip(keys, given, strict=True) if key not in found and isinstance(image, LoadedImage)}
        found |= self._encode(new, clock)
        return [
            self._own(image) if isinstance(image, EncodedImage) else described(found[key], image)
            for key, image in zip(keys, given, strict=True)
        ]

    def key(self, content: str, policy: ImagePolicy) -> str:
        """Under which an image waits in `cache`: `LoadedImage.content`, the policy it was loaded under, and the encoder."""
        encoder = json.dumps(self.processor.image_processor.encoder, sort_keys=True)
        return f"{content} {policy} {encoder}"

    def _own(self, image: EncodedImage) -> EncodedImage:
        if not image.key.endswith(json.dumps(self.processor.image_processor.encoder, sort_keys=True)):
            raise ValueError(f"the image was encoded for another encoder than that of '{self.name}'; hand in the image itself")
        return image

    @torch.inference_mode()
    def _encode(self, images: dict[str, LoadedImage], clock: Clock) -> dict[str, EncodedImage]:
        """Cut images, run the tower over all their sub-images, and connect them where that does not wait for a question."""
        if not images:
            return {}
        pixels = [image.image for image in images.values()]
        batch = clock.timed("images", self.processor.image_processor, pixels, return_tensors="pt")
        layouts, inputs = batch.pop("layouts"), batch.to(self.device)
        model = self.model.model
        views = Views(inputs["pixel_values"], inputs["sub_image_regions"], inputs.get("sub_image_positions"))
        encoded = clock.timed("encode", model.encode_views, views, inputs.get("num_sub_images"))
        found = [
            EncodedImage(key, layout, views=own, counts=counts, notes=one.notes, label=one.label, spacing=one.spacing)
            for (key, one), layout, (own, counts) in zip(images.items(), layouts, encoded, strict=True)
        ]
        if not self.processor.asks:
            chosen = inputs.get("selected_high")
            early = None if chosen is None else [[index for index in row if index >= 0] for row in chosen.tolist()]
            found = clock.timed("encode", connected, self.model.model, found, None, early)
        for image in found:
            self.cache.put(image)
        return {image.key: image for image in found}

    def connect(self, image: EncodedImage, question: str) -> EncodedImage:
        """The image with the sub-images that a question asks for; under other policies than `question` as it is."""
        return self.connect_all([image], [question])[0]

    @torch.inference_mode()
    def connect_all(self, images: Sequence[EncodedImage], questions: Sequence[str]) -> list[EncodedImage]:
        """`connect` of each image with its question, in one pass: scores may differ from `connect`'s in their last bits."""
        waiting = [place for place, image in enumerate(images) if image.tokens is None]
        if not waiting:
            return [*images]
        asked = self.processor.question_inputs([questions[place].strip() for place in waiting]).to(self.device)
        wanted = self.model.model.embed_questions(asked["question_ids"], asked["question_mask"])
        done = connected(self.model.model, [images[place] for place in waiting], wanted)
        found = dict(zip(waiting, done, strict=True))
        return [found.get(place, image) for place, image in enumerate(images)]

    def _encode_rows(self, rows: list[list[Any]], clock: Clock) -> list[list[EncodedImage]]:
        loaded = [self.load(row, clock) for row in rows]
        encoded = iter(self.encode([image for row in loaded for image in row], clock))
        return [list(islice(encoded, len(row))) for row in rows]

    def load(self, images: Sequence[Any], clock: Clock, before: int = 0) -> list[LoadedImage | EncodedImage]:
        """One conversation's images, loaded; refused as soon as they take more tokens than the model, before any is encoded.

        `before` is how many tokens the conversation has already.
        """
        loaded: list[LoadedImage | EncodedImage] = []
        processor = self.processor.image_processor
        for image in images:
            if not isinstance(image, EncodedImage):
                image = clock.timed("images", load_image, image, self.image_policy)  # noqa: PLW2901
                before += processor.get_number_of_image_tokens(*image.size)
            else:
                before += image.layout.num_image_tokens
            loaded.append(image)
            self._check_length(before, f"{len(loaded)} of {len(images)} images take")
        return loaded

    def _check_length(self, tokens: int, what: str = "the prompt has") -> None:
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and tokens >= limit:
            raise ValueError(
                f"{what} {tokens} tokens and the model takes {limit}; "
                "ask with fewer images or a shorter text, or choose a preset with fewer tokens (`dragonfly presets`)"
            )

    def answer_conversations(
        self,
        conversations: list[list[dict[str, Any]]],
        images: list[list[EncodedImage]],
        options: Options,
        clock: Clock,
        hooks: Hooks | None = None,
    ) -> list[Answer]:
        """Generate for conversations whose images are encoded."""
        asked = [text_of(turns[-1]) for turns in conversations]
        images = [[self.connect(one, question) for one in row] for row, question in zip(images, asked, strict=True)]
        prompt = self.prompt(conversations, images)
        if self.reuse_prompts and not options.decoding and not (hooks and hooks.endings) and self._fits_together:
            return clock.timed("generate", self._read_on, prompt, images, options, clock, hooks or Hooks())
        lengths = prompt["attention_mask"].sum(dim=1).tolist()
        features = [image.tokens for row in images for image in row]
        ids, logprobs = clock.timed("generate", self._generate, prompt, features, options, hooks or Hooks())
        timings = clock.report()
        return [
            self.finish(row, row_logprobs, length, row_images, options, timings)
            for row, row_logprobs, length, row_images in zip(ids, logprobs, lengths, images, strict=True)
        ]

    def prompt(self, conversations: list[list[dict[str, Any]]], images: list[list[EncodedImage]]) -> Any:
        """Ids of the conversations, left-padded, with one BOS: the chat template's, else the tokenizer's."""
        for message in (message for turns in conversations for message in turns):
            if token := control_token_in(self.processor, text_of(message)):
                raise ValueError(f"the text contains '{token}', which is a control token of the model; write it another way")
        texts = [self.processor.apply_chat_template(turns, add_generation_prompt=True) for turns in conversations]
        blocks = [self.processor.placeholders(image.layout) for row in images for image in row]
        add = not (self.processor.block_first or self.processor.writes_bos(texts))
        texts, _ = self.processor.get_text_with_replacements(texts, blocks)
        prompt = self.tokenizer(texts, add_special_tokens=add, padding=True, padding_side="left", return_tensors="pt")
        self._check_length(prompt["input_ids"].shape[1])
        return prompt.to(self.device)

    @cached_property
    def _fits_together(self) -> bool:
        return ContinuousBatch.fits(self)

    def _read_on(
        self, prompt: Any, images: list[list[EncodedImage]], options: Options, clock: Clock, hooks: Hooks
    ) -> list[Answer]:
        """As `_generate` and `finish`, reading only what `prefixes` does not know."""
        rows: list[Running] = []
        for number, (ids, mask, own) in enumerate(zip(*(prompt[key].tolist() for key in _IDS), images, strict=True)):
            seeded = replace(options, seed=hooks.seeds[number]) if hooks.seeds else options
            rows.append(Running(ids[len(ids) - sum(mask) :], own, seeded, clock=clock))
        if (streamer := hooks.streamer) is not None:

            def told(token: int) -> None:
                streamer.put(torch.tensor([token]))

            streamer.put(prompt["input_ids"])
            rows[0].told = told
        return ContinuousBatch(self).run(rows)

    @torch.inference_mode()
    def _generate(
        self, prompt: Any, features: list[torch.Tensor], options: Options, hooks: Hooks
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Generated ids and their log-probabilities, per row up to and with the first end id."""
        settings: dict[str, Any] = {**options.decoding, "stopping_criteria": [*hooks.endings]}
        if options.prompt_lookup and self.model.config.image_token_id is not None:  # an image's place is no word to guess
            settings["suppress_tokens"] = [self.model.config.image_token_id]
        if options.temperature > 0:
            settings["logits_processor"] = [Draw(options, hooks.seeds or [options.seed] * len(prompt["input_ids"]), self.device)]
        start = prompt["input_ids"].shape[1]
        if options.stop:
            settings["stopping_criteria"].append(StopAt(lambda ids: self.text(ids, options.stop)[1], start))
        if features:
            settings["mm_encoder_outputs"] = {"image": DragonflyImageFeatures(pooler_output=features)}  # pyright: ignore[reportArgumentType]
        model: Any = self.model  # transformers' own types do not agree with each other on `generate`
        output = model.generate(
            input_ids=prompt["input_ids"],
            attention_mask=prompt["attention_mask"],
            do_sample=False,  # `Draw` samples
            max_new_tokens=options.max_new_tokens,
            eos_token_id=self.end_ids,
            pad_token_id=self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.end_ids[0],
            return_dict_in_generate=True,
            output_logits=True,
            streamer=hooks.streamer,
            **settings,
        )
        new = output.sequences[:, start:]
        # Token by token: over a large vocabulary, all steps' logits in float32 would be a second copy of gigabytes.
        steps = [step.float().log_softmax(-1).gather(1, ids.unsqueeze(1)) for step, ids in zip(output.logits, new.T, strict=True)]
        logprobs = torch.cat(steps, dim=1)
        rows, row_logprobs = new.tolist(), logprobs.tolist()
        ends = [next((i + 1 for i, token in enumerate(row) if token in self.end_ids), len(row)) for row in rows]
        if any(math.isnan(value) for row, end in zip(row_logprobs, ends, strict=True) for value in row[:end]):
            raise ValueError(
                f"the logits of '{self.name}' are not finite, so it has no answer: its weights are damaged, or "
                f"{self.model.dtype} is too narrow for them; load it in float32, or copy the model again"
            )
        return (
            [row[:end] for row, end in zip(rows, ends, strict=True)],
            [row[:end] for row, end in zip(row_logprobs, ends, strict=True)],
        )

    def finish(
        self,
        ids: list[int],
        logprobs: list[float],
        prompt_tokens: int,
        images: Sequence[EncodedImage],
        options: Options,
        timings: dict[str, float],
    ) -> Answer:
        """What generated ids say; of a stopped row they may go on behind the stop string."""
        ids, logprobs, text, stopped = self._cut_at_stop(ids, logprobs, options.stop)
        return Answer(
            text=text,
            token_ids=tuple(ids),
            confidence=confidence_of(logprobs),
            prompt_tokens=prompt_tokens,
            layouts=tuple(image.layout for image in images),
            selections=tuple(image.selection for image in images),
            timings=timings,
            notes=tuple(note for image in images for note in image.notes),
            spacings=tuple(image.spacing for image in images),
            finish="stop" if stopped or (ids and ids[-1] in self.end_ids) else "length",
            logprobs=tuple(logprobs),
        )

    def _cut_at_stop(
        self, ids: list[int], logprobs: list[float], stop: tuple[str, ...]
    ) -> tuple[list[int], list[float], str, bool]:
        """In a batch a stopped row is filled up until all have stopped; that filling is not part of its answer."""
        text, stopped = self.text(ids, stop)
        if stopped:
            end = next(n for n in range(1, len(ids) + 1) if self.text(ids[:n], stop)[1])
            ids, logprobs = ids[:end], logprobs[:end]
        return ids, logprobs, text, stopped

    def _lead_text(self) -> str:
        """What the chat template writes between header and answer, such as an empty think block: no part of an answer's text."""
        ids = self.tokenizer(self.processor.turn_marks().lead, add_special_tokens=False)["input_ids"]
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def text(self, ids: list[int], stop: tuple[str, ...]) -> tuple[str, bool]:
        """Decoded ids up to the earliest stop string, and whether there was one."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)  # pyright: ignore[reportAssignmentType]
        text = "" if self._lead.startswith(text) else text.removeprefix(self._lead)
        found = [text.index(mark) for mark in stop if mark in text]
        return (text[: min(found)], True) if found else (text, False)


class Chat:
    """A conversation: `ask` adds a turn, with or without new images. Earlier images are not encoded again."""

    def __init__(self, engine: Engine, images: Images, system: str | None) -> None:
        self.engine = engine
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        self.images: list[EncodedImage] = []
        self._waiting: list[EncodedImage] = []
        self._waiting = self._encode(as_list(images), Clock())

    def ask(self, question: str, images: Images = None, **options: Any) -> Answer:
        """The next turn. If it fails, the conversation is as before."""
        clock = Clock()
        new = self._waiting + self._encode(as_list(images), clock)
        messages = [*self.messages, turn(question, new)]
        loaded_images = self.images + new
        answer = self.engine.answer_conversations([messages], [loaded_images], Options.of(**options), clock)[0]
        self.messages = [*messages, {"role": "assistant", "content": answer.text}]
        self.images, self._waiting = loaded_images, []
        return answer

    def _encode(self, images: list[Any], clock: Clock) -> list[EncodedImage]:
        before = sum(image.layout.num_image_tokens for image in [*self.images, *self._waiting])
        return self.engine.encode(self.engine.load(images, clock, before), clock)
