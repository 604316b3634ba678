"""Small pictures of coloured shapes with tiny numbers, and questions that only the picture answers.

Promises: everything follows from the seed; each (colour, shape) pair occurs once in a picture; every shape lies, with
its number, inside one cell of the picture's grid and at most three lie under one mid sub-image (half of its six cells),
so a selection that keeps three of six can keep them all. Numbers are about 13 pixels high at 64 pixels per cell.
Does not know: how a model cuts the picture, tokens, or training.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLOURS = {
    "red": (214, 38, 38),
    "orange": (244, 140, 20),
    "yellow": (240, 214, 30),
    "green": (40, 150, 60),
    "blue": (40, 80, 205),
    "purple": (140, 50, 160),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross")
ABSENT = "not in the picture"
CELL = 64  # pixels per cell at scale 1, before the jitter of the picture's size
GRIDS = ((4, 6), (6, 4), (3, 8), (8, 3))  # (rows, cols)
MID_GRIDS = {(4, 6): (2, 2), (6, 4): (2, 2), (3, 8): (1, 4), (8, 3): (4, 1)}
KINDS = ("number", "number absent", "colour", "colour absent", "shape", "exists", "count", "side")

_POLYGONS = {
    "triangle": [(0.0, -1.0), (0.95, 0.8), (-0.95, 0.8)],
    "diamond": [(0.0, -1.0), (0.8, 0.0), (0.0, 1.0), (-0.8, 0.0)],
    "star": [(r * np.sin(k * np.pi / 5), -r * np.cos(k * np.pi / 5)) for k in range(10) for r in ((1.05, 0.42)[k % 2],)],
    "cross": [
        *[(-0.33, -1), (0.33, -1), (0.33, -0.33), (1, -0.33), (1, 0.33), (0.33, 0.33)],
        *[(0.33, 1), (-0.33, 1), (-0.33, 0.33), (-1, 0.33), (-1, -0.33), (-0.33, -0.33)],
    ],
}


@dataclass(frozen=True)
class Thing:
    """One shape, the number beside it, and the box (left, top, right, bottom) of both in source pixels."""

    colour: str
    shape: str
    number: str
    box: tuple[float, float, float, float]

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """A picture, its grid (rows, cols) of cells and what stands in it."""

    picture: Image.Image
    grid: tuple[int, int]
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Question:
    """A question of one of `KINDS` and its only accepted answer."""

    kind: str
    text: str
    answer: str


def make_scene(seed: int, grid: tuple[int, int] | None = None, scale: int = 1, crowded: bool = False) -> Scene:
    """The scene of this seed. `scale` draws it with that many times more pixels each way; `crowded` fills most cells."""
    rng = np.random.default_rng((seed, 1))
    grid = grid or GRIDS[rng.integers(len(GRIDS))]
    rows, cols = grid
    width = round(cols * CELL * scale * rng.uniform(0.92, 1.12))
    height = round(rows * CELL * scale * rng.uniform(0.92, 1.12))
    picture = Image.fromarray(_background(rng, width, height))
    draw = ImageDraw.Draw(picture)
    pairs = rng.permutation(len(COLOURS) * len(SHAPES))
    things = []
    for pair, (row, col) in zip(pairs, _choose_cells(rng, grid, crowded), strict=False):
        colour, shape = list(COLOURS)[pair // len(SHAPES)], SHAPES[pair % len(SHAPES)]
        cell = (col * width / cols, row * height / rows, (col + 1) * width / cols, (row + 1) * height / rows)
        things.append(_draw_thing(rng, draw, colour, shape, cell, scale))
    return Scene(picture, grid, tuple(things))


def close_up(scene: Scene, thing: Thing) -> Scene:
    """The one cell that holds `thing`, as a scene of its own (boxes in its own pixels)."""
    (rows, cols), (width, height) = scene.grid, scene.picture.size
    col = int((thing.box[0] + thing.box[2]) / 2 / width * cols)
    row = int((thing.box[1] + thing.box[3]) / 2 / height * rows)
    edges = [round(x) for x in (col * width / cols, row * height / rows, (col + 1) * width / cols, (row + 1) * height / rows)]
    left, top, right, bottom = thing.box
    box = (left - edges[0], top - edges[1], right - edges[0], bottom - edges[1])
    return Scene(scene.picture.crop((edges[0], edges[1], edges[2], edges[3])), (1, 1), (replace(thing, box=box),))


def _background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A light, nearly grey page with a slow gradient and noise: uint8 (height, width, 3)."""
    colour = (rng.uniform(190, 245) + rng.uniform(-12, 12, size=3)).astype(np.float32)
    across, down = rng.uniform(-14, 14, size=2)
    page = rng.integers(-128, 128, size=(height, width), dtype=np.int8) * np.float32(rng.uniform(0, 9) / 128)
    page += np.linspace(-across, across, width, dtype=np.float32)
    page += np.linspace(-down, down, height, dtype=np.float32)[:, None]
    return np.stack([np.clip(page + value, 0, 255).astype(np.uint8) for value in colour], axis=2)


def _choose_cells(rng: np.random.Generator, grid: tuple[int, int], crowded: bool) -> list[tuple[int, int]]:
    """Three to eight distinct (row, col) cells, at most three under one mid sub-image; five in six cells if crowded."""
    rows, cols = grid
    mid_rows, mid_cols = MID_GRIDS[grid]
    wanted, most = (rows * cols * 5 // 6, 6) if crowded else (int(rng.integers(3, 9)), 3)
    chosen: list[tuple[int, int]] = []
    load: dict[tuple[int, int], int] = {}
    for cell in rng.permutation(rows * cols):
        row, col = divmod(int(cell), cols)
        region = (row * mid_rows // rows, col * mid_cols // cols)
        if len(chosen) < wanted and load.get(region, 0) < most:
            load[region] = load.get(region, 0) + 1
            chosen.append((row, col))
    return chosen


def _draw_thing(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, colour: str, shape: str, cell: tuple[float, ...], scale: int
) -> Thing:
    """Draw one shape with its number to the right of it or below it, somewhere inside `cell`."""
    radius = float(rng.uniform(9, 12.5)) * scale
    size = int(rng.integers(17, 20)) * scale
    number = str(rng.integers(10, 100))
    font = _font(size)
    left, top, right, bottom = font.getbbox(number)
    text_width, text_height, gap = right - left, bottom - top, 3 * scale
    below = bool(rng.integers(2))
    width = max(2 * radius, text_width) if below else 2 * radius + gap + text_width
    height = 2 * radius + gap + text_height if below else max(2 * radius, text_height)
    x = float(rng.uniform(cell[0] + scale, max(cell[0] + scale, cell[2] - width - scale)))
    y = float(rng.uniform(cell[1] + scale, max(cell[1] + scale, cell[3] - height - scale)))
    centre = (x + (width / 2 if below else radius), y + (radius if below else height / 2))
    text_x = x + ((width - text_width) / 2 if below else 2 * radius + gap)
    text_y = y + (2 * radius + gap if below else (height - text_height) / 2)
    _draw_shape(draw, shape, centre, radius, tuple(int(c + rng.integers(-12, 13)) for c in COLOURS[colour]))
    draw.text((round(text_x) - left, round(text_y) - top), number, font=font, fill=(20, 20, 30))
    return Thing(colour, shape, number, (x, y, x + width, y + height))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that no font of the machine changes a picture."""
    return ImageFont.load_default(size)


def _draw_shape(draw: ImageDraw.ImageDraw, shape: str, centre: tuple[float, float], radius: float, fill: tuple[int, ...]) -> None:
    x, y = centre
    if shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    elif shape == "square":
        draw.rectangle((x - 0.9 * radius, y - 0.9 * radius, x + 0.9 * radius, y + 0.9 * radius), fill=fill)
    else:
        draw.polygon([(x + radius * a, y + radius * b) for a, b in _POLYGONS[shape]], fill=fill)


def ask_about(scene: Scene, seed: int) -> list[Question]:
    """Every question of the scene in a random order that follows from the seed."""
    rng = np.random.default_rng((seed, 2))
    pick = lambda options: options[rng.integers(len(options))]  # noqa: E731 - a two-word helper read ten times
    names = {thing.name for thing in scene.things}
    missing = [f"{c} {s}" for c in COLOURS for s in SHAPES if f"{c} {s}" not in names]
    asked = [Question("count", "How many shapes are there?", str(len(scene.things)))]
    for thing in scene.things:
        template = pick(("What number is next to the {}?", "Which number is beside the {}?", "Read the number of the {}."))
        asked.append(Question("number", template.format(thing.name), thing.number))
    for name in rng.permutation(missing)[: max(1, len(names) // 4)]:
        asked.append(Question("number absent", f"What number is next to the {name}?", ABSENT))
    for shape in SHAPES:
        colours = [thing.colour for thing in scene.things if thing.shape == shape]
        text = pick(("What colour is the {}?", "What color is the {}?")).format(shape)
        if len(colours) == 1:
            asked.append(Question("colour", text, colours[0]))
        elif not colours and rng.random() < 0.3:
            asked.append(Question("colour absent", text, ABSENT))
    for colour in COLOURS:
        shapes = [thing.shape for thing in scene.things if thing.colour == colour]
        if len(shapes) == 1:
            asked.append(Question("shape", pick(("What shape is {}?", "Which shape is {}?")).format(colour), shapes[0]))
    for thing in rng.permutation(np.array(scene.things, dtype=object))[:2]:
        asked.append(Question("exists", f"Is there a {thing.name}?".replace("a orange", "an orange"), "yes"))
    for name in rng.permutation(missing)[:2]:
        asked.append(Question("exists", f"Is there a {name}?".replace("a orange", "an orange"), "no"))
    for thing in scene.things:
        middle = (thing.box[0] + thing.box[2]) / 2 / scene.picture.width
        if scene.grid[1] > 1 and abs(middle - 0.5) > 0.12 and rng.random() < 0.4:
            side = "left" if middle < 0.5 else "right"
            asked.append(Question("side", f"Is the {thing.name} on the left or on the right?", side))
    return [asked[i] for i in rng.permutation(len(asked))]


EXAMPLES = {"first": 10_500_018, "second": 10_500_013, "third": 10_500_008}  # seeds far from training and measuring


def write_examples(folder: Path) -> None:
    """Example pictures for people, twice as large, with questions and answers; `first.txt` is the demo's question."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for name, seed in EXAMPLES.items():
        scene = make_scene(seed, scale=2)
        scene.picture.save(folder / f"{name}.png", optimize=True)
        by_kind = {question.kind: question for question in ask_about(scene, seed)}
        chosen = [by_kind[kind] for kind in ("number", "shape", "exists") if kind in by_kind]
        listed.append({"picture": f"{name}.png", "questions": [{"question": q.text, "answer": q.answer} for q in chosen]})
    (folder / "questions.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    (folder / "first.txt").write_text(listed[0]["questions"][0]["question"] + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_examples(Path(__file__).resolve().parents[1] / "examples/pictures")
