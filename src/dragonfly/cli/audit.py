"""`dragonfly audit`: whether a model's answers depend on what it looked at."""

from __future__ import annotations

import json as json_format
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common, own_data
from dragonfly.cli import lens as lenses

EXAMPLES = """
Say whether a model's answers depend on what it looked at.

That, and the evidence that the data annotate, is removed, shown alone and
swapped, and as much of the image is removed elsewhere.

Examples:

  dragonfly audit nano --tasks manifest:data/test --limit 200

  dragonfly audit ./mine --tasks vqa_rad --data ./vqa_rad --out runs/rad

  dragonfly audit ./mine --tasks mine-dev.csv --looked why --curves

  dragonfly audit ./qwen --tasks mine-dev.csv --max-tokens 2048

Each question is asked about 14 times, with --curves about 35 times. The file
named by --out holds every answer. Of a run's folder, it becomes part of the
run's report. docs/audit.md says what an audit can and cannot show.
"""


def audit(
    tasks: Annotated[
        str,
        typer.Option(help="Names, comma-separated: vqa_rad, chartqa, ...; or your own data: mine.csv, a folder (docs/data.md)."),
    ],
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Model or adapter directory, or hub name; nano if not given.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder with the files or one folder per task, or OWNER/NAME of a Hugging Face data set.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Ask only the first questions of each task.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The result file, or the folder of a run of `eval`; audit-MODEL.json if not given.")
    ] = None,
    looked: Annotated[
        str | None,
        typer.Option(
            metavar="kept|why|close-ups|stated",
            help="Looked at: sub-images kept, or those that contributed most; through a lens its close-ups, or the boxes that "
            "the answer's words name. As fits if not given.",
        ),
    ] = None,
    curves: Annotated[bool, typer.Option("--curves", help="Also deletion and insertion curves.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random places.")] = 0,
    prompt: Annotated[str | None, typer.Option(help="Ask this way, not in the task's words: '{question}'.")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer in tokens; the task's own if not given.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions asked together.")] = 8,
    columns: own_data.Columns = None,
    image_root: own_data.ImageRoot = None,
    json: common.Json = False,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    quantize: common.Quantize = None,
    device_map: common.DeviceMap = None,
    set: common.Overrides = None,
    method: lenses.Method = None,
    max_tokens: lenses.MaxTokens = None,
    max_calls: lenses.MaxCalls = None,
) -> int:
    from dragonfly.data.readers import parse_columns
    from dragonfly.evaluation import Settings, describe_model, load_questions
    from dragonfly.evaluation.controls.audit import audit_model
    from dragonfly.evaluation.controls.subject import check_looked
    from dragonfly.files import write_json
    from dragonfly.inference import load

    if method == "oracle":
        raise ValueError("an audit tests where a method looks, and oracle is told it; choose another method")
    wanted = lenses.Wanted(method, max_tokens, max_calls)
    check_looked(looked, lensed=wanted.needed(model))
    asked: dict[str, Any] = {
        "tasks": tuple(name for name in (part.strip() for part in tasks.split(",")) if name),
        "data": data,
        "limit": limit,
        "prompt": prompt,
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
        "with_baselines": False,
        "columns": parse_columns(columns) if columns else None,
        "image_root": image_root,
    }
    settings, run = Settings(**asked), _run_of(out)
    target = _target(out)
    work = load_questions(settings)  # faults of tasks and data show before the model is loaded
    loading = common.loading(model, device, dtype, quantize, device_map, set)
    engine: Any = wanted.open(loading, {}) if wanted.needed(model) else load(**loading)
    if wanted.needed(model):
        settings = replace(settings, lens=engine.lens.method, max_tokens=engine.max_tokens, max_calls=engine.max_calls)
        common.say(f"note: asked through a lens: method {settings.lens}, up to {settings.max_tokens:,} image tokens a question")
    known = describe_model(engine)
    if run is not None and out is not None:
        _check_run(out, run, known, asdict(settings))
    target = target or Path(f"audit-{Path(engine.name).name}.json")
    _check_target(target)
    options: dict[str, Any] = {"looked": looked, "seed": seed, "curves": curves}
    found = common.with_progress(lambda progress: audit_model(engine, known, settings, work, progress=progress, **options))
    write_json(target, found)
    if run is not None and out is not None:
        _refresh(out)
    if json:
        common.print_json(found)
    else:
        _show(found)
    return _say_faults(found, target)


audit.__doc__ = EXAMPLES


def _run_of(out: Path | None) -> dict[str, Any] | None:
    """The settings of the run whose folder --out names; None where it names a file."""
    from dragonfly.evaluation.run import read_run

    return read_run(out)["settings"] if out is not None and out.is_dir() else None


def _target(out: Path | None) -> Path | None:
    from dragonfly.evaluation.report.audited import NAME
    from dragonfly.files import check_suffix

    if out is None or out.is_dir():
        return out and out / NAME
    check_suffix(out, (".json",))
    _check_target(out)
    return out


def _check_target(path: Path) -> None:
    """ValueError where a file that is no audit would be overwritten."""
    if path.is_file():
        try:
            kind = json_format.loads(path.read_text(encoding="utf-8")).get("kind")
        except (ValueError, AttributeError):
            kind = None
        if kind != "audit":
            raise ValueError(f"{path} exists and is no audit, so it is not overwritten; name another file with --out")


def _check_run(out: Path, run: dict[str, Any], model: dict[str, Any], settings: dict[str, Any]) -> None:
    from dragonfly.evaluation.report import differing

    if different := differing(run, model, settings):
        raise ValueError(
            f"{out} holds a run with another {' and '.join(different)}; audit what was evaluated, or name a file with --out"
        )
    if other := [name for name in settings["tasks"] if name not in run["tasks"]]:
        raise ValueError(f"the run in {out} has no task {', '.join(other)}; it has {', '.join(run['tasks'])}")


def _refresh(out: Path) -> None:
    """The report of the run says what the audit found, where the run has been scored."""
    from dragonfly.cli.report import write_report

    if (out / "scores.json").is_file():
        common.say(f"report: {write_report(out).folder / 'report.md'}")


def _show(found: dict[str, Any]) -> None:
    """A table per task, and below it what follows from it."""
    from dragonfly.evaluation.report.audited import condition_rows, curve_rows, sentences

    for name, task in found["tasks"].items():
        common.print_table(f"{name}: {task['asked']} of {task['questions']} questions", condition_rows(task))
        if rows := curve_rows(task):
            common.print_table(f"{name}: answers that stay as the image goes or comes, %", rows)
    typer.echo()
    for name, task in found["tasks"].items():
        for line in sentences(task):
            common.show(line if len(found["tasks"]) == 1 else f"{name}: {line}")


def _say_faults(found: dict[str, Any], target: Path) -> int:
    """Questions that could not be asked, where the result is; 1 where there were such questions."""
    broken = [(name, row) for name, task in found["tasks"].items() for row in task["broken"]]
    for name, row in broken:
        common.say(f"{name} {row['id']}: {row['error']}")
    if broken:
        common.say(f"{len(broken)} questions could not be asked and are left out")
    for name, task in found["tasks"].items():
        if count := task["without_image"]:
            common.say(f"{name}: {count} questions have no image and are left out")
    common.say(f"result: {shlex.quote(str(target))}")
    return 1 if broken else 0
