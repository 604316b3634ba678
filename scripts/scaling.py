"""Write docs/scaling.md and its figures from the result files of benchmarks/scaling.py and benchmarks/paper_hours.py.

Run: python scripts/scaling.py
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from dragonfly.files import atomic_write, write_text  # noqa: E402
from dragonfly.visualization.plot_style import plot_style  # noqa: E402

RESULTS, IMAGES = ROOT / "benchmarks" / "results", ROOT / "docs" / "images"
PAGE = ROOT / "docs" / "scaling.md"
SERIES = {  # of the first figure: points by the pixels of their finest level, from few to many
    "everything kept": ("low-only", "baseline-1", "baseline-2", "baseline-3"),
    "12 kept after the tower": ("v1-high16", "v1", "v1-high48"),
}
UNITS = {
    "call": "call",
    "sub-image": "sub-image",
    "token": "token",
    "token squared": "(token / 1,000) squared",
    "token in the cache": "token in the cache",
}
KNOWN = ("arithmetic at 40 %", "gradients reduced, weights gathered", "optimiser's state read and written")
PHASES = {"tower": "tower", "prefill": "prompt", "decode": "token of an answer", "step": "training step"}


def result(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in row)} |" for row in lines)


def wrapped(text: str) -> str:
    """Paragraphs of one width; headings, tables and images as they are."""
    blocks = text.split("\n\n")
    filled = [
        one if one.startswith(("|", "#", "!")) else textwrap.fill(one, 130, break_long_words=False, break_on_hyphens=False)
        for one in blocks
    ]
    return "\n\n".join(filled) + "\n"


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def first_token(row: dict[str, Any], kind: str = "bfloat16") -> float:
    seconds = row["seconds"][kind]
    return seconds["tower"] + seconds["connector"] + seconds["prefill"]


def high_pixels(row: dict[str, Any], name: str) -> float:
    """Megapixels of the finest level, all of whose sub-images are cut: what can be resolved of an image."""
    coarse = {"low-only": 0}.get(name, 1 if name.startswith("baseline") else 5)
    return (row["sub_images"] - coarse) * 224**2 / 1e6


def axis(found: dict[str, Any], name: str) -> str:
    """A table of one axis, from the point that it begins with; seconds in bfloat16."""
    first = {"kept": "v1", "text": "v1", "batch": "baseline-1"}.get(name)
    rows = {key: row for key, row in found["points"].items() if row["axis"] == name or key == first}
    if len(rows) < 2:
        return "Not measured; `python benchmarks/scaling.py` measures what its file does not have."
    lines = []
    for key, row in sorted(rows.items(), key=lambda item: (item[1]["batch"] * item[1]["prompt_tokens"], item[1]["sub_images"])):
        seconds, memory = row["seconds"]["bfloat16"], found["peaks"][key]
        times = [f"{seconds[phase]:.3f}" for phase in ("tower", "connector", "prefill", "decode", "step")]
        peaks = [f"{memory[what]:,.0f}" for what in ("answer_mib", "step_mib")]
        lines.append([f"`{key}`", row["sub_images"], row["batch"] * row["prompt_tokens"], *times, *peaks])
    head = ["encoder", "sub-images", "tokens", "tower", "connector", "prompt", "token", "step", "answer, MiB", "step, MiB"]
    return table(head, lines)


def term(name: str, value: dict[str, float]) -> str:
    factor = 1e6 if name == "token squared" else 1.0
    scale = 1e3 * factor  # milliseconds
    return f"{number(scale * value['value'])} ± {number(scale * value['plus_minus'])} ms a {UNITS[name]}"


def laws(found: dict[str, Any]) -> str:
    rows = []
    for kind in ("float32", "bfloat16"):
        for phase, name in PHASES.items():
            one = found["laws"][kind][phase]
            said = "; ".join(term(key, value) for key, value in one["terms"].items())
            rows.append([name, kind, said, f"{one['law']['held_out_max']:.1%}", f"{one['plan']['held_out_max']:.1%}"])
    return table(["what", "numbers", "law, with its 95 % interval", "law, held out", "`plan`, held out"], rows)


def rates(found: dict[str, Any]) -> str:
    """What one factor stands for: GFLOP per second that a phase reaches."""
    said = [
        f"{name} {1e-9 / found['laws'][kind][phase]['plan']['factor']:.0f}"
        for kind in ("float32", "bfloat16")
        for phase, name in PHASES.items()
        if phase != "decode"
    ]
    half = len(said) // 2
    return f"in float32 {', '.join(said[:half])}; in bfloat16 {', '.join(said[half:])}"


def farthest(found: dict[str, Any]) -> str:
    """The point that `plan` misses most, by phase in bfloat16."""
    said = []
    for phase, name in PHASES.items():
        errors = found["laws"]["bfloat16"][phase]["plan"]["of"]
        worst = max(errors, key=lambda key: abs(errors[key]))
        said.append(f"{name}: `{worst}` {errors[worst]:+.0%}")
    return ", ".join(said)


def memory(found: dict[str, Any]) -> str:
    rows = []
    for name, what in (("answer_mib", "an answer"), ("step_mib", "a step")):
        measured, planned = found["laws"]["memory"][name]["measured"], found["laws"]["memory"][name]["planned"]
        for key in measured:
            cells = [f"{number(one[key]['value'])} ± {number(one[key]['plus_minus'])}" for one in (measured, planned)]
            rows.append([what, f"MiB a {UNITS[key]}", *cells])
    return table(["", "", "measured", "planned"], rows)


def preprocessing(found: dict[str, Any]) -> str:
    sizes = found["preprocessing"]
    names = list(sizes[0]["seconds"])
    rows = [[f"{row['megapixels']} Mpx", *(f"{1e3 * row['seconds'][name]:.0f}" for name in names)] for row in sizes]
    fits = found["laws"]["preprocessing"]
    law = [f"{1e3 * fits[name]['image']['value']:.0f} + {1e3 * fits[name]['megapixel']['value']:.1f} x Mpx" for name in names]
    return table(["image", *(f"`{name}`, ms" for name in names)], [*rows, ["law, ms", *law]])


def answer_to_the_question(found: dict[str, Any]) -> str:
    points = found["points"]
    unit = first_token(points["low-only"])
    names = ("baseline-3", "v1", "v1-high16", "v1-high48", "v1, residual")
    all_kept, v1, narrow, wide, early = (f"{first_token(points[name]) / unit:.1f}" for name in names)
    tokens, square, tower = points["v1"]["prompt_tokens"], square_share(found), points["v1"]["planned"]["tower"]
    tower /= tower + points["v1"]["planned"]["prefill"]
    return f"""The paper says that zooming in keeps a high resolution affordable, and leaves open how cost grows with
resolution. To the first token, `low-only` (224 x 224 pixels of the image) being 1: keeping all of 24 sub-images of the finest
level costs {all_kept}, keeping 12 of the 24 by the paper's rule {v1}, 12 of 16 {narrow}, and 12 of 48 {wide}. The prompt
stays {tokens}
tokens long, and what grows is the tower, by each sub-image that is looked at. A policy that chooses before the tower
(`residual`) takes that away too: {early}, whatever the grid.

So cost is linear in sub-images and nearly linear in tokens (attention's square is {square:.0%} of the prompt's law at `v1`'s
length); the image's own size enters by preprocessing alone. This small model's tower is {tower:.0%} of the FLOPs to the
first token
under `v1`; beside an 8B language model it is under 2 % (below), and tokens are all that matters."""


def square_share(found: dict[str, Any]) -> float:
    terms, tokens = found["laws"]["bfloat16"]["prefill"]["terms"], found["points"]["v1"]["prompt_tokens"]
    square = terms["token squared"]["value"] * tokens**2
    return square / (terms["call"]["value"] + terms["token"]["value"] * tokens + square)


def stage_line(name: str, stage: dict[str, Any], text: str) -> list[str]:
    texts = stage["texts"]
    lengths = sorted(texts, key=int)
    low, high, here = texts[lengths[0]], texts[lengths[-1]], texts[text]
    return [
        name,
        f"{stage['hours']} h",
        f"{stage['rows']:,.0f}",
        f"{stage['gpu_seconds_per_row']:.3f}",
        f"{here['tflop_per_row']:.1f}",
        f"{here['mfu']:.1%}",
        f"{low['mfu']:.1%} to {high['mfu']:.1%}",
        f"{here['utilisation_if_layers_are_computed_again']:.1%}",
    ]


def paper() -> str:
    found = result("paper_hours")
    stages, parts, marginal, changes = found["stages"], found["parts"], found["marginal"], found["changes"]
    text = str(found["text"])
    head = ["stage", "took", "rows", "GPU seconds a row", "TFLOP a row", "MFU", "by text", "with layers computed again"]
    rows = [stage_line(name, stage, text) for name, stage in stages.items()]
    changed = [
        [name, f"{row['tflop_per_row']:.1f}", f"{row['to_the_paper']:.2f}", f"{row['hours_at_its_rate']:.0f}"]
        for name, row in changes.items()
    ]
    general = stages["general, stage 2"]["texts"]
    lengths = sorted(general, key=int)
    least, most = (general[key]["hours_at_40_percent"] for key in (lengths[0], lengths[-1]))
    mfu, again = general[text]["mfu"], general[text]["utilisation_if_layers_are_computed_again"]
    took, arithmetic, link, state = (found["step"][name] for name in ("seconds", *KNOWN))
    rest = 1 - (arithmetic + link + state) / took
    tower, all_weights = (stages[name] for name in ("Med, stage 1", "Med, stage 2"))
    fewer = tower["texts"][text]["tflop_per_row"] / all_weights["texts"][text]["tflop_per_row"]
    faster = tower["gpu_seconds_per_row"] / all_weights["gpu_seconds_per_row"]
    on_images = parts["language model, image tokens"]
    language, encoder = on_images + parts["language model, text tokens"], parts["vision tower"] + parts["projector"]
    constant, rate = marginal["constant_seconds_per_row"], marginal["mfu_of_what_is_added"]
    cached = 1 - changes["tower frozen, `data.tower_cache`"]["to_the_paper"]
    return f"""## The paper's 73 hours on 8 H100

Stage 2 of the general model trains all weights on 5,580,560 samples, 16 a step, on 8 NVIDIA H100 with ZeRO stage 1, for about 73
hours (4.1). `dragonfly plan` knows the rest but for the length of the texts, which the paper does not give: {text}
tokens beside 867
of the image unless said otherwise. Rows without images, whose number is not given either, are not counted, nor is stage 1.

{table(head, rows)}

**What the hours imply.** {mfu:.0%} of the GPUs' published arithmetic, or {again:.0%} if layers were computed again in
the backward pass. At the
40 % that `plan` assumes, the same rows take {least:.0f} to {most:.0f} hours (texts of {lengths[0]} to {lengths[-1]} tokens).

**What dominates.** {language:.1%} of a row's FLOPs are the language model's, {on_images:.0%} on image tokens; tower and
projector are {encoder:.1%}.
But the time is not where the FLOPs are. A step took {took:.2f} s: arithmetic at 40 % is {arithmetic:.2f} s of it,
gradients and weights over
NVLink {link:.2f} s at the published rate, the optimiser's state {state:.3f} s. The other {rest:.0%} are none of these.
The paper's other stages
say the same: Med's stage 1 trains the tower alone, which is {fewer:.0%} of the FLOPs of its stage 2, and takes
{faster:.0%} of its time a row.
Read as a constant and a rate (two figures, two unknowns, texts and batches taken as alike), that is {constant:.2f} GPU
seconds a row
whatever is trained, and {rate:.0%} of the peak for the FLOPs on top. What the constant is, the paper does not say; two
rows at once on a
GPU, rows of unequal length, and images that are decoded and cut while the GPU waits are such costs. `dragonfly train` groups rows
by length, reads in workers, and records the utilisation of every run (`run.json`).

![What a step of the paper's stage 2 was made of](images/paper-hours.svg)

**What would change it,** in FLOPs of a row, and in hours at the paper's own utilisation (of a constant per row nothing is saved):

{table(["", "TFLOP a row", "to the paper's", "hours"], changed)}

The kept number is what matters. An adapter saves a third: no gradients of frozen weights, and no 16 GB of them to exchange. The
tower cache saves {cached:.1%} here and needs a frozen tower; its place is stage 1 of small language models
([performance](performance.md#training))."""


def page() -> str:
    found = result("scaling")
    held = ", ".join(f"`{name}`" for name, row in found["points"].items() if row["held_out"])
    layers, model, rounds = found["tower"]["num_hidden_layers"] - 1, found["language_model"], found["rounds"]
    llama = f"a Llama of {model['num_hidden_layers']} layers, {model['hidden_size']} wide"
    loads, machine = ", ".join(f"{load:.1f}" for load in found["load_average"]), found["hardware"]["cpu"]
    return wrapped(f"""# How cost grows

With resolution, grid, kept number, batch and text; and what `dragonfly plan` knows of it before anything runs. Measured by
`benchmarks/scaling.py` and computed by `benchmarks/paper_hours.py`; this page is written by `python scripts/scaling.py`.

![Cost to the first token by grid, and what plan predicts](images/scaling.svg)

## The open question

{answer_to_the_question(found)}

## Measured

A tower of CLIP ViT-B/32's width ({layers} layers run) and {llama}, random weights, one thread of
{machine}; seconds of the processor in bfloat16, the least of {rounds} rounds that float32 took turns in (load {loads}).
Memory is float32's, beyond weights and imports. A token is one of an answer; a step is forward and backward through all weights.

Grid, one image and 64 tokens of text:

{axis(found, "grid")}

Kept number, `v1`:

{axis(found, "kept")}

Batch:

{axis(found, "batch")}

Text, `v1`:

{axis(found, "text")}

Preprocessing alone grows with the image:

{preprocessing(found)}

## Laws, and what `plan` knows

A law is fitted to the points that are not held out, by relative least squares; then it predicts the rest ({held}).
`plan`'s column has one factor only, from the same points: FLOPs over a rate (of a token: bytes read). The last two
columns are the
largest error on what was held out.

{laws(found)}

The rates, GFLOP/s: {rates(found)}. What one rate cannot know is the
constant of a call, so small calls are where `plan` is farthest off ({farthest(found)}).
Over the rest FLOPs are a good clock on this machine; they say nothing of another's.

Memory beyond weights, laws of what was measured and of what `plan` says:

{memory(found)}

Libraries' work space, and freed memory that is not given back, are not planned ([planning](planning.md#memory)).

{paper()}""")


def drawn_scaling(found: dict[str, Any]) -> Any:
    """Left, what a grid costs by what it resolves; right, what `plan` predicts."""
    from matplotlib.figure import Figure

    points = found["points"]
    with plot_style():
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name, members in SERIES.items():
            at = [(high_pixels(points[key], key), first_token(points[key])) for key in members]
            (line,) = left.plot(*zip(*at, strict=True), "o-", markersize=4)
            left.annotate(name, at[-1], (-4, 7), textcoords="offset points", ha="right", color=line.get_color())
        early = points["v1, residual"]
        (line,) = left.plot([high_pixels(points["v1"], "v1")], [first_token(early)], "s", markersize=5)
        left.annotate(
            "12 kept before the tower",
            (high_pixels(points["v1"], "v1"), first_token(early)),
            (6, -14),
            textcoords="offset points",
            color=line.get_color(),
        )
        left.set(
            xlim=(0, None),
            ylim=(0, 1.15 * left.get_ylim()[1]),
            xlabel="megapixels of the finest level",
            ylabel="seconds to the first token",
        )
        left.set_title("Keeping 12 bounds the prompt alone")
        for (phase, name), marker in zip(PHASES.items(), "os^D", strict=True):
            factor = found["laws"]["bfloat16"][phase]["plan"]["factor"]
            for held in (False, True):
                rows = [row for row in points.values() if row["held_out"] is held]
                x = [factor * row["planned"][phase] for row in rows]
                y = [row["seconds"]["bfloat16"][phase] for row in rows]
                colour = f"C{list(PHASES).index(phase)}"
                look = {"markerfacecolor": "none" if held else colour, "color": colour, "markersize": 4.5}
                right.plot(x, y, marker, label=None if held else name, **look)
        ends = [0.008, 6]
        right.plot(ends, ends, color="C1", linewidth=0.8, zorder=0)
        right.set(xscale="log", yscale="log", xlabel="seconds that plan's formula and one factor give", ylabel="measured seconds")
        right.set_title("plan is a good clock (hollow: held out)")
        right.legend(loc="upper left")
        return figure


def drawn_paper(step: dict[str, float]) -> Any:
    """A step of stage 2 as one bar."""
    from matplotlib.figure import Figure

    known = {name: step[key] for name, key in zip(("arithmetic at 40 %", "NVLink", "optimiser"), KNOWN, strict=True)}
    known["not explained by plan"] = step["seconds"] - sum(known.values())
    with plot_style():
        figure = Figure(figsize=(9, 1.7), layout="constrained")
        axes = figure.subplots()
        begin = 0.0
        for index, (name, seconds) in enumerate(known.items()):
            unknown = name.startswith("not")
            axes.barh(
                0, seconds, left=begin, height=0.5, color="none" if unknown else f"C{index}", edgecolor="C1", hatch="//" * unknown
            )
            above = 0.36 if name != "optimiser" else -0.5
            axes.text(begin + seconds / 2, above, f"{name}\n{seconds:.2f} s", ha="center", va="bottom" if above > 0 else "top")
            begin += seconds
        axes.set(ylim=(-1.05, 0.95), xlim=(0, begin), yticks=[], xlabel="seconds of a step of 16 rows on 8 H100")
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_title("More than half of the paper's step is neither arithmetic nor exchange")
        return figure


def save(figure: Any, name: str) -> None:
    """As SVG, the same bytes from the same numbers."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    style = plot_style(**{"svg.hashsalt": name, "svg.fonttype": "none"})
    with style, atomic_write(IMAGES / f"{name}.svg", "wb") as file:
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})


if __name__ == "__main__":
    write_text(PAGE, page())
    save(drawn_scaling(result("scaling")), "scaling")
    save(drawn_paper(result("paper_hours")["step"]), "paper-hours")
