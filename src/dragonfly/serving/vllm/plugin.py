"""What vLLM calls in each of its processes (entry point `vllm.general_plugins`), so that `vllm serve DIR` knows our directories.

vLLM's Transformers backend runs `DragonflyModel` itself, with vLLM's own attention, linear layers and head. It needs the class
under its name in transformers, and is told here what it would otherwise get wrong in silence: a model that chooses sub-images by
the question (vLLM encodes an image without it, and keeps it for other questions), a factor or cap on the logits that vLLM does
not apply, and the end of a turn, which released directories do not name.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from dragonfly.installation import install_advice

# Classes of vLLM's Transformers backend that run a model with images.
BACKENDS = ("TransformersMultiModalForCausalLM", "TransformersMultiModalMoEForCausalLM")
# What vLLM applies of `models/head.py`: `logit_scale`, `final_logit_softcapping`, and a bias. Not these.
LOST = ("logits_scaling", "lm_head_multiplier", "output_multiplier", "logits_soft_cap")


def register() -> None:
    """Make vLLM know our classes. Called once or more in every process.

    Raises:
        ValueError: if vLLM is not installed, or is another than the extra names.
    """
    try:
        from vllm.model_executor.models.config import MODELS_CONFIG_MAP, VerifyAndUpdateConfig
    except ImportError as error:
        raise ValueError(
            f"this is a plug-in of vLLM, and the one that it knows is not there ({error}); {install_advice('vllm')}"
        ) from None
    import transformers

    from dragonfly.models import DragonflyForConditionalGeneration

    # vLLM looks an architecture up as an attribute of transformers.
    transformers.DragonflyForConditionalGeneration = DragonflyForConditionalGeneration  # pyright: ignore[reportAttributeAccessIssue]

    for name in BACKENDS:
        others = MODELS_CONFIG_MAP.get(name, VerifyAndUpdateConfig)
        if not issubclass(others, _Marker):
            MODELS_CONFIG_MAP[name] = type(
                "DragonflyChecks", (_Marker, others), {"verify_and_update_model_config": _hook(others)}
            )


class _Marker:
    """Says that our checks are there already."""


def _hook(others: Any) -> Any:
    def verify_and_update_model_config(model_config: Any) -> None:
        others.verify_and_update_model_config(model_config)
        if getattr(model_config.hf_config, "model_type", None) == "dragonfly":
            check(model_config.hf_config)
            end_at_turns(model_config)

    return staticmethod(verify_and_update_model_config)


def check(config: Any) -> None:
    """Refuse in one line what vLLM would answer wrongly.

    Args:
        config: a `DragonflyConfig`.

    Raises:
        ValueError: for the policies `question` and `oracle`, and for language models whose logits vLLM does not finish.
    """
    policy = config.spec.selection.policy
    if config.spec.selects and policy in ("question", "oracle"):
        reads = "the question" if policy == "question" else "the boxes that hold the answer"
        raise ValueError(
            f"policy '{policy}' chooses sub-images by {reads}, and vLLM encodes an image without it; "
            "serve this model with `dragonfly serve`, or save it with another policy"
        )
    text = config.get_text_config()
    for name in LOST:
        value = getattr(text, name, None)
        if isinstance(value, int | float) and value not in ((0,) if name == "logits_soft_cap" else (1,)):
            raise ValueError(
                f"the language model ('{text.model_type}') finishes its logits by {name}={value}, which vLLM does not apply; "
                "serve this model with `dragonfly serve`"
            )


def end_at_turns(model_config: Any) -> None:
    """Released generation configurations name the end of the text alone, which a chat answer never reaches."""
    from dragonfly.models import released

    if released.read_released(model_config.model) is None:
        return
    own = model_config.try_get_generation_config()
    ends = released.end_ids(model_config.model, own.get("eos_token_id"))
    model_config.try_get_generation_config = partial(dict, {**own, "eos_token_id": ends})
    logging.getLogger(__name__).info("answers end at the ids %s", ends)
