"""A study as data: one question, variants that differ in their encoder, training or data, and what is measured.

A study with a `recipe` trains its variants from one shared checkpoint (`dragonfly ablate`); one without asks the checkpoint
itself under changed encoders (`dragonfly lab sweep`). All that can be judged without opening a file is judged here. Knows no
model class and loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from dragonfly.config import Config, nearest, shipped_file, shipped_files

SPECS = Path(str(files("dragonfly"))) / "research" / "lab" / "specs"
NAME = r"[A-Za-z0-9][A-Za-z0-9 ._=,()x+-]*"  # a variant's name is a folder's


class Measure(Config):
    """A score: a metric of `evaluation` (or `words`, the length of a reply), over the questions whose meta agree with `where`.

    `where` maps a meta key to a value, a list of values, or {min, max} (both included); `answer` and `task` count as meta keys.
    """

    metric: str = "exact_match"
    where: dict[str, Any] = Field(default_factory=dict)


class Subset(Config):
    """Training rows of a manifest: those that agree with `where`, the first `images` of them, each `copies` times."""

    path: str
    where: dict[str, Any] = Field(default_factory=dict)
    images: int | None = Field(default=None, gt=0)
    copies: int = Field(default=1, gt=0)
    group_questions: int = Field(default=1, gt=0)


class Variant(Config):
    """What one variant has otherwise than the checkpoint and the study.

    `encoder` holds changes of the checkpoint's `vision.EncoderSpec` (`encoders.variant_encoder`), `recipe` of the study's recipe;
    `data` replaces its training rows. `seeds` replaces the study's.
    """

    encoder: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: list[Subset] | None = None
    seeds: list[int] | None = None


class Conclusion(Config):
    """A conclusion to be tested: `variant` scores higher than `over` on `measure`."""

    variant: str
    over: str
    measure: str


class Study(Config):
    """A study.

    Args:
        question: what it asks; `paper` names the table or section it repeats in small, or stays empty.
        checkpoint: a model directory, a hub name, or `nano`; every variant starts from it.
        data: rows that the variants are trained on.
        test: manifests, or names of `evaluation` tasks whose files lie in `benchmarks`; `limit` asks only the first questions of
            each.
        recipe: values of a training recipe but its name, start, data and output; `base` names a shipped one to begin with.
        same: what the trained variants have in common beside data and seed: `steps`, or `flops` (steps follow from `planning`).
        seeds: of every variant that names none of its own.
        reference: the variant that all others are tested against; `random`: the variant that chooses by chance.
        vary: sweep only: encoder keys (`selection.policy`, `mid.pool`) and their values; every combination is a variant.
        minutes: a guide for the person who starts it, per variant and seed on two cores.
        needs: data that is gated or not shipped, named.
    """

    name: str = Field(pattern=r"[a-z0-9][a-z0-9-]*")
    question: str
    paper: str = ""
    checkpoint: str = "nano"
    data: list[Subset] = Field(default_factory=list)
    test: list[str]
    benchmarks: str | None = None
    limit: int | None = Field(default=None, gt=0)
    max_new_tokens: int = Field(default=16, gt=0)
    batch_size: int = Field(default=16, gt=0)
    text_tokens: int = Field(default=32, ge=0)
    recipe: dict[str, Any] | None = None
    same: Literal["steps", "flops"] = "steps"
    seeds: list[int] = Field(default_factory=lambda: [0])
    measures: dict[str, Measure] = Field(default_factory=lambda: {"all": Measure()})
    reference: str
    random: str | None = None
    conclusions: list[Conclusion] = Field(default_factory=list)
    variants: dict[str, Variant] = Field(default_factory=dict)
    vary: dict[str, list[Any]] = Field(default_factory=dict)
    minutes: float | None = Field(default=None, gt=0)
    needs: str = ""

    @classmethod
    def load(cls, path: str | Path | None, overrides: Sequence[str] = (), *, base: dict[str, Any] | None = None) -> Self:
        """A study from a file, or from the package by name (`table1`, `full/table1`), with `key.sub=value` overrides."""
        return super().load(None if path is None else shipped_file(path, shipped_files(SPECS), "study"), overrides, base=base)

    @model_validator(mode="before")
    @classmethod
    def _expanded(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("test"), str):
            values = {**values, "test": [values["test"]]}
        if isinstance(values, dict) and isinstance(values.get("vary"), dict) and values["vary"]:
            values = {**values, "variants": {**combinations(values["vary"]), **(values.get("variants") or {})}}
        return values

    @model_validator(mode="after")
    def _agree(self) -> Self:
        faults = [*self._variant_faults(), *self._name_faults(), *self._training_faults()]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _variant_faults(self) -> list[str]:
        import re

        if not self.variants:
            return ["variants is empty; name at least one"]
        faults = [f"variant {name!r} cannot be a folder's name" for name in self.variants if not re.fullmatch(NAME, name)]
        for name, variant in self.variants.items():
            seeds = self.seeds_of(name)
            if not seeds or len(set(seeds)) < len(seeds):
                faults.append(f"variant {name!r} has the seeds {seeds}; give one or more, each once")
            if self.recipe is None and (variant.recipe or variant.data):
                faults.append(f"variant {name!r} changes its training, and the study has no recipe")
        return faults

    def _name_faults(self) -> list[str]:
        given = [("reference", self.reference), *([("random", self.random)] if self.random else [])]
        for number, one in enumerate(self.conclusions):
            given += [(f"conclusions.{number}.variant", one.variant), (f"conclusions.{number}.over", one.over)]
        faults = [f"{key}: variant {nearest(name, self.variants)}" for key, name in given if name not in self.variants]
        faults += [
            f"conclusions: measure {nearest(h.measure, self.measures)}"
            for h in self.conclusions
            if h.measure not in self.measures
        ]
        if self.conclusions and self.random is None:
            faults.append("a headline needs its random baseline: name the variant that chooses by chance under `random`")
        return faults

    def _training_faults(self) -> list[str]:
        if self.recipe is None:
            return ["data is for training, and the study has no recipe"] if self.data else []
        faults = ["vary is for studies without a recipe; write the variants out"] if self.vary else []
        bare = [name for name, variant in self.variants.items() if not (variant.data or self.data)]
        faults += [f"variant {name!r} has no data to train on" for name in bare]
        own = sorted({"name", "init_from", "output", "seed", "data"} & set(self.recipe))
        if own and own != ["data"]:
            faults.append(f"recipe.{own[0]} is the study's own to set; leave it out")
        return faults

    def seeds_of(self, variant: str) -> list[int]:
        """The seeds that a variant is run with."""
        own = self.variants[variant].seeds
        return self.seeds if own is None else own

    def jobs(self, variant: str | None = None) -> list[tuple[str, int]]:
        """(variant, seed) in the order of work: every variant's first seed, then the second ones.

        One variant's alone if named.
        """
        if variant is not None and variant not in self.variants:
            raise ValueError(f"variant {nearest(variant, self.variants)}")
        names = [variant] if variant else list(self.variants)
        most = max(len(self.seeds_of(name)) for name in names)
        return [(name, self.seeds_of(name)[turn]) for turn in range(most) for name in names if turn < len(self.seeds_of(name))]


def combinations(vary: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """`{"selection.policy": [a, b], "selection.keep": [1, 2]}` -> four variants, named `policy=a keep=1` and so on."""
    variants: dict[str, dict[str, Any]] = {}
    for values in product(*vary.values()):
        changes: dict[str, Any] = {}
        for key, value in zip(vary, values, strict=True):
            owner, _, field = key.rpartition(".")
            changes = {**changes, owner: {**changes.get(owner, {}), field: value}} if owner else {**changes, field: value}
        name = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in zip(vary, values, strict=True))
        variants[name] = {"encoder": changes}
    return variants


def shipped_studies() -> list[str]:
    """Names of the studies in the package."""
    return list(shipped_files(SPECS))


def agrees(meta: dict[str, Any], where: dict[str, Any]) -> bool:
    """Whether meta has, for every key, the value, one of the values, or a number from min to max."""
    return all(key in meta and _is(meta[key], wanted) for key, wanted in where.items())


def _is(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return wanted.get("min", float("-inf")) <= value <= wanted.get("max", float("inf"))
    return value in wanted if isinstance(wanted, list) else value == wanted
