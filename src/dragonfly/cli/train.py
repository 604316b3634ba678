"""`dragonfly train`, `inspect data` and `merge`: a stage from its recipe, its labels before it, its adapter after it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common, own_data

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a shipped recipe.")]
Changes = Annotated[list[str] | None, typer.Argument(metavar="[key=value ...]", help="Values that overrule the recipe's.")]

inspect_app = typer.Typer(name="inspect", help="Look before training.", no_args_is_help=True)


def train(
    recipe: RecipeName,
    changes: Changes = None,
    data: own_data.Data = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The model's folder; the recipe's `output` if not given.")
    ] = None,
    columns: own_data.Columns = None,
    image_root: own_data.ImageRoot = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look at data, labels, batch, memory and hours; train and write nothing.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Of --dry-run: on so many processes; torchrun's if not given.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Of --dry-run: on such devices: H100, L4, RTX-4090, ...")] = None,
) -> int:
    """
    Train one stage. Interrupted, it resumes from its last complete checkpoint when started again.

    Examples:

      dragonfly train finetune --data mine.csv --out runs/mine

      dragonfly train lora init_from.checkpoint=./dragonfly-v1 data.train='[{name: mine, path: rows.json}]' output=./mine

      torchrun --nproc-per-node 8 -m dragonfly train general/stage1-v1

      dragonfly train general/stage2-v1 --dry-run --processes 32 --device H100 batch.global_size=32
    """
    import torch

    from dragonfly.research.curriculum import HOOKS
    from dragonfly.training import Recipe, run

    changes = own_data.own_changes(recipe, changes or (), data, columns, image_root, out)
    chosen = Recipe.load(recipe, changes, hooks=HOOKS)
    if data is not None and first_process():
        own_data.show_understood(chosen)
    if dry_run:
        return _dry_run(chosen, processes or int(os.environ.get("WORLD_SIZE", "1")), device)
    if processes is not None or device is not None:
        raise ValueError("--processes and --device are for --dry-run; how many processes train is what torchrun is told")
    common.log_to_terminal()
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed, where it is installed, warns of what is no fault
    folder = run(chosen, _score_of(chosen))
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # else its threads may outlive what they use and abort a finished run
    if folder != Path(chosen.output):  # stopped by a signal: a checkpoint
        common.say(f"{chosen.name}: {folder}")
    elif first_process():
        own_data.show_end(chosen, folder, data, columns, image_root)
    return 0


def first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _dry_run(recipe: Any, processes: int, device: str | None) -> int:
    """Print what is known of a stage before it is trained."""
    from dragonfly.cli.plan import memory_and_hours, plan_of_recipe, print_facts
    from dragonfly.training.dry_run import dry_run

    _score_of(recipe)  # a fault of the task that looks for the best checkpoint
    found = dry_run(recipe, processes)
    if not first_process():
        return 0
    batch = recipe.batch.global_size
    facts = {"recipe": recipe.name, "begins with": f"what {found.after} trains, its parts for now"} if found.after else {}
    facts |= {"resumes from": str(found.resumes)} if found.resumes else {}
    for name, labels in found.labels.items():
        facts[f"labels of {name}"] = "{rows} rows checked, {trained} of {tokens} tokens trained".format(**labels)
    rows = f"{batch} rows = {found.per_device} at once x {found.accumulation} x {processes} processes"
    facts |= {"a step": rows, "steps": f"{found.steps:,}"}
    try:
        if found.text_tokens is None:
            raise ValueError(f"objective '{recipe.objective.name}' has no rows of tokens")
        planned = plan_of_recipe(found.recipe, processes, found.text_tokens, found.steps * batch, device)
        facts[f"rows, as those checked: {found.text_tokens} tokens besides"] = "one image of 1024x768"
        facts |= memory_and_hours(planned)
    except ValueError as error:
        facts["memory and hours"] = f"not planned: {error}"
    common.show(found.data)
    print_facts(facts)
    common.say("dry run: nothing was trained, nothing was written")
    return 0


def _score_of(recipe: Any) -> Any:
    """What `recipe.best` means: a function of a model and its processor; None where it asks for none. Reads the task's questions.

    The run of each score is written to a temporary folder: `dragonfly eval` of the finished model says more.
    """
    best = recipe.best
    if best is None:
        return None
    from tempfile import TemporaryDirectory

    from dragonfly.evaluation import Settings, check_judge, evaluate, load_questions
    from dragonfly.inference import Engine
    from dragonfly.training.run import model_of

    settings = Settings(tasks=(best.task,), data=best.data, limit=best.limit, with_baselines=False)
    check_judge(settings, None)
    work = load_questions(settings)  # a fault of the task shows before the training
    known = [metric.name for metric in work[0].task.metrics]
    if best.metric is not None and best.metric not in known:
        raise ValueError(f"best.metric: task {best.task!r} has no metric {best.metric!r}; it has {', '.join(known)}")

    def score(model: Any, processor: Any) -> float:
        engine = Engine(model_of(model).eval(), processor)
        with TemporaryDirectory() as folder:
            found = evaluate(engine, {}, settings, work, Path(folder) / "run")["tasks"][best.task]["scores"]
        name = best.metric or next(iter(found), None)
        if name not in found:
            raise ValueError(f"best.metric: {name!r} applies to none of the questions; it has {', '.join(found) or 'none'}")
        return found[name]["value"]

    return score


@inspect_app.command("data")
def inspect_data(
    recipe: RecipeName,
    changes: Changes = None,
    rows: Annotated[int, typer.Option(help="Rows of each source to print.")] = 3,
    data: own_data.Data = None,
    columns: own_data.Columns = None,
    image_root: own_data.ImageRoot = None,
) -> int:
    """
    Print examples with every token's part coloured: image, prompt, trained. Then check the labels as training does.

    Examples:

      dragonfly inspect data finetune --data mine.csv

      dragonfly inspect data recipe.yaml

      dragonfly inspect data lora data.train='[{name: mine, path: rows.json}]' init_from.checkpoint=./dragonfly-v1 output=x
    """
    from rich.console import Console

    from dragonfly.data import show
    from dragonfly.research.curriculum import HOOKS
    from dragonfly.training import Recipe
    from dragonfly.training.build import build_processor
    from dragonfly.training.label_audit import audit_labels
    from dragonfly.training.sources import first_rows, mixture

    changes = own_data.own_changes(recipe, changes or (), data, columns, image_root, None)
    chosen = Recipe.load(recipe, changes, hooks=HOOKS)
    examples = chosen.objective_hook.examples
    if examples is None:
        raise ValueError(f"objective {chosen.objective.name!r} has no conversations to show; its rows become no token labels")
    processor = build_processor(chosen)
    order = None if chosen.data.streaming else mixture(chosen)
    sources = order.sources if order else first_rows(chosen)
    console = Console(soft_wrap=True, highlight=False)
    console.print(str(order or "streamed"), markup=False)
    for name, samples in sources.items():
        dataset = examples(chosen, samples, processor)
        for index in range(min(rows, len(samples))):
            example = dataset[index]
            console.print(f"\n{name} row {index}: {_counts(example, processor)}", markup=False, style="bold")
            console.print(show(processor, example))
    for name, found in audit_labels(chosen, sources, processor).items():
        share = found["trained"] / found["tokens"]
        line = f"\n{name}: {found['rows']} rows checked, {found['trained']} of {found['tokens']} tokens trained ({share:.1%})"
        console.print(line, markup=False)
    return 0


def merge(
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="What `dragonfly train` wrote with LoRA.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A new directory.")],
    base: Annotated[str | None, typer.Option(help="Where the base lies now, if it was moved.")] = None,
) -> int:
    """
    Write an adapter and its base as one model directory. Another base than its own is refused.

    Examples:

      dragonfly merge ./my-adapter ./my-model
    """
    from dragonfly.training import merge as merged

    common.say(f"model: {merged(adapter, target, base)}")
    return 0


def _counts(example: Any, processor: Any) -> str:
    from dragonfly.data import IGNORE_INDEX, image_mask

    ids, labels = example["input_ids"], example["labels"]
    images = int(image_mask(ids, processor.image_token_id, processor.separator_token_id).sum())
    trained = int((labels != IGNORE_INDEX).sum())
    cut = f", {example['num_truncated']} turns left out for max_length" if example["num_truncated"] else ""
    return f"{len(ids)} tokens, {images} image, {len(ids) - images - trained} prompt, {trained} trained{cut}"
