"""A selection policy: keep the high sub-images whose loudest patch is loudest."""

from torch import Tensor

from dragonfly.vision.scoring import SelectionInputs, add_policy
from dragonfly.vision.selection_spec import SelectionSpec


def loudest_patch(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Tensor:
    """(images, high): the length of the longest projected patch token of each high sub-image."""
    assert inputs.high_patches is not None  # (images, high, patches, hidden): this policy needs tokens
    return inputs.high_patches.float().norm(dim=-1).amax(dim=-1)


add_policy("loudest", "tokens", loudest_patch)
