"""Plans: what a model needs to answer or to train, in memory and, on a named device, in time. Every number is an estimate.

`plan_inference(model, Answers(...))` and `plan_training(model, Training(...))` take a `ModelSize`, which two dictionaries make:
`ModelSize.from_configs(tower_config, language_model_config, preset="v1")`. Nothing is loaded and, for known families, neither
torch nor transformers is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from dragonfly.planning.cost import Cost, plan
from dragonfly.planning.devices import Device
from dragonfly.planning.memory import Memory, answer_memory, weight_bytes
from dragonfly.planning.model import ModelSize
from dragonfly.planning.training_memory import through_language_model, trained_elements, training_memory
from dragonfly.planning.work import Answers, Training
from dragonfly.vision.layout import Size

UTILISATION = 0.4
"""Share of a device's published arithmetic that is taken as reached, unless said otherwise: an assumption, not a measurement."""

BANDWIDTH_UTILISATION = 0.6
"""The same of its memory bandwidth, which bounds the tokens of an answer."""


@dataclass(frozen=True)
class AnswerTime:
    """Seconds of a batch of answers: tower and prompt at the utilisation, then each token, bound by arithmetic or bandwidth."""

    prompt_seconds: float
    seconds_per_token: float
    seconds: float
    answers_per_second: float


@dataclass(frozen=True)
class TrainingTime:
    """A step on all devices. `hours` is None where the number of samples was not given."""

    flops_per_step: int
    seconds_per_step: float
    samples_per_second: float
    hours: float | None


Time = TypeVar("Time", AnswerTime, TrainingTime)


@dataclass(frozen=True)
class Plan(Generic[Time]):
    """What was planned, and what it needs of one device.

    Args:
        work: what is asked.
        cost: tokens and FLOPs of one image and its text.
        parameters: weights by part; `trained` those that are trained.
        memory: bytes at each moment; `memory.peak` is the largest.
        device: whose figures `time` is of; its context comes on top of the peak.
        utilisation, bandwidth_utilisation: shares of its figures that are taken as reached.
        time: None without a device, or where its figures are not known.
        notes: what is less exact than the rest.
    """

    work: Answers | Training
    cost: Cost
    parameters: Mapping[str, int]
    trained: Mapping[str, int]
    memory: Memory
    device: Device | None
    utilisation: float
    bandwidth_utilisation: float
    time: Time | None
    notes: tuple[str, ...]

    @property
    def needed(self) -> int:
        """Bytes of one device: the peak, and what a process holds there before any tensor."""
        return self.memory.peak + (self.device.context if self.device else 0)

    @property
    def fits(self) -> bool | None:
        """Whether the device has that much; None where its memory is not known."""
        return None if self.device is None or self.device.memory is None else self.needed <= self.device.memory

    def to_dict(self) -> dict[str, Any]:
        """A dictionary that JSON holds. Memory in bytes."""
        return {
            "estimate": True,
            "work": asdict(self.work),
            "parameters": dict(self.parameters),
            "trained": dict(self.trained),
            "memory": {
                "peak_bytes": self.memory.peak,
                "peak_moment": self.memory.peak_moment,
                "moments": {name: dict(moment) for name, moment in self.memory.moments.items()},
                "needed_bytes": self.needed,
            },
            "device": asdict(self.device) if self.device else None,
            "fits": self.fits,
            "utilisation": self.utilisation,
            "bandwidth_utilisation": self.bandwidth_utilisation,
            "time": asdict(self.time) if self.time else None,
            "notes": list(self.notes),
        }


def cost_of(model: ModelSize, size: Size, text_tokens: int) -> Cost:
    """Tokens and FLOPs of one image and its text under a model's encoder."""
    config, layers = model.tower_config, model.tower.num_layers
    return plan(model.spec, size, config, model.language_model, text_tokens, layers)


def plan_inference(
    model: ModelSize,
    work: Answers,
    *,
    device: Device | None = None,
    utilisation: float = UTILISATION,
    bandwidth_utilisation: float = BANDWIDTH_UTILISATION,
) -> Plan[AnswerTime]:
    """Memory of answering questions, and on a device the time.

    Raises:
        ValueError: for a share outside 0 to 1, or an image that is empty.
    """
    _check_share(utilisation=utilisation, bandwidth_utilisation=bandwidth_utilisation)
    cost = cost_of(model, work.image_size, work.text_tokens)
    memory, time = answer_memory(model, cost, work), None
    if device and device.flops and device.bandwidth:
        time = _answer_time(model, cost, work, device.flops * utilisation, device.bandwidth * bandwidth_utilisation)
    return Plan(work, cost, model.elements, {}, memory, device, utilisation, bandwidth_utilisation, time, model.notes)


def plan_training(
    model: ModelSize,
    work: Training,
    *,
    device: Device | None = None,
    utilisation: float = UTILISATION,
    samples: float | None = None,
    epochs: float = 1.0,
) -> Plan[TrainingTime]:
    """Memory of a training step on one device, and the time of a step and of a run.

    Args:
        model: what is trained.
        work: a step.
        device: whose figures give the time; each of `work.devices` is one.
        utilisation: share of its arithmetic that is reached. What the devices tell each other is not modelled: it is in here.
        samples, epochs: rows of a run, and how often each is taken; without `samples` no hours.

    Raises:
        ValueError: for a share outside 0 to 1, an image that is empty, or a run of nothing.
    """
    _check_share(utilisation=utilisation)
    if (samples is not None and samples <= 0) or epochs <= 0:
        raise ValueError(f"samples and epochs must be above 0, got {samples} and {epochs}")
    cost = cost_of(model, work.image_size, work.text_tokens)
    memory, time = training_memory(model, cost, work), None
    flops = training_flops(model, cost, work)
    if device and device.flops:
        seconds = flops / (device.flops * utilisation)
        rate = work.batch * work.accumulation * work.devices / seconds
        time = TrainingTime(flops, seconds, rate, samples * epochs / rate / 3600 if samples else None)
    trained = trained_elements(model, work)
    notes = (*model.notes, *_training_notes(work))
    return Plan(work, cost, model.elements, trained, memory, device, utilisation, BANDWIDTH_UTILISATION, time, notes)


def training_flops(model: ModelSize, cost: Cost, work: Training) -> int:
    """FLOPs of one device in an optimiser step, what checkpointing does again included.

    A trained module is passed three times (forward, its activations' gradient, its weights' gradient), a frozen one twice where
    gradients pass through it and once where they do not; attention's two products are of activations and always cost three.
    Logits are computed where a row is supervised alone, which is counted as all of its text.
    """
    size, tokens = model.language_model, cost.prompt_tokens
    logits = 2 * size.hidden_size * size.vocab_size
    attention = 4 * tokens**2 * size.num_heads * size.head_dim * size.num_layers
    layers = size.flops(tokens, tokens) - logits - attention  # `flops` has one position's logits
    through, again = through_language_model(work), 1 if work.gradient_checkpointing else 0
    passes = 3 if "language_model" in work.trained else 2 if through else 1
    of_head = 3 if {"lm_head", "language_model"} & work.trained else 2 if through else 1
    language = (passes + (again if through else 0)) * layers + ((3 + again) if through else 1) * attention
    tower = (cost.tower_flops or 0) * (3 + again if "vision_tower" in work.trained else 1)
    below = {"vision_tower", "sub_image_position"} & work.trained
    projector = (cost.projector_flops or 0) * (1 + ("multi_modal_projector" in work.trained) + bool(below))
    return work.batch * work.accumulation * (tower + projector + language + of_head * work.text_tokens * logits)


def _answer_time(model: ModelSize, cost: Cost, work: Answers, flops: float, bandwidth: float) -> AnswerTime:
    first = (cost.tower_flops or 0) + (cost.projector_flops or 0) + (cost.prefill_flops or 0)
    prompt = work.batch * first / flops
    size, number = model.language_model, work.numbers.compute
    # A token reads every weight of the language model once for the whole batch, and all keys and values; the tower rests.
    elements = model.elements
    rest = number * (
        elements["vision_tower"] + elements["multi_modal_projector"] + (0 if size.tied_embeddings else size.embeddings)
    )
    read = weight_bytes(model, number, work.quantize) - rest
    read -= number * (size.matrices - size.num_layers * size.layer_matrix_parameters) if work.batch == 1 else 0  # idle experts
    cached = size.cache_elements(cost.prompt_tokens + work.new_tokens // 2) * number * work.batch
    each = max((read + cached) / bandwidth, work.batch * (cost.flops_per_generated_token or 0) / flops)
    seconds = prompt + work.new_tokens * each
    return AnswerTime(prompt, each, seconds, work.batch / seconds)


def _training_notes(work: Training) -> tuple[str, ...]:
    notes: list[str] = []
    if any("." in name for name in work.trainable):
        notes.append("a part that is trained in part is planned as if it were trained whole: an upper bound")
    if work.sharding == "zero3":
        notes.append("`dragonfly train` refuses ZeRO stage 3; FSDP shares out the same")
    return tuple(notes)


def _check_share(**given: float) -> None:
    for name, value in given.items():
        if not 0 < value <= 1:
            raise ValueError(f"{name} is a share above 0 and at most 1, got {value}")
