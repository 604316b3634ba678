"""`dragonfly info` and `convert`: what a model directory holds, and how to bring a released one into our form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common


def info(
    model: Annotated[str | None, typer.Argument(help="Model directory or hub name; the bundled model if not given.")] = None,
    json: common.Json = False,
) -> int:
    """
    What a model is: tower, language model, encoder, tokens per image, size and origin. Reads no weights.

    Examples:

      dragonfly info

      dragonfly info ./my-model --json
    """
    from dragonfly.inference.loading import describe

    facts = describe(model)
    if json:
        common.print_json(facts)
        return 0
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):<22} {_plain(value)}")
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


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
