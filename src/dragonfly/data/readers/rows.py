"""One row of each dialect as a `Sample`: single questions, LLaVA and ShareGPT turns, OpenAI and TRL messages, the released sets.

Row functions are pure: (row, folder of relative images) -> Sample, or `BadSample`. They leave `id` and `source`
empty where the row does not say, and do not judge the conversation: `validate` does.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import BadSample
from ..sample import ImageRef, Message, Part, Sample
from .images import image_ref, image_refs
from .views import LABELS, taken_apart

PLACEHOLDER = "<image>"

_SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_SPLIT = re.compile(rf"\n?{re.escape(PLACEHOLDER)}\n?")  # the line break that sets a placeholder apart is not text
_IMAGE_KEYS = ("image", "path", "url", "bytes", "base64")
_TAKEN = {"id", "source", "image", "images", "image_url", "messages", "conversations", "system", "group", "meta", LABELS}
_ASKED = {"question", "answer", "options", "answers"}
_BEGIN, _END = "<|begin_of_text|>", "<|end_of_text|>"
_TURN = re.compile(r"<\|start_header_id\|>(?P<role>.*?)<\|end_header_id\|>(?:\n\n)?(?P<text>.*?)<\|eot_id\|>", re.DOTALL)


def turn_row(row: dict[str, Any], root: Path | None) -> Sample:
    """LLaVA / ShareGPT: `conversations` of {from, value}, `<image>` anywhere, `image` or `images`, maybe `system`."""
    images = row.get("image") if row.get("image") is not None else row.get("images")
    return _sample(row, image_refs(images, root, _group(row)), _turns(row))


def question_row(row: dict[str, Any], root: Path | None, *, own: bool = False) -> Sample:
    """One question under our names (`columns.named`): `question`, `answer` or `answers`, `image` or `images` (None: text alone).

    The images stand first; of several accepted answers the first is trained, all stay in `meta`. `own`: a full path names an
    image wherever it lies, for whoever wrote the table knows this machine.
    """
    value = row.get("image") if row.get("image") is not None else row.get("images")
    if value == "":
        raise BadSample("missing-image", "no image is named in its column; name one, or leave the column out for text alone")
    named = [one.strip() for one in value.split("|")] if isinstance(value, str) and "|" in value else value
    paths = named if isinstance(named, list) else [named]
    full = own and all(isinstance(path, str) and Path(path).is_absolute() for path in paths)
    images = image_refs(named, None if full else root, _group(row))
    question, answer = _asked(row)
    system = (Message("system", (Part("text", str(row["system"])),)),) if row.get("system") else ()
    asked = Message("user", (*(Part("image") for _ in images), Part("text", question)))
    sample = _sample(row, images, (*system, asked, Message("assistant", (Part("text", answer),))))
    meta = {key: value for key, value in sample.meta.items() if key not in _ASKED}
    return replace(sample, meta={**meta, **{key: row[key] for key in ("options", "answers") if row.get(key)}})


def _asked(row: dict[str, Any]) -> tuple[str, str]:
    """Question and answer of a row as text. `BadSample` where one is empty, or the answer is none of the options."""
    question, answer = row.get("question"), row.get("answer")
    if answer is None and row.get("answers"):
        answer = row["answers"][0]
    if isinstance(answer, float) and math.isnan(answer):  # how pandas writes an empty cell
        answer = ""
    if not isinstance(question, str) or not isinstance(answer, str | int | float):
        raise BadSample("bad-question", "question and answer must be text")
    if not question.strip():
        raise BadSample("empty-question", "the question has no text")
    if not str(answer).strip():
        raise BadSample("empty-answer", "the answer has no text")
    options = [str(option).strip().lower() for option in row.get("options") or []]
    letters = [chr(ord("a") + place) for place in range(len(options))]
    if options and str(answer).strip().lower() not in {*options, *letters, *map(str, range(len(options)))}:
        raise BadSample(
            "unanswerable", f"the answer {str(answer)[:60]!r} is none of the options {', '.join(row['options'])[:200]}"
        )
    return question, str(answer)


def released_row(row: dict[str, Any], root: Path | None) -> Sample:
    """The released sets: {image_url, conversations, source}; the image stands first and has no placeholder.

    `conversations` is text rendered with Llama 3's template, or a list of {from, value}.
    """
    told = row.get("conversations")
    if isinstance(told, str):
        messages = tuple(Message(role, _parts(text)) for role, text in parse_llama3(told))
    else:
        messages = _turns(row)
    images = image_refs(row.get("image_url"), root, _group(row))
    return _sample(row, images, _images_first(messages, len(images)))


def message_row(row: dict[str, Any], root: Path | None) -> Sample:
    """OpenAI / TRL: `messages` of {role, content}; content is text or blocks, images inside blocks or in `images`.

    Images without any placeholder stand before the first user text, as TRL does it.
    """
    told = row["messages"] if isinstance(row.get("messages"), list) else None
    if told is None:
        raise BadSample("bad-messages", f"messages is {type(row.get('messages')).__name__}; a list is expected")
    listed = row.get("images") if row.get("images") is not None else row.get("image")
    waiting = iter(image_refs(listed, root, _group(row)))
    images: list[ImageRef] = []
    messages: list[Message] = []
    for message in told:
        if not isinstance(message, dict):
            raise BadSample("bad-messages", f"a message is {type(message).__name__}; an object is expected")
        parts = tuple(_blocks(message.get("content"), root, _group(row), waiting, images))
        messages.append(Message(str(message.get("role")), parts))
    placed = any(message.num_images for message in messages)
    rest = list(waiting)
    return _sample(row, (*images, *rest), tuple(messages) if placed else _images_first(tuple(messages), len(rest)))


def _blocks(
    content: Any, root: Path | None, group: str | None, waiting: Iterator[ImageRef], images: list[ImageRef]
) -> Iterator[Part]:
    """The parts of one message; its images go to `images`, in place or from those `waiting` in the row."""
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
        if not isinstance(block, dict):
            raise BadSample("bad-messages", f"a content block is {type(block).__name__}; an object is expected")
        kind = block.get("type")
        if kind == "text":
            parts = _parts(block.get("text") or "")
        elif kind in ("image", "image_url"):
            parts = (Part("image"),)
            inline = block.get("image_url") or next((block[k] for k in _IMAGE_KEYS if block.get(k) is not None), None)
            if inline is not None:
                images.append(image_ref(inline, root, group))
                yield from parts
                continue
        else:
            raise BadSample("unknown-block", f"{kind!r}; accepted: text, image, image_url")
        for part in parts:
            if part.type == "image" and (image := next(waiting, None)) is not None:
                images.append(image)
            yield part


def _turns(row: dict[str, Any]) -> tuple[Message, ...]:
    told = row.get("conversations")
    if not isinstance(told, list) or not all(isinstance(turn, dict) for turn in told):
        raise BadSample("bad-conversations", f"{type(told).__name__}; a list of {{from, value}} is expected")
    system = [{"from": "system", "value": row["system"]}] if row.get("system") else []
    return tuple(_turn(turn) for turn in [*system, *told])


def _turn(turn: dict[str, Any]) -> Message:
    speaker = str(turn.get("from", turn.get("role")))
    if speaker not in _SPEAKERS:
        raise BadSample("unknown-role", f"{speaker!r}; accepted: {', '.join(_SPEAKERS)}")
    text = turn.get("value", turn.get("content"))
    return Message(_SPEAKERS[speaker], _parts("" if text is None else str(text)))


def _parts(text: str) -> tuple[Part, ...]:
    """Text cut at its placeholders; empty pieces are left out."""
    parts: list[Part] = []
    for number, piece in enumerate(_SPLIT.split(text)):
        parts += [Part("image")] if number else []
        parts += [Part("text", piece)] if piece else []
    return tuple(parts)


def _images_first(messages: tuple[Message, ...], count: int) -> tuple[Message, ...]:
    """The same conversation with `count` placeholders before the first user text, unless it places its own."""
    first = next((i for i, message in enumerate(messages) if message.role == "user"), None)
    if first is None or any(message.num_images for message in messages):
        return messages
    user = Message("user", (*(Part("image") for _ in range(count)), *messages[first].content))
    return (*messages[:first], user, *messages[first + 1 :])


def _group(row: dict[str, Any]) -> str | None:
    return None if row.get("group") is None else str(row["group"])


def _sample(row: dict[str, Any], images: tuple[ImageRef, ...], messages: tuple[Message, ...]) -> Sample:
    """The row's own meta and every further plain field go along; what is not plain is left to the file."""
    plain = {k: v for k, v in row.items() if k not in _TAKEN and isinstance(v, str | int | float | bool)}
    meta = {**plain, **row["meta"]} if isinstance(row.get("meta"), dict) else plain
    name = "" if row.get("id") is None else str(row["id"])
    images, messages = taken_apart(row, images, messages)
    return Sample(name, str(row.get("source") or ""), images, messages, meta=meta)


def parse_llama3(text: str) -> list[tuple[str, str]]:
    """Text rendered with Llama 3's chat template (as the released sets hold) -> (role, text) of each turn.

    `BadSample` (outside-turns) where text lies between turns or a turn does not end: nothing is lost in silence.
    """
    text = text.strip().removeprefix(_BEGIN).removesuffix(_END)
    turns: list[tuple[str, str]] = []
    position = 0
    for match in _TURN.finditer(text):
        _refuse_stray(text[position : match.start()])
        turns.append((match["role"].strip(), match["text"]))
        position = match.end()
    _refuse_stray(text[position:])
    return turns


def _refuse_stray(text: str) -> None:
    if text.strip():
        raise BadSample("outside-turns", f"{text.strip()[:60]!r}; turns are <|start_header_id|>role... to <|eot_id|>")
