"""`validate`, `dedupe_exact`, `cap` and the rewording of labels, by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dragonfly.curation import ingest
from dragonfly.curation.steps import Job
from dragonfly.curation.steps.content import rewritten
from dragonfly.data import BadSample, Message, Part, Sample
from tests.curation.fakes import ids, run_step, sample, saved, table


def test_validate_names_every_reason(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no image")
    good = saved(tmp_path, 1)
    no_answer = replace(sample("silent", "q"), messages=(Message("user", (Part("text", "q"),)), Message("assistant", ())))
    two = replace(sample("two", "q", image=good), messages=sample("x", "q").messages)
    caption = Sample("caption", "s", sample("x", "q", image=good).images, (), meta={"form": "caption"})
    nothing = Sample("nothing", "s", (), ())
    rows = [
        sample("good", "q", image=good),
        sample("broken", "q", image=tmp_path / "bad.png"),
        no_answer,
        two,
        caption,
        nothing,
    ]
    rows.append(sample("missing", "q", image=tmp_path / "none.png"))
    made = table(tmp_path, rows)
    left, counts = run_step(made, "validate")
    assert left == ["good", "caption"]
    reasons = ("broken-image", "empty-answer", "image-without-placeholder", "empty-conversation", "missing-image")
    assert counts == {"in": 7, "out": 2, "dropped": dict.fromkeys(reasons, 1)}
    listed = [json.loads(line) for line in next(tmp_path.glob("*-validate/faults.jsonl")).read_text().splitlines()]
    names = ("broken", "silent", "two", "nothing", "missing")
    assert [(fault["id"], fault["reason"]) for fault in listed] == list(zip(names, reasons, strict=True))
    assert "is not an image" in listed[0]["detail"]


def test_one_row_per_image_and_instruction(tmp_path: Path) -> None:
    one, same, other = saved(tmp_path, 1), saved(tmp_path, 1, "same.png"), saved(tmp_path, 2)
    rows = [
        sample("a", "What is it?", "a dog", one),
        sample("b", "what  is IT?", "a cat", same),  # the same bytes and words under another name
        sample("c", "What is it?", "a dog", other),
        sample("d", "What is this?", "a dog", one),
        sample("e", "What is it?", "without an image"),
        sample("f", "What is it?", "again"),
    ]
    left, counts = run_step(table(tmp_path, rows), "dedupe_exact")
    assert left == ["a", "c", "d", "e"]
    assert counts == {"in": 6, "out": 4, "dropped": {"same image and instruction": 2}}


def capped(folder: Path, order: list[int], seed: int) -> set[str]:
    first, second = saved(folder, 1), saved(folder, 2)
    rows = [sample(str(number), f"question {number}", image=first) for number in order]
    rows += [sample(f"b{number}", "q", image=second) for number in range(3)]
    rows += [sample(f"t{number}", f"text {number}") for number in range(20)]
    left, counts = run_step(table(folder, rows), "cap", Job(seed))
    assert counts == {"in": 43, "out": 31, "dropped": {"over 8 per image": 12}}
    assert {f"b{number}" for number in range(3)} | {f"t{number}" for number in range(20)} <= set(left)
    return {name for name in left if name.isdigit()}


def test_eight_per_image_drawn_by_seed_and_row_and_not_by_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "PART_ROWS", 7)
    forward = capped(tmp_path / "a", list(range(20)), 0)
    assert len(forward) == 8 and forward != {str(number) for number in range(8)}
    assert capped(tmp_path / "b", list(reversed(range(20))), 0) == forward
    assert capped(tmp_path / "c", list(range(20)), 1) != forward


def test_a_cap_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cap: per_image is 0; give at least 1"):
        run_step(table(tmp_path, [sample("a", "q")]), "cap", per_image=0)


def grade(row: Sample, seed: int) -> Sample:
    """A stand-in for the wordings: what matters here is what becomes of the row."""
    if row.meta.get("form") != "label":
        return row
    if row.meta["label"] > 4:
        raise BadSample("unknown-label", str(row.meta["label"]))
    return replace(row, messages=sample("x", f"Grade {seed}?", str(row.meta["label"])).messages, meta={"form": "qa"})


def test_labels_become_questions_that_later_steps_see(tmp_path: Path) -> None:
    labels = [Sample(str(label), "s", (), (), meta={"form": "label", "label": label}) for label in (0, 3, 9)]
    made = table(tmp_path, [*labels, sample("asked", "Grade 5?")])
    (tmp_path / "reworded").mkdir()
    result, counts = rewritten(made, tmp_path / "reworded", Job(seed=5), rewrite=grade)
    assert counts == {"in": 4, "out": 3, "dropped": {"unknown-label": 1}, "changed": 2}
    assert ids(result) == ["0", "3", "asked"]
    assert len(set(result.numbers("question").tolist())) == 1 != len(set(made.numbers("question").tolist()))
    fault = json.loads((tmp_path / "reworded" / "faults.jsonl").read_text())
    assert fault == {"source": "s", "id": "9", "reason": "unknown-label", "detail": "9"}
