"""Peak memory of a training step: what is held throughout, what the forward pass keeps, and when gradients take its place."""

from __future__ import annotations

from dataclasses import dataclass

from dragonfly.planning import activations
from dragonfly.planning.cost import Cost
from dragonfly.planning.language_models import LanguageModelSize
from dragonfly.planning.memory import Memory, Moment, feature_bytes, pixel_bytes, tower_moment, tower_rows, weight_bytes
from dragonfly.planning.model import ModelSize
from dragonfly.planning.work import Training

BUCKET = 5 * 10**8  # elements that DeepSpeed reduces at once, by its own default


def lora_elements(size: LanguageModelSize, rank: int) -> int:
    """Weights of adapters on q, k, v, o and the feed-forward network's matrices; experts get none."""
    queries, keys, hidden = size.num_heads * size.head_dim, size.num_key_value_heads * size.head_dim, size.hidden_size
    layer = 2 * (hidden + queries) + 2 * (hidden + keys)
    dense = (3 if size.gated else 2) * (hidden + size.intermediate_size)
    return rank * (size.num_layers * layer + (size.num_layers - size.num_sparse_layers) * dense)


def trained_elements(model: ModelSize, work: Training) -> dict[str, int]:
    """Trained weights by part; a part that is named in part counts whole. The adapter is `lora`."""
    trained = {name: count for name, count in model.elements.items() if name in work.trained and count}
    if work.lora_rank is not None:
        trained["lora"] = lora_elements(model.language_model, work.lora_rank)
    return trained


def through_language_model(work: Training) -> bool:
    """Whether gradients pass through the language model's layers: not to its head, nor to what learns from the choice alone."""
    return work.lora_rank is not None or bool(work.trained - {"lm_head", "query_projection"})


@dataclass(frozen=True)
class _Held:
    """What one device holds of the model in a step; `gradients` by part, `upcast` their share in float32 for the masters."""

    weights: int
    optimiser: int
    gradients: dict[str, int]
    buffers: int
    upcast: int

    def moment(self, *parts: str, whole: bool = False) -> Moment:
        """With the gradients of these parts there (`whole`: of all)."""
        there = sum(count for name, count in self.gradients.items() if whole or name in parts)
        return {
            "weights": self.weights,
            "optimiser": self.optimiser,
            "gradients": there,
            "communication": self.buffers,
        }


def _held(model: ModelSize, work: Training) -> _Held:
    numbers, sharding, devices = work.numbers, work.sharding, work.devices
    trained = trained_elements(model, work)
    count = sum(trained.values())
    shares = {"none": (1, 1, 1), "zero1": (devices, 1, 1), "zero2": (devices, devices, 1)}
    of_state, of_gradients, of_weights = shares.get(sharding, (devices, devices, devices))
    masters = 4 if sharding.startswith("zero") and numbers.stream == 2 else 0
    weights = weight_bytes(model, numbers.stream, work.quantize) + 4 * trained.get("lora", 0)
    if of_weights > 1:
        weights = weights // of_weights + _gathered(model, numbers.compute)
    gradient = {name: number * (4 if name == "lora" else numbers.stream) // of_gradients for name, number in trained.items()}
    buffers = 0
    if sharding.startswith("zero") and devices > 1:
        buffers = numbers.stream * min(BUCKET, count) * (2 if sharding == "zero2" else 1)
    elif sharding == "none" and devices > 1:
        buffers = sum(gradient.values())  # DistributedDataParallel reduces copies of them
    return _Held(weights, (8 + masters) * count // of_state, gradient, buffers, masters * count // of_state)


def _gathered(model: ModelSize, number: int) -> int:
    """The widest layer, whole, and the next one, fetched ahead."""
    return 2 * number * model.language_model.matrices // model.language_model.num_layers


def _kept_by_language_model(model: ModelSize, work: Training, tokens: int) -> tuple[int, int]:
    """(bytes that all layers keep of a batch, bytes of one layer computed again) of the language model."""
    size, numbers, trained = model.language_model, work.numbers, "language_model" in work.trained
    batch = work.batch
    layer = batch * tokens * activations.language_layer(size, numbers, trained)
    if work.lora_rank is not None:
        layer += batch * tokens * _kept_by_adapter(size, numbers.compute, work.lora_dropout)
    layer += batch * activations.language_scores(size, tokens, numbers, work.attention)
    layer += numbers.compute * batch * tokens**2 if batch > 1 else 0  # each layer's own copy of the mask
    if not through_language_model(work):
        return 0, batch * tokens * activations.language_transient(size, numbers)
    if work.gradient_checkpointing:
        return size.num_layers * batch * tokens * size.hidden_size * numbers.stream, layer
    return size.num_layers * layer, 0


def _kept_by_adapter(size: LanguageModelSize, compute: int, dropout: bool) -> int:
    """Each adapted matrix keeps its own copy of its input, and the mask of its dropout."""
    inputs = 3 * size.hidden_size + size.num_heads * size.head_dim
    if not size.num_sparse_layers:
        inputs += (2 if size.gated else 1) * size.hidden_size + size.intermediate_size
    return inputs * (compute + (1 if dropout else 0))


def _kept_by_tower(model: ModelSize, work: Training, cost: Cost) -> tuple[int, int]:
    """(bytes that a trained tower keeps of a batch, bytes of one of its layers computed again)."""
    if "vision_tower" not in work.trained:
        return 0, 0
    rows, numbers = work.batch * tower_rows(model, cost), work.numbers
    layer = rows * activations.tower_layer(model.tower, numbers)
    if work.gradient_checkpointing:
        return model.tower.num_layers * rows * model.tower.hidden_size * numbers.stream, layer
    return model.tower.num_layers * layer, 0


def training_memory(model: ModelSize, cost: Cost, work: Training) -> Memory:
    """Memory of a step after the first, when the optimiser's state is there.

    Moments: the tower, the end of the forward pass (logits in float32 and their logarithms), the start of the backward pass
    (their gradients), the language model's gradients complete, and all gradients complete, where the optimiser steps. Logits
    are computed where a row is supervised alone, which is counted as all of its text.
    """
    size, numbers, batch = model.language_model, work.numbers, work.batch
    held, tokens = _held(model, work), cost.prompt_tokens
    whole = work.accumulation > 1
    in_language, again = _kept_by_language_model(model, work, tokens)
    in_tower, tower_again = _kept_by_tower(model, work, cost)
    rows = batch * tokens
    ends = rows * size.hidden_size * (3 * numbers.stream + numbers.compute)  # embeddings with images in place, the last norm
    connector = feature_bytes(model, cost, batch, numbers.stream) if "vision_tower" in work.trained else 0
    pixels = {"pixels": batch * pixel_bytes(model, cost, numbers.compute)}
    kept = {**pixels, "activations": in_language + in_tower + ends + connector}
    in_logits = batch * work.text_tokens * size.vocab_size
    half = numbers.compute if numbers.compute != 4 else 0
    copies = {"casts of weights": _casts(model, work)}
    recomputed = {"activations computed again": max(again, tower_again)}
    below = {**pixels, "activations": in_tower + ends + connector}
    language_parts = ("language_model", "lm_head", "lora")
    embeddings = size.embeddings * numbers.stream if "language_model" in work.trained else 0
    return Memory(
        {
            "vision tower": {**held.moment(whole=whole), **tower_moment(model, cost, batch, numbers)},
            "end of the forward pass": {
                **held.moment(whole=whole),
                **kept,
                **copies,
                "logits": in_logits * (8 + half),
            },
            "start of the backward pass": {
                **held.moment("lm_head", whole=whole),
                **kept,
                **({} if work.gradient_checkpointing else copies),
                "logits": in_logits * (16 if not half else 12 + half),
            },
            "first layers of the backward pass": {
                **held.moment("lm_head", whole=whole),
                **kept,
                **({} if work.gradient_checkpointing else copies),
                **recomputed,
            },
            "language model's gradients there": {
                **held.moment(*language_parts, whole=whole),
                **below,
                **recomputed,
                "gradient of the embeddings": embeddings,
            },
            "optimiser's step": {**held.moment(whole=True), **pixels, "gradients in float32": held.upcast},
        }
    )


def _casts(model: ModelSize, work: Training) -> int:
    """Copies of float32 weights that autocast makes for the matrix products, kept until the backward pass has used them."""
    numbers, size = work.numbers, model.language_model
    if numbers.stream == numbers.compute or work.sharding == "fsdp" or work.quantize is not None:
        return 0
    cast = size.matrices + size.embeddings if through_language_model(work) else size.embeddings
    tower = model.tower_parameters if "vision_tower" in work.trained else 0
    return numbers.compute * (cast + tower)
