"""Dragonfly inside lmms-eval: a chat model named `dragonfly`, and the six biomedical tasks that lmms-eval lacks.

lmms-eval finds the model through the entry point group `lmms_eval.models`, and the tasks through `--include_path`. Importing this
package needs no lmms-eval; only `model.py` does. Written against lmms-eval 0.7.3.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

MODEL_ID = "dragonfly"


def manifest() -> Any:
    """The entry point's `ModelManifest`: a chat model, so lmms-eval hands over messages."""
    from lmms_eval.models.registry_v2 import ModelManifest  # pyright: ignore[reportMissingImports]

    return ModelManifest(model_id=MODEL_ID, chat_class_path=f"{__name__}.model.DragonflyChat")


def tasks_folder() -> Path:
    """The folder for `--include_path`."""
    return Path(str(files(__name__) / "tasks"))
