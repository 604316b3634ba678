"""What `dragonfly ask` does with a model that runs here: one question about images together or each, or a file of questions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dragonfly.cli import common, images
from dragonfly.cli import lens as lenses
from dragonfly.cli.images import Named

if TYPE_CHECKING:
    from dragonfly.imaging import LoadedImage


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

    def through_lens(self) -> bool:
        return self.lens.needed(self.loading["model"])

    def load(self) -> Any:
        """The model that answers: ours, or any through a lens."""
        from dragonfly.inference import load

        if self.through_lens():
            lacking = {
                "--why": self.why,
                "--sr": self.sr is not None,
                "--system": self.system is not None,
                "--temperature": self.options["temperature"] != 0,
                "--top-p": self.options["top_p"] != 1,
                "--stop": bool(self.options["stop"]),
            }
            return self.lens.open(self.loading, lacking, images.policy_of(self.policy), self.options["seed"])
        engine = load(**self.loading)
        engine.image_options = self.policy
        return engine

    def together(self, given: list[Named], question: str) -> int:
        """One question about all images."""
        self._check_targets(given)
        if len(given) > 1 and self.through_lens():
            raise ValueError(f"a lens looks at one image, and {len(given)} are given; ask about each by itself: --each")
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

    def batch(self, rows: Path, output: Path, batch_size: int, reuse_prompts: bool) -> int:
        """A file of questions into a file of answers; a bad row is named there and does not end it."""
        from rich.console import Console
        from rich.progress import Progress

        from dragonfly.files import lock
        from dragonfly.inference.batch import open_batch

        self.check()
        with lock(output):
            work = open_batch(rows, output)  # faults of the file show before the model is loaded
            lensed = self.through_lens()
            if lensed and reuse_prompts:
                raise ValueError("--reuse-prompts is not there with a lens: questions have views of their own; leave it out")
            if work.done:
                common.say(f"{work.done} of {work.total} answered before; resuming")
            engine = self.load()
            if not lensed:
                engine.reuse_prompts = reuse_prompts
            with Progress(console=Console(stderr=True), transient=True) as progress:
                bar = progress.add_task("asking", total=work.total, completed=work.done)
                # A lens asks row by row, so that each answer is in the file as soon as it is there.
                for _ in work.run(engine, 1 if lensed else batch_size, self.options):
                    progress.advance(bar)
        common.say(f"{work.total} rows: {work.total - work.failed} answered, {work.failed} with errors -> {output}")
        return 1 if work.failed else 0

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
