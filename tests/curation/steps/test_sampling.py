"""Which rows are drawn, by seed (how many: test_quotas); and the split by patient and image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragonfly.curation import ingest
from dragonfly.curation.steps import Job, Origin
from dragonfly.data import Sample
from tests.curation.fakes import ids, run_step, sample, saved, stepped, table


def rows(folder: Path) -> list[Sample]:
    path = saved(folder, 1)
    asked = [sample(f"g{number}", f"q {number}", image=path, source="g") for number in range(30)]
    return asked + [sample(f"t{number}", f"q {number}", source="t") for number in range(30)]


def test_rows_are_drawn_by_seed_and_never_twice(tmp_path: Path) -> None:
    made = table(tmp_path, rows(tmp_path))
    job = Job(0, origins={"g": Origin(general=True), "t": Origin()})
    left, counts = run_step(made, "mixture", job, total=20, text_share=0.25)
    assert len(set(left)) == 20 and sum(name.startswith("t") for name in left) == 5
    assert counts["dropped"] == {"not drawn": 40} and counts["asked"] == 20
    assert counts["taken_of"] == {"general: g": [15, 30], "text: t": [5, 30]}
    assert run_step(made, "mixture", Job(1, origins=job.origins), total=20, text_share=0.25)[0] != left
    smaller, _ = run_step(made, "mixture", job, total=12, text_share=0.25)
    assert set(smaller) < set(left)  # a smaller draw is part of the larger


def sides(made: Any) -> dict[str, str]:
    return dict(zip(ids(made), made.read("split")["split"].to_pylist(), strict=True))


def test_a_split_keeps_patients_and_images_on_one_side(tmp_path: Path) -> None:
    images = [saved(tmp_path, number) for number in range(40)]
    asked = [sample(f"{n}-{k}", f"q {k}", image=images[n], group=f"p{n // 2}") for n in range(40) for k in range(3)]
    made, counts = stepped(table(tmp_path, asked), "split", eval_share=0.3)
    found = sides(made)
    by_patient = [{found[f"{n}-{k}"] for n in (2 * p, 2 * p + 1) for k in range(3)} for p in range(20)]
    assert all(len(side) == 1 for side in by_patient) and set().union(*by_patient) == {"train", "eval"}
    assert counts["out"] == 120 and counts["units"] == 20 and counts["eval_rows"] == 6 * counts["eval_units"]
    assert sides(stepped(table(tmp_path / "again", asked[::-1]), "split", eval_share=0.3)[0]) == found
    assert sides(stepped(made, "split", Job(1), eval_share=0.3)[0]) != found
    by_image, counts = stepped(made, "split", eval_share=0.3, by="image")
    assert counts["units"] == 40
    assert all(len({sides(by_image)[f"{n}-{k}"] for k in range(3)}) == 1 for n in range(40))


def test_options_of_split_are_checked(tmp_path: Path) -> None:
    made = table(tmp_path, [sample("a", "q")])
    with pytest.raises(ValueError, match=r"split: eval_share is 1\.0; give a share from 0 up to, not including, 1"):
        run_step(made, "split", eval_share=1.0)
    with pytest.raises(ValueError, match="split: by is 'row'; accepted: group, image"):
        run_step(made, "split", by="row")


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
