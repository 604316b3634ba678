# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A joined model held against the language model that it was made of: the same logits on text, or it is refused."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dragonfly.files import one_line
from dragonfly.models.head import wants_router_logits
from dragonfly.models.outputs import CACHE

TEXT = "The quick brown fox jumps over the lazy dog."
TOKENS = 8
# Largest difference from the original's logits, as a share of the largest logit: the same operations in another order.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
HALF_TOLERANCE = 2e-2


@torch.no_grad()
def hold_to_original(model: Any, original: Any, name: str, tokenizer: Any) -> None:
    """Compare logits of a few tokens: a batch of two, one padded on the left, then one more token from the cache.

    Then what an image brings: embeddings of which no token has any. And whether a padded row is read as alone.

    Raises:
        ValueError: in one line, if logits differ, if no cache comes back, or if the language model cannot be called so.
    """
    ids = torch.tensor([tokenizer(TEXT, add_special_tokens=False)["input_ids"][:TOKENS]]).repeat(2, 1)
    mask = torch.ones_like(ids)
    mask[1, : ids.shape[1] // 2] = 0
    with _evaluating(model, original):
        try:
            ours, theirs = (_two_steps(one, ids, mask) for one in (model, original))
            embeddings = model.get_input_embeddings()(ids)
            model(inputs_embeds=embeddings.roll(1, dims=-1), attention_mask=mask)
            # Without a cache the refusal below is what its user must read.
            apart = 0.0 if ours is None else _padded_from_alone(model, ids, mask)
        except Exception as error:  # whatever a family raises on the usual arguments, its user reads one line
            raise refusal(name, original, f"it cannot be called as Dragonfly does ({one_line(error, 200)})") from error
    if ours is None or theirs is None:
        raise refusal(name, original, "it returns no cache of keys and values, so every new token would read all others again")
    limit = TOLERANCE.get(original.dtype, HALF_TOLERANCE) * float(theirs.abs().max())
    difference = float((ours - theirs).abs().max())
    if not difference <= limit:  # or not a number
        raise refusal(name, original, f"its logits on text would differ by {difference:.3g} (at most {limit:.3g} is rounding)")
    if not apart <= limit:
        raise refusal(name, original, f"it reads a padded row otherwise than alone, by {apart:.3g}, so batches change answers")


def _two_steps(model: Any, ids: Tensor, mask: Tensor) -> Tensor | None:
    """Logits of all tokens that are not padding, the last of them from the cache: (tokens, vocabulary)."""
    # Originals compute an auxiliary loss even without labels, and fail at that where part of the tokens are in the cache.
    options: dict[str, Any] = {"use_cache": True}
    if wants_router_logits(model.config.get_text_config()):
        options["output_router_logits"] = False
    first = model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], **options)
    cache = getattr(first, CACHE, None)
    if cache is None:
        return None
    last = model(input_ids=ids[:, -1:], attention_mask=mask, **{CACHE: cache}, **options)
    return torch.cat([first.logits, last.logits], dim=1)[mask.bool()].float()


def _padded_from_alone(model: Any, ids: Tensor, mask: Tensor) -> float:
    """How far the logits of two generated tokens, in a row that is padded, are from those of the row alone."""
    options: dict[str, Any] = {"max_new_tokens": 2, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    options |= {"eos_token_id": None, "pad_token_id": 0}
    padded = model.generate(input_ids=ids, attention_mask=mask, **options).logits
    alone = model.generate(input_ids=ids[1:][mask[1:].bool()][None], **options).logits
    return max(float((one[1] - other[0]).float().abs().max()) for one, other in zip(padded, alone, strict=True))


@contextmanager
def _evaluating(*models: nn.Module) -> Generator[None]:
    """Without dropout, then as before."""
    modes = [one.training for one in models]
    for one in models:
        one.eval()
    try:
        yield
    finally:
        for one, mode in zip(models, modes, strict=True):
            one.train(mode)


def refusal(name: str, original: Any, reason: str) -> ValueError:
    """What to raise when the language model `name` cannot be joined."""
    return ValueError(f"language model {name!r} ({original.config.model_type}) cannot be joined: {reason}; choose another")
