"""The FLOPs of a training batch, from `planning`'s formulas and the batch's own numbers; nothing is measured.

Model FLOPs: what the mathematics needs. Work done again under gradient checkpointing is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dragonfly.planning import LanguageModelSize, tower_flops

from .stages import ModuleCount


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
        below = {"vision_tower", "multi_modal_projector", "other"} & trained
        whole = bool({"language_model", "lm_head"} & trained)
        return cls(tower, language, 3 if "vision_tower" in trained else 1, 3 if whole else 2 if below else 1)

    def of_batch(self, inputs: Mapping[str, Any]) -> int:
        """FLOPs of one batch of `data.Collator`; pictures count as many sub-images as they have."""
        pixels, numbers = inputs.get("pixel_values"), inputs.get("num_sub_images")
        sub_images = 0 if pixels is None else int(numbers.sum()) if numbers is not None else pixels.shape[0] * pixels.shape[1]
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        language = sum(self.language.flops(length, length) + self._more_logits(length) for length in lengths)
        return self.tower_passes * sub_images * self.per_sub_image + self.language_passes * language

    def _more_logits(self, length: int) -> int:
        """`LanguageModelSize.flops` has the logits of the last position alone; training needs all."""
        return 2 * (length - 1) * self.language.hidden_size * self.language.vocab_size
