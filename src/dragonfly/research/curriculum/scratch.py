"""The initializer `scratch`: configurations to random weights, and a byte-complete tokenizer learned from the data's own words.

Promises the same model for the same recipe and data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import Field
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, PreTrainedTokenizerFast

from dragonfly.config import Config
from dragonfly.data import Sample, read
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration, DragonflyImageProcessor, DragonflyProcessor
from dragonfly.models.tower import tower_config
from dragonfly.training import Initializer, Recipe
from dragonfly.training.build import encoder_of, existing, weights_dtype

from .projector_init import initialise_projector, spell_embeddings

PAD, BEGIN, END, IMAGE, SEPARATOR = "<|pad|>", "<|begin_of_text|>", "<|eot_id|>", "<image>", "<separator>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
SPECIAL = [PAD, BEGIN, END, *ROLES, IMAGE, SEPARATOR]
TEMPLATE = Path(__file__).with_name("scratch.jinja")
READER, TOKENIZER = Path(__file__).with_name("reader.jinja"), Path(__file__).with_name("reader_tokenizer.json")
"""Chat template and tokenizer of models that read pages; `scripts/make_tokenizer.py` wrote the latter, once."""

TEXTS = 20_000
"""Samples that the tokenizer learns from; more changes little."""

COMMON = 10
"""A word that occurs less often in them is no token of its own."""


class Scratch(Config):
    """A new model: configurations of tower and language model (with `model_type`), and a tokenizer learned from `texts`.

    `texts` is a file, folder or manifest of samples whose messages are read; `vocabulary` the most tokens, 256 bytes and the
    special ones included, so that any text can be written. Without `texts`, tokenizer and chat template are those of the models
    that read pages. `language_model` may be the folder of a model that has learned to answer, or `nano`: tokenizer, chat
    template and language model are then its own. `projector` is the output of a stage with objective `patch_ocr`: the tower is
    that stage's, and the projector begins as its head, put into words; with `rows` it also says in which row a patch stands.
    """

    tower: dict[str, Any]
    language_model: dict[str, Any] | str
    texts: str | None = None
    vocabulary: int = Field(default=512, ge=300)
    feature_layer: int = -2
    projector: str | None = None
    rows: bool = False


def _options(recipe: Recipe) -> Scratch:
    return cast(Scratch, getattr(recipe.init_from, "scratch"))  # noqa: B009 - a key that only the hooks know


def scratch_processor(recipe: Recipe) -> DragonflyProcessor:
    """The processor of a new model: pixels scaled to [-1, 1], a short chat template, a new tokenizer."""
    scratch = _options(recipe)
    tokenizer, template = _language(scratch)
    encoder = encoder_of(recipe, tower_config(scratch.tower))
    images = DragonflyImageProcessor(encoder=encoder, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return DragonflyProcessor(images, tokenizer, chat_template=template)


def _language(scratch: Scratch) -> tuple[Any, str]:
    """Tokenizer and chat template."""
    if isinstance(scratch.language_model, str):
        if scratch.texts is not None:
            raise ValueError("init_from.scratch: a language model that has learned brings its tokenizer; leave texts out")
        learned: Any = DragonflyProcessor.from_pretrained(existing(scratch.language_model))
        return learned.tokenizer, learned.chat_template
    if scratch.texts is None:
        return reader_tokenizer(), READER.read_text(encoding="utf-8")
    return learn_tokenizer(_texts(scratch.texts), scratch.vocabulary), TEMPLATE.read_text(encoding="utf-8")


def scratch_model(recipe: Recipe, processor: DragonflyProcessor) -> DragonflyForConditionalGeneration:
    """Random weights drawn from the recipe's seed; the embedding of a token of several characters is spelled from theirs.

    A language model that has learned keeps its own.
    """
    scratch, attention = _options(recipe), recipe.attention
    tokenizer: Any = processor.tokenizer
    torch.manual_seed(recipe.seed)
    described, learned = scratch.language_model, cast(Any, None)
    if isinstance(described, str):
        learned = DragonflyForConditionalGeneration.from_pretrained(existing(described), dtype=weights_dtype(recipe))
        language, tied = learned.config.text_config, learned.config.tie_word_embeddings
    else:
        language, tied = _language_config(described, tokenizer), bool(described.get("tie_word_embeddings", False))
    config = DragonflyConfig(
        vision_config=tower_config(scratch.tower),
        text_config=language,
        encoder=processor.image_processor.encoder,
        image_token_id=processor.image_token_id,
        separator_token_id=processor.separator_token_id,
        vision_feature_layer=scratch.feature_layer,
        tie_word_embeddings=tied,
    )
    for name in ("vision_config", "text_config"):
        chosen = attention.get(name) if isinstance(attention, dict) else attention
        if chosen is not None:
            getattr(config, name)._attn_implementation = chosen
    model: Any = DragonflyForConditionalGeneration(config)
    see_contrast(model.model.vision_tower)
    if learned is not None:
        model.model.language_model.load_state_dict(learned.model.language_model.state_dict())
        model.lm_head.load_state_dict(learned.lm_head.state_dict())
    else:
        spell_embeddings(model.get_input_embeddings().weight.data, _token_texts(tokenizer))
    if scratch.projector is not None:
        patch_ocr = DragonflyForConditionalGeneration.from_pretrained(existing(scratch.projector), dtype=weights_dtype(recipe))
        model.model.vision_tower.load_state_dict(patch_ocr.model.vision_tower.state_dict())
        initialise_projector(model, tokenizer, scratch.projector, scratch.rows)
    return model


SCRATCH = Initializer(Scratch, scratch_processor, scratch_model)


@torch.no_grad()
def see_contrast(tower: torch.nn.Module) -> None:
    """Make a new tower's patch filters zero-mean, and scale them by 3: even brightness would drown what is written."""
    for name, module in tower.named_modules():
        if name.endswith("patch_embedding") and isinstance(module, torch.nn.Conv2d):
            weight = module.weight
            weight.copy_(3 * (weight - weight.mean(dim=(2, 3), keepdim=True)))


def learn_tokenizer(texts: Iterator[str], vocabulary: int) -> Any:
    """Byte-complete tokenizer: any text round-trips. A common word of `texts` is one token, all else is spelled by bytes.

    Not byte pairs: a small model writes down what it reads letter by letter, as it does digits; every piece of several letters
    would be a thing of its own to learn.
    """
    counts = Counter(word for text in texts for word, _ in splitter().pre_tokenize_str(text) if len(word) > 1)
    common = sorted((word for word in counts if counts[word] >= COMMON), key=lambda word: (-counts[word], word))
    return tokenizer_of(common[: max(0, vocabulary - len(SPECIAL) - 256)])


def word_tokenizer(words: Sequence[str]) -> Any:
    """As `learn_tokenizer`, of given words, each with the blank before it or without."""
    return tokenizer_of([splitter().pre_tokenize_str(word)[0][0] for word in words])


def reader_tokenizer() -> Any:
    """The tokenizer of models that read pages, as it was written once."""
    return _wrapped(Tokenizer.from_file(str(TOKENIZER)))


def splitter() -> Any:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def tokenizer_of(words: Sequence[str]) -> Any:
    """Of control tokens, bytes and words as the splitter writes them."""
    names = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *words]
    tokenizer = Tokenizer(models.BPE({name: row for row, name in enumerate(names)}, [], ignore_merges=True))
    tokenizer.pre_tokenizer = splitter()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    return _wrapped(tokenizer)


def _wrapped(tokenizer: Tokenizer) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE, "separator_token": SEPARATOR},
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def _texts(path: str) -> Iterator[str]:
    """Every message of the first samples at `path`."""
    samples = [row for row in islice(read(path), TEXTS) if isinstance(row, Sample)]
    if not samples:
        raise ValueError(f"init_from.scratch.texts: no usable rows in {path}")
    return (message.text for sample in samples for message in sample.messages)


def _language_config(description: dict[str, Any], tokenizer: Any) -> Any:
    values = dict(description)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return AutoConfig.for_model(values.pop("model_type", "llama"), **{**values, "vocab_size": len(tokenizer), **ids})


def _token_texts(tokenizer: Any) -> list[str]:
    """The text of each token, without blanks around it; nothing for special tokens and lone bytes."""
    special = set(tokenizer.all_special_ids)
    texts = [tokenizer.decode([i]).strip() for i in range(len(tokenizer))]
    return ["" if i in special or "\ufffd" in text else text for i, text in enumerate(texts)]
