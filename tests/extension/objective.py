"""An objective: the answers, and what an image's tokens may weigh, from a per-image tensor that travels with the batch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from dragonfly.config import Config
from dragonfly.training import Hooks
from dragonfly.training.objective import ANSWER, TrainingSetup
from dragonfly.vision.layout import MID


class QuietOptions(Config):
    """`weight` of the mean squared image embedding, counted once for each mid sub-image of the batch."""

    name: Literal["quiet"] = "quiet"
    weight: float = 0.1


def build(recipe: Any, model: Any, processor: Any, rows: Any) -> TrainingSetup:
    setup = ANSWER.build(recipe, model, processor, rows)

    def extra_loss(outputs: Any, batch: Mapping[str, Any]) -> Tensor:
        """A scalar. `sub_image_regions` (num_images, num_sub_images) is the layout in tensor form (`vision/inputs.py`)."""
        regions: Tensor | None = batch.get("sub_image_regions")
        if regions is None:  # a batch without images
            return outputs.logits.sum() * 0.0
        mids = (regions == MID).sum()
        return recipe.objective.weight * mids * outputs.image_hidden_states.float().square().mean()

    return replace(setup, extra_loss=extra_loss)


QUIET = replace(ANSWER, options=QuietOptions, build=build)
HOOKS = Hooks((QUIET,))
