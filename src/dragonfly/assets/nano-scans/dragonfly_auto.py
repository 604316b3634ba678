"""The classes of a Dragonfly model, which come with the package dragonfly-vlm.

A copy of this file lies beside saved weights, where transformers looks for a model's own code (`trust_remote_code=True`). It
holds none: it imports the installed package, and importing that registers the classes with transformers.
"""

try:  # transformers does not look into a try block for packages to demand, and would name the wrong one
    from dragonfly.models import (
        DragonflyConfig,
        DragonflyForConditionalGeneration,
        DragonflyImageProcessor,
        DragonflyModel,
        DragonflyProcessor,
    )
except ImportError as error:
    raise ImportError(f"a Dragonfly model needs the package dragonfly-vlm: pip install dragonfly-vlm ({error})") from None

__all__ = [
    "DragonflyConfig",
    "DragonflyForConditionalGeneration",
    "DragonflyImageProcessor",
    "DragonflyModel",
    "DragonflyProcessor",
]
