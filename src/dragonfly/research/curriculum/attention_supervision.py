"""Attention supervision: the negative log of the attention that an answer pays to what it is about.

A language model below a billion parameters does not find by itself, in minutes, which of many sub-images a question is about: it
must compare the question's key with all of them before any of them helps it to answer. Supervised, it learns that comparison
first. `attention_targets` annotates the tokens of an example: one bit per segment (`segment_ids`), set where that segment's
answer is about the token; `answer_targets` likewise, set where it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from dragonfly.config import Config
from dragonfly.data import Sample, image_mask
from dragonfly.data.grouping import ABOUT, PLACES
from dragonfly.training import Recipe
from dragonfly.vision.layout import Box
from dragonfly.vision.scoring import evidence_areas
from dragonfly.vision.trimming import image_layout

from .patch_labels import LEAST_COVER, cover

MAX_SEGMENTS = 63
"""Segments that fit in the bits of an int64 without its sign."""

LEAST_SHOWN = 0.3
"""Share of an evidence box that a sub-image must show to be worth a look."""

KERNEL = "supervised_sdpa"
"""Name by which transformers knows `_attend`."""

FLOOR = 1e-4
"""Attention below this is as good as none; keeps the logarithm finite."""


class AttentionSupervision(Config):
    """Attention told where to look while it is trained, from the samples' evidence. None of it is needed to answer.

    In layer `words`, positions that predict an answer look at the question's words that name what is asked about
    (`meta["about"]`); in layer `places` at the sub-images that hold the evidence; in layer `answer`, where there is one, at the
    patches of the last box of the evidence, where synthetic documents have the answer. The first `heads` of each layer are
    supervised; `weight` of this loss beside that of the answers.
    """

    words: int = Field(default=0, ge=0)
    places: int = Field(default=2, ge=0)
    answer: int | None = Field(default=None, ge=0)
    heads: int = Field(default=2, gt=0)
    weight: float = Field(default=1.0, gt=0.0)


def attention_targets(processor: Any, example: Mapping[str, Any], sample: Sample, images: Sequence[Any]) -> Tensor:
    """(tokens,) int64: bit n - 1 is set where segment n is about the token; without segments bit 0 is the only answer's.

    Places are sub-images of the finest level of the first image.

    Raises:
        ValueError: if the example has more segments than bits, or nothing tells which high sub-images its language model sees.
    """
    ids, targets = example["input_ids"], torch.zeros_like(example["input_ids"])
    segment_ids = example["segment_ids"]
    questions = [message.text for message in sample.messages if message.role == "user"]
    if len(questions) > MAX_SEGMENTS:
        raise ValueError(
            f"{len(questions)} questions on an image; group at most {MAX_SEGMENTS} where they are told where to look"
        )
    image = image_mask(ids, processor.image_token_id, processor.separator_token_id)
    places = _places(processor, example, images[0]) if images else None
    for number, question in enumerate(questions):
        own = (segment_ids == number + 1) if len(questions) > 1 else ~image
        marked = named_words(processor.tokenizer, ids, own, processor.as_written(question), about(sample, number))
        if places is not None and sample.evidence:
            finest, of_token = places
            shown = torch.tensor(shown_places(finest, sample.evidence[number]), dtype=torch.bool)
            block = image.nonzero()[: len(of_token), 0]
            marked[block[(of_token >= 0) & shown[of_token]]] = True
        targets |= marked.long() << number
    return targets


def answer_targets(processor: Any, example: Mapping[str, Any], sample: Sample, images: Sequence[Any]) -> Tensor:
    """(tokens,) int64: bit n - 1 is set at the patches of the finest level that show the last evidence box of question n.

    Raises:
        ValueError: as `attention_targets`, or if the finest level is pooled.
    """
    targets = torch.zeros_like(example["input_ids"])
    if not images:
        return targets
    spec = processor.image_processor.spec
    finest, of_token = _places(processor, example, images[0])
    boxes = torch.tensor(finest, dtype=torch.float64)
    count = spec.num_prefix_tokens + spec.patch_side**2
    each = int((of_token == 0).sum()) - 1
    if each != count:
        raise ValueError(f"a sub-image has {each} tokens, not {count}: pooled patches cannot be told apart")
    image = image_mask(example["input_ids"], processor.image_token_id, processor.separator_token_id)
    last = image.nonzero()[: len(of_token), 0][of_token >= 0].view(len(boxes), count + 1)
    patches = last[:, spec.num_prefix_tokens : count]
    for number, evidence in enumerate(sample.evidence or ()):
        if evidence and len(evidence) <= PLACES:
            shown = cover(boxes, torch.tensor([evidence[-1]], dtype=torch.float64), spec)[0].flatten(1) > LEAST_COVER
            targets[patches[shown]] |= 1 << number
    return targets


def about(sample: Sample, number: int) -> Sequence[str]:
    """What names, in the words of question `number`, that which it is about; nothing where the row does not say."""
    named = sample.meta.get(ABOUT, ())
    return named[number] if number < len(named) else ()


def named_words(tokenizer: Any, ids: Tensor, own: Tensor, question: str, words: Sequence[str]) -> Tensor:
    """(tokens,) bool: tokens of `question`, found whole among those that are `own`, which spell one of the words."""
    marked = torch.zeros_like(own)
    encoded = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)
    asked, offsets = torch.tensor(encoded["input_ids"]), encoded["offset_mapping"]
    rows = own.nonzero()[:, 0]
    if not len(asked) or len(rows) < len(asked):
        return marked
    windows = ids[rows].unfold(0, len(asked), 1)
    start = (windows == asked).all(dim=1).nonzero()
    if len(start):
        spans = [span for word in words for span in _spans(question.lower(), word.lower())]
        hit = [any(left < end and right > begin for begin, end in spans) for left, right in offsets]
        at = int(start[0, 0])
        marked[rows[at : at + len(asked)]] = torch.tensor(hit)
    return marked


def _spans(text: str, word: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start = text.find(word)
    while word and start >= 0:
        spans.append((start, start + len(word)))
        start = text.find(word, start + len(word))
    return spans


def _places(processor: Any, example: Mapping[str, Any], image: Any) -> tuple[list[Box], Tensor]:
    """The boxes of the finest level's sub-images that the language model sees, and which of them each token of the image's
    block is of, -1 for those of other levels; a separator is its sub-image's."""
    layout = image_layout(image, processor.image_processor.spec)
    finest = layout.levels[-1]
    boxes = [finest.box(index) for index in range(finest.num_sub_images)]
    if "selected_high" in example:
        boxes = [boxes[index] for index in example["selected_high"][0].tolist()]
    elif layout.num_kept_high != len(layout.regions):
        raise ValueError(
            "to be told where to look, a language model must see every sub-image or the oracle's: set model.selection.policy=all"
        )
    counts = torch.tensor(layout.token_counts) + 1
    return boxes, (torch.arange(len(counts)) - (len(counts) - len(boxes))).clamp(min=-1).repeat_interleave(counts)


def shown_places(finest: Sequence[Box], evidence: Sequence[Box]) -> list[bool]:
    """For each of these sub-images whether it shows enough of a box, if the boxes are a place at all."""
    shown = [False] * len(finest)
    for left, top, right, bottom in evidence if len(evidence) <= PLACES else ():
        enough = LEAST_SHOWN * (right - left) * (bottom - top)
        areas = evidence_areas(finest, [(left, top, right, bottom)])
        shown = [before or area >= enough > 0 for before, area in zip(shown, areas, strict=True)]
    return shown


def attention_faults(recipe: Recipe, what: str, kernels: Sequence[str] = ("eager",)) -> list[str]:
    """Why `what` could not read the language model's attention by one of these kernels, a sentence each."""
    chosen = recipe.attention.get("text_config") if isinstance(recipe.attention, dict) else recipe.attention
    faults: list[str] = []
    if (chosen or "sdpa") not in kernels:
        faults.append(
            f"{what} reads the language model's attention, which {chosen or 'the default, sdpa,'} does "
            f"not give; set attention={{text_config: {kernels[0]}}}"
        )
    if recipe.gradient_checkpointing:
        faults.append(f"{what} needs what gradient_checkpointing throws away; set it to false")
    return faults


def check_heads(options: AttentionSupervision, config: Any) -> None:
    """ValueError where the language model of this configuration lacks the layers or heads that are to be supervised."""
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    if max(options.words, options.places, options.answer or 0) >= layers or options.heads > heads:
        raise ValueError(
            f"attention_supervision names layers {options.words} and {options.places} and {options.heads} heads; "
            f"the language model has layers 0 to {layers - 1} of {heads} heads"
        )


def supervise(options: AttentionSupervision, model: Any) -> None:
    """Make a language model by `sdpa` give the weights of its supervised heads, and none else: `eager` holds those of all.

    ValueError where it lacks the layers or heads that are to be supervised.
    """
    check_heads(options, model.config.get_text_config())
    if model.config.get_text_config()._attn_implementation == "eager":
        return
    AttentionInterface.register(KERNEL, _attend)
    AttentionMaskInterface.register(KERNEL, sdpa_mask)
    model.set_attn_implementation({"text_config": KERNEL})
    layers = {options.words, options.places, *([] if options.answer is None else [options.answer])}
    for module in model.model.language_model.modules():
        if getattr(module, "layer_idx", None) in layers:
            module.supervised_heads = options.heads


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor]:
    """As `sdpa`, with the weights (batch, supervised heads, length, length) of where it is told; the mask is boolean."""
    options.pop("output_attentions", None)
    mixed, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    heads = getattr(module, "supervised_heads", 0)
    if not heads or not module.training or attention_mask is None:
        return mixed, query.new_empty(0)
    shared = query.shape[1] // key.shape[1]  # heads of a query that look with one key
    keys = key[:, [head // shared for head in range(heads)]]
    scores = (query[:, :heads] @ keys.transpose(2, 3)).float() * (options.get("scaling") or query.shape[-1] ** -0.5)
    return mixed, scores.masked_fill(~attention_mask, torch.finfo(torch.float32).min).softmax(dim=-1)


def attention_supervision_loss(
    options: AttentionSupervision,
    attentions: Sequence[Tensor],
    attention_targets: Tensor,
    segment_ids: Tensor,
    labels: Tensor,
    placeholders: Tensor,
    answer_targets: Tensor | None = None,
) -> Tensor:
    """Negative log attention mass on the annotated tokens, mean over the answers' positions and heads.

    The mean of such terms: in layer `words` the question's words, in layer `places` the sub-images, in layer `answer` the
    answer's patches.

    Args:
        attentions: of each layer (batch, heads, length, length), rows adding up to 1.
        attention_targets: (batch, length), a bit per segment, set where that segment's answer is about the token.
        segment_ids: (batch, length), 0 where all share or where there is one question, else the segment's number.
        labels: (batch, length), -100 outside answers.
        placeholders: (batch, length), where sub-images stand.
        answer_targets: (batch, length), likewise, at the patches that the answer is read from.
    """
    own = torch.ones_like(segment_ids) << (segment_ids - 1).clamp(min=0)
    says = labels[:, 1:] != -100
    terms = []
    looks = [(options.words, ~placeholders, attention_targets), (options.places, placeholders, attention_targets)]
    if options.answer is not None and answer_targets is not None:
        looks.append((options.answer, placeholders, answer_targets))
    for layer, of_kind, targets in looks:
        target = ((targets[:, None, :] & own[:, :-1, None]) != 0) & of_kind[:, None, :]
        rows = says & target.any(dim=-1)
        paid = (attentions[layer][:, : options.heads, :-1].float() * target[:, None]).sum(dim=-1)
        losses = -paid.clamp(min=FLOOR).log().mean(dim=1)[rows]
        terms.append(losses.sum() / rows.sum().clamp(min=1))
    return torch.stack(terms).mean()
