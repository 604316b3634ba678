"""The FLOPs of a training batch, from `planning`'s formulas and the batch's own numbers; nothing is measured.

Model FLOPs: what the mathematics needs. Work done again under gradient checkpointing is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dragonfly.planning import LanguageModelSize, tower_flops

from .build import ModuleCount


@dataclass(frozen=True)
class Flops:
    """`per_sub_image` of the tower, forward; the language model's sizes; and how often each is passed.

    The projector is left out (v1 with an 8B model: below 0.1 % of the whole).

    A trained module is passed three times (forward, its activations' gradient, its weights' gradient), a frozen one twice
    where gradients pass through it and once where they do not.
    """

    per_sub_image: int
    language: LanguageModelSize
    tower_passes: int
    language_passes: int

    @classmethod
    def of_model(cls, model: Any, counts: list[ModuleCount]) -> Self | None:
        """For a Dragonfly model; None when `planning` has no formula for its tower or language model."""
        trained = {count.name for count in counts if count.trained}
        config = model.config
        try:
            tower, language = tower_flops(config.vision_config, config.spec), LanguageModelSize.from_config(config)
        except ValueError:
            return None
        below = {"vision_tower", "multi_modal_projector", "sub_image_position", "other"} & trained
        whole = bool({"language_model", "lm_head"} & trained)
        return cls(tower, language, 3 if "vision_tower" in trained else 1, 3 if whole else 2 if below else 1)

    def of_batch(self, inputs: Mapping[str, Any]) -> int:
        """FLOPs of one batch of `data.Collator`; images count as many sub-images as they have."""
        pixels, numbers = inputs.get("pixel_values"), inputs.get("num_sub_images")
        sub_images = 0 if pixels is None else int(numbers.sum()) if numbers is not None else pixels.shape[0] * pixels.shape[1]
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        return self.tower_passes * sub_images * self.per_sub_image + sum(map(self._of_row, lengths))

    def _of_row(self, length: int) -> int:
        """The language model over one row: `LanguageModelSize.flops` has one position's logits, training needs all."""
        size = self.language
        forward = size.flops(length, length) + 2 * (length - 1) * size.hidden_size * size.vocab_size
        # Both sides of attention's products are activations, so a frozen model too is passed three times there.
        again = 4 * length**2 * size.num_heads * size.head_dim * size.num_layers if self.language_passes == 2 else 0
        return self.language_passes * forward + again
