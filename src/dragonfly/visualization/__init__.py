"""Images that explain: where the model looked (`draw_zoom`), and how an image flows through it (`draw_levels`)."""

from dragonfly.visualization.levels import draw_levels
from dragonfly.visualization.zoom import draw_zoom

__all__ = ["draw_levels", "draw_zoom"]
