"""A vision tower: any Hugging Face model of pixels with square patch tokens; here two convolutions."""

from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class ConvTowerConfig(PreTrainedConfig):
    model_type = "conv_tower"

    image_size: int = 32
    patch_size: int = 8
    hidden_size: int = 16
    num_hidden_layers: int = 1


class ConvTower(PreTrainedModel):
    """(n, 3, R, R) -> `last_hidden_state` (n, patches, hidden), patches in raster order, no CLS."""

    config_class = ConvTowerConfig
    main_input_name = "pixel_values"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.stem = nn.Conv2d(3, config.hidden_size, config.patch_size, stride=config.patch_size)
        self.mix = nn.Conv2d(config.hidden_size, config.hidden_size, 3, padding=1)
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutput:
        features = self.mix(self.stem(pixel_values).relu())
        return BaseModelOutput(last_hidden_state=features.flatten(2).transpose(1, 2))  # pyright: ignore[reportArgumentType]


AutoConfig.register("conv_tower", ConvTowerConfig, exist_ok=True)
AutoModel.register(ConvTowerConfig, ConvTower, exist_ok=True)
