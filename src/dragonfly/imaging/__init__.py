"""The one door for images: a path, PDF page, DICOM file or series, URL, bytes, PIL image or array becomes an RGB `LoadedImage`
with its provenance.

Promises: only `ValueError` comes out for a bad image, in one line that names it; no warning, no half-decoded pixels,
no file handle left open. Hostile input is refused here, once, for every caller. Needs PIL and numpy; does not know
sub-images, models or tensors.
"""

from dragonfly.imaging.decode import FORMATS as FORMATS
from dragonfly.imaging.decode import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from dragonfly.imaging.load import LoadedImage as LoadedImage
from dragonfly.imaging.load import image_exists as image_exists
from dragonfly.imaging.load import image_file as image_file
from dragonfly.imaging.load import is_loaded as is_loaded
from dragonfly.imaging.load import load_image as load_image
from dragonfly.imaging.policy import DEFAULT_POLICY as DEFAULT_POLICY
from dragonfly.imaging.policy import INTENDED_USE as INTENDED_USE
from dragonfly.imaging.policy import RELEASED_POLICY as RELEASED_POLICY
from dragonfly.imaging.policy import ImagePolicy as ImagePolicy
from dragonfly.imaging.series import each_image as each_image
from dragonfly.imaging.view import VIEW_PARTS as VIEW_PARTS
from dragonfly.imaging.view import View as View
from dragonfly.imaging.view import join_view as join_view
from dragonfly.imaging.view import split_view as split_view
