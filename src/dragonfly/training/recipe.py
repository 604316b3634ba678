"""A training stage as data: what is built, what is trained on what, and how. One YAML, complete, read into `Recipe`.

Promises that everything which can be judged without opening a file is judged here, all faults at once, before a weight is read.
Knows no objective in particular but training's own two: others, and other beginnings of a model, are handed in as `Hooks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, Union

from pydantic import Field, SerializerFunctionWrapHandler, create_model, field_validator, model_serializer, model_validator

from dragonfly.config import Config, Key, nearest, shipped_file, shipped_files
from dragonfly.vision.spec import EncoderChanges

from .build import Initializer
from .modules import MODULES
from .objective import ANSWER, TEXT, Answer, Objective, Text
from .sections import Batch, Best, Log, Lora, Optim, Save, Share

RECIPES = Path(str(files("dragonfly"))) / "recipes"


@dataclass(frozen=True, eq=False)
class Hooks:
    """What a recipe may name beside training's own: objectives, and initializers by their key in `init_from`."""

    objectives: tuple[Objective, ...] = ()
    initializers: Mapping[str, Initializer] = field(default_factory=dict[str, Initializer])


class InitFrom(Config):
    """Where the weights come from: a `checkpoint`, a `tower` and a `language_model` with a new projector, or an initializer.

    Checkpoint, tower and language model are directories or hub names. `image_token` and `separator_token` name tokens of a
    language model's tokenizer; where it has none to spare, they are added. `chat_template` is a Jinja file, for a language model
    whose tokenizer has none, or to use another.
    """

    checkpoint: str | None = None
    tower: str | None = None
    language_model: str | None = None
    image_token: str | None = None
    separator_token: str | None = None
    chat_template: str | None = None

    @property
    def initializer(self) -> str | None:
        """The key of the initializer that is given, if one is."""
        return next((name for name in _keys(self) if getattr(self, name) is not None), None)

    @model_serializer(mode="wrap")
    def _without_unused_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A recipe that uses no initializer reads the same wherever it is read, with hooks or without."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if value is not None or name in InitFrom.model_fields}

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        pair = (self.tower is not None) + (self.language_model is not None)
        names = ["checkpoint", *_keys(self)]
        given = [name for name in (*names, "tower", "language_model") if getattr(self, name) is not None]
        if len(given) != (2 if pair else 1) or pair == 1:
            listed = f"{', '.join(names)}{',' if len(names) > 1 else ''} or tower and language_model"
            raise ValueError(f"give one of {listed}; given: {', '.join(given) or 'none of them'}")
        if not pair and (self.image_token or self.separator_token or self.chat_template):
            raise ValueError(
                "image_token, separator_token and chat_template belong to tower + language_model; a checkpoint has its own"
            )
        return self


def _keys(values: InitFrom) -> list[str]:
    return [name for name in type(values).model_fields if name not in InitFrom.model_fields]


class ModelOptions(EncoderChanges):
    """Changes to the encoder; None stays as the checkpoint or `preset` has it. `encoder` is a whole `vision.EncoderSpec`."""

    preset: str | None = None
    encoder: dict[str, Any] | None = None


class Source(Config):
    """Rows to train on: a `path` (whatever `data.read` reads) or a Hugging Face `dataset` with its `split`.

    `columns` says which column of a table is the image, the question, the answer, where their names do not (docs/data.md).
    `passes` is how often a row is taken per epoch: 1 once, 0.25 a quarter of the rows, another quarter each epoch.
    `group_questions` joins up to so many questions on the same images into one conversation: the images are encoded once for all.
    """

    name: str
    path: str | None = None
    dataset: str | None = None
    subset: str | None = None
    split: str = "train"
    format: str = "auto"
    image_root: str | None = None
    columns: dict[str, str] | None = None
    passes: float = Field(default=1.0, ge=0.0)
    group_questions: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError(f"source {self.name!r} takes exactly one of path and dataset")
        return self


class Data(Config):
    """`train_on`: `assistant`, the answers; `all`, everything after BOS. `audit`: rows per source looked at first.

    `missing_data`: a JPEG that lost a part of its data is a bad row (`refuse`), or is used grey where it is missing (`note`);
    `ignore` does not look, which saves a third of decoding for images that are trusted.

    A path in place of all this, or of `train`, is one source to train on, named `data`; the rest stays as it is.
    `workers`: processes that read and prepare rows ahead; None for what there are cores for (`arguments.workers`).
    `packing`: rows of a device's batch share sequences of at most so many tokens (`packing.py`), which saves padding.
    `streaming` reads rows while training (`passes` are then relative weights); `steps` must be given.
    `tower_cache`: a folder that keeps what a frozen vision tower makes of each image (`tower_cache.py`); runs may share it.
    """

    train: list[Source]
    eval: Source | None = None
    train_on: Literal["assistant", "all"] = "assistant"
    max_length: int | None = Field(default=None, gt=0)
    max_bad_share: float = Share
    missing_data: Literal["refuse", "note", "ignore"] = "refuse"
    group_by_length: bool = False
    packing: int | None = Field(default=None, gt=0)
    streaming: bool = False
    tower_cache: str | None = None
    workers: int | None = Field(default=None, ge=0)
    audit: int = Field(default=16, gt=0)

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [source.name for source in self.train]
        if not names:
            raise ValueError("data.train is empty; name at least one source")
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several sources have the name {', '.join(double)}; give each its own")
        if self.streaming and (sources := [source.name for source in self.train if source.group_questions > 1]):
            raise ValueError(
                f"group_questions needs all rows at once and data.streaming reads them one by one; "
                f"drop one ({', '.join(sources)})"
            )
        return self


class Recipe(Config):
    """One training stage.

    Args:
        trainable: names from `MODULES` or parts of them; all else is frozen.
        objective: `answer` (default), `text` (language model alone, no images), or one of the hooks'; its name, or its section
            with the name in it.
        epochs, steps: exactly one; an epoch's last step is filled up from the next epoch's order.
        evidence_weight: of the cross-entropy between the scores of policy `question` and the samples' `evidence`; trains
            `query_projection` alone.
        precision: of the arithmetic; weights stay float32 unless LoRA or DeepSpeed keeps its own masters.
        attention: transformers' name of an implementation, or one each for `vision_config` and `text_config`.
        deepspeed: a shipped configuration (zero1, zero2) or the path of one.
        fsdp: weights, gradients and optimiser's state are shared out among the processes (PyTorch's FSDP2; `fsdp.py`).
        peak_flops: of one device at this precision, for the FLOPs utilisation; None leaves that out.
        output: a directory that does not exist yet, or one that holds an interrupted run of the same recipe.
    """

    hooks: ClassVar[Hooks] = Hooks((ANSWER, TEXT))

    name: str
    init_from: InitFrom
    model: ModelOptions = ModelOptions()
    trainable: list[str]
    objective: Annotated[Answer | Text, Field(discriminator="name")] = Answer()
    data: Data
    optim: Optim
    batch: Batch
    epochs: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    attention: str | dict[str, str] | None = None
    gradient_checkpointing: bool = False
    evidence_weight: float = Field(default=0.0, ge=0.0)
    lora: Lora | None = None
    deepspeed: str | None = None
    fsdp: bool = False
    save: Save = Save()
    best: Best | None = None
    log: Log = Log()
    seed: int = Field(default=0, ge=0)
    peak_flops: float | None = Field(default=None, gt=0)
    output: str

    @classmethod
    def load(
        cls,
        path: str | Path | None,
        overrides: Sequence[str] = (),
        *,
        base: dict[str, Any] | None = None,
        hooks: Hooks | None = None,
    ) -> Self:
        """A recipe from a file, or from the package by name (`general/stage1-v1`), with `key.sub=value` overrides.

        `hooks` are what it may name beside training's own.
        """
        if hooks is not None:
            return with_hooks(hooks).load(path, overrides, base=base)  # pyright: ignore[reportReturnType]
        return super().load(None if path is None else shipped_file(path, _shipped(), "recipe"), overrides, base=base)

    @classmethod
    def spelled_out(cls, key: Key, value: Any) -> list[tuple[Key, Any]]:
        """A path as `data` or `data.train` replaces the sources alone; a name as `objective` or `init_from` its whole section."""
        match key, value:
            case ((("data",) | ("data", "train")), str()):
                return [(("data", "train"), [{"name": "data", "path": value}])]
            case ("objective",), str():
                return [(key, {}), (("objective", "name"), value)]
            case ("init_from",), str():
                return [(key, {}), (("init_from", "checkpoint"), value)]
        return [(key, value)]

    @property
    def objective_hook(self) -> Objective:
        """The objective that `objective` names."""
        return next(one for one in self.hooks.objectives if one.name == self.objective.name)

    @property
    def initializer_hook(self) -> Initializer | None:
        """The initializer that `init_from` names, where it is none of training's own two beginnings."""
        name = self.init_from.initializer
        return None if name is None else self.hooks.initializers[name]

    @property
    def modules(self) -> set[str]:
        """The modules that `trainable` names, whole or in part."""
        return {name.partition(".")[0] for name in self.trainable}

    @field_validator("objective", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        section = {"name": value} if isinstance(value, str) else value
        if isinstance(section, dict):
            legal = [one.name for one in cls.hooks.objectives]
            if section.get("name") not in legal:
                raise ValueError(nearest(str(section.get("name")), legal))
        return section

    @model_validator(mode="after")
    def _agree(self) -> Self:
        faults = [
            *self._length_faults(),
            *self._module_faults(),
            *self._objective_faults(),
            *self._lora_faults(),
            *self._best_faults(),
            *self._fsdp_faults(),
            *self._tower_cache_faults(),
            *self._packing_faults(),
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _length_faults(self) -> list[str]:
        if (self.epochs is None) == (self.steps is None):
            return [f"give exactly one of epochs and steps; epochs is {self.epochs}, steps {self.steps}"]
        if self.data.streaming and (self.steps is None or self.data.group_by_length or not self.objective_hook.streams):
            streams = " or ".join(repr(one.name) for one in self.hooks.objectives if one.streams)
            return [
                "data.streaming does not know how many rows there are or how long: give steps, not epochs, with "
                f"group_by_length=false and the objective {streams}"
            ]
        if self.log.eval_every is not None and self.data.eval is None:
            every = self.log.eval_every
            return [f"log.eval_every is {every} and there is no data.eval to look at; give one, or log.eval_every=null"]
        return []

    def _module_faults(self) -> list[str]:
        faults = [f"trainable: {nearest(name, MODULES)}" for name in self.trainable if name.partition(".")[0] not in MODULES]
        if not self.trainable and self.lora is None:
            faults.append(f"trainable is empty, so nothing would be trained; name some of: {', '.join(MODULES)}")
        for name in self.optim.learning_rates:
            if not any(f"{name}.".startswith(f"{module}.") or f"{module}.".startswith(f"{name}.") for module in self.trainable):
                named = ", ".join(self.trainable) or "nothing"
                faults.append(f"optim.learning_rates names {name!r}, but trainable names {named}")
        return faults

    def _objective_faults(self) -> list[str]:
        chosen = self.objective_hook
        if wrong := sorted((self.modules & set(MODULES)) - chosen.modules):
            may = ", ".join(sorted(chosen.modules))
            return [f"objective {chosen.name!r} gives no gradient to {', '.join(wrong)}; trainable may name {may}"]
        return chosen.faults(self)

    def _lora_faults(self) -> list[str]:
        if self.lora is None:
            return []
        faults = []
        if self.init_from.checkpoint is None:
            faults.append("lora needs init_from.checkpoint: an adapter belongs to one base; train stage 1 without it")
        if full := sorted({"language_model", "lm_head"} & self.modules):
            faults.append(f"lora adapts the language model, so trainable may not name {', '.join(full)}")
        return faults

    def _best_faults(self) -> list[str]:
        if self.best is None:
            return []
        if self.save.every is None:
            return ["best is looked for among checkpoints; give save.every"]
        if self.best.every is not None and self.best.every % self.save.every:
            return [
                f"best.every {self.best.every} is no multiple of save.every {self.save.every}; a score belongs to a checkpoint"
            ]
        return []

    def _fsdp_faults(self) -> list[str]:
        others = {"deepspeed": self.deepspeed, "lora": self.lora, "best": self.best}
        if self.fsdp and (given := [name for name, value in others.items() if value is not None]):
            return [f"fsdp goes with none of deepspeed, lora and best; set {', '.join(f'{name}=null' for name in given)}"]
        return []

    def _tower_cache_faults(self) -> list[str]:
        if self.data.tower_cache is None:
            return []
        faults = []
        if "vision_tower" in self.modules:
            faults.append("data.tower_cache is for a tower that stays as it is, and trainable names vision_tower; leave one out")
        if self.data.streaming:
            faults.append("data.tower_cache encodes all images before the first step; it does not go with data.streaming")
        if self.objective_hook.examples is None or not self.objective_hook.images:
            faults.append(f"objective {self.objective.name!r} runs no tower over images; leave data.tower_cache out")
        return faults

    def _packing_faults(self) -> list[str]:
        if self.data.packing is None:
            return []
        if not self.objective_hook.packs:
            return [f"objective {self.objective.name!r} does not pack rows; leave data.packing out"]
        if self.batch.per_device == 1:
            return ["data.packing joins the rows of a device's batch, and batch.per_device is 1; raise it, or leave packing out"]
        return []


@cache
def with_hooks(hooks: Hooks) -> type[Recipe]:
    """`Recipe` with these hooks beside training's own: their sections are checked like all others."""
    joined = Hooks((*Recipe.hooks.objectives, *hooks.objectives), {**Recipe.hooks.initializers, **hooks.initializers})
    keys: dict[str, Any] = {name: (one.options | None, None) for name, one in joined.initializers.items()}
    init_from = create_model("InitFrom", __base__=InitFrom, **keys)
    sections: Any = Union[tuple(one.options for one in joined.objectives)]  # noqa: UP007 - of types known at run time
    objective = (Annotated[sections, Field(discriminator="name")], Answer())
    fields: dict[str, Any] = {"init_from": (init_from, ...), "objective": objective}
    recipe = create_model("Recipe", __base__=Recipe, **fields)
    recipe.hooks = joined
    return recipe


def shipped_recipes() -> list[str]:
    """Names of the recipes in the package."""
    return list(_shipped())


def _shipped() -> dict[str, Path]:
    return shipped_files(RECIPES)
