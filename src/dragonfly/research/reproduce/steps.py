"""The steps that lead to a table, each a command line: curate, train, ask. A finished step is known by what it wrote.

Which recipe follows which, and which mix a recipe reads, is read from the shipped recipes (`lab.chain`); which tasks belong to a
table, from the figures that the paper prints (`evaluation.report.reported`), or from the study that repeats the table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from dragonfly.config import nearest
from dragonfly.data.manifest import NAME as MANIFEST
from dragonfly.evaluation import TASKS
from dragonfly.evaluation.report import Figure, reported
from dragonfly.files import ORIGIN
from dragonfly.research.curriculum import HOOKS
from dragonfly.research.lab.chain import Stage, launch, leading_to, mix_of, paths_of, stages
from dragonfly.research.lab.recipes import JOB, base_of, job_folder
from dragonfly.research.lab.run import RESULT
from dragonfly.research.lab.study import Study
from dragonfly.training import Recipe
from dragonfly.training.recipe import shipped_recipes

STUDIES = {"table1": "full/table1", "table5": "full/table5", "table6": "full/table6"}
"""Tables that compare encoders: each is a study of the lab."""
LAST_STAGES = {"table2": "general/stage2", "table3": "med/stage3", "table4": "med/stage3"}
"""Tables that score one model: the last of its stages, without the version."""
TABLES = tuple(sorted({**STUDIES, **LAST_STAGES}))

OF_THE_CHAIN = ("name", "init_from", "data.train", "output")


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        table: one of `TABLES`.
        preset: the version of the recipes, for a table that scores one model.
        gpus: devices that a stage is trained on.
        benchmarks: the folder with the files of the tasks, or one folder per task.
        judge: address and model of the judge, for judged tasks.
        without: tasks that are left out.
        tower, language_model: in place of the first recipe's.
        changes: `key=value` for every training.
        limit: ask only the first questions of each task.
        max_new_tokens: of an answer; None for each task's own.
    """

    table: str
    preset: str | None = None
    gpus: int = 8
    benchmarks: str = "data/benchmarks"
    judge: tuple[str, str] | None = None
    without: tuple[str, ...] = ()
    tower: str | None = None
    language_model: str | None = None
    changes: tuple[str, ...] = ()
    limit: int | None = None
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.table not in TABLES:
            raise ValueError(f"table {nearest(self.table, TABLES)}")
        if self.table in STUDIES and self.preset not in (None, "v1"):
            raise ValueError(f"{self.table} compares presets itself, so it takes no --preset; see `dragonfly lab studies`")
        if self.table in LAST_STAGES and self.stage not in shipped_recipes():
            known = [name.rpartition("-")[2] for name in shipped_recipes() if name.startswith(f"{LAST_STAGES[self.table]}-")]
            raise ValueError(f"preset {nearest(self.version, known)}")
        if own := [change for change in self.changes if _of_the_chain(change.partition("=")[0].strip())]:
            raise ValueError(
                f"{own[0]}: the chain sets {', '.join(OF_THE_CHAIN)}; begin with --tower and --language-model instead"
            )
        for name in self.without:
            if name not in self.tasks_in_full:
                raise ValueError(f"--without: task {nearest(name, self.tasks_in_full)}")
        if not self.tasks:
            raise ValueError(f"--without leaves no task of {self.table}; leave one in")

    def check_judge(self) -> None:
        """ValueError where a task is scored by a judge and none is named; a plan needs none."""
        judged = [name for name in self.tasks if TASKS[name].rubric is not None]
        if judged and self.judge is None:
            leave = " ".join(f"--without {name}" for name in judged)
            raise ValueError(f"{', '.join(judged)}: scored by a judge; name one: --judge URL --judge-model NAME, or {leave}")

    @property
    def title(self) -> str:
        """As the paper names the table."""
        return f"Table {self.table.removeprefix('table')}"

    @property
    def version(self) -> str:
        return self.preset or "v1"

    @property
    def stage(self) -> str:
        """The recipe whose model is scored."""
        return f"{LAST_STAGES[self.table]}-{self.version}"

    @property
    def study(self) -> Study | None:
        """The study that repeats the table, with what was asked; None for a table that scores one model."""
        return Study.load(STUDIES[self.table], self.study_changes) if self.table in STUDIES else None

    @property
    def study_changes(self) -> list[str]:
        """The overrides of the study's command."""
        full = Study.load(STUDIES[self.table])
        changes = [f"recipe.{change}" for change in self.changes]
        if self.benchmarks != full.benchmarks:
            changes.append(f"benchmarks={self.benchmarks}")
        asked = {"limit": self.limit, "max_new_tokens": self.max_new_tokens}
        changes += [f"{key}={value}" for key, value in asked.items() if value is not None]
        if self.without:
            changes.append(f"test=[{', '.join(name for name in full.test if name not in self.without)}]")
            changes += [f"measures.{name}=null" for name, one in full.measures.items() if one.where.get("task") in self.without]
        return changes

    @property
    def figures(self) -> list[Figure]:
        """What the paper prints in the table; for v2 also what the later version's abstract prints of the same measures."""
        found = [one for one in reported() if one.source.partition(";")[0].partition(" (")[0] == self.title]
        measures = {one.measure for one in found}
        later = [one for one in reported() if one.version == self.version != "v1" and one.measure in measures]
        return found + later

    @property
    def measures(self) -> dict[str, tuple[str, str]]:
        """{measure of the paper: (our task, our metric)}: the study's, or the first that `reported` names."""
        asked: set[tuple[str, str]] | None = None
        if self.table in STUDIES:
            asked = {(str(one.where["task"]), one.metric) for one in Study.load(STUDIES[self.table]).measures.values()}
        found: dict[str, tuple[str, str]] = {}
        for figure in self.figures:
            pairs = [(task, metric) for task, (metric, _) in figure.beside.items()]
            found[figure.measure] = next(pair for pair in pairs if asked is None or pair in asked)
        return found

    @property
    def tasks_in_full(self) -> list[str]:
        return list(dict.fromkeys(task for task, _ in self.measures.values()))

    @property
    def tasks(self) -> list[str]:
        """The tasks that are asked."""
        return [name for name in self.tasks_in_full if name not in self.without]

    @property
    def chain(self) -> list[Stage]:
        """The recipes that come first, from the first on; for a study those that lead to its checkpoint."""
        study = self.study
        return stages(self.stage) if study is None else leading_to(study.checkpoint)

    @property
    def folder(self) -> Path:
        """Where the table, and what is asked for it, is written."""
        return Path("runs") / STUDIES.get(self.table, f"{self.table}-{self.version}")


def _of_the_chain(key: str) -> bool:
    return any(f"{key}.".startswith(f"{name}.") or f"{name}.".startswith(f"{key}.") for name in OF_THE_CHAIN)


@dataclass(frozen=True)
class Step:
    """One command and the files that it leaves behind.

    Args:
        kind: curate, train, recipes, ablate, eval; or data, which is brought and has no command.
        words: the command; empty for data.
        outputs: all there once the step is finished.
        recipe: of a training; None where it is not written yet.
        mix: of a curation.
    """

    kind: str
    words: tuple[str, ...]
    outputs: tuple[Path, ...]
    recipe: Recipe | None = field(default=None, repr=False)
    mix: str | None = None

    @property
    def done(self) -> bool:
        if self.kind == "ablate" and all(path.is_file() for path in self.outputs):
            return not json.loads(self.outputs[0].read_text(encoding="utf-8"))["unfinished"]
        return all(path.exists() or _taken_over(path) for path in self.outputs)


def _taken_over(path: Path) -> bool:
    """Whether the study needs neither recipe nor model of a job any more: it is finished, or was copied from another study."""
    return any((folder / JOB).is_file() for folder in (path.parent, path.parent.parent))


def steps_of(request: Request) -> list[Step]:
    """All steps of a table, in order. Opens no data and loads no weights."""
    found: list[Step] = []
    for place, stage in enumerate(request.chain):
        own = list(request.changes)
        if place == 0:
            own += [f"init_from.tower={request.tower}"] if request.tower else []
            own += [f"init_from.language_model={request.language_model}"] if request.language_model else []
        recipe = Recipe.load(stage.name, own, hooks=HOOKS)
        found += _data(recipe, found)
        words = launch([stage.name, *own], recipe, request.gpus)
        found.append(Step("train", tuple(words), (Path(recipe.output) / ORIGIN,), recipe))
    study = request.study
    return [*found, *(_asking(request) if study is None else _ablation(request, study, found))]


def _data(recipe: Recipe, before: list[Step]) -> list[Step]:
    """What makes a recipe's rows, without what an earlier step makes."""
    steps: list[Step] = []
    for path in paths_of(recipe):
        mix = mix_of(path)
        if mix is None:
            steps.append(Step("data", (), (Path(path),)))
        else:
            steps.append(Step("curate", ("dragonfly", "curate", mix, "-o", path), (Path(path) / MANIFEST,), mix=mix))
    known = {output for step in before for output in step.outputs}
    return [step for step in steps if step.outputs[0] not in known]


def _judge(request: Request) -> tuple[str, ...]:
    judged = any(TASKS[name].rubric is not None for name in request.tasks)
    url, model = request.judge or ("URL", "NAME")  # to be filled in where a plan is printed
    return ("--judge", url, "--judge-model", model) if judged else ()


def _asking(request: Request) -> list[Step]:
    model = request.chain[-1].recipe.output
    words = ("dragonfly", "eval", "--model", model, "--tasks", ",".join(request.tasks), "--data", request.benchmarks)
    asked = {"--limit": request.limit, "--max-new-tokens": request.max_new_tokens}
    options = [word for key, value in asked.items() if value is not None for word in (key, str(value))]
    out = request.folder / "eval"
    words = (*words, "--no-baselines", "--out", str(out), *options, *_judge(request))
    return [Step("eval", words, (out / "scores.json",))]


def _ablation(request: Request, study: Study, before: list[Step]) -> list[Step]:
    """The study's recipes, a training for each, and the study itself, which asks the trained variants."""
    base = base_of(study)
    assert base is not None  # a full-size study begins with a shipped recipe
    out = request.folder
    ablate = ("dragonfly", "ablate", STUDIES[request.table], *request.study_changes, "-o", str(out))
    folders = [job_folder(out, variant, seed) for variant, seed in study.jobs()]
    written = tuple(folder / "recipe.yaml" for folder in folders)
    changed = Recipe.load(study.recipe["base"], _as_overrides(study), hooks=HOOKS) if study.recipe else base
    found = [*_data(base, before), Step("recipes", (*ablate, "--recipes", "--gpus", str(request.gpus)), written)]
    for folder, file in zip(folders, written, strict=True):
        words = launch([str(file)], changed, request.gpus)
        found.append(Step("train", tuple(words), (folder / "model" / ORIGIN,), changed))
    return [*found, Step("ablate", (*ablate, *_judge(request)), (out / RESULT,))]


def _as_overrides(study: Study) -> list[str]:
    """The study's recipe as overrides of its base, enough to plan a training by."""
    values = {key: value for key, value in (study.recipe or {}).items() if key != "base"}
    return [f"{key}={json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict)] + [
        f"{key}.{name}={json.dumps(below)}"
        for key, value in values.items()
        if isinstance(value, dict)
        for name, below in value.items()
    ]
