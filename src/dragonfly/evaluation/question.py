"""One question of a benchmark, and how rows of files become questions.

A row without question or answer is a `BadRow` that names file and row. Images are named here and opened only when they are asked
about, so that a broken one is counted instead of lost.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dragonfly.data import BadRow, BadSample, Manifest, Sample, read
from dragonfly.data.readers.files import file_rows
from dragonfly.files import sha256
from dragonfly.inference import Row
from dragonfly.vision.layout import Box

OPTION_KEYS = ("options", "choices")


@dataclass(frozen=True)
class Question:
    """What is asked, and the answers that are accepted.

    `answers` are all accepted answers, or those of all annotators. `images` are paths or encoded bytes. `group` names the image
    (or patient) and is the unit of every interval. `options` are the texts to choose from. `meta` is JSON-able; a score can be
    broken down by its keys. `evidence` are the boxes in source pixels of the first image that hold the answer, where the data say
    so; controls alone look at them.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    images: tuple[str | bytes, ...] = ()
    group: str = ""
    options: tuple[str, ...] = ()
    system: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    evidence: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Asked(Row):
    """A row as it is asked; an engine looks at what it inherits, a lens also at the evidence where its method is `oracle`."""

    evidence: tuple[Box, ...] = ()


def from_manifest(path: Path) -> Iterator[Question]:
    """Every question of a manifest; a later turn of a conversation is asked by itself, with the images shown up to it.

    A sample's `meta` may hold `options`, and `answers` where several are accepted. ValueError where there is no manifest.
    """
    manifest = Manifest.open(path)
    return (question for sample in manifest for question in _turns(sample))


def from_rows(
    source: str, columns: Mapping[str, str] | None = None, image_root: str | None = None
) -> Iterator[Question | BadRow]:
    """Every question of a person's own data, read as training reads it (`data.read`), and the rows that are none.

    Rows that share an `id` (a patient's, say) get the row's number behind it.
    """
    rows = list(read(source, image_root=image_root, columns=columns))
    shared = Counter(row.id for row in rows if isinstance(row, Sample))
    for number, row in enumerate(rows):
        if isinstance(row, BadRow):
            yield row
        else:
            place = row.place[1] if row.place else number
            yield from _turns(row if shared[row.id] == 1 else replace(row, id=f"{row.id}@{place}"))


def _turns(sample: Sample) -> list[Question]:
    messages = list(sample.messages)
    system = messages.pop(0).text if messages and messages[0].role == "system" else None
    asked, answered = messages[0::2], messages[1::2]
    options = next((sample.meta[key] for key in OPTION_KEYS if isinstance(sample.meta.get(key), list)), [])
    accepted = _texts(sample.meta["answers"]) if isinstance(sample.meta.get("answers"), list) else ()
    questions: list[Question] = []
    shown = 0
    for turn, (user, assistant) in enumerate(zip(asked, answered, strict=True)):
        shown += user.num_images
        images = tuple(image.source for image in sample.images[:shown])
        group = next((image.group for image in sample.images if image.group), None) or _image_key(images) or sample.id
        questions.append(
            Question(
                id=sample.id if len(asked) == 1 else f"{sample.id}#{turn}",
                text=user.text.strip(),
                answers=accepted if accepted and len(asked) == 1 else (assistant.text.strip(),),
                images=images,
                group=group,
                options=tuple(map(str, options)),
                system=system,
                meta={"source": sample.source, **sample.meta},
                evidence=sample.evidence[turn] if sample.evidence else (),
            )
        )
    return questions


def _image_key(images: Sequence[str | bytes]) -> str:
    """Whole paths, or hashes of bytes: two images of one name in two folders are two."""
    return " ".join(sha256(image) if isinstance(image, bytes) else image for image in images)


def image_name(images: Sequence[str | bytes]) -> str:
    """A name for the images: file names, or hashes of bytes, joined by spaces; empty without an image."""
    return " ".join(sha256(image) if isinstance(image, bytes) else Path(image).name for image in images)


RowReader = Callable[[dict[str, Any], Path], dict[str, Any]]
"""A row of a published file and its folder -> the fields of a `Question` that differ from `read_rows`' own."""


def read_rows(files: Iterable[Path], change: RowReader | None = None) -> Iterator[Question | BadRow]:
    """Questions of .jsonl, .json and .parquet files whose rows hold `question`, `answer` (or `answers`) and `image(s)`.

    `id`, `options` or `choices` are used where present; all other plain values become `meta`. `change` gives the fields that a
    published layout keeps elsewhere; with a true `skip` among them, the row is no part of the task. A `BadRow` for one without
    question, answer or readable image name.
    """
    for file in files:
        for number, row in enumerate(file_rows(file)):
            try:
                if isinstance(row, BadSample):
                    raise row
                if not isinstance(row, dict):
                    raise BadSample("not-a-row", f"{type(row).__name__}; each row is an object with named fields")
                fields = change(row, file.parent) if change else {}
                if not fields.pop("skip", False):
                    yield _question(row, fields, file.parent, f"{file.stem}-{number}")
            except BadSample as error:
                yield BadRow(str(file), number, error.reason, error.detail)


def _question(row: dict[str, Any], fields: dict[str, Any], folder: Path, default_id: str) -> Question:
    merged = {**row, **fields}
    text, answers = merged.get("question"), _texts(merged.get("answers", merged.get("answer")))
    if not isinstance(text, str) or not text.strip() or not answers:
        raise BadSample("missing-field", f"a question needs a text under 'question' and its 'answer'; the row has {_named(row)}")
    images = tuple(_image(image, folder) for image in _listed(merged.get("images", merged.get("image"))))
    options = next((merged[key] for key in OPTION_KEYS if merged.get(key) is not None), ())
    meta = {key: value for key, value in merged.items() if key not in _OWN and isinstance(value, str | int | float | bool)}
    identity = default_id if merged.get("id") is None else str(merged["id"])
    return Question(
        id=identity,
        text=text.strip(),
        answers=answers,
        images=images,
        group=str(merged.get("group") or image_name(images) or identity),
        options=_texts(options),
        meta={**meta, **fields.get("meta", {})},
        evidence=tuple(fields.get("evidence", ())),
    )


_OWN = {"id", "question", "answer", "answers", "image", "images", "options", "choices", "group", "meta", "qid"}


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in _listed(value))


def _named(row: dict[str, Any]) -> str:
    return ", ".join(map(str, row))[:200] or "nothing"


def _image(image: Any, folder: Path) -> str | bytes:
    """A path relative to the file, or the encoded bytes as Hugging Face datasets keep them."""
    if isinstance(image, dict):
        image = image.get("bytes") or image.get("path")
    if isinstance(image, bytes):
        return image
    if isinstance(image, str) and image:
        return image if "://" in image else str(folder / image)
    raise BadSample("broken-image", f"an image is {json.dumps(str(image))[:80]}; accepted: a path or encoded bytes")
