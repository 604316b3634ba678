"""A whole study on a tiny model: trained, interrupted, resumed, run again, shared among workers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dragonfly.research.lab import run, trials
from dragonfly.research.lab.deadline import Deadline
from dragonfly.research.lab.report import _exceptions
from dragonfly.research.lab.study import Study
from dragonfly.training.callbacks import Record
from tests.research.lab import small
from tests.training.small import checkpoint

SAME = ("variants", "tests", "conclusions", "validity", "checkpoint", "test", "unfinished")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    checkpoint(folder / "base", "v1")
    small.marks(folder / "train", 6)
    small.marks(folder / "test", 4, first=100)
    return folder


def values(place: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "question": "Is choosing better than chance?",
        "checkpoint": str(place / "base"),
        "data": [{"path": str(place / "train" / "manifest")}],
        "test": str(place / "test" / "manifest"),
        "max_new_tokens": 3,
        "recipe": {
            "trainable": ["multi_modal_projector", "language_model"],
            "optim": {"learning_rate": 1e-3},
            "batch": {"global_size": 2, "per_device": 2},
            "steps": 3,
            "data": {"audit": 2},
            "log": {"tensorboard": False},
        },
        "measures": {"all": {}, "words": {"where": {"kind": "word"}}},
        "reference": "mid",
        "random": "random",
        "conclusions": [{"variant": "detail", "over": "mid", "measure": "all"}],
        "variants": {
            "mid": {"encoder": {"preset": "baseline-1"}},
            "random": {"encoder": {"selection": {"policy": "random"}}},
            "detail": {"encoder": {"selection": {"policy": "detail"}}, "seeds": [0, 1]},
        },
        **changes,
    }


def study(place: Path, **changes: Any) -> Study:
    return Study.model_validate(values(place, **changes))


@pytest.fixture(scope="module")
def finished(place: Path) -> tuple[Path, dict[str, Any]]:
    out = place / "out"
    return out, run.run_study(study(place), out)


def test_every_variant_is_trained_and_asked(finished: tuple[Path, dict[str, Any]]):
    out, result = finished
    assert result["unfinished"] == []
    assert [(name, variant["seeds"], variant["steps"]) for name, variant in result["variants"].items()] == [
        ("mid", [0], 3),
        ("random", [0], 3),
        ("detail", [0, 1], 3),
    ]
    assert {name: variant["cost"]["image_tokens"] for name, variant in result["variants"].items()} == {
        "mid": 5 * 18,
        "random": 17 * 18,
        "detail": 17 * 18,
    }
    assert {name: variant["cost"]["encoded"] for name, variant in result["variants"].items()} == {
        "mid": 5,
        "random": 17,
        "detail": 29,
    }
    assert result["variants"]["detail"]["scores"]["words"]["n"] == 4
    selection = result["variants"]["detail"]["encoder"]["selection"]
    assert (selection["policy"], selection["scope"], selection["keep"]) == ("detail", "region", 3)
    page = (out / "report.md").read_text()
    assert all(text in page for text in ("# small", "| detail |", "(exploratory, reference)", "may and may not be concluded"))
    assert (out / "pareto.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((out / "result.json").read_text())
    assert written | {"date": ""} == json.loads(json.dumps(result | {"date": ""}))  # another test writes it again
    assert not list(out.rglob("checkpoint-*")) and not list(out.rglob("[!.]*.lock"))


def test_a_finished_variant_is_not_done_again(
    place: Path, finished: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any) -> None:
        raise AssertionError("trained or asked again")

    monkeypatch.setattr(trials, "run", fail)
    monkeypatch.setattr(trials, "_evaluate", fail)
    result = run.run_study(study(place), finished[0])
    assert {key: result[key] for key in SAME} == {key: finished[1][key] for key in SAME}


def test_a_variant_that_a_study_beside_this_one_has_finished_is_taken_over(
    place: Path, finished: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    """Another study's name and variants' names do not count, a seed or another test set does."""
    trained: list[str] = []
    monkeypatch.setattr(trials, "run", lambda recipe: trained.append(recipe.name))
    said: list[str] = []
    other = values(place, name="other", conclusions=[], reference="by chance", random=None)
    other["variants"] = {"by chance": {**other["variants"]["random"], "seeds": [0, 7]}}
    result = run.run_study(Study.model_validate(other), place / "other", say=said.append)
    assert result["variants"]["by chance"]["scores"] == finished[1]["variants"]["random"]["scores"]
    assert said[0] == "by chance, seed 0: copied from out/variants/random-seed0"
    assert trained == ["other/by chance"] and result["unfinished"] == ["by chance seed 7"]


def test_an_interrupted_variant_resumes(place: Path, finished: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch):
    """Stopped within training, after the first checkpoint, and again when it was asked."""
    out, changes = place / "broken" / "out", {"recipe": {**values(place)["recipe"], "save": {"every": 1}}}

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Record, "on_step_end", lambda self, args, state, control, **_: die() if state.global_step == 2 else None)
        with pytest.raises(KeyboardInterrupt):
            run.run_study(study(place, **changes), out, variant="random")
    assert [folder.name for folder in (out / "variants" / "random-seed0" / "model").glob("checkpoint-*")] == ["checkpoint-1"]
    assert not list(out.rglob("[!.]*.lock"))

    with monkeypatch.context() as patch:
        patch.setattr(trials, "_evaluate", die)
        with pytest.raises(KeyboardInterrupt):
            run.run_study(study(place, **changes), out, variant="random")
    assert not list(out.rglob("job.json"))

    monkeypatch.setattr(trials, "run", die)  # it is trained already, and only has to be asked
    result = run.run_study(study(place, **changes), out, variant="random")
    assert result["variants"]["random"] == finished[1]["variants"]["random"]


def test_one_variant_alone_gives_its_same_numbers_and_no_conclusion(place: Path, finished: tuple[Path, dict[str, Any]]):
    result = run.run_study(study(place), place / "one" / "out", variant="mid")
    assert result["variants"] == {"mid": finished[1]["variants"]["mid"]}
    assert result["unfinished"] == ["random seed 0", "detail seed 0", "detail seed 1"]
    page = (place / "one" / "out" / "report.md").read_text()
    assert (
        "No conclusion on detail over mid on 'all': the study has no result of 'random' yet, and a conclusion about selection"
        in page
    )


def test_no_time_leaves_everything_to_do(place: Path):
    said: list[str] = []
    result = run.run_study(study(place), place / "late", minutes=0.0, say=said.append)
    assert result["variants"] == {}
    assert len(result["unfinished"]) == 4
    assert said == ["the time is up; the same command resumes from here"]
    assert "Not finished: mid seed 0" in (place / "late" / "report.md").read_text()


def test_a_folder_of_another_study_is_refused(place: Path, finished: tuple[Path, dict[str, Any]]):
    recipe = {**values(place)["recipe"], "steps": 4}
    with pytest.raises(ValueError, match=r"mid-seed0 holds a finished variant of another study \(different: recipe\)"):
        run.run_study(study(place, recipe=recipe), finished[0])


def test_same_flops_gives_the_cheap_variant_more_steps(place: Path):
    known = trials.prepare(study(place, same="flops", reference="detail"), place / "flops")
    steps = {variant: trials.recipe_of(known, variant, 0, write=False).steps for variant in known.study.variants}
    assert steps["detail"] == 3
    assert steps["mid"] is not None and steps["mid"] > 6  # 5 sub-images against 29 encoded and 17 kept


TWO_STAGES = {
    "reference": "all at once",
    "random": None,
    "conclusions": [],
    "same": "flops",
    "variants": {
        "all at once": {},
        "first": {"share": 0.5, "recipe": {"trainable": ["vision_tower", "multi_modal_projector", "language_model"]}},
        "second": {"after": "first", "share": 0.5, "encoder": {"preset": "baseline-1"}},
    },
}


def test_a_variant_begins_with_the_model_that_another_one_trained(place: Path):
    out = place / "stages" / "two"
    result = run.run_study(study(place, **TWO_STAGES), out, variant="second")
    assert list(result["variants"]) == ["first", "second"]
    began = json.loads((out / "variants" / "second-seed0" / "model" / "run.json").read_text())["init_from"]["checkpoint"]
    assert began == str(out / "variants" / "first-seed0" / "model")
    spent = {
        name: json.loads((out / "variants" / f"{name}-seed0" / "job.json").read_text())["training"]["flops"]
        for name in ("first", "second")
    }
    assert result["variants"]["first"]["training_flops"] == spent["first"]
    assert result["variants"]["second"]["training_flops"] == pytest.approx(spent["first"] + spent["second"])
    page = (out / "report.md").read_text()
    assert (
        "| training TFLOP |" in page and "first spends 50 % of these FLOPs. second spends 50 % of these FLOPs, beginning" in page
    )


def test_a_report_names_variants_with_data_of_their_own():
    variants = {"own": {"own_data": True}, "shared": {"own_data": False}, "of an older file": {}}
    assert _exceptions(variants) == ["own has data of its own."]


def test_what_others_begin_with_is_trained_and_not_copied_without_its_model(place: Path):
    """A study in a folder beside this one may have trained the same; its copy would come without the model."""
    first = run.run_study(study(place, **TWO_STAGES), place / "twins" / "one", variant="second")
    said: list[str] = []
    again = run.run_study(study(place, **TWO_STAGES), place / "twins" / "other", variant="second", say=said.append)
    assert said[0] == "first, seed 0: training" and "second, seed 0: copied from one/variants/second-seed0" in said
    assert again["variants"]["second"]["scores"] == first["variants"]["second"]["scores"]


def test_a_variant_waits_for_what_it_is_after(place: Path):
    known = trials.prepare(study(place, **TWO_STAGES), place / "waits")
    assert trials.do(known, "second", 0, Deadline(None)) is False
    lock = known.folder("first", 0).with_name("first-seed0.lock")
    lock.parent.mkdir(parents=True)
    lock.write_text("12\nelsewhere\n")
    assert trials.holder(known, "second", 0).startswith("process 12 on elsewhere")


def test_a_sweep_asks_the_checkpoint_itself(place: Path):
    first = "policy=random keep=1"
    changes = {"recipe": None, "data": [], "conclusions": [], "reference": first, "random": None, "variants": {}, "limit": 2}
    vary = {"selection.policy": ["random", "centred"], "selection.keep": [1]}
    result = run.run_sweep(study(place, **changes, vary=vary, measures={"all": {}}), place / "sweep")
    assert [(name, variant["cost"]["image_tokens"], variant["steps"]) for name, variant in result["variants"].items()] == [
        (first, 9 * 18, None),
        ("policy=centred keep=1", 9 * 18, None),
    ]
    assert {test["over"] for test in result["tests"]} == {first}
    assert "No variant is trained: the checkpoint itself is evaluated." in (place / "sweep" / "report.md").read_text()


def test_a_study_goes_to_its_own_command(place: Path):
    with pytest.raises(ValueError, match="study 'small' trains its variants; run it with `dragonfly ablate small -o DIR`"):
        run.run_sweep(study(place), place / "x")
    bare = study(place, recipe=None, data=[])
    with pytest.raises(ValueError, match="study 'small' trains nothing; run it with `dragonfly lab sweep small -o DIR`"):
        run.run_ablation(bare, place / "x")


def lock_of(known: trials.StudyRun, owner: str) -> Path:
    """A lock that `owner` ("process id, host") left on the job of variant mid."""
    path = known.folder("mid", 0).with_name("mid-seed0.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(owner)
    return path


def test_a_lock_of_another_machine_is_respected_and_names_its_owner(place: Path, finished: tuple[Path, dict[str, Any]]):
    known = trials.prepare(study(place), place / "held")
    path = lock_of(known, "17\nelsewhere\n")
    assert not trials.do(known, "mid", 0, Deadline())
    assert not known.finished("mid", 0)
    assert trials.holder(known, "mid", 0) == f"process 17 on elsewhere (if it no longer runs, remove {path})"


def test_a_waiting_worker_says_once_who_holds_the_job_and_then_does_it(
    place: Path, finished: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    known = trials.prepare(study(place), place / "waiting")
    path, said, waits = lock_of(known, "17\nelsewhere\n"), [], []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            path.unlink()  # the other worker is done

    monkeypatch.setattr(run.time, "sleep", wait)
    result = run.run_study(study(place), place / "waiting", variant="mid", say=said.append)
    assert said[0] == f"mid, seed 0: held by process 17 on elsewhere (if it no longer runs, remove {path})"
    assert said[1:] == ["mid, seed 0: copied from out/variants/mid-seed0"]
    assert result["variants"] == {"mid": finished[1]["variants"]["mid"]}


def test_the_lock_of_a_dead_worker_on_this_machine_is_taken_over(place: Path, finished: tuple[Path, dict[str, Any]]):
    """A worker that was killed leaves its lock behind."""
    code = "import sys, filelock; lock = filelock.SoftFileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
    known = trials.prepare(study(place), place / "killed")
    path = known.folder("mid", 0).with_name("mid-seed0.lock")
    path.parent.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None and worker.stdout.readline()
        alive = trials.do(known, "mid", 0, Deadline())
        worker.kill()
    assert not alive and path.is_file()
    assert trials.do(known, "mid", 0, Deadline())
    assert known.finished("mid", 0) and not path.exists()


@pytest.mark.slow
def test_two_workers_share_the_variants_and_find_the_same(place: Path, finished: tuple[Path, dict[str, Any]]):
    result = run.run_study(study(place), place / "shared" / "out", workers=2)
    assert result["unfinished"] == []
    assert {key: result[key] for key in SAME} == {key: finished[1][key] for key in SAME}
