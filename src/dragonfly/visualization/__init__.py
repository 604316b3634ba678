"""Images that explain: where the model looked (`zoom.draw_zoom`), and how an image flows through it (`levels.draw_levels`)."""
