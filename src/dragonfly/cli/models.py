"""`dragonfly info`, `new` and `convert`: what a model directory holds, how one is made of parts, or of a released one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common


def info(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Model or adapter directory, or hub name; the bundled model if not given."),
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Everything that is known, not five lines.")] = False,
    json: common.Json = False,
) -> int:
    """
    What a model is: parts, encoder, tokens per image, size and origin. Reads no weights.

    Examples:

      dragonfly info

      dragonfly info ./my-model --all

      dragonfly info ./my-model --json
    """
    from dragonfly.inference.loading import describe

    facts = describe(model, setting="MODEL")
    _print_facts(facts if all or json else _in_five_lines(facts), json)
    return 0


def _in_five_lines(facts: dict[str, Any]) -> dict[str, Any]:
    """Name, parts, encoder, what an image costs, and where it comes from."""
    millions = {name: f"{count / 1e6:,.1f} M" for name, count in facts["parameters"].items()}
    parts = [f"{facts[part]} ({millions[part]})" for part in ("vision_tower", "language_model")]
    images, origin = facts["sub_images"], facts["origin"]
    keeps = f"{images['kept']} of {images['encoded']} sub-images of {images['resolution']} pixels"
    return {
        "model": f"{facts['model']}, {millions['total']} parameters, {facts['weights_mib']:,} MiB as {facts['dtype']}",
        "parts": " and ".join(parts),
        "encoder": f"{facts['preset']}: {keeps}, policy {facts['selection']['policy']}",
        "an image takes": f"{facts['tokens_per_image']:,} tokens",
        "made by": f"dragonfly {origin['version']}, {_made(origin)}" if origin else "unknown (it has no dragonfly.json)",
    }


def _made(origin: dict[str, Any]) -> str:
    recipe = origin.get("recipe")
    name = recipe.get("name") if isinstance(recipe, dict) else recipe
    return f"recipe {name}" if name else str(origin.get("made_by") or "no recipe recorded")


def new(
    tower: Annotated[str, typer.Option(help="Vision tower: a directory or a hub name.")],
    language_model: Annotated[str, typer.Option(help="Causal language model: a directory or a hub name.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A new directory.")] = None,
    preset: Annotated[str, typer.Option(help="Levels, grids and policy; see `dragonfly presets`.")] = "v1",
    chat_template: Annotated[
        Path | None, typer.Option(help="A Jinja file in place of the language model's own chat template.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="auto (the language model's own), float32, bfloat16 or float16.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the new projector.")] = 0,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what it would be, from configurations alone; write nothing.")
    ] = False,
    json: common.Json = False,
) -> int:
    """
    Join a vision tower and a language model with a new projector, which is then trained.

    Examples:

      dragonfly new --tower ./siglip --language-model ./qwen3 --plan

      dragonfly new --tower ./clip --language-model ./llama --preset v2 -o ./new
    """
    if plan == (out is not None):
        raise ValueError("give -o DIRECTORY to write a model, or --plan to see what it would be; one of the two")
    from dragonfly.inference.loading import describe_config, no_progress_bars
    from dragonfly.models import joining

    parts = joining.Parts(tower, language_model, chat_template=None if chat_template is None else str(chat_template))
    if out is None:
        _print_facts(describe_config(joining.planned_config(parts, preset)), json)
        return 0
    with no_progress_bars():
        model = joining.new(parts, preset, out, dtype=dtype, seed=seed)
    _print_facts({"model": str(out), **describe_config(model.config)}, json)
    common.say("the projector is new and knows no image yet; train it:")
    stage = "v2" if preset.startswith("v2") else "v1"
    kept = "" if preset == stage else f" model.preset={preset}"  # the recipe names its own
    common.say(f"  dragonfly train general/stage1-{stage} init_from={shlex.quote(str(out))}{kept}")
    return 0


def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A checkpoint in the released format.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A new directory.")],
    preset: Annotated[str | None, typer.Option(help="Another preset than the one that follows from the tower.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; the checkpoint's own if not given.")] = None,
    json: common.Json = False,
) -> int:
    """
    Write a released checkpoint as a Dragonfly directory: safetensors, config, processor, tokenizer, chat template.

    Examples:

      dragonfly convert ./Llama-3.1-8B-Dragonfly-v2 ./dragonfly-v2
    """
    from dragonfly.models.checkpoints import convert as run

    report = run(source, target, preset=preset, dtype=dtype)
    if json:
        common.print_json(report.to_dict())
    else:
        typer.echo(f"{target}: {report.summary()}")
    return 0


def _print_facts(facts: dict[str, Any], json: bool) -> None:
    if json:
        common.print_json(facts)
        return
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):<22} {_plain(value)}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
