"""What a stage learns: the hook by which an objective plugs into training, and training's own two, `answer` and `text`.

An `Objective` says, before any weight is read, what its section of a recipe may hold and how rows become examples; its `build`
then gives the Trainer a `TrainingSetup`. Knows no optimiser and no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from dragonfly.config import Config
from dragonfly.data import IGNORE_INDEX, Collator, EncodedDataset, Mixture, Sample
from dragonfly.data.batch import POSITIONS
from dragonfly.data.dataset import EncodeSample
from dragonfly.imaging import ImagePolicy
from dragonfly.models.connector import OPTIONAL

from .modules import MODULES
from .sources import Stream, load_rows
from .tower_cache import EncodedImages

if TYPE_CHECKING:
    from .recipe import Recipe

Batch = Mapping[str, Any]
Collate = Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]]


@dataclass(frozen=True)
class TrainingSetup:
    """What the Trainer is given.

    Args:
        module: what is trained: the model, or a module that holds a part of it. Its forward takes `labels` and gives a loss.
        train: examples of the whole run in their order (a torch dataset); `evaluation` of `data.eval`, None without one.
        collate: examples -> batch.
        predictions: (outputs, labels) of an evaluation batch -> what `metrics` compares with the labels.
        metrics: (predictions, labels) of all evaluation batches, in numpy -> numbers by name.
        inputs: (module, batch) -> what the module's forward is given; None for the batch as it is.
        extra_loss: (outputs, batch with inputs) -> a scalar, a mean over the batch, that training adds to the loss.
        callbacks: beside those of any run.
        save: writes what lies beside the model into its folder.
    """

    module: nn.Module
    train: Any
    evaluation: Any
    collate: Collate
    predictions: Callable[[Any, Tensor], Tensor]
    metrics: Callable[[np.ndarray, np.ndarray], dict[str, float]]
    inputs: Callable[[Any, Batch], dict[str, Any]] | None = None
    extra_loss: Callable[[Any, Batch], Tensor] | None = None
    callbacks: tuple[TrainerCallback, ...] = ()
    save: Callable[[Path], None] | None = None


def image_policy(recipe: Recipe, processor: Any) -> ImagePolicy:
    """How the recipe's images are decoded."""
    return replace(processor.image_processor.image_policy, missing_data=recipe.data.missing_data)


def encoded(
    recipe: Recipe, rows: Sequence[Sample] | Mixture, processor: Any, encode_sample: EncodeSample | None = None
) -> EncodedDataset:
    """Rows as training examples under the recipe's options."""
    data = recipe.data
    return EncodedDataset(
        rows,
        processor,
        train_on=data.train_on,
        max_length=data.max_length,
        seed=recipe.seed,
        max_bad_share=data.max_bad_share,
        image_policy=image_policy(recipe, processor),
        encode_sample=encode_sample,
        open_image=processor.image_processor.open_image if isinstance(processor.image_processor, EncodedImages) else None,
    )


def collator(processor: Any) -> Collate:
    """The plain collation of `encoded` examples."""
    return Collator(processor.tokenizer.pad_token_id)


def answer_inputs(module: nn.Module, batch: Batch) -> dict[str, Any]:
    """What the model's forward is given: the batch, in training with the logits alone that the loss looks at.

    A packed batch goes without its mask: its positions tell rows apart (`data.Collator`).
    """
    inputs = {key: value for key, value in batch.items() if key != "attention_mask" or POSITIONS not in batch}
    return {**inputs, **supervised_logits(batch["labels"])} if module.training else inputs


def supervised_logits(labels: Tensor) -> dict[str, Tensor]:
    """Arguments by which a forward computes logits only where some row of (rows, tokens) labels is supervised.

    An image's tokens have no labels, so of a row that is an image and a short answer the head would be most of the work.
    """
    following = nn.functional.pad(labels, (0, 1), value=IGNORE_INDEX)[:, 1:]  # a token is told by the position before it
    supervised = (following != IGNORE_INDEX).any(dim=0)
    places = supervised.nonzero()[:, 0] if supervised.any() else supervised.new_zeros(1, dtype=torch.long)
    return {"logits_to_keep": places, "shift_labels": following[:, places]}


def no_faults(recipe: Recipe) -> list[str]:
    return []


@dataclass(frozen=True)
class Objective:
    """What a recipe's `objective` names.

    Args:
        options: its section of a recipe; the field `name` has the objective's name as its only value and default.
        modules: names of `MODULES` that get a gradient.
        build: (recipe, model, processor, rows of the whole run) -> what the Trainer is given.
        faults: what of a recipe does not go together with it, a sentence each; judged without opening a file.
        examples: (recipe, rows, processor) -> examples with token labels, which are looked over before training; None where
            rows become something else.
        collate: processor -> the collation of such examples.
        turns_seen: whether questions grouped on an image see each other (and may then not tell each other's answers).
        images: whether rows may have images.
        streams: whether its examples can be made while rows are read.
        packs: whether rows may share a sequence (`data.packing`): `build` gives a `data.Collator`, and what the model is given of
            a packed batch keeps rows apart.
        may_change: options that a resumed run may have otherwise than before: they change no number.
    """

    options: type[Config]
    modules: frozenset[str]
    build: Callable[[Recipe, Any, Any, Mixture | Stream], TrainingSetup]
    faults: Callable[[Recipe], list[str]] = no_faults
    examples: Callable[[Recipe, Sequence[Sample] | Mixture, Any], EncodedDataset] | None = encoded
    collate: Callable[[Any], Collate] = collator
    turns_seen: bool = True
    images: bool = True
    streams: bool = False
    packs: bool = False
    may_change: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.options.model_fields["name"].default


class Answer(Config):
    """The answers of conversations about images (or all text, with `data.train_on=all`)."""

    name: Literal["answer"] = "answer"


class Text(Config):
    """The language model alone, on conversations without images."""

    name: Literal["text"] = "text"


def answer_setup(recipe: Recipe, model: Any, processor: Any, rows: Mixture | Stream) -> TrainingSetup:
    """Next-token training of the model on the examples of the recipe's objective."""
    objective, data = recipe.objective_hook, recipe.data
    assert objective.examples is not None
    answer_without_images(model, encoded=recipe.data.tower_cache is not None)
    evaluation = load_rows(data.eval, data.max_bad_share, turns_seen=objective.turns_seen) if data.eval else None
    return TrainingSetup(
        module=model,
        train=objective.examples(recipe, rows, processor) if isinstance(rows, Mixture) else rows,
        evaluation=objective.examples(recipe, evaluation, processor) if evaluation else None,
        collate=objective.collate(processor),
        predictions=likeliest,
        metrics=answer_metrics,
        inputs=answer_inputs,
    )


def _answer_faults(recipe: Recipe) -> list[str]:
    if "query_projection" in recipe.modules and not recipe.evidence_weight:
        return ["query_projection learns from the choice alone; set evidence_weight above 0, or leave it out of trainable"]
    return []


ANSWER = Objective(Answer, frozenset(MODULES), answer_setup, _answer_faults, streams=True, packs=True)
TEXT = Objective(Text, frozenset({"language_model", "lm_head"}), answer_setup, images=False, streams=True, packs=True)


def likeliest(outputs: Any, labels: Tensor) -> Tensor:
    """The likeliest token at each position (batch, length): all that the metrics need of the logits."""
    logits = outputs[0] if isinstance(outputs, tuple) else outputs
    return logits.argmax(dim=-1)


def answer_metrics(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Shares of right tokens and of wholly right answers, both arguments (rows, tokens).

    An answer (`turns`) is a run of labels; its tokens are predicted one position before each. It is right when every token is the
    likeliest one after the true ones before it, which is exactly when greedy decoding gives the answer.
    """
    predictions, labels = predictions[:, :-1], labels[:, 1:]
    asked = labels != IGNORE_INDEX
    right = predictions == labels
    turns = [bool(right[row, start:end].all()) for row in range(len(labels)) for start, end in _runs(asked[row])]
    return {"tokens": float(right[asked].mean()), "turns": float(np.mean(turns)), "num_turns": float(len(turns))}


def _runs(asked: np.ndarray) -> list[tuple[int, int]]:
    """The half-open runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], asked.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def answer_without_images(model: Any, encoded: bool = False) -> None:
    """Let a batch without images send one zeroed sub-image through tower and projector, counted zero times.

    `encoded`: through the projector alone, as the images of a tower cache.

    Otherwise a process whose batch is text only would leave parameters without gradients (or, where weights are sharded,
    not take part in gathering them), and all the others would wait for it for ever.
    """
    base = model.get_base_model().model if hasattr(model, "get_base_model") else model.model
    base.register_forward_pre_hook(partial(_with_dummy, encoded), with_kwargs=True)


def _with_dummy(
    encoded: bool, base: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    has_images = kwargs.get("pixel_values") is not None or kwargs.get("mm_encoder_outputs") is not None
    if has_images or kwargs.get("input_ids") is None:
        return None
    # Embeddings before the tower, as with images: where weights are sharded, every process gathers them in one order.
    embeddings = base.get_input_embeddings()(kwargs["input_ids"])
    side = base.spec.resolution
    shape = (1, 1, base.config.vision_config.hidden_size) if encoded else (1, 3, side, side)
    dummy = torch.zeros(shape, device=kwargs["input_ids"].device)
    nothing = 0.0 * base.multi_modal_projector(base.encode(dummy)).float().mean()
    for name in OPTIONAL:
        for weight in getattr(base, name).parameters() if hasattr(base, name) else ():
            nothing = nothing + 0.0 * weight.float().mean()
    return args, {**kwargs, "input_ids": None, "inputs_embeds": embeddings + nothing.to(embeddings.dtype)}
