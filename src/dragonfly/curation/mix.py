"""A mix as data: which data sets go in, which steps they pass, how many rows come out. One YAML, complete, read into `Mix`.

Everything that can be checked without opening a data file is checked here, all faults at once: names of sources, steps and
options, their order, shares that fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dragonfly.config import Config, Key, nearest, shipped_file, shipped_files
from dragonfly.data import FORMATS, BadRow, Sample, read

from .options import STEPS, TEST, Count, Leak, Step
from .sources import SOURCES

MIXES = Path(str(files("dragonfly"))) / "curation" / "mixes"


class MixSource(Config):
    """One data set of a mix: a name of `SOURCES`, or any name with the `format` in which `dragonfly.data.read` reads `path`.

    `rows`: take this many, drawn by the mix's seed. `weight`: the share of its pool that it gets where a mixture's total
    leaves a choice (1 each by default). `exclude`: values of `meta["subset"]` to leave out, counted. `expected`: the
    paper's rows, None where the paper gives none. `domain` is read of sources with a `format`; the others state theirs.
    """

    name: str
    path: str
    format: str | None = None
    image_root: str | None = None
    domain: Literal["general", "biomedical"] = "general"
    weight: Annotated[float, Field(gt=0)] = 1.0
    rows: Count | None = None
    expected: Count | None = None
    exclude: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.format is None and self.name not in SOURCES:
            raise ValueError(f"source {nearest(self.name, SOURCES)}; or give the format that path has")
        if self.format is not None and self.format not in (*FORMATS, "auto", "manifest"):
            raise ValueError(f"format {nearest(self.format, (*FORMATS, 'auto', 'manifest'))}")
        return self

    @property
    def is_general(self) -> bool:
        return (self.domain if self.format else SOURCES[self.name].domain) == "general"

    @property
    def is_text(self) -> bool:
        """Whether the source is known to have no images; False with a `format`, where only its rows can show it."""
        return self.format is None and SOURCES[self.name].modality == "text"

    def read(self) -> Iterator[Sample | BadRow]:
        """Every row of the data set, those of excluded subsets too, for the caller to count."""
        if self.format is None:
            return SOURCES[self.name].read(self.path)
        return read(self.path, self.format, self.image_root)


class Mix(Config):
    """A mix, complete. `paths.NAME=FOLDER` and `evaluation=[...]` override where data lies without touching the file.

    A data set whose test split is compared with (`test:NAME`) lies in the source's folder, or in `data/NAME` where the mix does
    not train on it; `test_paths.NAME=FOLDER` names another.
    """

    name: str
    seed: int = 0
    sources: tuple[MixSource, ...]
    steps: tuple[Step, ...] = ()
    evaluation: tuple[str, ...] = ()
    test_paths: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def spelled_out(cls, key: Key, value: Any) -> list[tuple[Key, Any]]:
        """`paths.NAME` is short for `sources.NAME.path`."""
        match key:
            case "paths", name:
                return [(("sources", name, "path"), value)]
        return [(key, value)]

    @model_validator(mode="before")
    @classmethod
    def _placed(cls, data: Any) -> Any:
        """Put `evaluation` where it counts; what has another shape is left to the fields' own checks."""
        if not isinstance(data, dict) or not data.get("evaluation") or not isinstance(data.get("steps"), list | tuple):
            return data
        return {**data, "steps": [_with_evaluation(step, data["evaluation"]) for step in data["steps"]]}

    @field_validator("steps", mode="before")
    @classmethod
    def _known_steps(cls, steps: Any) -> Any:
        for step in steps if isinstance(steps, list | tuple) else ():
            name = step.get("step") if isinstance(step, dict) else None
            if isinstance(name, str) and name not in STEPS:
                raise ValueError(f"step {nearest(name, STEPS)}")
        return steps

    @field_validator("sources")
    @classmethod
    def _named_once(cls, sources: tuple[MixSource, ...]) -> tuple[MixSource, ...]:
        names = [source.name for source in sources]
        if not names:
            raise ValueError("a mix without sources gives nothing; list at least one")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the source {name!r} is listed {names.count(name)} times; list it once")
        return sources

    @model_validator(mode="after")
    def _fits(self) -> Self:
        known = [name for name, source in SOURCES.items() if source.held_out is not None]
        for entry in self.compared:
            name = entry.removeprefix(TEST)
            if entry.startswith(TEST) and name not in known:
                raise ValueError(f"{entry}: no test split; {nearest(name, known)}")
        for name in self.test_paths:
            if name not in self.held_out:
                raise ValueError(f"test_paths.{name}: {nearest(name, self.held_out)}")
        self._check_steps([step.step for step in self.steps])
        return self

    @property
    def compared(self) -> tuple[str, ...]:
        """Every evaluation set that a step `leak` compares with, once each."""
        return tuple(dict.fromkeys(entry for step in self.steps if isinstance(step, Leak) for entry in step.against))

    @property
    def held_out(self) -> dict[str, str]:
        """The data sets whose test splits are compared with, and their folders."""
        folders = {source.name: source.path for source in self.sources if source.format is None}
        names = [entry.removeprefix(TEST) for entry in self.compared if entry.startswith(TEST)]
        return {name: self.test_paths.get(name) or folders.get(name) or f"data/{name}" for name in names}

    def _check_steps(self, steps: list[str]) -> None:
        forms = {SOURCES[source.name].form for source in self.sources if source.format is None}
        for form, needed in (("label", "questions_from_labels"), ("caption", "instructions_from_captions")):
            if form in forms and needed not in steps:
                raise ValueError(f"a source holds {form}s and no conversations; add the step {needed}")
        if any(isinstance(step, Leak) and not step.against for step in self.steps):
            raise ValueError(
                "leak has nothing to compare with; give evaluation=[PATH, ...]: manifests, data files, a folder of benchmarks, "
                "test:NAME"
            )
        if "split" in steps[:-1]:
            raise ValueError(f"the step {steps[steps.index('split') + 1]!r} comes after split, which must be the last")
        if "mixture" not in steps and (drawn := [source.name for source in self.sources if source.rows is not None]):
            raise ValueError(f"rows is given for {', '.join(drawn)}, and the step mixture draws them; add it")


def _with_evaluation(step: Any, evaluation: Any) -> Any:
    if isinstance(step, dict) and step.get("step") == "leak" and not step.get("against"):
        return {**step, "against": evaluation}
    return step


def shipped_mixes() -> tuple[str, ...]:
    """The names of the mixes that come with the package."""
    return tuple(shipped_files(MIXES))


def default_output(mix: str | Path) -> Path | None:
    """Where a shipped mix is written, and where recipes look for it: `data/NAME`. None for a file of your own."""
    return Path("data") / mix if str(mix) in shipped_mixes() and not Path(mix).is_file() else None


def load_mix(mix: str | Path, overrides: Sequence[str] = ()) -> Mix:
    """The mix in a YAML file, or a shipped one by its name (`general`, `med-stage1`, ...), with `key=value` overrides."""
    loaded = Mix.load(shipped_file(mix, shipped_files(MIXES), "mix"), overrides)
    given = any(override.partition("=")[0].strip() == "evaluation" for override in overrides) and loaded.evaluation
    if given and not any(isinstance(step, Leak) and step.against == given for step in loaded.steps):
        raise ValueError(f"evaluation={list(given)} has no effect: no leak step takes it; add one, or change its `against`")
    return loaded
