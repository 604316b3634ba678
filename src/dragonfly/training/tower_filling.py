# pyright: reportUnknownMemberType=false
"""Before the first step of a run with `data.tower_cache`: every image of its rows goes through the tower, unless it is kept.

Promises that nothing of a training changes by it but its time: no chance is drawn, the tower is as it was, and a tower whose
output would differ from one step to the next is refused. Each process encodes its share; all see one folder.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from dragonfly.data import BadSample, Mixture
from dragonfly.data.dataset import loaded_image
from dragonfly.data.sample import ImageRef
from dragonfly.vision.layout import SubImageLayout
from dragonfly.vision.spec import EncoderSpec

from .build import DTYPES
from .objective import image_policy
from .sources import load_rows, num_steps
from .tower_cache import EncodedImages, TowerCache, tower_hash

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from .recipe import Recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """An image as the image processor gives it, still pixels; `tensors` None where it cannot be read."""

    key: str
    tensors: dict[str, Tensor] | None
    layout: SubImageLayout | None


class Images(Dataset[Prepared]):
    """The images to encode, by key; `rows` are sequences of samples, of which a place names one and its image."""

    def __init__(self, rows: list[Any], places: list[tuple[str, int, int, int]], processor: Any, cache: TowerCache) -> None:
        self.rows, self.places, self.processor, self.cache = rows, places, processor, cache

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Prepared:
        key, source, row, number = self.places[index]
        image: ImageRef = self.rows[source][row].images[number]
        try:
            pixels = loaded_image(image, self.cache.policy)
        except BadSample:  # training names the row
            return Prepared(key, None, None)
        output = self.processor.image_processor(pixels, return_tensors="pt")
        layout = output.pop("layouts")[0]
        return Prepared(key, dict(output), layout)


def with_tower_cache(recipe: Recipe, model: Any, processor: Any, order: Mixture, arguments: TrainingArguments) -> Any:
    """The processor over the cache, which then holds every image of the run. `model` is the Dragonfly model itself.

    ValueError for a tower that is trained or draws chance, a policy that does not choose by the image, and a disk that is too
    small.
    """
    base, spec = model.model, processor.image_processor.spec
    if spec.selection.policy == "oracle":
        raise ValueError(
            "data.tower_cache keeps an image once, and policy 'oracle' chooses by each row's evidence; leave one out"
        )
    if any(weight.requires_grad for weight in base.vision_tower.parameters()):
        raise ValueError("data.tower_cache is for a tower that stays as it is, and lora.targets names parts of it; leave one out")
    with torch.random.fork_rng(devices=[]):  # training draws what it would draw
        _check_constant(base)
        cache = TowerCache.open(
            str(recipe.data.tower_cache),
            {
                "tower": tower_hash(base),
                "image_processor": processor.image_processor.to_dict(),
                "precision": recipe.precision,
                "attention": base.config.vision_config._attn_implementation,
            },
            image_policy(recipe, processor),
        )
        rows, missing = _missing(recipe, order, cache)
        _check_room(recipe, cache, len(missing), largest(spec, base.config.vision_config.hidden_size, recipe.precision))
        _together()  # before the first file is written: every process must have found the same ones missing
        share = missing[arguments.process_index :: arguments.world_size]
        _encode(recipe, base, Images(rows, share, processor, cache), arguments)
    _together()
    return EncodedImages.of(processor, cache)


def _together() -> None:
    """Wait for the other processes."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


def largest(spec: EncoderSpec, hidden: int, precision: str) -> int:
    """Bytes of one image in the cache, at most: all of its sub-images, or those that a policy keeps before the tower."""
    counts: list[int] = []
    low = max((rows * cols for rows, cols in spec.low.grids), default=0) if spec.low else 0
    for mid, high in spec.pairs():
        mids, highs = (grid[0] * grid[1] if grid else 0 for grid in (mid, high))
        counts.append(low + mids + (min(highs, spec.num_kept_high(mids, highs)) if spec.selection.early else highs))
    tokens = spec.num_prefix_tokens + spec.patch_side**2
    return max(counts) * tokens * hidden * DTYPES[precision].itemsize


def _missing(recipe: Recipe, order: Mixture, cache: TowerCache) -> tuple[list[Any], list[tuple[str, int, int, int]]]:
    """Rows of all sources, and (key, source, row, image) of every distinct image of the run that is not kept yet."""
    names = list(order.sources)
    # A bad row is replaced by the next, so a few positions behind the last are taken along.
    steps = num_steps(recipe, order.rows_per_epoch)
    positions = range(min(len(order), (steps + 1) * recipe.batch.global_size))
    wanted = sorted({(names.index(place.source), place.row) for place in map(order.locate, positions)})
    rows: list[Any] = list(order.sources.values())
    if recipe.data.eval is not None:
        rows.append(load_rows(recipe.data.eval, recipe.data.max_bad_share))
        wanted += [(len(names), row) for row in range(len(rows[-1]))]
    found: dict[str, tuple[str, int, int, int]] = {}
    for source, row in wanted:
        for number, image in enumerate(rows[source][row].images):
            try:
                key = cache.key(image)
            except BadSample:  # training names the row
                continue
            if key not in found and not cache.path(key).is_file():
                found[key] = (key, source, row, number)
    return rows, list(found.values())


def _check_room(recipe: Recipe, cache: TowerCache, number: int, each: int) -> None:
    """Say how much will be written, or that it does not fit."""
    if not number:
        logger.info("tower cache %s: holds every image of the run", cache.folder)
        return
    free = shutil.disk_usage(cache.folder).free
    needed = number * each
    said = f"at most {_gigabytes(needed)} for {number:,} images ({_gigabytes(each)} each), and {_gigabytes(free)} are free"
    if needed > free:
        raise ValueError(
            f"data.tower_cache={recipe.data.tower_cache} needs {said}; name a folder on a larger disk, halve it with "
            "precision=bfloat16, choose sub-images before the tower (model.selection.policy=residual), or leave it out"
        )
    logger.info("tower cache %s: needs %s", cache.folder, said)


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.2f} MB"


def _check_constant(base: Any) -> None:
    """ValueError for a tower that gives other features in training mode (dropout, moments of a batch) than it would keep."""
    tower, side = base.vision_tower, base.spec.resolution
    weight = next(tower.parameters())
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, side, side, device=weight.device, dtype=weight.dtype)
    was = tower.training
    with torch.no_grad():
        trained, kept = (tower.train(mode)(pixel_values=pixels).last_hidden_state for mode in (True, False))
    tower.train(was)
    if not torch.allclose(trained, kept, rtol=1e-3, atol=1e-3):
        raise ValueError("this vision tower draws chance while training (dropout, or a batch norm); leave data.tower_cache out")


def _encode(recipe: Recipe, base: Any, images: Images, arguments: TrainingArguments) -> None:
    """Run the tower over what is missing, as many images at once as in training."""
    if not len(images):
        return
    tower, device = base.vision_tower, arguments.device
    home, was = next(tower.parameters()).device, tower.training
    tower.to(device).eval()
    lowered = torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
    with torch.no_grad(), lowered, tqdm(total=len(images), unit="image", disable=not arguments.should_log) as bar:
        for batch in _batches(images, arguments):
            whole = [one for one in batch if one.tensors is not None]
            if whole:
                pixels = torch.cat([one.tensors["pixel_values"][0] for one in whole if one.tensors is not None]).to(device)
                numbers = [one.tensors["pixel_values"].shape[1] for one in whole if one.tensors is not None]
                features = base.encode(pixels).to("cpu", DTYPES[recipe.precision]).split(numbers)
                for one, own in zip(whole, features, strict=True):
                    assert one.tensors is not None and one.layout is not None
                    images.cache.write(one.key, {**one.tensors, "pixel_values": own[None]}, one.layout)
            bar.update(len(batch))
    tower.to(home).train(was)


def _batches(images: Images, arguments: TrainingArguments) -> Iterator[list[Prepared]]:
    return iter(
        DataLoader(
            images,
            batch_size=arguments.per_device_train_batch_size,
            num_workers=arguments.dataloader_num_workers,
            collate_fn=list,
        )
    )
