"""Whole mixes: the same bytes whatever the workers, resumed by step, nothing half-written, ready to train on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragonfly.curation import ingest
from dragonfly.curation.mix import Mix
from dragonfly.curation.run import curate
from dragonfly.curation.steps import STEPS
from dragonfly.data import Manifest, read
from dragonfly.files import lock
from dragonfly.installation import install_advice
from tests.curation.fakes import mix_of, saved

STEPS_OF_MIX = (
    {"step": "validate"},
    {"step": "dedupe_exact"},
    {"step": "dedupe_images", "radius": 6},
    {"step": "dedupe_text", "threshold": 0.8},
    {"step": "cap", "per_image": 2},
    {"step": "mixture", "total": 24, "text_share": 0.25},
    {"step": "split", "eval_share": 0.3, "by": "group"},
)


def rows(folder: Path) -> Path:
    """40 questions on 12 images of 6 patients, 20 without, and one on an image that is not there."""
    data: list[dict[str, Any]] = []
    for number in range(40):
        saved(folder / "images", number % 12, f"{number}.png")
        asked = {"question": f"what is {number % 5}?", "answer": "x", "group": f"p{number % 6}", "licence": "CC0"}
        data.append({"id": f"a{number}", "image": f"images/{number}.png", **asked})
    words = ["bar", "den", "fil", "gor", "lum", "mas", "nor", "pel", "rin", "sul"]
    data += [{"id": f"t{n}", "question": " ".join(words[n % 10 :] + words[: n % 7]), "answer": f"z{n}"} for n in range(20)]
    data.append({"image": "none.png", "question": "q", "answer": "b"})
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in data))
    return path


def mix(folder: Path, steps: tuple[dict[str, Any], ...] = STEPS_OF_MIX, seed: int = 0) -> Mix:
    return mix_of(folder / "rows.jsonl", *steps, seed=seed)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of rows, and `out` made from them."""
    folder = tmp_path_factory.mktemp("curation")
    rows(folder)
    curate(mix(folder), folder / "out")
    return folder


def test_the_set_is_a_manifest_with_its_card_and_record(made: Path) -> None:
    train, aside = Manifest.open(made / "out"), Manifest.open(made / "out" / "eval")
    train.verify()
    assert len(train) + len(aside) == 24 and len(aside) > 0
    assert {sample.images[0].group for sample in train if sample.images}.isdisjoint(
        sample.images[0].group for sample in aside if sample.images
    )
    record = json.loads((made / "out" / "curation.json").read_text())
    assert record["manifest_sha256"] == train.sha256 and record["mix"]["name"] == "made up"
    counts = {step["step"]: (step["in"], step["out"], step["dropped"]) for step in record["steps"]}
    assert counts["read"] == (61, 60, {"missing-image": 1})
    assert counts["dedupe_exact"][1] == 60  # 12 images x 5 questions meet after 60 rows; the 20 texts differ
    assert counts["cap"][1] == counts["dedupe_text"][1] - 40 + 24
    assert counts["mixture"][1] == counts["split"][1] == 24
    assert {step: i - o for step, (i, o, _) in counts.items()} == {step: sum(d.values()) for step, (*_, d) in counts.items()}
    assert '"reason": "missing-image"' in (made / "out" / "faults.jsonl").read_text()
    assert sorted(path.name for path in made.iterdir()) == [".out.lock", "images", "out", "rows.jsonl"]


def test_the_card_tells_counts_licences_steps_and_examples(made: Path) -> None:
    card = (made / "out" / "DATA_CARD.md").read_text()
    train = Manifest.open(made / "out")
    assert f"{len(train):,} rows, " in card and train.sha256 in card
    assert f"| CC0 | {train.licences['CC0']} |" in card
    assert "| read | 61 | 60 | 40 | missing-image: 1 |" in card
    assert "| general: rows" not in card and "| general: made | 18 | 24 |" in card
    assert "- user: what is " in card
    assert "| made | not known | 60 | not known | 60 | 24 |  |" in card  # nobody published how many rows there are
    assert "| read | not known | 40 | 0 | 20 | not given |  |" in card


def test_the_images_of_the_set_open(made: Path) -> None:
    samples = list(read(made / "out" / "manifest.json"))
    assert samples == list(Manifest.open(made / "out"))  # no BadRow: every image is where its row says


@pytest.mark.parametrize(("workers", "part_rows"), [(1, 16_384), (3, 7), (5, 50)])
def test_workers_and_parts_change_no_byte(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, part_rows: int
) -> None:
    monkeypatch.setattr(ingest, "PART_ROWS", part_rows)
    out = made / f"out-{workers}"
    curate(mix(made), out, workers=workers)
    for name in ("manifest.json", "shard-00000.parquet", "eval/manifest.json"):
        assert (out / name).read_bytes() == (made / "out" / name).read_bytes()
    monkeypatch.undo()
    subprocess.run(["rm", "-r", str(out)], check=True)


def test_another_seed_is_another_set(made: Path, tmp_path: Path) -> None:
    other = Manifest.open(curate(mix(made, seed=1), tmp_path / "out"))
    ids = {sample.id for sample in other}
    assert ids != {sample.id for sample in Manifest.open(made / "out")}


def failing(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> Callable[[], None]:
    """Make a step write something and then fail, until the returned function is called."""
    whole = STEPS[name]

    def half(table: Any, target: Path, *args: Any, **options: Any) -> Any:
        (target / "part-00000.parquet").write_text("half")
        raise error

    monkeypatch.setitem(STEPS, name, half)
    return lambda: monkeypatch.setitem(STEPS, name, whole)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("no space")])
def test_an_interrupted_run_goes_on_after_its_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    rows(tmp_path)
    chosen = mix(tmp_path, ({"step": "validate"}, {"step": "dedupe_exact"}, {"step": "cap", "per_image": 2}))
    mend = failing(monkeypatch, "cap", error)
    with pytest.raises(type(error)):
        curate(chosen, tmp_path / "out")
    done = sorted((tmp_path / "out.work").glob("*"))
    assert not (tmp_path / "out").exists() and [path.name[:6] for path in done] == ["00-rea", "01-val", "02-ded"]
    assert all((path / "step.json").is_file() for path in done)
    (tmp_path / "out.work" / ".03-cap-0.1234.tmp").mkdir()  # what a kill leaves
    mend()
    for name in ("validate", "dedupe_exact"):
        failing(monkeypatch, name, AssertionError("done before"))
    monkeypatch.setattr("dragonfly.curation.run.read_table", None)  # done before, too
    curate(chosen, tmp_path / "out")
    assert not (tmp_path / "out.work").exists()
    monkeypatch.undo()
    curate(chosen, tmp_path / "straight")
    assert Manifest.open(tmp_path / "straight").sha256 == Manifest.open(tmp_path / "out").sha256


def test_what_follows_a_change_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rows(tmp_path)

    def interrupted(per_image: int) -> list[str]:
        mend = failing(monkeypatch, "split", KeyboardInterrupt())
        steps = ({"step": "validate"}, {"step": "cap", "per_image": per_image}, {"step": "split", "eval_share": 0.1})
        with pytest.raises(KeyboardInterrupt):
            curate(mix(tmp_path, steps), tmp_path / "out")
        mend()
        return sorted(folder.name for folder in (tmp_path / "out.work").iterdir())

    first = interrupted(2)
    assert interrupted(2) == first
    changed = interrupted(3)
    assert changed[:2] == first[:2] and changed[2] != first[2] and len(changed) == 3
    path.write_text(path.read_text() + '{"question": "new?", "answer": "yes"}\n')
    assert not set(interrupted(3)) & set(changed)


def test_faults_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no image")
    (tmp_path / "rows.jsonl").write_text('{"image": "bad.png", "question": "q", "answer": "b"}\n')
    with pytest.raises(ValueError, match=r"step validate left no rows: \{'broken-image': 1\}; change its options or the sources"):
        curate(mix(tmp_path), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match=r"full exists and is not empty; remove it or name another folder"):
        curate(mix(tmp_path), tmp_path / "full")


def test_without_daft_one_line_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['daft'] = None\n"
        "from dragonfly.curation.engine import start\n"
        "try: start()\nexcept ValueError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert said.strip() == f"daft is not installed, and curation needs it; install it with: {install_advice('curate')}"


def test_importing_the_room_loads_no_daft_and_sends_nothing() -> None:
    told = "'daft' in sys.modules, os.environ['DAFT_ANALYTICS_ENABLED'], os.environ['DO_NOT_TRACK']"
    program = f"import sys, os, dragonfly.curation.run; print({told})"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["False", "0", "1"]


@pytest.mark.slow
def test_the_output_trains_without_conversion(made: Path, tmp_path: Path) -> None:
    from dragonfly.training import run
    from tests.training import small

    data = {"train": [{"name": "curated", "path": str(made / "out" / "manifest.json")}], "audit": 2}
    output = run(small.recipe(tmp_path, data=data, steps=1, output=str(tmp_path / "trained")))
    about = json.loads((output / "dragonfly.json").read_text())
    assert about["data"]["curated"] == Manifest.open(made / "out").sha256


def test_steps_that_a_finished_run_left_when_it_was_killed_are_swept(tmp_path: Path) -> None:
    rows(tmp_path)
    curate(mix(tmp_path), tmp_path / "out")
    (tmp_path / "out.work" / "00-read").mkdir(parents=True)
    with pytest.raises(ValueError, match="exists and is not empty"):
        curate(mix(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out.work").exists()


def test_two_do_not_make_one_folder(tmp_path: Path) -> None:
    rows(tmp_path)
    with lock(tmp_path / "out"), pytest.raises(ValueError, match=r"out is in use by process \d+ on "):
        curate(mix(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.work").exists()
