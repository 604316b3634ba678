"""How many tokens a sample takes, without decoding its images: for grouping by length and for planning a run.

Promises the length that `labels.encode` gives. An image's header is read for its size; its pixels are not, unless it
has to be fetched. One exception: an orientation that a PNG states after its pixels is not seen.
"""

import io
from typing import Any

from PIL import Image

from dragonfly.imaging import DEFAULT_POLICY, FORMATS, ImagePolicy, load_image
from dragonfly.imaging.decode import readable

from .errors import BadSample
from .manifest import is_url
from .sample import ImageRef, Sample, to_messages

_ORIENTATION = 0x0112
_SWAPS = (5, 6, 7, 8)  # EXIF 2.3, section 4.6.4 A: the orientations in which width and height change places


def image_size(image: ImageRef, policy: ImagePolicy = DEFAULT_POLICY) -> tuple[int, int]:
    """(height, width) as `imaging.load_image` will give it. `BadSample` (broken-image) where there is none."""
    try:
        if image.path is not None and is_url(image.path):
            return load_image(image.path, policy).size
        with (
            readable("without a readable header"),
            Image.open(image.path or io.BytesIO(image.bytes or b""), formats=FORMATS) as opened,
        ):
            width, height = opened.size
            # The base class's method: the one for PNG decodes the image to look behind its pixels.
            swapped = policy.orient and Image.Image.getexif(opened).get(_ORIENTATION) in _SWAPS
    except ValueError as error:
        raise BadSample("broken-image", f"{image.path or 'bytes'} {error}") from None
    return (width, height) if swapped else (height, width)


def count_tokens(processor: Any, sample: Sample, policy: ImagePolicy = DEFAULT_POLICY) -> int:
    """Tokens of the whole conversation: its text, and for each image what the processor says of its size."""
    text = processor.apply_chat_template(to_messages(sample), tokenize=False)
    tokenizer = processor.tokenizer
    written = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
    ids = tokenizer(text, add_special_tokens=not written)["input_ids"]  # as apply_chat_template does it
    if not sample.images:
        return len(ids)
    sizes = [image_size(image, policy) for image in sample.images]
    blocks = processor._get_num_multimodal_tokens(image_sizes=sizes).num_image_tokens
    return len(ids) - len(sizes) + sum(blocks)
