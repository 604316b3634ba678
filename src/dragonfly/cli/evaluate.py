"""`dragonfly eval`, `rescore` and `tasks`: benchmarks asked, scored, and set beside what a guess would get."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common, own_data
from dragonfly.cli.evaluate_lens import LensOptions, evaluate_lens
from dragonfly.cli.report import show_run

EXAMPLES = """
Ask a model the questions of one or more tasks and score its answers.

Every score stands with its interval over images and beside what a guess gets.

Examples:

  dragonfly eval --model runs/mine --tasks mine-dev.csv

  dragonfly eval --tasks manifest:data/dev --out runs/dev

  dragonfly eval --model ./mine --tasks vqa_rad --data ./vqa_rad --limit 50

  dragonfly eval --tasks manifest:data/dev --by kind --no-baselines --json

  dragonfly eval --model owner/name --tasks pope --out runs/pope --shard 1/4

  dragonfly eval -m ./mine --tasks vstar --lens attention,downsample,random

The folder named by --out gets run.json, scores.json, cost.json, report.md and
every prediction. Run the same command again to resume where it stopped. With
--shard I/N several workers share a run; `dragonfly rescore` joins and scores
it. With --lens the model looks closer at large images, by every method named
under one budget. `dragonfly tasks` lists the tasks.
"""

JudgeUrl = Annotated[
    str | None,
    typer.Option("--judge", metavar="URL", help="OpenAI-compatible endpoint for judged tasks; its key in DRAGONFLY_JUDGE_KEY."),
]
JudgeModel = Annotated[str | None, typer.Option(metavar="NAME", help="The judge's model.")]


def evaluate(
    tasks: Annotated[
        str,
        typer.Option(help="Names, comma-separated: vqa_rad, chartqa, ...; or your own data: mine.csv, a folder (docs/data.md)."),
    ],
    model: common.Model = None,
    data: Annotated[
        str | None, typer.Option(help="Folder with the files or one folder per task, or OWNER/NAME of a Hugging Face data set.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Ask only the first questions of each task.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; eval-MODEL if not given.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Ask this way, not in the task's words: '{question}'.")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer in tokens; the task's own if not given.")
    ] = None,
    by: Annotated[list[str] | None, typer.Option(help="Break scores down by this meta key. Repeatable.")] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Also score it blind and with shuffled images.")
    ] = True,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions asked together.")] = 8,
    columns: own_data.Columns = None,
    image_root: own_data.ImageRoot = None,
    lens: Annotated[
        str | None,
        typer.Option(metavar="METHOD,...", help="Look closer by these methods of a lens, or all; several are set side by side."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="With --lens: most visual tokens a question; 1024 if not given.")
    ] = None,
    max_calls: Annotated[
        int | None, typer.Option("--max-calls", min=1, help="With --lens: most calls of the model a question; 4 if not given.")
    ] = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Ask only part I of N; score with `rescore`.")] = None,
    judge: JudgeUrl = None,
    judge_model: JudgeModel = None,
    json: common.Json = False,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    quantize: common.Quantize = None,
    device_map: common.DeviceMap = None,
    set: common.Overrides = None,
) -> int:
    from dragonfly.data.readers import parse_columns
    from dragonfly.evaluation import Settings, Shard, check_judge, describe_model, load_questions, run
    from dragonfly.inference import load

    names = tuple(name for name in (part.strip() for part in tasks.split(",")) if name)
    asked: dict[str, Any] = {
        "tasks": names,
        "data": data,
        "limit": limit,
        "prompt": prompt,
        "max_new_tokens": max_new_tokens,
        "by": tuple(by or ()),
        "batch_size": batch_size,
        "with_baselines": baselines,
        "columns": parse_columns(columns) if columns else None,
        "image_root": image_root,
    }
    settings, part, grader = Settings(**asked), Shard.of(shard) if shard else None, judge_of(judge, judge_model)
    if part is None:
        check_judge(settings, grader)
    if lens is not None:
        refuse = {"--set": set, "--quantize": quantize, "--device-map": device_map, "--shard": shard}
        given = LensOptions(model, device, dtype, lens, max_tokens, max_calls, [name for name, one in refuse.items() if one])
        return evaluate_lens(given, settings, out, grader, as_json=json)
    if max_tokens or max_calls:
        raise ValueError("--max-tokens and --max-calls are the budget of a lens; name its method: --lens attention")
    work = load_questions(settings)  # faults of tasks and data show before the model is loaded
    engine = load(**common.loading(model, device, dtype, quantize, device_map, set))
    folder = out or Path(f"eval-{Path(engine.name).name}")
    known = describe_model(engine)
    if part is not None:
        common.with_progress(lambda progress: run.ask(engine, known, settings, work, folder, progress, part))
        common.say(f"part {part.index} of {part.count} is done; when all are: dragonfly rescore {folder}")
        return 0
    scores = common.with_progress(lambda progress: run.evaluate(engine, known, settings, work, folder, progress, grader))
    return show_run(scores, folder, as_json=json)


evaluate.__doc__ = EXAMPLES


def rescore(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `dragonfly eval` wrote.")],
    judge: JudgeUrl = None,
    judge_model: JudgeModel = None,
    json: common.Json = False,
) -> int:
    """
    Score a run's predictions again, without a model and without its data.

    Joins the parts that --shard wrote; a judge reads what none has read yet.

    Examples:

      dragonfly rescore runs/dev
    """
    from dragonfly.evaluation import run

    grader = judge_of(judge, judge_model)
    if grader is None:  # nothing to wait for
        scores = run.rescore(folder)
    else:
        scores = common.with_progress(lambda progress: run.rescore(folder, grader, progress))
    return show_run(scores, folder, as_json=json)


def tasks(
    name: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Tell all about one task.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/tasks.md.")] = False,
    json: common.Json = False,
) -> int:
    """
    List the benchmarks of `dragonfly eval`: metrics, split, source, notes.

    A task with a data set on the Hugging Face hub fetches it without --data.

    Examples:

      dragonfly tasks

      dragonfly tasks vqa_rad
    """
    from dragonfly.evaluation import TASKS, find_task
    from dragonfly.evaluation.task_docs import facts_of, tasks_page

    if markdown:
        typer.echo(tasks_page(), nl=False)
        return 0
    facts = [facts_of(task) for task in ([find_task(name)] if name else TASKS.values())]
    if json:
        common.print_json(facts)
    elif name:
        for key, value in facts[0].items():
            typer.echo(f"{key:<10} {', '.join(value) if isinstance(value, list) else value}")
    else:
        for fact in facts:
            typer.echo(f"{fact['name']:<31} {fact['metrics'][0]:<22} {fact['split']}")
    return 0


def judge_of(url: str | None, model: str | None) -> Any:
    """The judge that two options name; None without them. ValueError where one is missing."""
    from dragonfly.evaluation import Judge

    if (url is None) != (model is None):
        raise ValueError("a judge is an address and a model: --judge URL --judge-model NAME")
    return None if url is None or model is None else Judge(url, model)
