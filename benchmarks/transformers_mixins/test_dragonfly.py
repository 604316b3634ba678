"""Our classes under transformers' own test mixins; `benchmarks/mixins.py` puts those beside and runs this file."""

import unittest
from typing import Any

import torch
from hf_tests.generation.test_utils import GenerationTesterMixin  # pyright: ignore[reportMissingImports]
from hf_tests.test_configuration_common import ConfigTester  # pyright: ignore[reportMissingImports]
from hf_tests.test_image_processing_common import (  # pyright: ignore[reportMissingImports]
    ImageProcessingTester,
    ImageProcessingTestMixin,
)
from hf_tests.test_modeling_common import ModelTesterMixin  # pyright: ignore[reportMissingImports]
from hf_tests.test_processing_common import ProcessorTesterMixin  # pyright: ignore[reportMissingImports]
from tests import tiny

from dragonfly.models import (
    DragonflyConfig,
    DragonflyForConditionalGeneration,
    DragonflyImageProcessor,
    DragonflyModel,
    DragonflyProcessor,
)

SMALL_TOWER = {
    "model_type": "clip_vision_model",
    "num_hidden_layers": 3,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "image_size": 16,
    "patch_size": 8,
}
V2_TOWER = {**SMALL_TOWER, "image_size": 32}  # its 4 x 4 pooling needs a 4 x 4 patch grid


def settings(preset: str = "v1", **selection: Any) -> DragonflyConfig:
    tower = V2_TOWER if preset == "v2" else SMALL_TOWER
    plain = tiny.config(preset, vision_config=tower)
    changes = {"selection": selection} if selection else {}
    return tiny.config(preset, vision_config=tower, encoder=plain.spec.changed(changes).to_dict())


class ModelTester:
    """What the mixin asks for: sizes, a configuration, and inputs. These come from the processor, as they always do."""

    batch_size, num_hidden_layers, num_attention_heads, hidden_size = 2, 2, 4, 32
    is_training = True

    def __init__(self, config: DragonflyConfig) -> None:
        self.config = config
        rows = ["<image>what is it?", "<image>where is it"]
        images = [tiny.image(96, 64, seed=1), tiny.image(96, 64, seed=2)]
        encoded = tiny.processor(config)(text=rows, images=images, padding=True, return_tensors="pt")
        self.inputs = dict(encoded)
        self.seq_length = self.encoder_seq_length = self.inputs["input_ids"].shape[1]

    def get_config(self) -> DragonflyConfig:
        return DragonflyConfig.from_dict(self.config.to_dict())

    def prepare_config_and_inputs_for_common(self) -> tuple[DragonflyConfig, dict[str, torch.Tensor]]:
        return self.get_config(), {name: value.clone() for name, value in self.inputs.items()}


class ModelTests(ModelTesterMixin, GenerationTesterMixin):
    config: DragonflyConfig
    all_model_classes = (DragonflyModel, DragonflyForConditionalGeneration)
    _is_composite = True

    def setUp(self) -> None:
        self.model_tester = ModelTester(self.config)
        self.config_tester = ConfigTester(self, config_class=DragonflyConfig, has_text_modality=False)

    def test_config(self) -> None:
        self.config_tester.run_common_tests()


class V1(ModelTests, unittest.TestCase):
    config = settings()


class V2(ModelTests, unittest.TestCase):
    config = settings("v2")


class Residual(ModelTests, unittest.TestCase):
    config = settings(policy="residual")


class Question(ModelTests, unittest.TestCase):
    config = settings(policy="question")

    def _image_features_prepare_config_and_inputs(self) -> Any:
        """Here an image's features depend on its question, which the mixin does not take for an input of images."""
        config, inputs = super()._image_features_prepare_config_and_inputs()
        return config, inputs | {name: self.model_tester.inputs[name].clone() for name in ("question_ids", "question_mask")}


class PooledRemainder(ModelTests, unittest.TestCase):
    config = settings(pooled_remainder=1)


class Images(ImageProcessingTester):
    def __init__(self, parent: Any) -> None:
        super().__init__(parent, batch_size=3, max_resolution=120, encoder=settings().encoder)

    def _get_image_processing_classes(self) -> dict[str, Any]:
        return {"pil": DragonflyImageProcessor}

    def expected_output_image_shape(self, images: Any) -> tuple[int, ...]:
        return 1 + 4 + 24, self.num_channels, 16, 16


class ImageProcessor(ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = Images


class ProcessorTests(ProcessorTesterMixin):
    processor_class = DragonflyProcessor
    images_text_kwargs_max_length, images_text_kwargs_override_max_length = 150, 145
    images_unstructured_max_length = 140
    chat_template_max_length = 300

    @classmethod
    def _setup_tokenizer(cls) -> Any:
        return tiny.tokenizer()

    @classmethod
    def _setup_image_processor(cls) -> Any:
        return DragonflyImageProcessor(encoder=settings().encoder)


class Processor(ProcessorTests, unittest.TestCase):
    pass


class BlockFirst(ProcessorTests, unittest.TestCase):
    @staticmethod
    def prepare_processor_dict() -> dict[str, Any]:
        return {"block_first": True}
