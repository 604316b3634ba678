"""A file of questions: resumed where it stopped, no row lost, no row asked twice, faults with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragonfly.inference import Engine, Row
from dragonfly.inference.batch import open_batch
from tests import tiny

OPTIONS: dict[str, Any] = {"max_new_tokens": 4}


class Counting:
    """An engine that notes what it is asked and can break down."""

    def __init__(self, engine: Engine, breaks_at: str | None = None) -> None:
        self.engine, self.breaks_at, self.asked = engine, breaks_at, []

    def ask_batch(self, rows: list[Row], **options: Any) -> Any:
        if any(row.question == self.breaks_at for row in rows):
            raise KeyboardInterrupt
        self.asked += [row.question for row in rows]
        return self.engine.ask_batch(rows, **options)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    tiny.image(40, 30).save(tmp_path / "in" / "image.png")
    rows = [{"id": f"r{n}", "question": f"Question {n}?"} for n in range(6)]
    rows[1]["image"] = rows[4]["image"] = "image.png"
    rows[2]["system"] = "Be brief."
    return write(tmp_path / "in" / "rows.jsonl", rows)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [{key: value for key, value in record.items() if key != "timings"} for record in records]


def run(engine: Any, rows: Path, output: Path, size: int = 2) -> int:
    work = open_batch(rows, output)
    list(work.run(engine, size, OPTIONS))
    return work.failed


def test_a_killed_run_goes_on_where_it_stopped(engine: Engine, questions: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    assert run(engine, questions, whole) == 0
    with pytest.raises(KeyboardInterrupt):
        run(Counting(engine, breaks_at="Question 4?"), questions, broken)
    assert [record["id"] for record in read(broken)] == ["r0", "r1", "r2", "r3"]
    again = Counting(engine)
    work = open_batch(questions, broken)
    assert (work.total, work.done, len(work.rows)) == (6, 4, 2)
    list(work.run(again, 2, OPTIONS))  # pyright: ignore[reportArgumentType]
    assert again.asked == ["Question 4?", "Question 5?"]
    resumed, unbroken = read(broken), read(whole)
    for one, other in zip(resumed, unbroken, strict=True):
        assert one.pop("confidence") == pytest.approx(other.pop("confidence"), rel=1e-4)
        for a, b in zip(one["selections"], other["selections"], strict=True):
            assert a.pop("score") == pytest.approx(b.pop("score"), rel=1e-4, abs=1e-4)
        assert one == other
    third = Counting(engine)
    assert run(third, questions, broken) == 0 and third.asked == []


def test_answers_are_those_of_ask(engine: Engine, questions: Path, tmp_path: Path) -> None:
    run(engine, questions, tmp_path / "out.jsonl")
    records = read(tmp_path / "out.jsonl")
    image = questions.parent / "image.png"  # relative to the file, not to the working directory
    assert records[1]["token_ids"] == list(engine.ask(image, "Question 1?", **OPTIONS).token_ids)
    assert records[2]["token_ids"] == list(engine.ask(None, "Question 2?", system="Be brief.", **OPTIONS).token_ids)
    assert list(records[1]["layouts"][0]["size"]) == [30, 40]


@pytest.mark.parametrize("cut", [1, 3, 40, -1])
def test_a_half_written_last_line_is_dropped(engine: Engine, questions: Path, tmp_path: Path, cut: int) -> None:
    output = tmp_path / "out.jsonl"
    run(engine, questions, output)
    lines = output.read_bytes().split(b"\n")[:-1]
    output.write_bytes(b"\n".join(lines[:3]) + b"\n" + lines[3][:cut])
    again = Counting(engine)
    run(again, questions, output)
    assert again.asked == ["Question 3?", "Question 4?", "Question 5?"]
    assert [record["id"] for record in read(output)] == [f"r{n}" for n in range(6)]


def test_a_line_broken_within_a_letter_is_dropped(engine: Engine, questions: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_bytes('{"id": "r0", "text": "größe'.encode()[:-2])
    assert open_batch(questions, output).done == 0


def test_line_separators_inside_an_answer_are_text(questions: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    record = {"id": "r0", "text": "one\u2028two\x85three\x0bfour"}
    output.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    assert open_batch(questions, output).done == 1
    assert read(output) == [record]


def test_rows_that_fail_are_recorded_and_asked_again(engine: Engine, questions: Path, tmp_path: Path) -> None:
    output, late = tmp_path / "out.jsonl", questions.parent / "late.png"
    rows = [{"id": "good", "question": "A?"}, {"id": "bad", "question": "B?", "image": "late.png"}, {"question": "C?"}]
    write(questions, rows)
    assert run(engine, questions, output, size=3) == 1
    good, bad, unnamed = read(output)
    assert bad == {"id": "bad", "error": f"{late} does not exist; check the path"}
    assert (good["id"], unnamed["id"]) == ("good", 3)  # without an id, the line's number
    tiny.image(20, 20).save(late)
    again = Counting(engine)
    assert run(again, questions, output) == 0
    assert again.asked == ["B?"]
    assert {record["id"] for record in read(output)} == {"good", "bad", 3}
    assert not any("error" in record for record in read(output))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{oops", "line 2: not JSON (Expecting property name"),
        ("[" * 5000 + "]" * 5000, "line 2: not JSON (maximum recursion depth"),
        ("[1]", 'line 2: a row is an object with a text under "question"'),
        ('{"question": 5}', 'line 2: a row needs a text under "question"'),
        ('{"question": "B?", "image": 5}', 'line 2: "image" must be a path, "images" a list of paths'),
        ('{"question": "B?", "images": ["a.png", null]}', 'line 2: "image" must be a path'),
        ('{"question": "B?", "system": ["x"]}', 'line 2: "system" must be a text'),
        (b"\xff\xfe", "line 2: not JSON ('utf-8' codec"),
    ],
)
def test_a_bad_row_is_an_error_and_the_others_are_asked(engine: Engine, tmp_path: Path, line: str | bytes, message: str) -> None:
    path, output = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    bad = line.encode() if isinstance(line, str) else line
    path.write_bytes(b'{"question": "A?", "id": "a"}\n' + bad + b'\n{"question": "C?", "id": "c"}\n')
    assert run(engine, path, output, size=3) == 1
    first, second, third = read(output)
    assert (first["id"], third["id"]) == ("a", "c") and "error" not in first and "error" not in third
    assert second["id"] == 2 and second["error"].startswith(message)
    path.write_bytes(bad)
    with pytest.raises(ValueError, match=r"holds no row that can be read; the first: line 1: "):
        open_batch(path, tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl").exists()


def test_two_rows_of_one_id_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, [{"question": "A?", "id": "a"}, {"question": "B?", "id": "a"}])
    with pytest.raises(ValueError, match="line 2: id 'a' stands in line 1 too; ids must differ"):
        open_batch(path, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_whatever_a_row_raises_ends_as_its_error(engine: Engine, questions: Path, tmp_path: Path) -> None:
    half = "\ud800"  # JSON may spell half a surrogate pair, which no text file holds
    rows = [{"id": "a", "question": "A?"}, {"id": half, "question": f"B{half}?"}, {"id": "c", "question": "C?"}]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    class Breaking(Counting):
        def ask_batch(self, rows: Any, **options: Any) -> Any:
            if any(row.question == "C?" for row in rows):
                raise RuntimeError("out of memory:\n  tried to allocate")
            return super().ask_batch(rows, **options)

    run(Breaking(engine), questions, tmp_path / "out.jsonl", size=3)
    first, second, third = read(tmp_path / "out.jsonl")
    assert first["id"] == "a" and "error" not in first
    assert second["id"] == half  # an answer or an error
    assert third == {"id": "c", "error": "RuntimeError: out of memory: tried to allocate"}


def test_null_and_blank_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"question": "A?", "image": null, "system": null}\r\n\n  \n{"question": "B?", "images": []}')
    rows = open_batch(path, tmp_path / "out.jsonl").rows
    assert rows == [(1, Row([], "A?", None)), (4, Row([], "B?", None))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("my notes", "line 1: not JSON, so it is no earlier run; choose another output"),
        ('my notes\n{"id": 1}\n', "line 1: not JSON, so it is no earlier run"),
        ('{"id": "other", "text": "x"}\n', "line 1: answers a row that is not in the questions; choose another output"),
        ("[]\n", "line 1: answers a row that is not in the questions"),
    ],
)
def test_a_file_that_is_no_earlier_run_is_left_alone(questions: Path, tmp_path: Path, content: str, message: str) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        open_batch(questions, output)
    assert output.read_text(encoding="utf-8") == content


def test_files_that_cannot_be_meant(questions: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file: .*none.jsonl; give a JSONL file of questions"):
        open_batch(tmp_path / "none.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(ValueError, match=r"rows.jsonl is the file of the questions; write the answers to another one"):
        open_batch(questions, questions)
