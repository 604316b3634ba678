"""What a model costs before any weights exist: tokens, FLOPs, parameters, memory and time. Knows no weights.

`plan` counts tokens and FLOPs of an image. `plan_inference` and `plan_training` add memory and time for a `ModelSize`, which two
configurations make: `plan_inference(ModelSize.from_configs(tower, language_model, preset="v1"), Answers())`.
"""

from dragonfly.planning.budget import Fit, fit
from dragonfly.planning.cost import Cost, LevelCost, plan, projected_rows
from dragonfly.planning.devices import DEVICES, Device, get_device, parse_bytes
from dragonfly.planning.estimate import AnswerTime, Plan, TrainingTime, plan_inference, plan_training, training_flops
from dragonfly.planning.language_models import KNOWN_LANGUAGE_MODELS, LanguageModelSize, language_model_size
from dragonfly.planning.memory import Memory
from dragonfly.planning.model import PARTS, ModelSize
from dragonfly.planning.towers import TowerSize, read_tower
from dragonfly.planning.work import Answers, Training

__all__ = [
    "DEVICES",
    "KNOWN_LANGUAGE_MODELS",
    "PARTS",
    "AnswerTime",
    "Answers",
    "Cost",
    "Device",
    "Fit",
    "LanguageModelSize",
    "LevelCost",
    "Memory",
    "ModelSize",
    "Plan",
    "TowerSize",
    "Training",
    "TrainingTime",
    "fit",
    "get_device",
    "language_model_size",
    "parse_bytes",
    "plan",
    "plan_inference",
    "plan_training",
    "projected_rows",
    "read_tower",
    "training_flops",
]
