"""`dragonfly ask`: one question, or a file of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragonfly.cli import common

if TYPE_CHECKING:
    from dragonfly.imaging import LoadedImage

EXAMPLES = """
Ask one question about any number of images, or (--batch) a file of questions.

Examples:

  dragonfly ask scan.png "Is there a fracture?"

  dragonfly ask before.png after.png "What changed?" --zoom where.png

  dragonfly ask receipt.jpg "The total?" --json --set model.selection.keep=2

  dragonfly ask receipt.jpg "The total?" --why --zoom why.png

  dragonfly ask --batch rows.jsonl -o answers.jsonl

  dragonfly ask scan.png "Is there a fracture?" --server http://gpu-box:8000

A row of a batch is one line {"id": ANY, "image": PATH, "question": TEXT, "system": TEXT}; "images" takes a list of paths,
and only the question is needed. Paths are relative to the file. Run the same command again to resume where it stopped.
"""


def ask(
    words: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE...] QUESTION", help="Images, then the question.")] = None,
    model: common.Model = None,
    zoom: Annotated[Path | None, typer.Option(help="Write an image of where the model looked.")] = None,
    why: Annotated[bool, typer.Option("--why", help="Show what each sub-image contributed, by leaving it out.")] = False,
    json: common.Json = False,
    batch: Annotated[Path | None, typer.Option(help="A JSONL file of questions.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where a batch's answers go.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions answered together in a batch.")] = 8,
    system: common.System = None,
    max_new_tokens: common.MaxNewTokens = 256,
    temperature: common.Temperature = 0.0,
    top_p: common.TopP = 1.0,
    seed: common.Seed = 0,
    stop: common.Stop = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask this server instead (`dragonfly serve`); its key: DRAGONFLY_API_KEY.")
    ] = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    quantize: common.Quantize = None,
    device_map: common.DeviceMap = None,
    set: common.Overrides = None,
) -> int:
    options = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "stop": tuple(stop or ()),
    }
    loading = common.loading(model, device, dtype, quantize, device_map, set)
    if batch is not None:
        if server is not None:
            raise ValueError("--batch asks a model that runs here; leave --server out")
        if words:
            raise ValueError("--batch reads its questions from the file; leave the question and the images out")
        for option, given in (("--zoom", zoom), ("--why", why), ("--json", json), ("--system", system)):
            if given:
                raise ValueError(f"{option} is for one question; a batch writes JSON, and its rows have their own system message")
        if output is None:
            raise ValueError("--batch needs a file for the answers: -o answers.jsonl")
        return _ask_batch(batch, output, batch_size, loading, options)
    if output is not None:
        raise ValueError("--output is for the answers of --batch; one answer is printed (redirect it: > answer.txt)")
    if not words or not words[-1].strip():
        raise ValueError('nothing to ask; write: dragonfly ask IMAGE "QUESTION"')
    *images, question = words
    if server is not None:
        for option, given in (("--why", why), ("--set", set), ("--quantize", quantize), ("--device-map", device_map)):
            if given:
                raise ValueError(f"{option} is for a model that runs here; leave it out, or ask without --server")
        return _ask_server(server, images, question, system, model, zoom, json, options)
    return _ask_one(images, question, system, zoom, why, json, loading, options)


ask.__doc__ = EXAMPLES


def _ask_one(
    images: list[str],
    question: str,
    system: str | None,
    zoom: Path | None,
    why: bool,
    as_json: bool,
    loading: Any,
    options: Any,
) -> int:
    from dragonfly.imaging import load_image
    from dragonfly.inference import Options, load

    Options.of(**options)  # this and the images before the model is loaded, so that a slip costs no time
    if os.path.isfile(question):  # noqa: PTH113 - Path.is_file raises on a question too long for a name
        raise ValueError(f"the last word is the question, and '{question}' is a file; write: dragonfly ask IMAGE \"QUESTION\"")
    if zoom is not None and not images:
        raise ValueError("--zoom draws where the model looked in an image, and no image is given")
    if zoom is not None:
        for index in range(len(images)):
            common.check_image_target(common.numbered(zoom, index, len(images)), images)
    if why and not images:
        raise ValueError("--why tells what each sub-image contributed, and no image is given")
    loaded = [load_image(image) for image in images]
    engine = load(**loading)
    common.say_what_answers(loading["model"], len(images))
    policy = engine.processor.image_processor.image_policy
    loaded = [load_image(image, policy) for image in loaded]  # decoded again only where the model wants it otherwise
    answer = engine.ask(loaded, question, system=system, **options)
    for note in answer.notes:
        common.say(f"note: {note}")
    reasons = _explain(engine, loaded, question, system, answer) if why else None
    if zoom is not None:
        _write_zoom(loaded, question, answer, zoom, reasons)
    if as_json:
        common.print_json(answer.to_dict() if reasons is None else {**answer.to_dict(), "why": reasons.to_dict()})
    else:
        common.show(answer.text)
        if reasons is not None:
            _print_reasons(reasons, len(images))
    return 0


def _ask_server(
    url: str,
    images: list[str],
    question: str,
    system: str | None,
    model: str | None,
    zoom: Path | None,
    as_json: bool,
    options: Any,
) -> int:
    from dragonfly.files import atomic_write
    from dragonfly.serving.client import Server

    targets = [common.numbered(zoom, index, len(images)) for index in range(len(images))] if zoom is not None else []
    for target in targets:
        common.check_image_target(target, images)
        if target.suffix.lower() != ".png":
            raise ValueError(f"a server draws PNG, so --zoom needs a name that ends in .png, not '{target}'")
    asked = Server(url, os.environ.get("DRAGONFLY_API_KEY"))
    chosen = {**options, "max_tokens": options["max_new_tokens"], "stop": list(options["stop"]) or None, "model": model}
    del chosen["max_new_tokens"]
    response = asked.ask(images, question, system, **{key: value for key, value in chosen.items() if value is not None})
    for image, target in zip(images, targets, strict=False):
        with atomic_write(target, "wb") as file:
            file.write(asked.zoom(image, question))
        common.say(f"zoom image: {target}")
    if as_json:
        common.print_json(response)
    else:
        common.show(response["choices"][0]["message"]["content"])
    return 0


def _explain(engine: Any, images: list[LoadedImage], question: str, system: str | None, answer: Any) -> Any:
    from dragonfly.inference.occlusion import explain

    encoded = [engine.connect(image, question) for image in engine.encode(images)]
    return explain(engine, encoded, question, answer, system)


def _print_reasons(why: Any, images: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("sub-image", "left, top, right, bottom", "contribution", title="what the answer loses without it, in nats")
    for one in why.contributions:
        number = f"image {one.image + 1}, " if images > 1 else ""
        table.add_row(f"{number}{one.level} {one.index}", ", ".join(f"{edge:.0f}" for edge in one.box), f"{one.value:+.3f}")
    Console().print(table)


def _write_zoom(images: list[LoadedImage], question: str, answer: Any, path: Path, reasons: Any) -> None:
    """Where the model looked; with `reasons`, each kept sub-image with its contribution in place of the policy's score."""
    from dragonfly.cli.inspect import draw_answer

    for index, image in enumerate(images):
        target = common.numbered(path, index, len(images))
        selection = answer.selections[index] if reasons is None else reasons.scored(index, answer.selections[index])
        draw_answer(image.image, answer.layouts[index], selection, target, title=question)
        common.say(f"zoom image: {target}")


def _ask_batch(rows: Path, output: Path, batch_size: int, loading: Any, options: Any) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from dragonfly.files import lock
    from dragonfly.inference import Options, load
    from dragonfly.inference.batch import open_batch

    Options.of(**options)
    with lock(output):
        work = open_batch(rows, output)  # faults of the file show before the model is loaded
        if work.done:
            common.say(f"{work.done} of {work.total} answered before; resuming")
        engine = load(**loading)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("asking", total=work.total, completed=work.done)
            for _ in work.run(engine, batch_size, options):
                progress.advance(bar)
    common.say(f"{work.total} rows: {work.total - work.failed} answered, {work.failed} with errors -> {output}")
    return 1 if work.failed else 0
