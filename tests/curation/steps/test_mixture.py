"""How many of each, by hand; which ones, by seed; and the split by patient and picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragonfly.curation.steps import Job, Origin
from dragonfly.curation.steps.mixture import plan
from dragonfly.data import Sample
from tests.curation.fakes import ids, run_step, sample, saved, stepped, table

ROWS = {("text", "t"): 100, ("general", "g"): 400, ("other", "a"): 200, ("other", "b"): 1000}
ORIGINS = {"t": Origin(), "g": Origin(general=True), "a": Origin(), "b": Origin()}


def taken(total: int | None = None, text: float | None = None, general: float | None = None, **changed: Origin) -> dict[str, int]:
    return {key[1]: number for key, number in plan(ROWS, {**ORIGINS, **changed}, total, text, general).items()}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"t": 100, "g": 400, "a": 200, "b": 1000}),
        # 10 % text of 200 = 20; 15 % of the other 180 = 27 general; 153 by equal weights
        ((200, 0.1, 0.15), {"t": 20, "g": 27, "a": 77, "b": 76}),
        # text alone is short: 100 rows are 20 % of 500; the others keep their 1:3
        ((None, 0.2, None), {"t": 100, "g": 100, "a": 150, "b": 150}),
        # half general: 400 of 800 pictures, text keeps its 1 / 17
        ((None, None, 0.5), {"t": 50, "g": 400, "a": 200, "b": 200}),
        ((None, 0.0, None), {"t": 0, "g": 400, "a": 200, "b": 1000}),
        # more than there is: everything, and the kinds do not fill each other up
        ((10_000, 0.5, None), {"t": 100, "g": 400, "a": 200, "b": 1000}),
    ],
)
def test_shares_by_hand(options: Any, expected: dict[str, int]) -> None:
    assert taken(*options) == expected


def test_weights_and_row_limits_divide_a_kind() -> None:
    # 1200 rows of 1600: text 0, general 300, others 900; 3 : 1, and a has 200 only
    found = taken(1200, 0.0, 0.25, a=Origin(weight=3.0), b=Origin(weight=1.0))
    assert found == {"t": 0, "g": 300, "a": 200, "b": 700}
    assert taken(a=Origin(rows=50), b=Origin(rows=5000)) == {"t": 100, "g": 400, "a": 50, "b": 1000}
    assert taken(100, 0.0, 0.0, a=Origin(weight=3.0)) == {"t": 0, "g": 0, "a": 75, "b": 25}


def test_a_share_of_what_nobody_has_is_refused() -> None:
    with pytest.raises(ValueError, match="mixture: 10% of the rows are to be of kind 'text', and no source has any"):
        plan({("general", "g"): 5}, ORIGINS, None, 0.1, None)


def rows(folder: Path) -> list[Sample]:
    path = saved(folder, 1)
    asked = [sample(f"g{number}", f"q {number}", picture=path, source="g") for number in range(30)]
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


def test_options_of_mixture_are_checked(tmp_path: Path) -> None:
    made = table(tmp_path, [sample("a", "q")])
    with pytest.raises(ValueError, match=r"mixture: text_share is 1\.5; give a share between 0 and 1"):
        run_step(made, "mixture", text_share=1.5)
    with pytest.raises(ValueError, match="mixture: total is 0; give at least 1"):
        run_step(made, "mixture", total=0)


def sides(made: Any) -> dict[str, str]:
    return dict(zip(ids(made), made.read("split")["split"].to_pylist(), strict=True))


def test_a_split_keeps_patients_and_pictures_on_one_side(tmp_path: Path) -> None:
    pictures = [saved(tmp_path, number) for number in range(40)]
    asked = [sample(f"{n}-{k}", f"q {k}", picture=pictures[n], group=f"p{n // 2}") for n in range(40) for k in range(3)]
    made, counts = stepped(table(tmp_path, asked), "split", eval_share=0.3)
    found = sides(made)
    by_patient = [{found[f"{n}-{k}"] for n in (2 * p, 2 * p + 1) for k in range(3)} for p in range(20)]
    assert all(len(side) == 1 for side in by_patient) and set().union(*by_patient) == {"train", "eval"}
    assert counts["out"] == 120 and counts["units"] == 20 and counts["eval_rows"] == 6 * counts["eval_units"]
    assert sides(stepped(table(tmp_path / "again", asked[::-1]), "split", eval_share=0.3)[0]) == found
    assert sides(stepped(made, "split", Job(1), eval_share=0.3)[0]) != found
    by_picture, counts = stepped(made, "split", eval_share=0.3, by="picture")
    assert counts["units"] == 40
    assert all(len({sides(by_picture)[f"{n}-{k}"] for k in range(3)}) == 1 for n in range(40))


def test_options_of_split_are_checked(tmp_path: Path) -> None:
    made = table(tmp_path, [sample("a", "q")])
    with pytest.raises(ValueError, match=r"split: eval_share is 1\.0; give a share from 0 up to, not including, 1"):
        run_step(made, "split", eval_share=1.0)
    with pytest.raises(ValueError, match="split: by is 'row'; accepted: group, picture"):
        run_step(made, "split", by="row")
