# pyright: reportUnknownMemberType=false
"""What a frozen vision tower makes of images, on disk: encoded once, read in every later epoch and run.

A folder per tower, encoder and number format; in it a safetensors file per distinct image, named by the hash of its bytes, that
holds what the image processor gives, the tower's output in place of the pixels. From there on all goes its usual way: collation,
`forward` and selection take the one as the other. `tower_filling` writes the files; nothing here runs a model.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import make_flat_list_of_images

from dragonfly.data import BadSample
from dragonfly.data.batch import joined_images
from dragonfly.data.dataset import loaded_image
from dragonfly.data.sample import ImageRef
from dragonfly.files import atomic_write, sha256, write_json
from dragonfly.imaging import ImagePolicy, image_file
from dragonfly.models import DragonflyImageProcessor
from dragonfly.vision.layout import SubImageLayout, make_layout
from dragonfly.vision.scoring import evidence_areas

ABOUT = "cache.json"
STORED = "tower_cache"
"""Key in the `info` of the one-pixel image that stands for an encoded one."""


@dataclass(frozen=True)
class TowerCache:
    """The files of one tower, encoder and number format.

    Args:
        folder: of these alone; its name is a hash of what they depend on.
        policy: how images are decoded.
    """

    folder: Path
    policy: ImagePolicy
    _hashes: dict[tuple[str, int, int], str] = field(default_factory=dict[tuple[str, int, int], str], repr=False)

    @classmethod
    def open(cls, parent: str | Path, depends: Mapping[str, Any], policy: ImagePolicy) -> TowerCache:
        """The cache in `parent` of what `depends` describes. ValueError where its record says that it is of something else."""
        about = json.loads(json.dumps({**depends, "policy": repr(policy), "format": 1}))
        folder = Path(parent) / sha256(json.dumps(about, sort_keys=True).encode())[:16]
        record = folder / ABOUT
        if not record.is_file():
            write_json(record, about)
        elif (found := json.loads(record.read_text(encoding="utf-8"))) != about:
            other = ", ".join(sorted(name for name in about | found if about.get(name) != found.get(name)))
            raise ValueError(f"{record} is of another run's images (different: {other}); remove {folder}, or name another folder")
        return cls(folder, policy)

    def key(self, image: ImageRef) -> str:
        """Of the image's encoded bytes and what is shown of them. `BadSample` where it is no file (a URL, a folder, nothing)."""
        if image.bytes is not None:
            return sha256(f"{sha256(image.bytes)} {image.view}".encode())
        assert image.path is not None
        place = Path(image_file(image.path))
        if not place.is_file():
            raise BadSample("broken-image", f"{image.path} is not a file; data.tower_cache takes files and bytes")
        state = place.stat()
        known = (str(place), state.st_size, state.st_mtime_ns)
        if known not in self._hashes:
            self._hashes[known] = sha256(place)
        return sha256(f"{self._hashes[known]} {image.path.removeprefix(str(place))} {image.view}".encode())

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def write(self, key: str, tensors: Mapping[str, Tensor], layout: SubImageLayout) -> None:
        """Keep an encoded image: the image processor's tensors of one row, `pixel_values` (1, sub_images, tokens, hidden)."""
        place = {"size": layout.size, "area": layout.area}
        metadata = {"cache": self.folder.name, "image": key, "layout": json.dumps(place)}
        with atomic_write(self.path(key), "wb") as file:
            file.write(save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))

    def read(self, key: str) -> dict[str, Any]:
        """What `write` kept, and the layout's `size` and `area`. ValueError for a file that is damaged or of another cache."""
        path = self.path(key)
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged ({error}); remove it and start again") from None
        if (metadata.get("cache"), metadata.get("image")) != (self.folder.name, key):
            raise ValueError(f"{path} was written for another tower, encoder or image; remove it and start again")
        return {**tensors, **json.loads(metadata["layout"])}

    def opened(self, image: ImageRef) -> Image.Image:
        """One pixel that stands for an encoded image; `EncodedImages` reads it. `BadSample` for an image that is broken."""
        key = self.key(image)
        if not self.path(key).is_file():
            loaded_image(image, self.policy)
            raise ValueError(
                f"{image.path or 'an image'} is not in {self.folder}: it was changed after the run began, or machines have "
                "folders of their own; name a folder that all of them see, and start again"
            )
        pixel = Image.new("RGB", (1, 1))
        pixel.info[STORED] = self.read(key)
        return pixel


class EncodedImages(DragonflyImageProcessor):
    """An image processor of images that a tower cache holds: what was kept of them, joined, with their layouts."""

    cache: TowerCache

    @classmethod
    def of(cls, processor: Any, cache: TowerCache) -> Any:
        """The same processor, text and all, over the cache's images."""
        encoded: Any = cls.from_dict(processor.image_processor.to_dict())
        encoded.cache = cache
        changed = copy.copy(processor)
        changed.image_processor = encoded
        return changed

    def open_image(self, image: ImageRef) -> Image.Image:
        return self.cache.opened(image)

    def fetch_images(self, image_url_or_urls: Any, urls: str | None = None, raw_base64: bool | None = None) -> Any:
        return image_url_or_urls

    def preprocess(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        """As for pixels. `evidence` is looked at where it is learned from (policy `question`)."""
        given: Any = make_flat_list_of_images(images)
        stored = [dict(image.info[STORED]) for image in given]
        places = [(row.pop("size"), row.pop("area")) for row in stored]
        spec, evidence = self.spec, kwargs.get("evidence")
        layouts = [make_layout(tuple(size), spec, tuple(area) if area else None) for size, area in places]
        data: dict[str, Any] = dict(joined_images(stored))
        if evidence is not None and spec.selection.policy == "question":
            areas = [evidence_areas(layout.level_boxes("high"), boxes) for layout, boxes in zip(layouts, evidence, strict=True)]
            data["evidence_high"] = nn.utils.rnn.pad_sequence([torch.tensor(row).float() for row in areas], batch_first=True)
        return BatchFeature({**data, "layouts": layouts})


def tower_hash(model: Any) -> str:
    """Of all that decides a tower's output: its configuration, how many of its layers run, and its weights."""
    config, tower = model.config, model.vision_tower
    digest = hashlib.sha256(f"{config.vision_config.to_json_string()} {config.num_tower_layers}".encode())
    weights: Sequence[tuple[str, Tensor]] = sorted(tower.state_dict().items())
    for name, tensor in weights:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
