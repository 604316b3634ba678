"""The one door for pictures: a path, URL, bytes, PIL image or array becomes an RGB `Picture` with its provenance.

Promises: only `ValueError` comes out for a bad picture, in one line that names it; no warning, no half-decoded pixels,
no file handle left open. Hostile input is refused here, once, for every caller. Needs PIL and numpy; does not know
sub-images, models or tensors.
"""

from dragonfly.imaging.decode import FORMATS as FORMATS
from dragonfly.imaging.picture import Picture as Picture
from dragonfly.imaging.picture import load_picture as load_picture
from dragonfly.imaging.policy import DEFAULT_POLICY as DEFAULT_POLICY
from dragonfly.imaging.policy import RELEASED_POLICY as RELEASED_POLICY
from dragonfly.imaging.policy import ImagePolicy as ImagePolicy
