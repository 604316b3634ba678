"""Real images: a model's answers on samples of VQA-RAD, ChartQA, SROIE and chest X-rays, beside what a guess would get.

Run: python benchmarks/realdata.py DATA --runs DIR [--model M]... [--limit N] [--prompt P] [--output FILE]

DATA holds vqa_rad/, chartqa_test_sample/, sroie_receipts_sample/ and cxr_sample/, each as its task reads it (`dragonfly tasks
NAME`); none of them comes with the project. A task whose folder is not there is an error, or is left out by --tasks.
Predictions stay in DIR, one run per model and task; running again resumes where it stopped, `dragonfly report` shows them. With
several models each is tested against the first. Promises that the result file names no folder of this machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from dragonfly.evaluation import Settings, compare, describe_model, evaluate, load_questions  # noqa: E402
from dragonfly.evaluation.report import headline, open_run  # noqa: E402
from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.inference import load  # noqa: E402

FOLDERS = {
    "vqa_rad": "vqa_rad",
    "chartqa": "chartqa_test_sample",
    "sroie": "sroie_receipts_sample",
    "cxr": "cxr_sample",
}
DEFAULT_OUTPUT = ROOT / "benchmarks" / "results" / "realdata.json"


def measure(model: str | None, settings: dict[str, Settings], runs: Path) -> tuple[str, dict[str, Any]]:
    """The model's name and, for every task, what its run found and took."""
    work = {task: load_questions(chosen) for task, chosen in settings.items()}  # faults of the data show before a model is loaded
    engine = load(model, device="cpu")
    described = {**describe_model(engine), "name": Path(engine.name).name}
    name = described["name"]
    tasks: dict[str, Any] = {}
    for task, chosen in settings.items():
        folder = runs / name / task
        evaluate(engine, described, chosen, work[task], folder, lambda label, done, total: _tell(name, label, done, total))
        tasks[task] = summary(folder, task)
        print(f"{name}, {headline(task, tasks[task])}")
    return name, {"model": described, "tasks": tasks}


def summary(folder: Path, task: str) -> dict[str, Any]:
    """A run's scores and costs; of questions that could not be asked only the ids, since a fault names a file."""
    run = open_run(folder)
    scores = run.scores[task]
    return {**scores, "broken": [row["id"] for row in scores["broken"]], "costs": run.costs[task]}


def _tell(name: str, label: str, done: int, total: int) -> None:
    print(f"{name} {label}: {done} of {total}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the samples")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs; kept and continued")
    parser.add_argument("--model", action="append", help="model folder; the bundled model if absent; repeatable")
    parser.add_argument("--tasks", nargs="+", choices=list(FOLDERS), default=list(FOLDERS))
    parser.add_argument("--limit", type=int, help="only the first questions of each task")
    parser.add_argument("--prompt", help="words round {question} in place of the tasks' own")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--note", default="", help="what a reader should know of this run")
    options = parser.parse_args()
    settings = {
        task: Settings(
            (task,),
            str(options.data / FOLDERS[task]),
            limit=options.limit,
            prompt=options.prompt,
            batch_size=options.batch_size,
        )
        for task in options.tasks
    }
    try:
        found = [measure(model, settings, options.runs) for model in options.model or [None]]
    except ValueError as error:
        sys.exit(f"error: {error}")
    models = dict(found)
    if len(models) < len(found):
        sys.exit(f"error: two models are called {found[0][0]}; give folders of different names")
    asked = {"limit": options.limit, "prompt": options.prompt, "note": options.note}
    document = {**result_header(), "benchmark": "realdata", **asked, "models": models}
    if len(models) > 1:
        folders = {task: [options.runs / name / task for name in models] for task in options.tasks}
        document["compared_with_the_first"] = {task: compare(paths)["tasks"][task] for task, paths in folders.items()}
    write_json(options.output, document)
    print(f"result: {options.output}")


if __name__ == "__main__":
    main()
