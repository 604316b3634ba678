"""What several commands share: options that mean the same everywhere, and output that does not mix with answers."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.markup import terminal

Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="MODEL", help="Model or adapter directory, hub name, or nano, the bundled one."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change the model's configuration: model.selection.policy=detail. Repeatable."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Quantize = Annotated[
    str | None, typer.Option(metavar="int8|int4", help="Language model in 8 or 4 bits (measured on CPU; on GPUs not tested).")
]
DeviceMap = Annotated[
    str | None,
    typer.Option(metavar="auto", help="Spread the model over all GPUs, then the CPU; overrules --device (GPUs not tested)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
MaxNewTokens = Annotated[int, typer.Option(help="Longest answer in tokens.")]
Temperature = Annotated[float, typer.Option(help="0 answers greedily; above 0 samples.")]
TopP = Annotated[float, typer.Option(help="Sample from the most probable tokens that add up to this share.")]
Seed = Annotated[int, typer.Option(help="Seed of the sampling.")]
Stop = Annotated[list[str] | None, typer.Option(metavar="TEXT", help="End the answer before this text. Repeatable.")]
Scores = Annotated[bool, typer.Option("--scores", help="Write the policy's scores into the zoom image.")]
System = Annotated[str | None, typer.Option(help="System message.")]


def loading(
    model: str | None,
    device: str,
    dtype: str,
    quantize: str | None,
    device_map: str | None,
    overrides: Sequence[str] | None,
) -> dict[str, Any]:
    """The options of a command that asks a model, as `dragonfly.load` takes them."""
    return {
        "model": model,
        "device": device,
        "dtype": dtype,
        "quantization": quantize,
        "device_map": device_map,
        "overrides": overrides or (),
    }


def say(message: str) -> None:
    """A line for the person at the terminal, apart from the output."""
    typer.echo(terminal(message), err=True)


def say_notes(notes: Sequence[str]) -> None:
    """What was done to the images, a line each; what they are meant for once, however many they are."""
    from dragonfly.imaging import INTENDED_USE

    own = [note for note in notes if not note.endswith(INTENDED_USE)]
    for note in [*own, *([INTENDED_USE] if len(own) < len(notes) else [])]:
        say(f"note: {note}")


def show(text: str) -> None:
    """An answer, or another text that is not ours, on standard output."""
    typer.echo(terminal(text))


def say_what_answers(model: str | None, images: int) -> None:
    """The models in the package answer about anything, and know little: whoever shows them a scan, or several images of a
    question, must hear that."""
    from dragonfly.installation import BUNDLED, bundled_name

    name = bundled_name(model)
    if name is None or not images:
        return
    if name == BUNDLED[0]:
        say(
            "note: nano, the bundled model, knows synthetic documents alone; about scanned pages try --model nano-scans, about "
            "photographs and all else give a --model"
        )
    else:
        say(
            f"note: {name} is small: of real receipts about half of the dates, fewer totals and no names of shops are right; "
            "--json says how sure it is"
        )
    if images > 1:
        say(f"note: {name} has learned from one image a question; ask about each by itself (ask --each), or give --model")


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(title: str | None, rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output, after an empty line: the head, then its rows, with nothing read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    head, *body = ([Text(terminal(cell)) for cell in row] for row in rows)
    table = Table(title=title and Text(title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for cell in head:
        table.add_column(cell)
    for row in body:
        table.add_row(*row)
    console = Console(highlight=False)
    # A longer line is easier to read than a folded table; and a file or a pipe has no width.
    console.width = max(console.width, 100 if console.is_terminal else 160)
    console.print()
    console.print(table)


def parse_size(text: str) -> tuple[int, int]:
    """`1024x768` (width x height, as people write it) -> (768, 1024)."""
    match = re.fullmatch(r"\s*([1-9]\d*)\s*[x×X]\s*([1-9]\d*)\s*", text)
    if not match:
        raise ValueError(f"size '{text}' is not WIDTHxHEIGHT in pixels, such as 1024x768")
    return int(match[2]), int(match[1])


def numbered(path: Path, index: int, count: int) -> Path:
    """The path itself for one image; with several, a number before the suffix."""
    return path if count == 1 else path.with_name(f"{path.stem}-{index + 1}{path.suffix}")


IMAGE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def check_image_target(target: Path, inputs: Sequence[str]) -> None:
    """Before anything is computed: refuse a target that is an input, whose suffix is unknown, or where no image stands now.

    Raises:
        ValueError: one line that says which.
    """
    if target.is_dir():
        raise ValueError(f"cannot write the image '{target}': it is a folder; name a file in it")
    if target.suffix.lower() not in IMAGE_FORMATS:
        raise ValueError(f"cannot write an image as '{target}'; use one of {', '.join(IMAGE_FORMATS)}")
    if any(os.path.exists(one) and target.exists() and os.path.samefile(one, target) for one in inputs):  # noqa: PTH110, PTH121
        raise ValueError(f"'{target}' is the image itself and would be overwritten; name another file")
    if target.is_file() and not _is_image(target):
        raise ValueError(f"'{target}' exists and is no image, so it is not overwritten; name another file")


def check_report(target: Path, inputs: Sequence[str]) -> list[tuple[str, int]]:
    """The DICOM file and frame of each image, before anything is computed. Raises ValueError, also for a target among them."""
    from dragonfly.imaging import image_file
    from dragonfly.imaging.series import begins_as_dicom
    from dragonfly.inference.structured_report import sources_of

    if target.is_dir():
        raise ValueError(f"cannot write the report '{target}': it is a folder; name a file in it")
    sources = sources_of(inputs)
    files = [*(path for path, _ in sources), *map(image_file, inputs)]
    if any(target.exists() and os.path.samefile(one, target) for one in files):  # noqa: PTH121
        raise ValueError(f"'{target}' is the image itself and would be overwritten; name another file")
    if target.is_file() and target.stat().st_size and not begins_as_dicom(target):
        raise ValueError(f"'{target}' exists and is no DICOM, so it is not overwritten; name another file")
    return sources


def _is_image(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path):
            return True
    except (OSError, ValueError, Image.DecompressionBombError):
        return path.stat().st_size == 0


def save_image(image: Any, target: Path) -> None:
    """Write a PIL image in the format of its suffix, whole or not at all."""
    from dragonfly.files import atomic_write

    kind = IMAGE_FORMATS[target.suffix.lower()]
    # PNG: half the time of the default for 8 % more bytes.
    options: dict[str, Any] = {"PNG": {"compress_level": 3}, "JPEG": {"quality": 92}, "WEBP": {"quality": 92}}[kind]
    with atomic_write(target, "wb") as file:
        image.save(file, format=kind, **options)


def log_to_terminal() -> None:
    """Our own log lines on standard error, from the first process of a node alone."""
    level = logging.INFO if os.environ.get("LOCAL_RANK", "0") == "0" else logging.ERROR
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("dragonfly")
    logger.addHandler(handler)
    logger.setLevel(level)


def with_progress(work: Any) -> Any:
    """What `work(progress)` returns; calls of progress(label, done, total) move a bar for each label."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        known: dict[str, Any] = {}

        def progress(label: str, done: int, total: int) -> None:
            bar = known.setdefault(label, None)
            if bar is None:
                bar = known[label] = bars.add_task(label, total=total)
            bars.update(bar, completed=done)

        return work(progress)
