# pyright: reportUnknownMemberType=false
"""Dragonfly for transformers: importing this room registers its classes with the Auto classes."""

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.models.auto import modeling_auto

from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.models.conv_tower import ConvTower, ConvTowerConfig
from dragonfly.models.image_processing_dragonfly import DragonflyImageProcessor
from dragonfly.models.modeling_dragonfly import DragonflyForConditionalGeneration, DragonflyModel
from dragonfly.models.processing_dragonfly import DragonflyProcessor
from dragonfly.models.released import BASE_WEIGHT_RENAMES, WEIGHT_RENAMES
from dragonfly.vision.presets import PRESETS, get_preset

AutoConfig.register("dragonfly", DragonflyConfig, exist_ok=True)
AutoConfig.register("dragonfly_conv_tower", ConvTowerConfig, exist_ok=True)
AutoModel.register(ConvTowerConfig, ConvTower, exist_ok=True)
AutoModel.register(DragonflyConfig, DragonflyModel, exist_ok=True)
AutoModelForImageTextToText.register(DragonflyConfig, DragonflyForConditionalGeneration, exist_ok=True)
AutoModelForMultimodalLM.register(DragonflyConfig, DragonflyForConditionalGeneration, exist_ok=True)
AutoImageProcessor.register(DragonflyConfig, image_processor_classes={"pil": DragonflyImageProcessor}, exist_ok=True)
AutoProcessor.register(DragonflyConfig, DragonflyProcessor, exist_ok=True)
for table, cls in (  # `transformers serve` looks for a model type here, not in the Auto classes
    ("MODEL_MAPPING_NAMES", DragonflyModel),
    ("MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES", DragonflyForConditionalGeneration),
    ("MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES", DragonflyForConditionalGeneration),
):
    getattr(modeling_auto, table)["dragonfly"] = cls.__name__
register_checkpoint_conversion_mapping("DragonflyForConditionalGeneration", WEIGHT_RENAMES, overwrite=True)
register_checkpoint_conversion_mapping("DragonflyModel", BASE_WEIGHT_RENAMES, overwrite=True)

__all__ = [
    "PRESETS",
    "ConvTower",
    "ConvTowerConfig",
    "DragonflyConfig",
    "DragonflyForConditionalGeneration",
    "DragonflyImageProcessor",
    "DragonflyModel",
    "DragonflyProcessor",
    "get_preset",
]
