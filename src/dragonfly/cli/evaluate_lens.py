"""`dragonfly eval --lens`: every method of a lens asks the same questions at equal cost, each a run, and all side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dragonfly.cli import common
from dragonfly.cli.report import show_comparison, show_run


@dataclass(frozen=True)
class LensOptions:
    """What the command line says of a lens; `refused` are the options given that a lens does not take."""

    model: str | None
    device: str
    dtype: str
    methods: str
    max_tokens: int | None
    max_calls: int | None
    refused: list[str]


def evaluate_lens(options: LensOptions, settings: Any, out: Path | None, judge: Any, *, as_json: bool) -> int:
    """One method is a run in `out`. Several are runs in `out`/METHOD, set against each of the controls among them.

    The exit code is that of `dragonfly eval`: 1 where a question could not be asked. ValueError for a user's mistake, before a
    model is loaded where it can be seen there.
    """
    from dragonfly.evaluation import describe_model, load_questions, run
    from dragonfly.evaluation.lens import CONTROLS, askable, methods_of
    from dragonfly.lens import Lens
    from dragonfly.lens.asker import MAX_CALLS, MAX_TOKENS, LensAsker
    from dragonfly.lens.loading import load_pair

    if options.refused:
        raise ValueError(f"--lens does not take {' and '.join(options.refused)}; leave that out, or --lens")
    methods = methods_of(options.methods)
    budget = {"max_tokens": options.max_tokens or MAX_TOKENS, "max_calls": options.max_calls or MAX_CALLS}
    loaded_work = load_questions(settings)
    work = askable(loaded_work, methods)
    for one, all_of_it in zip(work, loaded_work, strict=True):
        if left_out := len(all_of_it.questions) - len(one.questions):
            common.say(
                f"note: {one.task.name}: {left_out} questions without evidence are asked of no method, for oracle has none"
            )
    model, processor, name = load_pair(options.model, options.device, options.dtype)
    loaded: Any = SimpleNamespace(model=model, processor=processor, name=name, device=model.device)
    known, folder = describe_model(loaded), out or Path(f"eval-{Path(name).name}-lens")
    several, code = len(methods) > 1, 0
    folders = {method: folder / method if several else folder for method in methods}
    for method, place in folders.items():
        asker, asked = LensAsker(Lens((model, processor), method=method), **budget), replace(settings, lens=method, **budget)
        finish = partial(run.evaluate, asker, known, asked, work, place, judge=judge)
        scores = common.with_progress(lambda progress, finish=finish: finish(progress=progress))
        code |= show_run(scores, place, as_json=as_json and not several, brief=several)
    for control in [method for method in methods if method in CONTROLS] or methods[:1] if several else ():
        others = [place for method, place in folders.items() if method != control]
        show_comparison([folders[control], *others], folder / f"comparison-{control}.md", as_json=as_json)
    return code
