"""Which model was evaluated, identified by the loaded model's own configuration and weights."""

import hashlib
import json
from typing import Any

import torch

from dragonfly.inference import Engine

_SAMPLES = 256  # values read of each tensor: any training step changes some of them
_NOT_THE_MODEL = ("_name_or_path", "transformers_version", "auto_map")  # where it lies and what reads it


@torch.no_grad()  # not inference mode, in which quantised tensors cannot be detached
def describe_model(engine: Engine) -> dict[str, Any]:
    """{name, dtype, device, fingerprint}; the fingerprint is a hash of configuration, chat template and weights, 16 hex digits.

    It reads `_SAMPLES` evenly spaced values of every tensor: a fraction of a second for a large model, and different for two
    checkpoints of one training. A copy of the model in another folder has the same fingerprint, a quantised one another.
    Weights that wait on a disk or in another memory (a device map) count by name and shape.
    """
    identity = [_without_place(engine.model.config.to_dict()), engine.processor.chat_template]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode())
    for name, tensor in sorted(engine.model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        for part in _stored(tensor.detach()):
            values = part.reshape(-1)
            some = values[:: max(1, values.numel() // _SAMPLES)].to("cpu", torch.float64)
            digest.update(some.numpy().tobytes())
    device = engine.device.type
    return {"name": engine.name, "dtype": str(engine.model.dtype), "device": device, "fingerprint": digest.hexdigest()[:16]}


def _stored(tensor: Any) -> list[torch.Tensor]:
    """The tensors that hold a value: itself, the parts of a quantised one, none of what is offloaded."""
    if hasattr(tensor, "__tensor_flatten__"):
        return [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
    return [] if tensor.is_meta else [tensor]


def _without_place(values: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in values.items() if key not in _NOT_THE_MODEL}
    return {key: _without_place(value) if isinstance(value, dict) else value for key, value in kept.items()}
