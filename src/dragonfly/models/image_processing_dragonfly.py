# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""DragonflyImageProcessor: images -> sub-images and the record of how they were cut. Pillow and numpy, no torchvision.

Every image comes through `imaging`, whatever its form, so its limits hold for chat templates and servers too. Policies that
need no tower run here: what they drop is neither cut nor encoded.
"""

import re
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_processing_backends import PilBackend
from transformers.processing_utils import ImagesKwargs
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from dragonfly.imaging import DEFAULT_POLICY, RELEASED_POLICY, is_loaded, load_image
from dragonfly.models import released, remote_code
from dragonfly.models.arguments import refuse_unknown
from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.vision.coarse import close_ups, coarse_layout
from dragonfly.vision.inputs import EVIDENCE_POLICIES, IMAGE_INPUTS, input_names
from dragonfly.vision.layout import Box, Size, SubImageLayout, make_layout
from dragonfly.vision.presets import PRESETS, get_preset
from dragonfly.vision.pyramid import laid_out
from dragonfly.vision.scoring import evidence_areas
from dragonfly.vision.selection import select_before_tower
from dragonfly.vision.spec import EncoderSpec, spec_of
from dragonfly.vision.tiling import Canvases, canvas, crops, drawing, empty_sub_images, normalise, normalising, residual
from dragonfly.vision.trimming import image_layout


class DragonflyImageProcessorKwargs(ImagesKwargs, total=False):
    """Options beyond the usual ones; `evidence` is given per call, the others are saved.

    preset: name of a preset; gives `encoder` and the image policy where these are not given.
    encoder: dictionary form of `vision.EncoderSpec`.
    released_images: treat odd images as the released code did (no EXIF orientation, alpha dropped, 16 bits saturated).
    evidence: per image the boxes that hold the answer, in source pixels (`oracle`; learning `question`).
    urls: "public" fetches http(s) URLs, from public addresses only and within `imaging`'s limits; "refuse" (default) does not.
    raw_base64: take a string of base64 for an image; by default only data URLs are.
    regions_name: return `sub_image_regions` as "image_position_ids", for trainers that forward a fixed list of names (TRL's
        GRPO and RLOO); never saved.
    """

    preset: str | None
    encoder: dict[str, Any] | None
    released_images: bool | None
    evidence: list[Any] | None
    urls: Literal["refuse", "public"] | None
    raw_base64: bool | None
    regions_name: Literal["sub_image_regions", "image_position_ids"] | None


# Settings that decide what the model sees: fixed when the image processor is made, so that no call departs from it unnoticed.
STEPS = ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb")
FIXED = ("preset", "released_images", "size", *STEPS)
# Options of other image processors that this one has no use for.
UNUSED = ("do_center_crop", "do_pad", "crop_size", "pad_size", "image_seq_length")
# What a saved image processor holds beside its options.
SAVED = ("auto_map", "image_processor_type", "processor_class")

Each = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]  # a function over parts, its results in their order
MAX_THREADS = 8  # of one call; a server and a trainer make several

BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
BASE64_IMAGES = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "SUkq", "TU0A")  # JPEG, PNG, GIF, WebP, TIFF


class DragonflyImageProcessor(PilBackend):
    """Cuts images into sub-images.

    Returns per call:
        pixel_values: float32 (num_images, num_sub_images, 3, R, R), zero-padded in dim 1 where images differ.
        sub_image_regions: int64 (num_images, num_sub_images), `SubImageLayout.codes`; padding has its own code.
        num_sub_images: int64 (num_images,), only where images may differ in number (an enlargement cap, unequal grids).
        selected_high: int64 (num_images, kept), only under policies that run before the tower; `pixel_values` then holds
            the kept high sub-images alone.
        sub_image_positions: int64 (num_images, num_sub_images, 3), `SubImageLayout.positions`, only for a learned
            position or a row's context.
        evidence_high: float32 (num_images, high), areas shared with `evidence`, only under policy `question`.
        layouts: list of `SubImageLayout`, one per image; the processor uses and drops it.
    """

    valid_kwargs = DragonflyImageProcessorKwargs
    model_input_names = [one.name for one in IMAGE_INPUTS if one.maker == "image_processor"]  # noqa: RUF012
    resample = Image.Resampling.BICUBIC
    image_mean = OPENAI_CLIP_MEAN
    image_std = OPENAI_CLIP_STD
    rescale_factor = 1 / 255
    do_resize = True
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True
    preset = None
    encoder = None
    released_images = None
    evidence = None
    urls = "refuse"
    raw_base64 = False
    regions_name = "sub_image_regions"

    if TYPE_CHECKING:  # transformers' own signature does not list an image processor's options

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def __init__(self, **kwargs: Any) -> None:
        refuse_unknown(kwargs, (*self.valid_kwargs.__annotations__, *SAVED), type(self).__name__)
        _refuse_unused(kwargs)
        if kwargs.get("encoder") is None:
            kwargs["encoder"] = get_preset(kwargs.get("preset") or "v1").spec.to_dict()
        if kwargs.get("released_images") is None:
            preset = PRESETS.get(kwargs.get("preset") or "")
            kwargs["released_images"] = bool(preset and preset.released)
        for name in STEPS:
            if kwargs.get(name) is False:
                raise ValueError(
                    f"{name}=False is not possible: sub-images are always cut, rescaled and normalised; leave it out"
                )
        side = spec_of(kwargs["encoder"]).resolution
        kwargs["size"] = {"height": side, "width": side}
        super().__init__(**kwargs)
        self.auto_map = remote_code.auto_map(AutoImageProcessor="DragonflyImageProcessor")

    register_for_auto_class = remote_code.keeps_its_shim

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> Any:
        """As transformers, with the shim that loads it where this package was not imported."""
        remote_code.write_shim(save_directory)
        return super().save_pretrained(save_directory, *args, **kwargs)

    @property
    def spec(self) -> EncoderSpec:
        """The encoder configuration as an object."""
        return spec_of(self.encoder)  # pyright: ignore[reportArgumentType]

    @property
    def image_policy(self) -> Any:
        """How images are decoded: as `imaging.RELEASED_POLICY` for released weights, else as `imaging.DEFAULT_POLICY`."""
        return replace(RELEASED_POLICY if self.released_images else DEFAULT_POLICY, urls=self.urls)

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_dict().items() if name != "regions_name"}

    def layout(self, size: Size) -> SubImageLayout:
        """The layout of an image of (height, width), nothing trimmed."""
        return make_layout(size, self.spec)

    def preprocess(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        """As transformers; what a call cannot change, or nobody knows, raises a ValueError instead of being passed over."""
        refuse_unknown(kwargs, (*self.valid_kwargs.__annotations__, "image_like_kwargs"), type(self).__name__)
        _refuse_unused(kwargs)
        for name in FIXED:
            value, own = kwargs.get(name), getattr(self, name)
            if value is not None and value != (dict(own) if name == "size" else own):
                raise ValueError(
                    f"{name}={value!r} cannot be given per call, this image processor has {own!r}; "
                    "make another one: DragonflyImageProcessor(...)"
                )
        return super().preprocess(images, *args, **kwargs)

    def fetch_images(self, image_url_or_urls: Any, urls: str | None = None, raw_base64: bool | None = None) -> Any:
        """Paths, data URLs, bytes, arrays or images, nested or not, as RGB images through `imaging`.

        Args:
            urls, raw_base64: overrule the options of these names for this call.
        """
        if isinstance(image_url_or_urls, list | tuple):
            return [self.fetch_images(item, urls, raw_base64) for item in image_url_or_urls]
        source: Any = image_url_or_urls
        if isinstance(image_url_or_urls, str):
            source = _without_raw_base64(image_url_or_urls, self.raw_base64 if raw_base64 is None else raw_base64)
        if hasattr(source, "detach"):  # a torch tensor
            source = source.detach().cpu().numpy()
        if isinstance(source, np.ndarray) and source.ndim == 4:  # a batch
            return [self.fetch_images(item) for item in source]
        if isinstance(source, np.ndarray) and source.ndim == 3 and source.shape[0] in (1, 3, 4) and source.shape[2] > 4:
            source = np.moveaxis(source, 0, -1)  # channels first, as transformers' own processors accept
        policy = self.image_policy if urls is None else replace(self.image_policy, urls=urls)
        if isinstance(source, Image.Image) and is_loaded(source, policy):
            return source  # it is cut before the caller can change it
        return load_image(source, policy).image

    def _prepare_image_like_inputs(
        self, images: Any, *args: Any, urls: str | None = None, raw_base64: bool | None = None, **kwargs: Any
    ) -> list[Any]:
        return super()._prepare_image_like_inputs(self.fetch_images(images, urls, raw_base64), *args, **kwargs)

    def process_image(self, image: Any, *args: Any, **kwargs: Any) -> Image.Image:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.fetch_images(image)  # the very object, where `fetch_images` has seen it before

    def _preprocess(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        images: list[Image.Image],
        rescale_factor: float,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        resample: Any = None,
        encoder: dict[str, Any] | None = None,
        evidence: Sequence[Sequence[Box]] | None = None,
        return_tensors: Any = None,
        regions_name: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        spec = spec_of(encoder or {})
        layouts = [image_layout(image, spec) for image in images]
        boxes = _evidence_boxes(evidence, len(images), spec)
        red, green, blue = (round(255 * mean) for mean in image_mean)
        filters = Image.Resampling(resample if resample is not None else Image.Resampling.BICUBIC)
        tables = normalising(rescale_factor, image_mean, image_std)
        counts = [layout.num_kept if spec.selection.early else layout.num_sub_images for layout in layouts]
        pixel_values = np.zeros((len(images), max(counts), 3, spec.resolution, spec.resolution), dtype=np.float32)

        def cut(row: int, each: Each) -> tuple[int, ...] | None:
            image, layout = images[row], layouts[row]
            draw, coarse = drawing(image, layout, filters, spec.resizer), coarse_layout(layout, spec)
            levels = (coarse or layout).levels[::-1]  # the longest work first
            fill = (red, green, blue)
            canvases = each(lambda level: draw(level) if coarse else canvas(draw, level, layout.resolution, fill), levels)
            drawn: Canvases = {level.name: pixels for level, pixels in zip(levels, canvases, strict=True)}
            keep = _select_early(image, drawn, coarse or layout, spec, boxes[row], filters)
            close = close_ups(image, layout, keep, filters) if coarse and keep is not None else None
            pairs = zip(crops(drawn, layout, keep, close), pixel_values[row], strict=False)  # beyond the last stays padding
            each(lambda pair: normalise(pair[0], tables, pair[1]), pairs)
            return keep

        with _threads() as each:
            across, within = (each, _in_turn) if len(images) > 1 else (_in_turn, each)
            kept = across(lambda row: cut(row, within), range(len(images)))
        codes = [_kept_rows(layout.codes, layout, keep) for layout, keep in zip(layouts, kept, strict=True)]
        data: dict[str, Any] = {"sub_image_regions": codes}
        wanted = input_names(spec)
        if "sub_image_positions" in wanted:
            places = [_kept_rows(layout.positions, layout, keep) for layout, keep in zip(layouts, kept, strict=True)]
            data["sub_image_positions"] = places
        if spec.selection.policy == "question" and evidence is not None:
            areas = [evidence_areas(layout.level_boxes("high"), truth) for layout, truth in zip(layouts, boxes, strict=True)]
            data["evidence_high"] = [np.array(row, dtype=np.float32) for row in areas]
        if "num_sub_images" in wanted:
            data["num_sub_images"] = [np.array(count, dtype=np.int64) for count in counts]
        if "selected_high" in wanted:
            data["selected_high"] = [np.array(keep, dtype=np.int64) for keep in kept]
        stacked = {one.name: _stack(data[one.name], one.pad) for one in IMAGE_INPUTS if one.name in data}
        data = {**stacked, "pixel_values": pixel_values, "layouts": layouts}
        if regions_name == "image_position_ids":
            data[regions_name] = data.pop("sub_image_regions")
        return BatchFeature(data, tensor_type=return_tensors, skip_tensor_conversion=["layouts"])

    def get_number_of_image_tokens(self, height: int, width: int) -> int:
        """Prompt tokens that an image of this size takes, separators included."""
        return self.layout((height, width)).num_image_tokens

    @classmethod
    def get_image_processor_dict(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """As transformers; a directory in the released format gives its preset's configuration."""
        values, kwargs = super().get_image_processor_dict(pretrained_model_name_or_path, **kwargs)
        preset = kwargs.pop("preset", None)
        name = str(pretrained_model_name_or_path)
        own = released.read_released(name)
        if own is None and "encoder" not in values:
            raise ValueError(
                f"'{name}' holds neither a Dragonfly processor nor a checkpoint in the released format; "
                "load the directory that `save_pretrained` or `dragonfly convert` wrote"
            )
        if own is not None:  # its own file describes CLIP's processor: only the normalisation means the same
            config = DragonflyConfig.from_pretrained(name, preset=preset)
            values = {key: values[key] for key in ("image_mean", "image_std", "rescale_factor") if key in values}
            values |= {"preset": config.preset, "encoder": config.encoder}
        elif preset is not None:
            values |= {"preset": preset, "encoder": None, "released_images": None}
        return values, kwargs


@contextmanager
def _threads() -> Generator[Each]:
    """As many threads as torch may use, which is one in a worker of a data loader; Pillow and numpy let them run together."""
    number = min(torch.get_num_threads(), MAX_THREADS)
    if number < 2:
        yield _in_turn
        return
    with ThreadPoolExecutor(number) as pool:
        yield lambda work, parts: list(pool.map(work, parts))


def _in_turn(work: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    return [work(part) for part in parts]


def _refuse_unused(kwargs: dict[str, Any]) -> None:
    for name in UNUSED:
        if kwargs.get(name):
            raise ValueError(f"{name}={kwargs[name]!r:.60} is of no use: sub-images are cut from the whole image; leave it out")
    if kwargs.get("urls") not in (None, "refuse", "public"):
        raise ValueError(f"urls={kwargs['urls']!r:.60} is not known; use 'public' to fetch public http(s) addresses, or 'refuse'")


def _without_raw_base64(source: str, accept: bool) -> str:
    """A string of base64 as a data URL, if that is accepted; other strings as they are.

    A path is not mistaken for one: base64 has no dot, and begins as the formats of images do or is longer than any path.
    """
    start = source[:1024].lstrip()
    begins = start.startswith(BASE64_IMAGES) and len(source) >= 40
    if not (begins or len(source) > 4096) or not BASE64.fullmatch(source):
        return source
    if not accept:
        raise ValueError(
            f"a string of {len(source):,} characters of base64 is not read as an image unless raw_base64=True; "
            "or give a data URL: 'data:image/png;base64,...'"
        )
    return f"data:image/any;base64,{''.join(source.split())}"


def _evidence_boxes(evidence: Any, images: int, spec: EncoderSpec) -> Sequence[Sequence[Box]]:
    """The boxes that hold the answer, one list per image; none where the policy does not look at them."""
    policy = spec.selection.policy
    if policy not in EVIDENCE_POLICIES or (policy == "question" and evidence is None):
        return [()] * images
    if evidence is None or len(evidence) != images:
        given = "none" if evidence is None else f"{len(evidence)} lists"
        raise ValueError(f"policy '{policy}' needs evidence, one list of boxes for each of {images} images; got {given}")
    return evidence


def _select_early(
    image: Image.Image,
    drawn: Canvases,
    layout: SubImageLayout,
    spec: EncoderSpec,
    evidence: Sequence[Box],
    resample: Image.Resampling,
) -> tuple[int, ...] | None:
    """Kept high indices of an image for policies that need no tower; None where the model decides."""
    if not spec.selection.early:
        return None
    if not layout.regions:
        return ()
    policy = spec.selection.policy
    checksum = _checksum(image, drawn, layout) if policy == "random" else 0
    lacking = torch.from_numpy(residual(drawn, layout, resample, spec.resizer)) if policy == "residual" else None
    blank = empty_sub_images(drawn, layout, spec.selection.empty)
    empty = None if blank is None else torch.from_numpy(blank)
    return select_before_tower(layout, spec.selection, checksum=checksum, evidence=evidence, residual=lacking, empty=empty)


def _checksum(image: Image.Image, drawn: Canvases, layout: SubImageLayout) -> int:
    """Of the image; of a slide, of what was read of it."""
    if laid_out(image, layout.size) is None:
        return zlib.crc32(image.tobytes())
    checksum = 0
    for level in layout.levels:
        checksum = zlib.crc32(drawn[level.name].tobytes(), checksum)
    return checksum


def _kept_rows(values: Sequence[Any], layout: SubImageLayout, keep: Sequence[int] | None) -> np.ndarray:
    """Of one value per sub-image those that stay in `pixel_values`."""
    if keep is None:
        return np.array(values, dtype=np.int64)
    others = len(values) - len(layout.regions)
    return np.array([*values[:others], *(values[others + index] for index in keep)], dtype=np.int64)


def _stack(rows: list[np.ndarray], pad: float | None) -> np.ndarray:
    """Stack along a new first axis; where rows differ in length, the shorter ones are filled up with `pad`."""
    if pad is None or len({len(row) for row in rows}) == 1:
        return np.stack(rows)
    stacked = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), pad, dtype=rows[0].dtype)
    for index, row in enumerate(rows):
        stacked[index, : len(row)] = row
    return stacked
