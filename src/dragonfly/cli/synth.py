"""`dragonfly synth`: images with fine detail and questions about them, drawn from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragonfly.cli import common


def synth(
    output: Annotated[Path, typer.Option("--output", "-o", help="The new folder: manifest.json, shards, images.")],
    spec: Annotated[
        str,
        typer.Option(
            help="nano, fine, documents; documents-{crowded,strips,1k,2k,4k,8k}, nano-{crowded,words,text}, nano-close-{1,4,9}."
        ),
    ] = "nano",
    split: Annotated[str, typer.Option(help="train, dev or test: other values, page styles and wordings.")] = "train",
    n: Annotated[int, typer.Option("--n", help="Pages to draw, in every split; each gives many questions.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed and package versions give the same bytes.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; as many as cores if not given.")] = None,
    questions: Annotated[str, typer.Option(help="all, one-per-kind, or kinds, such as count,describe.")] = "all",
    text_annotations: Annotated[
        bool, typer.Option("--text-annotations", help="One row per image, with every drawn character's box.")
    ] = False,
    language: Annotated[
        str | None, typer.Option(help="How questions are worded: plain, natural or varied; as the spec says if not given.")
    ] = None,
    absent: Annotated[
        float, typer.Option(metavar="SHARE", help="Share kept of the questions about what is not in the image.")
    ] = 1.0,
) -> int:
    """
    Draw a data set: images, questions, answers, and boxes of the evidence.

    Examples:

      dragonfly synth --spec nano --split test --n 300 --seed 987 -o data/test

      dragonfly synth --spec nano --language natural --n 20000 -o data/asked

      dragonfly synth --spec documents --n 20000 --seed 1 -o data/documents

      dragonfly synth --spec nano-crowded --n 20000 --seed 1 --text-annotations -o data/read
    """
    from dragonfly.research.synthetic.dataset import DatasetOptions, cores, write_dataset
    from dragonfly.research.synthetic.documents.typefaces import typefaces_note

    plan = DatasetOptions(spec, split, n, seed, questions, text_annotations, language, absent)  # pyright: ignore[reportArgumentType] - checked there
    if plan.drawn.documents:
        common.say(typefaces_note(plan.drawn.typefaces))
    manifest = write_dataset(plan, output, workers=cores() if workers is None else workers)
    common.say(f"{n} pages: {manifest}")
    return 0
