"""`dragonfly lab ...` and `dragonfly ablate`: which sub-images are worth keeping, and what an encoder brings and costs."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common
from dragonfly.cli.evaluate import JudgeModel, JudgeUrl, judge_of

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A YAML file, or the name of a shipped study.")]
Changes = Annotated[list[str] | None, typer.Argument(metavar="[key=value ...]", help="Values that overrule the study's.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the study: report, result, variants.")]
OneVariant = Annotated[str | None, typer.Option("--variant", help="Only this variant.")]
Located = Annotated[Path, typer.Argument(metavar="DATA", help="A manifest with evidence.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first questions.")]
Result = Annotated[Path | None, typer.Option("--output", "-o", help="Write the result as JSON.")]
Minutes = Annotated[float | None, typer.Option(min=0, help="Stop in order after so many minutes.")]

lab_app = typer.Typer(name="lab", help="Studies: which sub-images are worth keeping.", no_args_is_help=True)


def _words(text: str | None) -> list[str]:
    return [word for word in (part.strip() for part in (text or "").split(",")) if word]


@lab_app.command("recall")
def recall(
    data: Located,
    model: common.Model = None,
    policies: Annotated[str | None, typer.Option(help="Comma-separated; all if not given.")] = None,
    keep: Annotated[str, typer.Option(help="Numbers kept, comma-separated.")] = "1,2,3",
    scope: Annotated[str | None, typer.Option(help="region or image; the model's own if not given.")] = None,
    by: Annotated[list[str] | None, typer.Option(help="Break down by this meta key. Repeatable.")] = None,
    limit: Limit = None,
    output: Result = None,
    json: common.Json = False,
    device: common.Device = "auto",
    set: common.Overrides = None,
) -> int:
    """
    How often each policy keeps what holds the answer. The language model is not run.

    Examples:

      dragonfly lab recall data/dev

      dragonfly lab recall data/dev --policies detail,centred --keep 1,3 --by kind -o recall.json
    """
    from dragonfly.files import write_json
    from dragonfly.inference import load
    from dragonfly.research.lab import evidence_recall as study

    names = _words(policies)
    study.check_policies(names)
    numbers = _numbers("keep", keep)
    study.read_located(data, 1)  # a fault of the data shows before the model is loaded
    engine = load(model, device=device, overrides=set or ())
    with _bar("choosing") as progress:
        found = study.recall(
            engine, data, policies=names or None, keep=numbers, scope=scope, by=by or (), limit=limit, progress=progress
        )
    if output is not None:
        write_json(output, found)
        common.say(f"result: {output}")
    if json:
        common.print_json(found)
    else:
        _print_recall(found)
    return 0


@lab_app.command("curves")
def curves(
    data: Located,
    model: common.Model = None,
    draws: Annotated[int, typer.Option(min=1, help="Random orders per question.")] = 4,
    limit: Limit = None,
    output: Result = None,
    json: common.Json = False,
    device: common.Device = "auto",
    set: common.Overrides = None,
) -> int:
    """
    Whether `ask --why` is to be believed: deletion, insertion and pointing against random orders.

    Examples:

      dragonfly lab curves data/dev --limit 100 -o curves.json
    """
    from dragonfly.evaluation.controls import attribution
    from dragonfly.files import write_json
    from dragonfly.inference import load
    from dragonfly.research.lab.report import curve_rows

    attribution.read_evidence(data, 1)
    engine = load(model, device=device, overrides=set or ())
    with _bar("asking") as progress:
        found = attribution.curves(engine, data, limit=limit, draws=draws, progress=progress)
    if output is not None:
        write_json(output, found)
        common.say(f"result: {output}")
    if json:
        common.print_json(found)
    else:
        common.print_table(f"{found['data']['questions']} questions, % with 95 % interval of the difference", curve_rows(found))
    return 0


@lab_app.command("sweep")
def sweep(
    study: StudyName,
    changes: Changes = None,
    output: Output = None,
    variant: OneVariant = None,
    minutes: Minutes = None,
    judge: JudgeUrl = None,
    judge_model: JudgeModel = None,
    json: common.Json = False,
) -> int:
    """
    Ask one checkpoint under many encoders: accuracy and cost of policies, numbers kept, grids and pooling.

    Examples:

      dragonfly lab sweep policies -o runs/policies test=data/dev

      dragonfly lab sweep mine.yaml -o runs/mine --minutes 20
    """
    from dragonfly.research.lab.run import run_sweep
    from dragonfly.research.lab.study import Study

    _errors_only()
    chosen, out = Study.load(study, changes or ()), _folder(study, output)
    grader = judge_of(judge, judge_model)
    return _show(run_sweep(chosen, out, variant=variant, minutes=minutes, judge=grader, say=common.say), out, json)


def ablate(
    study: StudyName,
    changes: Changes = None,
    output: Output = None,
    variant: OneVariant = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the variants.")] = 1,
    minutes: Minutes = None,
    recipes: Annotated[
        bool, typer.Option("--recipes", help="Only write the variants' recipes, and print how each is trained.")
    ] = False,
    gpus: Annotated[int, typer.Option(min=1, help="Devices that --recipes' lines train a variant on.")] = 8,
    judge: JudgeUrl = None,
    judge_model: JudgeModel = None,
    json: common.Json = False,
) -> int:
    """
    Train the variants of a study alike from one checkpoint, ask them, and report. Running it again continues it.

    Several machines can share a folder: each starts the same command.

    Examples:

      dragonfly ablate headline -o runs/headline data='[{path: data/train}]' test=data/dev

      dragonfly ablate table1 -o runs/table1 --variant v1 --minutes 10
    """
    from dragonfly.research.lab.chain import launch
    from dragonfly.research.lab.recipes import write_recipes
    from dragonfly.research.lab.run import run_ablation
    from dragonfly.research.lab.study import Study

    _errors_only()
    chosen, out = Study.load(study, changes or ()), _folder(study, output)
    if recipes:
        for file, recipe in write_recipes(chosen, out):
            typer.echo(shlex.join(launch([str(file)], recipe, gpus)))
        return 0
    options: dict[str, Any] = {"workers": workers, "minutes": minutes, "judge": judge_of(judge, judge_model)}
    found = run_ablation(chosen, out, variant=variant, say=common.say, **options)
    return _show(found, out, json)


@lab_app.command("findings")
def findings(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A folder of result files.")] = Path(
        "benchmarks/results/lab"
    ),
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("docs/findings.md"),
) -> int:
    """
    Write the page of findings anew from result files, and the detail behind it (`-detail`) beside it.

    Examples:

      dragonfly lab findings benchmarks/results/lab -o docs/findings.md
    """
    from dragonfly.files import write_text
    from dragonfly.research.lab.findings import answers, page

    detail = output.with_stem(f"{output.stem}-detail")
    short, long = answers(results), page(results)
    write_text(output, short)
    write_text(detail, long)
    common.say(f"findings: {output}, {detail}")
    return 0


@lab_app.command("studies")
def studies() -> int:
    """
    List the studies of the package: what they ask, which table of the paper they repeat, how long they take.

    Examples:

      dragonfly lab studies
    """
    from dragonfly.research.lab.study import Study, shipped_studies

    rows = [["study", "command", "variants", "minutes", "question"]]
    for name in shipped_studies():
        one = Study.load(name)
        command = "lab sweep" if one.recipe is None else "ablate"
        whole = "-" if one.minutes is None else f"{one.minutes * len(one.jobs()):g}"
        rows.append([name, command, str(len(one.variants)), whole, one.question])
    common.print_table("studies; minutes on two cores, all variants and seeds", rows)
    return 0


def _errors_only() -> None:
    """Leave unsaid what loading warns of: every variant would, of what its study is about, and a new map is why one
    calibrates.
    """
    logging.getLogger("dragonfly").setLevel(logging.ERROR)


def _folder(study: str, output: Path | None) -> Path:
    if output is None:
        raise ValueError(f"name the study's folder: -o runs/{Path(study).stem}")
    return output


def _show(result: dict[str, Any], folder: Path, as_json: bool) -> int:
    """The result in short; 1 while jobs are unfinished."""
    from dragonfly.research.lab.report import difference_rows, score_rows

    if as_json:
        common.print_json(result)
    elif result["variants"]:
        common.print_table("scores, % with 95 % interval", score_rows(result))
        common.print_table("differences, points with 95 % interval", difference_rows(result))
    for conclusion in result["conclusions"]:
        common.say(conclusion["text"] or conclusion["refused"])
    if result["unfinished"]:
        common.say(f"not finished: {', '.join(result['unfinished'])}")
    common.say(f"report: {folder / 'report.md'}")
    return 1 if result["unfinished"] else 0


def _numbers(option: str, text: str) -> list[int]:
    words = _words(text)
    if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f"--{option} takes whole numbers of at least 1, comma-separated, got '{text}'; such as 1,2,3")
    return [int(word) for word in words]


def _print_recall(found: dict[str, Any]) -> None:
    from dragonfly.research.lab.report import recall_rows

    data, of = found["data"], "/".join(map(str, found["high"]))
    typer.echo(f"{data['questions']} questions about {data['images']} images; kept of {of} high sub-images per {found['scope']}")
    common.print_table("share of questions whose evidence is kept, % with 95 % interval", recall_rows(found))
    if found["without_high_level"]:
        common.say(f"note: {found['without_high_level']} questions have no high level and are left out")
    if (found["mean_embedding"] or "checkpoint") != "checkpoint":
        common.say(f"note: the model has no mean embedding; 'centred' took that of {found['mean_embedding']}")


@contextmanager
def _bar(label: str) -> Generator[Callable[[int, int], None]]:
    """A bar on standard error; calls of (done, total) move it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@lab_app.command("calibrate")
def calibrate(
    model: Annotated[str, typer.Argument(help="Model directory or hub name; 'nano' for the bundled model.")],
    data: Annotated[list[str], typer.Argument(help="Rows with images: manifests, or files or folders that training reads.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new model directory.")],
    limit: Annotated[int, typer.Option(help="Most images to look at, of each.")] = 500,
    set: common.Overrides = None,
    device: common.Device = "auto",
) -> int:
    """
    Give a model the mean embedding that policy `centred` needs, from images alone, and write it as a new directory.

    For policy `question`, learn its map from the rows' evidence instead; tower, projector and embeddings stay as they are.

    Examples:

      dragonfly lab calibrate ./my-model rows.json -o ./my-model-centred

      dragonfly lab calibrate ./my-model ./data --set model.selection.policy=question --set model.selection.scope=image \
          --set model.selection.keep=3 --limit 8000 -o ./my-model-question
    """
    from dragonfly.training.calibration import calibrate_model

    _errors_only()
    done = calibrate_model(model, data, output, limit=limit, overrides=set or (), device=device)
    typer.echo(f"{output}: {done.summary()}")
    return 0
