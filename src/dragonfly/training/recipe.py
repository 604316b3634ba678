"""A training stage as data: what is built, what is trained on what, and how. One YAML, complete, read into `Recipe`.

Promises that everything which can be judged without opening a file is judged here, all faults at once, before a GPU is
touched. Knows no model class and loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from dragonfly.config import Config, nearest, shipped_file, shipped_files

from .options import AttentionSupervision, Batch, Log, Lora, MetricThreshold, Optim, PatchOcrOptions, Save, Share

MODULES = ("vision_tower", "multi_modal_projector", "sub_image_position", "query_projection", "language_model", "lm_head")
"""What a stage may train; a part of one is named with dots (`language_model.layers.31`)."""

RECIPES = Path(str(files("dragonfly"))) / "recipes"


class Scratch(Config):
    """A new model: configurations of tower and language model (with `model_type`), and a tokenizer learned from `texts`.

    `texts` is a file, folder or manifest of samples whose messages are read; `vocabulary` the most tokens, 256 bytes and the
    special ones included, so that any text can be said.
    """

    tower: dict[str, Any]
    language_model: dict[str, Any]
    texts: str
    vocabulary: int = Field(default=512, ge=300)
    feature_layer: int = -2


class InitFrom(Config):
    """Where the weights come from: a `checkpoint`, a `tower` and a `language_model` with a new projector, or `scratch`.

    All but scratch are directories or hub names. `image_token` and `separator_token` name tokens of a language model's
    tokenizer; where it has none to spare, they are added. `projector` is the output of a stage with objective `patch_ocr`: the
    tower is that stage's, and the projector begins as its head, put into words.
    """

    checkpoint: str | None = None
    scratch: Scratch | None = None
    projector: str | None = None
    tower: str | None = None
    language_model: str | None = None
    image_token: str | None = None
    separator_token: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        pair = (self.tower is not None) + (self.language_model is not None)
        ways = (self.checkpoint is not None) + (pair > 0) + (self.scratch is not None)
        if ways != 1 or pair == 1:
            names = ("checkpoint", "scratch", "tower", "language_model")
            given = ", ".join(name for name in names if getattr(self, name)) or "none of them"
            raise ValueError(f"give one of checkpoint, scratch, or tower and language_model; given: {given}")
        if not pair and (self.image_token or self.separator_token):
            raise ValueError("image_token and separator_token belong to tower + language_model; a checkpoint has its own")
        return self


class SelectionOptions(Config):
    """Changes to the selection policy; what is None stays as the preset or the checkpoint has it."""

    policy: str | None = None
    scope: str | None = None
    keep: int | None = None
    seed: int | None = None
    min_per_region: int | None = None
    diversity: float | None = None
    pooled_remainder: int | None = None


class ModelOptions(Config):
    """Changes to the encoder; what is None stays as the checkpoint has it. `encoder` is a whole `vision.EncoderSpec`."""

    preset: str | None = None
    encoder: dict[str, Any] | None = None
    selection: SelectionOptions = SelectionOptions()
    fit: str | None = None
    grid_rule: str | None = None
    regions: str | None = None
    max_enlargement: float | None = None
    position: str | None = None


class Source(Config):
    """Rows to train on: a `path` (file, folder, manifest) or a Hugging Face `dataset` with its `split`.

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
    passes: float = Field(default=1.0, ge=0.0)
    group_questions: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError(f"source {self.name!r} takes exactly one of path and dataset")
        return self


class Data(Config):
    """`train_on`: `assistant`, the answers; `all`, everything after BOS. `audit`: rows per source looked at first.

    A path in place of all this is one source to train on (`data=OUT/manifest.json`), the rest as it is here.
    `streaming` reads rows while training (`passes` are then relative weights); `steps` must be given.
    `shared_prefix` asks each turn as if it were the only one: questions grouped on an image share it and do not see each other.
    """

    train: list[Source]
    eval: Source | None = None
    train_on: Literal["assistant", "all"] = "assistant"
    max_length: int | None = Field(default=None, gt=0)
    max_bad_share: float = Share
    group_by_length: bool = False
    streaming: bool = False
    shared_prefix: bool = False
    workers: int = Field(default=0, ge=0)
    audit: int = Field(default=16, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _of_path(cls, values: Any) -> Any:
        return {"train": [{"name": "data", "path": values}]} if isinstance(values, str) else values

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [source.name for source in self.train]
        if not names:
            raise ValueError("data.train is empty; name at least one source")
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several sources have the name {', '.join(double)}; give each its own")
        if self.shared_prefix and self.train_on != "assistant":
            raise ValueError("data.shared_prefix trains answers; it goes with data.train_on=assistant")
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
        objective: `answer` (default), `text` (language model alone, no images), `patch_ocr` (the tower learns to name the
            marks of a sample, patch by patch).
        epochs, steps: exactly one; an epoch's last step is filled up from the next epoch's order.
        evidence_weight: of the cross-entropy between the scores of policy `question` and what tells where the answer is; trains
            `query_projection` alone.
        choice_from: what tells it: the samples' `evidence`, or the `attention` that answers pay each high sub-image, which asks
            for `attention: {text_config: eager}` and a `model.selection.keep` that keeps them all.
        precision: of the arithmetic; weights stay float32 unless LoRA or DeepSpeed keeps its own masters.
        patch_ocr: what the objective `patch_ocr` asks.
        attention_supervision: where attention is told to look; with `data.shared_prefix`, `attention: {text_config: eager}` and
        all sub-images kept.
        attention: transformers' name of an implementation, or one each for `vision_config` and `text_config`.
        metric_thresholds: what the run must have reached, measured on `data.eval`.
        deepspeed: a shipped configuration (zero1, zero2) or the path of one.
        peak_flops: of one device at this precision, for the FLOPs utilisation; None leaves that out.
        output: a directory that does not exist yet, or one that holds an interrupted run of the same recipe.
    """

    name: str
    init_from: InitFrom
    model: ModelOptions = ModelOptions()
    trainable: list[str]
    objective: Literal["answer", "text", "patch_ocr"] = "answer"
    patch_ocr: PatchOcrOptions = PatchOcrOptions()
    data: Data
    optim: Optim
    batch: Batch
    epochs: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    attention: str | dict[str, str] | None = None
    gradient_checkpointing: bool = False
    attention_supervision: AttentionSupervision | None = None
    evidence_weight: float = Field(default=0.0, ge=0.0)
    choice_from: Literal["evidence", "attention"] = "evidence"
    lora: Lora | None = None
    deepspeed: str | None = None
    metric_thresholds: list[MetricThreshold] = Field(default_factory=list)
    save: Save = Save()
    log: Log = Log()
    seed: int = Field(default=0, ge=0)
    peak_flops: float | None = Field(default=None, gt=0)
    output: str

    @classmethod
    def load(cls, path: str | Path | None, overrides: Sequence[str] = (), *, base: dict[str, Any] | None = None) -> Self:
        """A recipe from a file, or from the package by name (`general/stage1-v1`), with `key.sub=value` overrides."""
        return super().load(None if path is None else shipped_file(path, _shipped(), "recipe"), overrides, base=base)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        faults = [
            *self._length_faults(),
            *self._module_faults(),
            *self._objective_faults(),
            *self._choice_faults(),
            *self._attention_supervision_faults(),
            *self._lora_faults(),
            *self._threshold_faults(),
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _length_faults(self) -> list[str]:
        if (self.epochs is None) == (self.steps is None):
            return [f"give exactly one of epochs and steps; epochs is {self.epochs}, steps {self.steps}"]
        if self.data.streaming and (self.steps is None or self.data.group_by_length or self.objective == "patch_ocr"):
            return [
                "data.streaming does not know how many rows there are or how long: give steps, not epochs, with "
                "group_by_length=false and another objective than 'patch_ocr'"
            ]
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
        parts = {name.partition(".")[0] for name in self.trainable}
        if "query_projection" in parts and not self.evidence_weight:
            return ["query_projection learns from the choice alone; set evidence_weight above 0, or leave it out of trainable"]
        legal = {"answer": set(MODULES), "text": {"language_model", "lm_head"}, "patch_ocr": {"vision_tower"}}[self.objective]
        if wrong := sorted(parts & set(MODULES) - legal):
            may = ", ".join(sorted(legal))
            return [f"objective {self.objective!r} gives no gradient to {', '.join(wrong)}; trainable may name {may}"]
        return []

    def _choice_faults(self) -> list[str]:
        return self._attention_faults("choice_from 'attention'") if self.choice_from == "attention" else []

    def _attention_supervision_faults(self) -> list[str]:
        if self.attention_supervision is None:
            return []
        faults = self._attention_faults("attention_supervision")
        if self.objective != "answer" or not self.data.shared_prefix or self.data.streaming:
            faults.append("attention_supervision is for objective 'answer' with data.shared_prefix=true and data.streaming=false")
        return faults

    def _attention_faults(self, what: str) -> list[str]:
        """Why `what` could not read the language model's attention."""
        told = self.attention.get("text_config") if isinstance(self.attention, dict) else self.attention
        faults = []
        if told != "eager":
            faults.append(
                f"{what} reads the language model's attention, which {told or 'the default, sdpa,'} does "
                "not give; set attention={text_config: eager}"
            )
        if self.gradient_checkpointing:
            faults.append(f"{what} needs what gradient_checkpointing throws away; set it to false")
        return faults

    def _threshold_faults(self) -> list[str]:
        if self.metric_thresholds and self.data.eval is None:
            return ["metric_thresholds are measured on data.eval, which is missing"]
        late = [
            threshold.step
            for threshold in self.metric_thresholds
            if threshold.step is not None and self.steps is not None and threshold.step > self.steps
        ]
        return [f"a metric threshold at step {late[0]} is never reached in {self.steps} steps"] if late else []

    def _lora_faults(self) -> list[str]:
        if self.lora is None:
            return []
        faults = []
        if self.init_from.checkpoint is None:
            faults.append("lora needs init_from.checkpoint: an adapter belongs to one base; train stage 1 without it")
        if self.objective == "patch_ocr":
            faults.append("lora is for the objectives answer and text")
        if full := sorted({"language_model", "lm_head"} & {name.partition(".")[0] for name in self.trainable}):
            faults.append(f"lora adapts the language model, so trainable may not name {', '.join(full)}")
        return faults


def shipped_recipes() -> list[str]:
    """Names of the recipes in the package."""
    return list(_shipped())


def _shipped() -> dict[str, Path]:
    return {name: file for name, file in shipped_files(RECIPES).items() if not name.startswith("accelerate/")}
