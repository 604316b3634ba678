"""Which model was evaluated, told from the loaded model itself."""

import hashlib
import json
from typing import Any

import torch

from dragonfly.inference import Engine

_SAMPLES = 256  # values read of each tensor: any training step changes some of them
_NOT_THE_MODEL = ("_name_or_path", "transformers_version")  # where it lies and what reads it


@torch.inference_mode()
def describe_model(engine: Engine) -> dict[str, Any]:
    """Name, number format, device kind and a fingerprint of configuration, chat template and weights.

    The fingerprint reads `_SAMPLES` evenly spaced values of every tensor, so it costs a fraction of a second for a large
    model and tells two checkpoints of one training apart. A copy of a model elsewhere has the same.
    """
    told = [_without_place(engine.model.config.to_dict()), engine.processor.chat_template]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
    for name, tensor in sorted(engine.model.state_dict().items()):
        values = tensor.detach().reshape(-1)
        some = values[:: max(1, values.numel() // _SAMPLES)].to("cpu", torch.float64)
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + some.numpy().tobytes())
    device = engine.device.type
    return {"name": engine.name, "dtype": str(engine.model.dtype), "device": device, "fingerprint": digest.hexdigest()[:16]}


def _without_place(values: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in values.items() if key not in _NOT_THE_MODEL}
    return {key: _without_place(value) if isinstance(value, dict) else value for key, value in kept.items()}
