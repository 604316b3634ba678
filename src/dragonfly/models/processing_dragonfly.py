# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""DragonflyProcessor: text and images -> model inputs. Placeholders are counted from each image's layout, here only.

Two places for an image's block of placeholders: where the conversation puts it, or (`block_first`, the released weights)
before BOS. In the second case the processor writes BOS itself.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2 import TemplateError
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import MultiModalData, ProcessingKwargs, ProcessorMixin, TextKwargs

from dragonfly.models import origin, released, remote_code
from dragonfly.models.arguments import refuse_unknown
from dragonfly.models.chat_templates import chat_template_for, control_tokens, default_of, project_template
from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.models.image_processing_dragonfly import DragonflyImageProcessor, DragonflyImageProcessorKwargs
from dragonfly.models.nested_images import check_placeholders, images_per_row, is_empty
from dragonfly.turns import (
    Marks,
    Render,
    Span,
    TurnError,
    answer_spans,
    conversation_questions,
    moved,
    read_marks,
    text_questions,
    tokens_in,
)
from dragonfly.vision.inputs import EVIDENCE_POLICIES, input_names, reads_question
from dragonfly.vision.layout import SubImageLayout
from dragonfly.vision.presets import get_preset

# Arguments of `apply_chat_template` that do not reach the template.
_NOT_OF_TEMPLATE = (
    "add_generation_prompt",
    "continue_final_message",
    "return_assistant_tokens_mask",
    "return_dict",
    "return_tensors",
    "sanitize_control_tokens",
    "tokenize",
)


class DragonflyTextKwargs(TextKwargs, total=False):
    """add_end_of_text: append the tokenizer's EOS to every row, as the released weights were trained (`block_first` only)."""

    add_end_of_text: bool


class DragonflyProcessorKwargs(ProcessingKwargs, total=False):
    text_kwargs: DragonflyTextKwargs  # pyright: ignore[reportIncompatibleVariableOverride]
    images_kwargs: DragonflyImageProcessorKwargs  # pyright: ignore[reportIncompatibleVariableOverride]
    # transformers before 5.23 reads this attribute; a TypedDict does not inherit it.
    _defaults = {}  # noqa: RUF012  # pyright: ignore[reportGeneralTypeIssues]


class DragonflyProcessor(ProcessorMixin):
    """Joins a `DragonflyImageProcessor` and a tokenizer.

    Without `chat_template`, a tokenizer's own is used as it is (`chat_template_for`); without a pad token, padding is EOS.

    Args:
        image_token: the placeholder; in text it stands once per image, in the ids once per feature.
        separator_token: the ordinary token after each sub-image.
        block_first: put all images before BOS and write BOS (released weights).

    Raises:
        ValueError: if the tokenizer does not know one of the two tokens as a single id.
    """

    valid_processor_kwargs = DragonflyProcessorKwargs

    def __init__(
        self,
        image_processor: DragonflyImageProcessor | None = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        image_token: str = "<image>",
        separator_token: str = "<separator>",
        block_first: bool = False,
        **kwargs: Any,
    ) -> None:
        self.image_token, self.separator_token, self.block_first = image_token, separator_token, block_first
        self.image_token_id = _single_id(tokenizer, image_token)
        self.separator_token_id = _single_id(tokenizer, separator_token)
        self.image_token_ids = [self.image_token_id, self.separator_token_id]  # what `mm_token_type_ids` marks: the whole block
        template = chat_template or chat_template_for(tokenizer, image_token, block_first)
        if tokenizer.pad_token is None and tokenizer.eos_token is not None:
            tokenizer.pad_token = tokenizer.eos_token
        self._marks: dict[str, Marks] = {}
        self._folds: dict[str | None, bool] = {}
        super().__init__(image_processor, tokenizer, chat_template=template, **kwargs)
        self.auto_map = remote_code.auto_map(AutoProcessor="DragonflyProcessor")

    register_for_auto_class = remote_code.keeps_its_shim

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> Any:
        """As transformers, with the shim that loads it where this package was not imported.

        The record of a directory that has one (`dragonfly.json`) then names the new files.
        """
        remote_code.write_shim(save_directory)
        with origin.kept_true(save_directory, origin.DESCRIPTIONS):
            return super().save_pretrained(save_directory, *args, **kwargs)

    def __call__(
        self, images: Any = None, text: Any = None, *args: Any, questions: Sequence[str] | None = None, **kwargs: Any
    ) -> Any:
        """As transformers; under policy `question` also `question_ids` and `question_mask`, (num_images, length) both.

        `questions` is what each image is asked; without it, the user's words are looked for in the text. BOS is not added to
        rows that begin with it.

        Raises:
            ValueError: for an unknown keyword argument, videos or audio.
        """
        self._refuse_unknown(kwargs)
        if text is not None and not self.block_first and self.writes_bos([text] if isinstance(text, str) else text):
            kwargs.setdefault("add_special_tokens", False)
        output = super().__call__(images, text, *args, **kwargs)
        if self.asks and text is not None and not is_empty([] if images is None else images):
            asked = self.questions_in(images, text) if questions is None else questions
            output.update(self.question_inputs(asked, kwargs.get("return_tensors")))
        return output

    def apply_chat_template(self, conversation: Any, chat_template: str | None = None, **options: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As transformers, with the assistant mask and the questions of policy `question` taken from the messages.

        The mask is 1 on what generation has to produce: each answer with its end of turn, under any template, with
        `{% generation %}` marks in it or without (`turns.answer_spans`); marks that say otherwise are not followed. ValueError
        where the template refuses the conversation, or its answers cannot be found.
        """
        inputs = dict(options.pop("processor_kwargs", None) or {})
        batched = _is_batch(conversation)
        rows = conversation if batched else [conversation]
        if options.get("tokenize") and self.asks and not inputs.get("images"):
            last_only = bool(options.get("add_generation_prompt"))
            asked = [conversation_questions(row, self.image_token, last_only) for row in rows]
            inputs.setdefault("questions", [question for row in asked for question in row])
        # Options that mark nothing: transformers refuses them together with the mask.
        plain = options.get("continue_final_message") or options.get("sanitize_control_tokens")
        if plain or not (options.get("tokenize") and options.get("return_dict") and options.get("return_assistant_tokens_mask")):
            return self._templated(conversation, chat_template, processor_kwargs=inputs, **options)
        options.pop("return_assistant_tokens_mask")
        found = [self.answers(row, chat_template, **options) for row in rows]
        inputs.update(return_offsets_mapping=True, return_text_replacement_offsets=True)
        output = self._templated(conversation, chat_template, processor_kwargs=inputs, **options)
        offsets, replaced = output.pop("offset_mapping"), output.pop("text_replacement_offsets", None) or [[]] * len(rows)
        spans = [self._spans_in_ids(*row, places) for row, places in zip(found, replaced, strict=True)]
        output["assistant_masks"] = [tokens_in(row, own) for row, own in zip(_lists(offsets), spans, strict=True)]
        tensors = options.get("return_tensors", inputs.get("return_tensors"))
        return output.convert_to_tensors(tensor_type=None if tensors == "auto" else tensors)

    def answers(
        self, messages: Sequence[Mapping[str, Any]], chat_template: str | None = None, **options: Any
    ) -> tuple[str, list[Span]]:
        """A conversation's text and the [start, end) of its answers in it; see `turns.answer_spans`."""
        options = {name: value for name, value in options.items() if name not in _NOT_OF_TEMPLATE}
        render = self._renderer(chat_template, options)
        return answer_spans(render, messages, self.turn_marks(chat_template, **options))

    def turn_marks(self, chat_template: str | None = None, **options: Any) -> Marks:
        """What the chat template writes around words. ValueError if answers do not end in a control token of the tokenizer."""
        key = repr((chat_template or self.chat_template, options))
        if key not in self._marks:
            controls = control_tokens(self.tokenizer) - {self.image_token, self.separator_token}
            render = self._renderer(chat_template, options)
            self._marks[key] = read_marks(render, sorted(controls), self.tokenizer.eos_token)
        return self._marks[key]

    def stop_ids(self, generation_config: Any = None) -> list[int]:
        """Ids at which an answer ends: the chat template's end of turn, the tokenizer's EOS, and those of a generation config.

        ValueError if the template has no end of turn among the tokenizer's ids.
        """
        own = generation_config.eos_token_id if generation_config is not None else None
        ids = [*(own if isinstance(own, list | tuple) else [own]), self.tokenizer.eos_token_id]
        if default_of(self.chat_template) is not None:
            ids.append(self.tokenizer.convert_tokens_to_ids(self.turn_marks().end))
        return sorted({index for index in ids if index is not None})

    def writes_bos(self, texts: Sequence[str]) -> bool:
        """Whether all texts begin with BOS, so that the tokenizer must not add one."""
        bos = self.tokenizer.bos_token
        return bos is not None and len(texts) > 0 and all(text.startswith(bos) for text in texts)

    def _templated(self, conversation: Any, chat_template: str | None, **options: Any) -> Any:
        try:
            return super().apply_chat_template(conversation, chat_template, **options)
        except TemplateError as error:
            raise TurnError(f"the chat template refuses the conversation: {error}") from error

    def _renderer(self, chat_template: str | None, options: Mapping[str, Any]) -> Render:
        def render(messages: Sequence[Mapping[str, Any]], prompt: bool) -> str:
            return self._templated(list(messages), chat_template, add_generation_prompt=prompt, **options)

        return render

    def _spans_in_ids(self, text: str, spans: list[Span], places: Sequence[Mapping[str, Any]]) -> list[Span]:
        """The spans of a rendered text in the text that was tokenized, where images are blocks of placeholders."""
        if self.block_first:
            token, bos = self.image_token, self.tokenizer.bos_token or ""
            bare = text.replace(token, "")
            gone = [(match, match + len(token)) for match in _all(text, token)]
            spans = moved(spans, [(old, (0, old[1] - (at + 1) * len(token))) for at, old in enumerate(gone)])
            front = len(token) * len(places) + (0 if bos and bare.startswith(bos) else len(bos))
            spans = [(start + front, end + front) for start, end in spans]
        return moved(spans, [(place["span"], place["new_span"]) for place in places])

    def _refuse_unknown(self, kwargs: dict[str, Any]) -> None:
        known = {"common_kwargs", "return_metadata", "videos", "audio", *DragonflyProcessorKwargs.__annotations__}
        for group in DragonflyProcessorKwargs.__annotations__.values():
            known.update(getattr(group, "__annotations__", ()))
        refuse_unknown(kwargs, known, type(self).__name__)
        for name in ("videos", "audio"):
            if kwargs.get(name) is not None:
                raise ValueError(f"{name} given, and this model reads images and text alone; leave it out")

    @property
    def asks(self) -> bool:
        """Whether the choice of sub-images depends on the question."""
        return reads_question(self.image_processor.spec)

    @property
    def wants_evidence(self) -> bool:
        """Whether the boxes that hold an answer are of use: to choose by (`oracle`), or to learn from (`question`)."""
        spec = self.image_processor.spec
        return spec.selects and spec.selection.policy in EVIDENCE_POLICIES

    def questions_in(self, images: Any, text: Any) -> list[str]:
        """What each image is asked, in the order of the images, as the text says; see `text_questions`."""
        rows = [text] if isinstance(text, str) else list(text)
        bos = self.tokenizer.bos_token or ""
        special = [token for token in self.tokenizer.all_special_tokens if token not in (bos, self.image_token)]
        marks = self.turn_marks() if default_of(self.chat_template) is not None else None
        return [
            question
            for row, loaded_images in zip(rows, images_per_row(images, rows, self.image_token), strict=True)
            for question in text_questions(row, self.image_token, loaded_images, marks, special, bos)
        ]

    def as_written(self, question: str) -> str:
        """What a user says as the chat template writes it: as it is, or in small letters."""
        template = default_of(self.chat_template)
        if template is not None and template not in self._folds:
            said = [{"role": "user", "content": [{"type": "text", "text": "\U000f0d04A"}]}]
            self._folds[template] = "\U000f0d04a" in self._templated(said, None, tokenize=False)
        return question.lower() if self._folds.get(template) else question

    def question_inputs(self, questions: Sequence[str], return_tensors: str | None = "pt") -> BatchFeature:
        """`question_ids` and `question_mask`, (num_images, length): each question's tokens, padded on the right."""
        rows = [self.tokenizer(self.as_written(question), add_special_tokens=False)["input_ids"] for question in questions]
        width = max(1, *map(len, rows))
        ids = np.array([row + [0] * (width - len(row)) for row in rows], dtype=np.int64)
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], dtype=np.int64)
        return BatchFeature({"question_ids": ids, "question_mask": mask}, tensor_type=return_tensors)

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **kwargs: Any) -> str:
        """The whole block of one image: for each sub-image its placeholders and a separator."""
        return self.placeholders(image_inputs["layouts"][image_idx])

    def placeholders(self, layout: SubImageLayout) -> str:
        """The text of an image's block."""
        return "".join(self.image_token * count + self.separator_token for count in layout.token_counts)

    @property
    def unused_input_names(self) -> list[str]:
        return ["layouts"]

    @property
    def model_input_names(self) -> list[str]:
        return [*self.tokenizer.model_input_names, *input_names(self.image_processor.spec)]

    def _get_num_multimodal_tokens(self, image_sizes: Sequence[tuple[int, int]] | None = None, **kwargs: Any) -> MultiModalData:
        """Prompt tokens (separators included) and rows of `pixel_values` of images of (height, width); no pixels needed."""
        if image_sizes is None:
            return MultiModalData()
        tokens = [self.image_processor.get_number_of_image_tokens(height, width) for height, width in image_sizes]
        return MultiModalData(num_image_tokens=tokens, num_image_patches=[1] * len(tokens))

    def prepare_inputs_layout(self, images: Any = None, text: Any = None, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As transformers; under `block_first` each row becomes images, BOS, text (and EOS where asked for)."""
        images = None if is_empty(images) else images
        if images is not None:
            switches = {**kwargs, **(kwargs.get("images_kwargs") or {})}
            images = self.image_processor.fetch_images(images, switches.get("urls"), switches.get("raw_base64"))
        images, text, videos, audio = super().prepare_inputs_layout(images=images, text=text, **kwargs)
        if text is None:
            return images, text, videos, audio
        if not self.block_first:
            if not kwargs.get("sanitize_control_tokens"):  # transformers then counts: only it knows what is the user's text
                check_placeholders(images, text, self.image_token)
            return images, text, videos, audio
        options = {**kwargs, **(kwargs.get("text_kwargs") or {})}
        limit = options.get("max_length") if options.get("truncation") else None
        blocks = images_per_row(images, text, self.image_token)
        rows = [
            self._released_row(row, loaded_images, limit, bool(options.get("add_end_of_text")))
            for row, loaded_images in zip(text, blocks, strict=True)
        ]
        return images, rows, videos, audio

    def _released_row(self, text: str, images: int, limit: int | None, end_of_text: bool) -> str:
        bos, eos = self.tokenizer.bos_token or "", self.tokenizer.eos_token or ""
        text = text.replace(self.image_token, "")
        text = text if bos and text.startswith(bos) else bos + text
        if limit is not None:
            text = self._cut(text, limit // 2 - 1)
        return self.image_token * images + text + (eos if end_of_text else "")

    def _cut(self, text: str, limit: int) -> str:
        """The longest beginning of at most `limit` tokens. No merge crosses a token's edge, so its ids stay the same."""
        if limit < 1:
            return ""
        offsets = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return text if len(offsets) <= limit else text[: offsets[limit - 1][1]]

    def _merge_kwargs(self, *args: Any, **kwargs: Any) -> dict[str, dict[str, Any]]:
        merged = super()._merge_kwargs(*args, **kwargs)
        options = merged["text_kwargs"]
        if options.pop("add_end_of_text", False) and not self.block_first:
            raise ValueError("add_end_of_text belongs to released weights (block_first); the chat template ends turns itself")
        if self.block_first:  # BOS is written and the text is cut already; the tokenizer must do neither again
            options.update(add_special_tokens=False, truncation=False)
            if options.get("padding") != "max_length":
                options.pop("max_length", None)
        return merged

    @classmethod
    def _get_arguments_from_pretrained(cls, pretrained_model_name_or_path: Any, processor_dict: Any = None, **kwargs: Any) -> Any:
        """As transformers; released directories name a CLIP image processor, which ours replaces."""
        preset = kwargs.pop("preset", None)
        name = str(pretrained_model_name_or_path)
        is_released = released.read_released(name) is not None
        if not is_released and preset is None:
            return super()._get_arguments_from_pretrained(pretrained_model_name_or_path, processor_dict, **kwargs)
        image_processor = DragonflyImageProcessor.from_pretrained(pretrained_model_name_or_path, preset=preset, **kwargs)
        # The tokenizer's loader would read config.json again, without knowing the preset.
        config = {"config": DragonflyConfig.from_pretrained(name, preset=preset)} if is_released else {}
        tokenizer = cls._load_tokenizer_from_pretrained("tokenizer", pretrained_model_name_or_path, **config, **kwargs)
        return [image_processor, tokenizer]

    @classmethod
    def get_processor_dict(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        preset = kwargs.pop("preset", None)
        values, kwargs = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        if released.read_released(str(pretrained_model_name_or_path)) is not None:
            values = released.translate_processor(values)
        if preset is not None and values.get("block_first", False) != get_preset(preset).released:
            template = project_template(values.get("image_token", "<image>"), get_preset(preset).released)
            values = {**values, "block_first": get_preset(preset).released, "chat_template": template}
        return values, kwargs


def _single_id(tokenizer: Any, token: str) -> int:
    if tokenizer is None:
        raise ValueError("a Dragonfly processor needs a tokenizer, got None")
    index = tokenizer.convert_tokens_to_ids(token)
    if index is None or index == tokenizer.unk_token_id:
        raise ValueError(
            f"the tokenizer does not know '{token}'; add it as a special token, or name one it has "
            f"(image_token=..., separator_token=...), such as '{released.RELEASED_IMAGE_TOKEN}'"
        )
    return index


def _is_batch(conversation: Any) -> bool:
    """Whether it is several conversations, as transformers tells it."""
    first = conversation[0] if isinstance(conversation, list | tuple) and conversation else None
    return isinstance(first, list | tuple) or hasattr(first, "content")


def _lists(rows: Any) -> Any:
    return rows.tolist() if hasattr(rows, "tolist") else rows


def _all(text: str, token: str) -> list[int]:
    """Where the token begins, each time."""
    return [match.start() for match in re.finditer(re.escape(token), text)]
