"""Rows and manifests become questions; what is missing is named."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dragonfly.data import BadRow, ImageRef, Message, Part, Sample, write_manifest
from dragonfly.evaluation.question import Question, from_manifest, read_rows

from .fakes import sound, write_qa, yes_no_rows


def test_rows_become_questions_with_their_meta(tmp_path: Path) -> None:
    (first, *_), n = (found := sound(read_rows([write_qa(tmp_path, yes_no_rows(4))]))), len(found)
    assert n == 4
    assert first == Question(
        id="q0",
        text="Is it 0?",
        answers=("Yes",),
        images=(str(tmp_path / "images/0.png"),),
        group="0.png",
        meta={"answer_type": "CLOSED", "organ": "CHEST"},
    )


def test_parquet_with_bytes_as_hugging_face_keeps_them(tmp_path: Path) -> None:
    rows = [
        {"image": {"bytes": data, "path": None}, "question": "Which?", "answers": ["a", "A"], "choices": ["a", "b"]}
        for data in (b"one", b"two", b"one")
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test-0.parquet")
    found = sound(read_rows([tmp_path / "test-0.parquet"]))
    assert [question.id for question in found] == ["test-0-0", "test-0-1", "test-0-2"]
    assert (found[0].images, found[0].answers, found[0].options) == ((b"one",), ("a", "A"), ("a", "b"))
    assert found[0].group == found[2].group != found[1].group


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"question": "q"}', r"qa.jsonl row 1: missing-field \(a question needs .* the row has question\)"),
        ('{"question": " ", "answer": "a"}', "row 1: .*a question needs"),
        ('{"question": "q", "answer": "a", "image": 7}', 'row 1: .*an image is "7"; accepted: a path or encoded bytes'),
        ("[1]", "row 1: not-a-row"),
        ("{broken", "row 1: "),
    ],
)
def test_a_faulty_row_is_named_and_the_others_are_read(row: str, message: str, tmp_path: Path) -> None:
    good = '{"question": "q", "answer": "a"}\n'
    (tmp_path / "qa.jsonl").write_text(good + row + "\n" + good)
    first, faulty, last = read_rows([tmp_path / "qa.jsonl"])
    assert isinstance(first, Question) and isinstance(last, Question) and last.id == "qa-2"
    assert isinstance(faulty, BadRow) and re.search(message, str(faulty))


def turn(role: str, text: str, images: int = 0) -> Message:
    return Message(role, (*(Part("image") for _ in range(images)), Part("text", text)))


def test_each_turn_of_a_manifest_is_asked_alone(tmp_path: Path) -> None:
    images = tuple(ImageRef(bytes=data, group=group) for data, group in ((b"a", None), (b"b", "patient 7")))
    talk = Sample(
        id="s",
        source="mine",
        images=images,
        messages=(
            turn("system", "Be brief."),
            turn("user", "\nOne?", 1),
            turn("assistant", " yes "),
            turn("user", "Both?", 1),
            turn("assistant", "no"),
        ),
        meta={"kind": "pair", "options": ["yes", "no"]},
    )
    alone = Sample("t", "mine", images[:1], (turn("user", "Three?", 1), turn("assistant", "maybe")))
    write_manifest([talk, alone], tmp_path / "m", store_images="bytes")
    first, second, third = from_manifest(tmp_path / "m")
    assert (first.id, first.text, first.answers, first.images, first.system) == ("s#0", "One?", ("yes",), (b"a",), "Be brief.")
    assert (second.id, second.images) == ("s#1", (b"a", b"b"))
    assert (first.group, second.group) == ("patient 7", "patient 7")
    assert first.options == ("yes", "no") and first.meta["kind"] == "pair"
    assert (third.id, third.system) == ("t", None)
    assert len(third.group) == 64  # the image's hash
