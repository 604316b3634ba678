"""`dragonfly ask`: one question about images together or each, or a file of questions."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragonfly.cli import common, images
from dragonfly.cli import lens as lenses
from dragonfly.cli.images import Named

if TYPE_CHECKING:
    from dragonfly.imaging import LoadedImage

EXAMPLES = """
Ask a question about an image, or about several together; each image of a folder; or (--batch) a file of questions.

Examples:

  dragonfly ask scan.png "Is there a fracture?"

  dragonfly ask before.png after.png "What changed?" --zoom where.png

  dragonfly ask scan.pdf#2 "The total?" --json --set model.selection.keep=2

  dragonfly ask receipt.jpg "The total?" --why --zoom why.png

  dragonfly ask scans "Is there a fracture?" --model ./my-model

  dragonfly ask big.tif "Which street?" --model ./qwen --max-tokens 1024

  cat scan.png | dragonfly ask - "Is there a fracture?"

  dragonfly ask --batch rows.jsonl -o answers.jsonl

  dragonfly ask scan.png "Is there a fracture?" --server http://gpu-box:8000

A folder, a pattern ('scans/*.png') or --each asks about each image by itself: a line with its name, a tab and the answer.
A row of a batch is one line {"id": ANY, "image": PATH, "question": TEXT, "system": TEXT}; "images" takes a list of paths,
and only the question is needed. Paths are relative to the file. Run the same command again to resume where it stopped.
"""


def ask(
    words: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE...] QUESTION", help="Images, then the question.")] = None,
    model: common.Model = None,
    zoom: Annotated[Path | None, typer.Option(help="Write an image of where the model looked.")] = None,
    why: Annotated[bool, typer.Option("--why", help="Show what each sub-image contributed, by leaving it out.")] = False,
    scores: common.Scores = False,
    sr: Annotated[
        Path | None, typer.Option("--sr", metavar="FILE", help="Write the answer about DICOM as a Structured Report.")
    ] = None,
    burned_in_check: images.BurnedInCheck = False,
    each: Annotated[bool, typer.Option("--each", help="Ask about each image by itself.")] = False,
    no_image: Annotated[bool, typer.Option("--no-image", help="Ask without an image.")] = False,
    json: common.Json = False,
    batch: Annotated[Path | None, typer.Option(help="A JSONL file of questions.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where a batch's answers go.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions answered together in a batch.")] = 8,
    reuse_prompts: Annotated[
        bool, typer.Option("--reuse-prompts", help="In a batch, read an image's tokens once for all its questions.")
    ] = False,
    allow_urls: images.AllowUrls = False,
    max_pixels: images.MaxPixels = None,
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
    method: lenses.Method = None,
    max_tokens: lenses.MaxTokens = None,
    max_calls: lenses.MaxCalls = None,
) -> int:
    options = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "stop": tuple(stop or ()),
    }
    asking = Asking(
        loading=common.loading(model, device, dtype, quantize, device_map, set),
        options=options,
        policy=images.allowed(allow_urls, max_pixels),
        system=system,
        zoom=zoom,
        why=why,
        scores=scores,
        json=json,
        sr=sr,
        burned_in_check=burned_in_check,
        lens=lenses.Wanted(method, max_tokens, max_calls),
    )
    if batch is not None:
        asking.lens.refuse("with --batch")
        if server is not None:
            raise ValueError("--batch asks a model that runs here; leave --server out")
        if words:
            raise ValueError("--batch reads its questions from the file; leave the question and the images out")
        for option, given in (
            ("--zoom", zoom),
            ("--why", why),
            ("--json", json),
            ("--system", system),
            ("--each", each),
            ("--sr", sr),
        ):
            if given:
                raise ValueError(f"{option} is for one question; a batch writes JSON, and its rows have their own system message")
        if output is None:
            raise ValueError("--batch needs a file for the answers: -o answers.jsonl")
        return _ask_batch(batch, output, batch_size, asking, reuse_prompts)
    if output is not None or reuse_prompts:
        alone = "--output is for the answers of --batch; one answer is printed (redirect it: > answer.txt)"
        raise ValueError(alone if output is not None else "--reuse-prompts is for the questions of --batch; leave it out")
    asking.check()
    given, question = split(words or [], no_image)
    grouped = each or any(map(images.is_group, given))
    if server is not None:
        asking.lens.refuse("with --server")
        local = {
            "--why": why,
            "--set": set,
            "--quantize": quantize,
            "--device-map": device_map,
            "--scores": scores,
            "--each": grouped,
            "--sr": sr is not None,
        }
        for option, is_given in local.items():
            if is_given:
                raise ValueError(f"{option} is for a model that runs here; leave it out, or ask without --server")
        return _ask_server(server, given, question, system, model, zoom, json, options)
    if grouped:
        if sr is not None:
            raise ValueError("--sr is for one question; leave --each out, or name the images of one study")
        return asking.each(images.each(given, files=each), question)
    return asking.together([image for word in given for image in images.apart(word)], question)


ask.__doc__ = EXAMPLES


def split(words: Sequence[str], no_image: bool) -> tuple[Sequence[str], str]:
    """The images and the question; a slip of the usual kinds raises a ValueError that says how to write it."""
    how = 'write: dragonfly ask IMAGE "QUESTION"'
    if not words or not words[-1].strip():
        raise ValueError(f"nothing to ask; {how}")
    *given, question = words
    folder = os.path.isdir(question)  # noqa: PTH112 - Path raises on long names
    if os.path.isfile(question) or (len(words) == 1 and folder):  # noqa: PTH113
        raise ValueError(f"the last word is the question, and '{question}' is a {'folder' if folder else 'file'}; {how}")
    if images.looks_like_image(question) and not set(question) & set(" ?\n"):
        raise ValueError(f"the last word is the question, and '{question}' is named like an image, of which there is none; {how}")
    if no_image and given:
        raise ValueError(f"--no-image asks without an image, and '{given[0]}' is given; leave one of the two out")
    if not given and not no_image:
        raise ValueError(f"no image is given, only a question; {how}, or add --no-image to ask without one")
    return given, question


class Asking:
    """What the options ask for, whatever the images are."""

    def __init__(
        self,
        loading: dict[str, Any],
        options: dict[str, Any],
        policy: dict[str, Any],
        system: str | None,
        zoom: Path | None,
        why: bool,
        scores: bool,
        json: bool,
        sr: Path | None,
        burned_in_check: bool,
        lens: lenses.Wanted,
    ) -> None:
        self.lens = lens
        self.sr, self.burned_in_check = sr, burned_in_check
        self.loading, self.options, self.policy, self.system = loading, options, policy, system
        self.zoom, self.why, self.scores, self.json = zoom, why, scores, json

    def check(self) -> None:
        from dragonfly.inference import Options

        Options.of(**self.options)  # before the model is loaded, so that a slip costs no time
        if self.scores and self.zoom is None:
            raise ValueError("--scores writes the policy's scores into the zoom image; say where it goes: --zoom FILE")

    def load(self, batch: bool = False) -> Any:
        """The model that answers: ours, or any through a lens."""
        from dragonfly.inference import load

        if not batch and self.lens.needed(self.loading["model"]):
            lacking = {"--why": self.why, "--sr": self.sr is not None, "--system": self.system is not None}
            return self.lens.open(self.loading, self.options, lacking, images.policy_of(self.policy))
        engine = load(**self.loading)
        engine.image_options = self.policy
        return engine

    def together(self, given: list[Named], question: str) -> int:
        """One question about all images."""
        self._check_targets(given)
        policy = images.policy_of(self.policy)
        sources = common.check_report(self.sr, [image.name for image in given]) if self.sr is not None else []
        loaded = [image.load(policy) for image in given]
        if self.burned_in_check:
            images.say_burned_in(given)
        engine = self.load()
        common.say_what_answers(self.loading["model"], len(given))
        if len(given) > 2:
            common.say(f"note: one question about {len(given)} images together; --each asks about each by itself")
        answer, reasons = self._answer(engine, loaded, question, [self.zoom] if len(given) < 2 else self._targets(len(given)))
        if self.sr is not None:
            _write_report(answer, question, sources, engine, self.sr)
        if self.json:
            common.print_json(answer.to_dict() if reasons is None else {**answer.to_dict(), "why": reasons.to_dict()})
            return 0
        common.show(answer.text)
        if sys.stdout.isatty():
            _say_details(answer)
        if reasons is not None:
            _print_reasons(reasons, len(given))
        return 0

    def each(self, given: list[Named], question: str) -> int:
        """The question about each image by itself; a bad image is named and does not end it."""
        import json

        self._check_targets(given)
        if self.burned_in_check:
            images.say_burned_in(given)
        engine = self.load()
        common.say_what_answers(self.loading["model"], 1)
        policy, failed = images.policy_of(self.policy), 0
        for image, target in zip(given, self._targets(len(given)), strict=True):
            try:
                answer, reasons = self._answer(engine, [image.load(policy)], question, [target])
            except ValueError as error:
                failed += 1
                common.say(f"error: {' '.join(str(error).split())}")
                if self.json:
                    typer.echo(json.dumps({"image": image.name, "error": str(error)}, ensure_ascii=False))
                continue
            if self.json:
                record = {"image": image.name, **answer.to_dict(), **({"why": reasons.to_dict()} if reasons else {})}
                typer.echo(json.dumps(record, ensure_ascii=False))
                continue
            common.show(f"{image.name}\t{' '.join(answer.text.split())}")
            if sys.stdout.isatty():
                _say_details(answer)
            if reasons is not None:
                _print_reasons(reasons, 1)
        if failed:
            common.say(f"{len(given)} images: {len(given) - failed} answered, {failed} with errors")
        return 1 if failed else 0

    def _answer(self, engine: Any, loaded: list[LoadedImage], question: str, targets: Sequence[Path | None]) -> tuple[Any, Any]:
        """The answer, and with --why its reasons; zoom images are written on the way."""
        from dragonfly.imaging import load_image

        loaded = [load_image(image, engine.image_policy) for image in loaded]  # again only where the model wants it otherwise
        answer = engine.ask(loaded, question, system=self.system, **self.options)
        common.say_notes(answer.notes)
        reasons = None
        if self.why:
            from dragonfly.inference.occlusion import explain

            encoded = [engine.connect(image, question) for image in engine.encode(loaded)]
            reasons = explain(engine, encoded, question, answer, self.system)
        if self.zoom is not None:
            from dragonfly.cli.inspect import draw_answer

            for index, (image, target) in enumerate(zip(loaded, targets, strict=True)):
                assert target is not None
                draw_answer(image.image, target, answer, index, question=question, reasons=reasons, scores=self.scores)
                common.say(f"zoom image: {target}")
        return answer, reasons

    def _targets(self, count: int) -> list[Path | None]:
        return [None if self.zoom is None else common.numbered(self.zoom, index, count) for index in range(count)]

    def _check_targets(self, given: list[Named]) -> None:
        for option, value, what in (
            ("--zoom", self.zoom, "draws where the model looked in an image"),
            ("--why", self.why, "tells what each sub-image contributed"),
        ):
            if value and not given:
                raise ValueError(f"{option} {what}, and no image is given")
        for target in self._targets(len(given)):
            if target is not None:
                common.check_image_target(target, [image.name for image in given])


def _write_report(answer: Any, question: str, sources: Sequence[tuple[str, int]], engine: Any, target: Path) -> None:
    from dragonfly.files import atomic_write
    from dragonfly.inference.structured_report import structured_report

    report = structured_report(answer, question, sources, engine)
    with atomic_write(target, "wb") as file:
        report.save_as(file, enforce_file_format=True)
    common.say(f"structured report, with the identifiers of patient and study: {target}")


def _ask_server(
    url: str,
    given: Sequence[str],
    question: str,
    system: str | None,
    model: str | None,
    zoom: Path | None,
    as_json: bool,
    options: Any,
) -> int:
    from dragonfly.files import atomic_write
    from dragonfly.imaging import each_image
    from dragonfly.serving.client import Server

    given = [name for word in given for name, _ in each_image(word)]
    targets = [common.numbered(zoom, index, len(given)) for index in range(len(given))] if zoom is not None else []
    for target in targets:
        common.check_image_target(target, given)
        if target.suffix.lower() != ".png":
            raise ValueError(f"a server draws PNG, so --zoom needs a name that ends in .png, not '{target}'")
    asked = Server(url, os.environ.get("DRAGONFLY_API_KEY"))
    chosen = {**options, "max_tokens": options["max_new_tokens"], "stop": list(options["stop"]) or None, "model": model}
    del chosen["max_new_tokens"]
    response = asked.ask(given, question, system, **{key: value for key, value in chosen.items() if value is not None})
    for image, target in zip(given, targets, strict=False):
        with atomic_write(target, "wb") as file:
            file.write(asked.zoom(image, question))
        common.say(f"zoom image: {target}")
    if as_json:
        common.print_json(response)
    else:
        common.show(response["choices"][0]["message"]["content"])
    return 0


def _say_details(answer: Any) -> None:
    """For a person at the terminal: how sure, how long, and where it looked, in words."""
    from dragonfly.inference.words import looked_closely, sureness

    parts = [sureness(answer.confidence), f"{answer.timings['total']:.1f} s"]
    for number, (layout, selection) in enumerate(zip(answer.layouts, answer.selections, strict=True), start=1):
        where = looked_closely(layout, [item.index for item in selection if item.kept])
        parts.append(where if len(answer.layouts) == 1 else f"image {number}: {where}")
    if answer.finish == "length":
        parts.append(f"cut off after {len(answer.token_ids)} tokens (--max-new-tokens)")
    common.say(" · ".join(parts))


def _print_reasons(why: Any, count: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("sub-image", "left, top, right, bottom", "contribution", title="what the answer loses without it, in nats")
    for one in why.contributions:
        number = f"image {one.image + 1}, " if count > 1 else ""
        table.add_row(f"{number}{one.level} {one.index}", ", ".join(f"{edge:.0f}" for edge in one.box), f"{one.value:+.3f}")
    Console().print(table)


def _ask_batch(rows: Path, output: Path, batch_size: int, asking: Asking, reuse_prompts: bool) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from dragonfly.files import lock
    from dragonfly.inference.batch import open_batch

    asking.check()
    with lock(output):
        work = open_batch(rows, output)  # faults of the file show before the model is loaded
        if work.done:
            common.say(f"{work.done} of {work.total} answered before; resuming")
        engine = asking.load(batch=True)
        engine.reuse_prompts = reuse_prompts
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("asking", total=work.total, completed=work.done)
            for _ in work.run(engine, batch_size, asking.options):
                progress.advance(bar)
    common.say(f"{work.total} rows: {work.total - work.failed} answered, {work.failed} with errors -> {output}")
    return 1 if work.failed else 0
