# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""What a vision tower's own directory gives to a new model: its weights, and the mean and deviation of its pixels.

The directory may hold the tower alone or a whole model that has one (CLIP, SigLIP, LLaVA, Idefics3, InternVL).
"""

from __future__ import annotations

import copy
import logging
from typing import Any

import torch
from transformers import AutoConfig
from transformers.image_processing_base import ImageProcessingMixin

from dragonfly.models.checkpoints import refuse_faults
from dragonfly.models.tower import tower_config
from dragonfly.vision.towers import MEAN_AND_STD

logger = logging.getLogger(__name__)

_WITHIN = r"^(?:.*\.)?(?:vision_tower|vision_model|vision_encoder|image_model|visual)\."  # a whole model's names for its tower


def fill_tower(tower: Any, source: str, dtype: torch.dtype | None = None) -> None:
    """Put the weights of `source` into a tower from `build_tower`, which may be without storage (meta device).

    Only the tower's tensors are read, whatever else the checkpoint holds.

    Args:
        tower: from `build_tower`; keeps its configuration.
        source: directory or hub name of a tower, or of a whole model that has one.
        dtype: of the weights; as stored if not given.

    Raises:
        ValueError: naming the tensors that are missing or of another shape.
    """
    own = dict(tower.state_dict())
    prefix = "vision_model." if any(name.startswith("vision_model.") for name in own) else ""
    loaded, info = type(tower).from_pretrained(
        source,
        config=copy.deepcopy(tower.config),
        dtype=dtype or "auto",
        key_mapping={_WITHIN: prefix},
        ignore_mismatched_sizes=True,  # so that they are named below
        output_loading_info=True,
    )
    faults = {
        "missing_keys": [name for name in info["missing_keys"] if name in own],
        "unexpected_keys": [],  # the rest of a whole model
        "mismatched_keys": [key for key in info["mismatched_keys"] if key[0] in own],
    }
    refuse_faults(source, faults)
    weights = loaded.state_dict()
    tower.load_state_dict({name: weights[name] for name in own}, assign=True)
    # What no checkpoint of ours holds: positions, frequencies, and parameters of the family that nothing here uses.
    held = {**dict(loaded.named_parameters()), **dict(loaded.named_buffers())}
    for name in [name for name, _ in tower.named_buffers() if name not in own]:
        parent, _, key = name.rpartition(".")
        tower.get_submodule(parent)._buffers[key] = held[name].detach()


def tower_pixels(source: str) -> dict[str, Any]:
    """`image_mean`, `image_std` and `rescale_factor` that the tower's own image processor uses, for `DragonflyImageProcessor`.

    Read from its preprocessor_config.json or processor_config.json; where there is none, those published with its family.

    Raises:
        ValueError: if neither says them. They are never guessed: a tower that sees other numbers answers worse and says nothing.
    """
    try:
        values, _ = ImageProcessingMixin.get_image_processor_dict(source)
    except OSError:
        values = {}
    if values.get("do_normalize") is False:
        values = {**values, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}
    if values.get("do_rescale") is False:
        values = {**values, "rescale_factor": 1.0}
    if "image_mean" in values and "image_std" in values:
        return {key: values[key] for key in ("image_mean", "image_std", "rescale_factor") if values.get(key) is not None}
    kind = tower_config(AutoConfig.from_pretrained(source)).model_type
    if kind not in MEAN_AND_STD:
        raise ValueError(
            f"tower '{source}' has no preprocessor_config.json with image_mean and image_std, and those of its type '{kind}' are "
            "not known here; put the file of its published model beside its weights"
        )
    mean, std = MEAN_AND_STD[kind]
    logger.warning(
        "tower '%s' has no preprocessor_config.json with image_mean and image_std; using those published for its type '%s'",
        source,
        kind,
    )
    return {"image_mean": list(mean), "image_std": list(std)}
