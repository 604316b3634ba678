"""A lens in an engine's place: its methods asked the same questions at equal cost, and set beside the controls."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragonfly.__main__ import main
from dragonfly.evaluation import Settings, load_questions
from dragonfly.evaluation.layout_json import layout_of
from dragonfly.evaluation.lens import CONTROLS, askable, methods_of
from dragonfly.evaluation.question import Asked
from dragonfly.inference import Row
from dragonfly.lens.asker import LensAsker
from tests import tiny
from tests.tiny import image

from .fakes import write_qa, yes_no_rows
from .layouts import hr_bench, mmvet_official, vstar_folder
from .lenses import METHODS, stand_in


def test_methods_are_named_controls_first(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    assert methods_of(" attention,random ,downsample") == ("downsample", "random", "attention")
    assert set(methods_of("all")) == set(METHODS) and methods_of("all")[:3] == CONTROLS
    with pytest.raises(ValueError, match=r"--lens 'atention' is not one of: .*did you mean 'attention'"):
        methods_of("random,atention")
    for names in ("", "random,random"):
        with pytest.raises(ValueError, match="names no method, or one twice"):
            methods_of(names)


def test_a_row_reaches_the_lens_with_its_evidence_and_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    found = stand_in(monkeypatch)
    from dragonfly.lens import Lens

    asker = LensAsker(Lens("m", method="oracle"), max_tokens=300, max_calls=2)
    boxes = ((1.0, 2.0, 3.0, 4.0),)
    rows = [Asked([image()], "a?", None, boxes), Asked([], "b?", None, ()), Row(image(), "c?")]
    answers = asker.ask_batch(rows, batch_size=8, max_new_tokens=5, stop=("reply",))
    assert [answer.text for answer in answers] == ["oracle "] * 3
    assert [call["evidence"] for call in found.calls] == [boxes, None, None]
    assert [call["image"] is None for call in found.calls] == [False, True, False]  # blind is asked without an image
    assert {(call["max_tokens"], call["max_calls"], call["max_new_tokens"]) for call in found.calls} == {(300, 2, 5)}
    for row in (Row([image(), image()], "two?"), Row(image(), "q?", "be brief")):
        with pytest.raises(ValueError, match="one image and without a system message"):
            asker.ask_batch([row])


def questions(task: str, write: Any, folder: Path) -> Any:
    write(folder)
    return load_questions(Settings(tasks=(task,), data=str(folder)))


def test_what_a_lens_cannot_ask_is_said_before_a_model_is_loaded(tmp_path: Path) -> None:
    work = questions("vstar", vstar_folder, tmp_path / "v")
    assert askable(work, ("oracle", "random")) == work
    work[0].questions[1] = replace(work[0].questions[1], evidence=())
    assert [len(one.questions) for one in askable(work, ("random",))] == [5]
    assert [question.id[-1] for question in askable(work, ("oracle", "random"))[0].questions] == ["0", "2", "0", "1"]
    work = questions("hr_bench_4k", hr_bench("hr_bench_4k"), tmp_path / "h")
    assert askable(work, ("random",)) == work
    with pytest.raises(ValueError, match="does not say which boxes hold its answers; leave oracle out of --lens"):
        askable(work, ("random", "oracle"))
    work = questions("mmvet", mmvet_official, tmp_path / "m")
    work[0].questions[3] = replace(work[0].questions[3], images=("a", "b"))
    with pytest.raises(ValueError, match="question 'v1_3' has 2 images; a lens asks about one image alone"):
        askable(work, ("random",))


def test_every_method_is_a_run_beside_the_controls_at_equal_cost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = stand_in(monkeypatch, {"attention": "B", "oracle": "A", "downsample": "D", "random": "B"})
    vstar_folder(tmp_path / "data")
    out = tmp_path / "out"
    command = ["eval", "--tasks", "vstar", "--data", str(tmp_path / "data"), "--out", str(out)]
    command += ["--lens", "oracle,attention,random,downsample", "--max-tokens", "640", "--max-calls", "3"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert {(call["max_tokens"], call["max_calls"]) for call in found.calls} == {(640, 3)}
    pages = ["comparison-downsample.md", "comparison-random.md"]
    names = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    assert names == sorted([*pages, "attention", "downsample", "oracle", "random"])
    for name in ("attention", "downsample", "oracle", "random"):
        run = json.loads((out / name / "run.json").read_text())
        assert [run["settings"][key] for key in ("lens", "max_tokens", "max_calls")] == [name, 640, 3]
        cost = json.loads((out / name / "cost.json").read_text())["vstar"]
        assert (cost["model"]["calls_per_question"], cost["model"]["visual_tokens_per_question"]) == (3, 100)
        assert cost["blind"]["visual_tokens_per_question"] == 0 and cost["model"]["sub_images_per_question"] == 2
    record = json.loads((out / "attention/vstar/predictions.jsonl").read_text().splitlines()[0])
    assert (record["calls"], record["image_tokens"], record["reply"]) == (3, 100, "B")
    page = (out / "comparison-random.md").read_text()
    assert "Not significant: these questions rank no run above another." in page
    assert "--lens attention --max-tokens 640 --max-calls 3" in page
    assert "not significantly different from" in printed.out and "Holm" in printed.out
    asked = len(found.calls)
    assert main(command) == 0 and len(found.calls) == asked  # finished runs are not asked again
    assert main([*command[:-1], "2"]) == 2
    assert "holds a run with another max_calls" in capsys.readouterr().err


def test_one_method_is_a_run_like_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch)
    file, out = write_qa(tmp_path / "data", yes_no_rows(2)), tmp_path / "out"
    assert main(["eval", "--tasks", f"jsonl:{file}", "--out", str(out), "--lens", "residual"]) == 0
    settings = json.loads((out / "run.json").read_text())["settings"]
    assert [settings[key] for key in ("lens", "max_tokens", "max_calls")] == ["residual", 1024, 4]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--max-tokens", "100"], "are the budget of a lens; name its method: --lens attention"),
        (["--lens", "random", "--set", "model.selection.keep=2"], "--lens does not take --set"),
        (["--lens", "random", "--shard", "1/2"], "--lens does not take --shard"),
        (["--lens", "zoom"], "--lens 'zoom' is not one of"),
        (["--lens", "oracle"], "does not say which boxes hold its answers"),
    ],
)
def test_mistakes_are_one_line(
    more: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch)
    file = write_qa(tmp_path / "data", yes_no_rows(2))
    assert main(["eval", "--tasks", f"jsonl:{file}", "--out", str(tmp_path / "out"), *more]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_the_real_lens_keeps_to_the_budget_on_images_of_4k(tmp_path: Path) -> None:
    pytest.importorskip("dragonfly.lens")
    settings = tiny.config("v1")
    tiny.model(settings).save_pretrained(tmp_path / "model")
    tiny.processor(settings).save_pretrained(tmp_path / "model")
    vstar_folder(tmp_path / "data")
    command = ["eval", "-m", str(tmp_path / "model"), "--device", "cpu", "--tasks", "vstar", "--data", str(tmp_path / "data")]
    command += ["--lens", "residual,random,downsample,oracle", "--max-tokens", "3000", "--max-new-tokens", "2"]
    assert main([*command, "--no-baselines", "--limit", "2", "--out", str(tmp_path / "out")]) == 0
    taken = {}
    for method in ("residual", "random", "downsample", "oracle"):
        lines = (tmp_path / "out" / method / "vstar/predictions.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        assert all("error" not in record and record["image_tokens"] <= 3000 and record["calls"] <= 4 for record in records)
        taken[method] = records[1]
    assert taken["residual"]["image_tokens"] > taken["downsample"]["image_tokens"] > 0
    view = taken["oracle"]["views"][0]  # of question 1, whose thing is at (100, 100, 180, 140) of 4096 x 3072
    layout, kept, _ = layout_of(view)
    assert tuple(view["size"]) == (3072, 4096)
    assert any(box[0] <= 140 < box[2] and box[1] <= 120 < box[3] for box in (layout.level_boxes("high")[one] for one in kept))
