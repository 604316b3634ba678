"""`validate` and the rewriting of labels, by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

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
