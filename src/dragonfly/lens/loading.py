# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Any image-text model that transformers has, with its processor: from a directory or the hub, without torchvision.

Processors of families that also know videos want a video processor, and those need torchvision. A lens shows images alone, so
where torchvision is missing the processor is made without one.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

import dragonfly.models  # noqa: F401 - registers our own classes with the Auto classes
from dragonfly.inference.loading import auto_dtype, find_directory, model_device, model_dtype, no_progress_bars, one_line_errors
from dragonfly.installation import BUNDLED

Pair = tuple[Any, Any]
_NO_VIDEOS = SimpleNamespace(num_frames=None, fps=None)  # what some processors read of theirs, images or not


def load_pair(model: str | Path | Pair | None, device: str = "auto", dtype: str = "auto") -> tuple[Any, Any, str]:
    """(model in evaluation mode, processor, name) of a directory, a hub name, or a pair that is loaded already.

    Raises:
        ValueError: for anything the user can mend; one line.
    """
    if isinstance(model, tuple):
        return model[0].eval(), model[1], str(getattr(model[0].config, "_name_or_path", "") or "the model")
    path, target = find_directory(model), model_device(device)
    number = model_dtype(dtype) or auto_dtype(path, target, None)
    with one_line_errors(path), no_progress_bars():
        config = AutoConfig.from_pretrained(path)
        if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            raise ValueError(
                f"'{path}' holds a model of type '{config.model_type}', which takes no images with its questions; name an "
                "image-text model"
            )
        processor = _processor(path, config)
        built: Any = AutoModelForImageTextToText.from_pretrained(path, config=config, dtype=number)
    return built.to(target).eval(), processor, str(model or BUNDLED[0])


def _processor(path: Path, config: Any) -> Any:
    kind: Any = PROCESSOR_MAPPING.get(type(config), None)
    if find_spec("torchvision") is not None or kind is None or "video_processor" not in kind.get_attributes():
        return AutoProcessor.from_pretrained(path)
    return images_only(kind).from_pretrained(path)


def images_only(kind: Any) -> Any:
    """A processor class without its video processor."""
    attributes = [name for name in kind.get_attributes() if name != "video_processor"]
    return type(
        kind.__name__, (kind,), {"get_attributes": classmethod(lambda _: list(attributes)), "video_processor": _NO_VIDEOS}
    )
