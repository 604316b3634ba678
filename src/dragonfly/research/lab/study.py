"""A study as data: one question, variants that differ in their encoder, training or data, and what is measured.

A study with a `recipe` trains its variants from one checkpoint (`dragonfly ablate`); one without evaluates the checkpoint itself
under changed encoders (`dragonfly lab sweep`). All that can be checked without opening a file is checked here, without torch.
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
NAME = r"[A-Za-z0-9][A-Za-z0-9 ._=,()x+-]*"  # a variant's name is the name of a folder


class Measure(Config):
    """A score over the questions whose meta agree with `where`.

    Args:
        metric: a metric of `evaluation`, or `words`, the length of an answer in words.
        where: for a meta key, or `answer` or `task`, the value, a list of values, or {min, max} (both included).
    """

    metric: str = "exact_match"
    where: dict[str, Any] = Field(default_factory=dict)


class Subset(Config):
    """Training rows of a manifest: those that agree with `where`, on the first `images` images, each row `copies` times."""

    path: str
    where: dict[str, Any] = Field(default_factory=dict)
    images: int | None = Field(default=None, gt=0)
    copies: int = Field(default=1, gt=0)
    group_questions: int = Field(default=1, gt=0)


class Variant(Config):
    """The differences of one variant from the checkpoint and the study.

    Args:
        encoder: changes of the checkpoint's `vision.EncoderSpec` (`variants.variant_encoder`).
        recipe: changes of the study's recipe.
        data: replaces the study's training rows.
        after: a variant named before this one; its trained model of the same seed takes the checkpoint's place.
        share: with `same: flops`, the part of the reference's training FLOPs that this variant spends itself.
        row_tokens: with `same: flops`, tokens of a training row besides the image; None for the study's `text_tokens`.
        seeds: replace the study's.
        paper: the row of the paper's table that the variant repeats, in the words of `evaluation.report.reported`.
    """

    encoder: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: list[Subset] | None = None
    after: str | None = None
    share: float = Field(default=1.0, gt=0.0, le=1.0)
    row_tokens: int | None = Field(default=None, gt=0)
    seeds: list[int] | None = None
    paper: str | None = None


class Conclusion(Config):
    """A hypothesis: `variant` scores higher than `over` on `measure`."""

    variant: str
    over: str
    measure: str


class Study(Config):
    """A study.

    Args:
        name: lower-case letters, digits and hyphens.
        question: what the study asks.
        paper: the table or section of the paper that it repeats in miniature, or empty.
        checkpoint: a model directory, a hub name, or `nano`; every variant starts from it.
        data: rows that the variants are trained on; where there are none, those of the recipe's `base`.
        test: manifests, or names of `evaluation` tasks.
        benchmarks: the folder with the files of those tasks.
        limit: use only the first questions of each test set; None for all.
        max_new_tokens, batch_size: of the evaluation; with max_new_tokens null each task's own.
        text_tokens: tokens of a prompt besides the image, for the computed costs.
        recipe: values of a training recipe without name, start, data and output; `base` names a shipped recipe to begin with.
        same: what the trained variants share beside data and seeds: `steps`, or `flops` (steps follow from `planning`).
        seeds: of every variant that names none of its own.
        measures: the scores, by name; `measures.NAME=null` leaves one out.
        reference: the variant that all others are tested against.
        random: the variant that selects at random, the baseline of every conclusion.
        conclusions: hypotheses that the report answers in a sentence.
        variants: by name.
        vary: of a sweep: encoder keys (`selection.policy`, `mid.pool`) and their values; every combination is a variant.
        minutes: expected duration per variant and seed on two cores.
        needs: data that is gated or not shipped.
    """

    name: str = Field(pattern=r"[a-z0-9][a-z0-9-]*")
    question: str
    paper: str = ""
    checkpoint: str = "nano"
    data: list[Subset] = Field(default_factory=list)
    test: list[str]
    benchmarks: str | None = None
    limit: int | None = Field(default=None, gt=0)
    max_new_tokens: int | None = Field(default=16, gt=0)
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
        if isinstance(values, dict) and isinstance(values.get("measures"), dict):
            values = {**values, "measures": {name: one for name, one in values["measures"].items() if one is not None}}
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
            if self.recipe is None and (variant.recipe or variant.data or variant.after):
                faults.append(f"variant {name!r} changes its training, and the study has no recipe")
            if self.same == "steps" and (variant.share < 1 or variant.row_tokens is not None):
                faults.append(f"variant {name!r} has share or row_tokens, which divide FLOPs; they go with same: flops")
        return [*faults, *self._order_faults()]

    def _order_faults(self) -> list[str]:
        faults: list[str] = []
        earlier: list[str] = []
        for name, variant in self.variants.items():
            if variant.after is not None and variant.after not in earlier:
                faults.append(f"variant {name!r} is after {variant.after!r}, which is not a variant named before it")
            elif variant.after is not None and (left := set(self.seeds_of(name)) - set(self.seeds_of(variant.after))):
                faults.append(f"variant {name!r} is after {variant.after!r}, which lacks its seeds {sorted(left)}")
            earlier.append(name)
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
            faults.append("conclusions need a random baseline: name the variant that selects at random under `random`")
        return faults

    def _training_faults(self) -> list[str]:
        if self.recipe is None:
            return ["data is for training, and the study has no recipe"] if self.data else []
        faults = ["vary is for studies without a recipe; write the variants out"] if self.vary else []
        given = bool(self.data) or "base" in self.recipe
        bare = [name for name, variant in self.variants.items() if not (variant.data or given)]
        faults += [f"variant {name!r} has no data to train on" for name in bare]
        own = {"recipe": self.recipe} | {f"variants.{name}.recipe": variant.recipe for name, variant in self.variants.items()}
        return faults + [f"{key}.{what}" for key, recipe in own.items() for what in _set_by_the_study(recipe)]

    def seeds_of(self, variant: str) -> list[int]:
        """The seeds that a variant is run with."""
        own = self.variants[variant].seeds
        return self.seeds if own is None else own

    def leading_to(self, variant: str) -> list[str]:
        """What a variant is after, from the first, and the variant itself."""
        before = self.variants[variant].after
        return [*(self.leading_to(before) if before else []), variant]

    def jobs(self, variant: str | None = None) -> list[tuple[str, int]]:
        """(variant, seed) in the order of work: every variant's first seed, then the second ones; or those of one variant and of
        what it is after.
        """
        if variant is not None and variant not in self.variants:
            raise ValueError(f"variant {nearest(variant, self.variants)}")
        names = self.leading_to(variant) if variant else list(self.variants)
        most = max(len(self.seeds_of(name)) for name in names)
        return [(name, self.seeds_of(name)[turn]) for turn in range(most) for name in names if turn < len(self.seeds_of(name))]


def _set_by_the_study(recipe: dict[str, Any]) -> list[str]:
    """What of a study's `recipe` would be replaced without a word, and where it goes."""
    places = {"model": "`encoder` of a variant", "seed": "`seeds`", "init_from": "`checkpoint`"}
    faults = [
        f"{name} is set by the study; {f'give {places[name]}' if name in places else 'leave it out'}"
        for name in ("name", "init_from", "model", "output", "seed")
        if name in recipe
    ]
    data = recipe.get("data", {})
    return faults if isinstance(data, dict) and "train" not in data else [*faults, "data names rows; give the study's `data`"]


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
    """Whether meta has every key of `where` with its value, one of its values, or a number from its min to its max."""
    return all(key in meta and _is(meta[key], wanted) for key, wanted in where.items())


def _is(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return wanted.get("min", float("-inf")) <= value <= wanted.get("max", float("inf"))
    return value in wanted if isinstance(wanted, list) else value == wanted
