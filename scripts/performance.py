"""Write docs/performance.md and its figure from the result files.

Run: python scripts/performance.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from dragonfly.files import write_text  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PAGE, FIGURE = ROOT / "docs" / "performance.md", ROOT / "docs" / "images" / "performance.png"
BATCHED = 8  # rows of a batch, `benchmarks/training_loop.py`
SIZES = ("v1 / floor", "v1 residual / floor", "v2 / floor", "v1 / Pillow's resizes alone", "v1 / v1 with torch")


def result(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in row)} |" for row in lines)


def preprocessing() -> str:
    found = result("preprocessing")
    rows = [[row["size"], *(row[name] for name in SIZES)] for row in found["sizes"]]
    pixels = [row["pixels of torch"] for row in found["sizes"]]
    largest, mean = max(one["largest"] for one in pixels), max(one["mean"] for one in pixels)
    gains, nano = found["two_threads"], found["nano"]
    return f"""## Preprocessing

The floor is Pillow's resizes that the layout needs and one pass of numpy that normalises each result. Everything else that an
image processor does comes on top: layout, checks, cutting, the tensor.

{table(["image", *SIZES], rows)}

Levels, and the images of a call, go on as many threads as torch may use, at most eight; in a worker of a data loader that is one.
Not a bit depends on it. How many times faster two threads were, at load {max(found["load_average"])}:

{table(["image", *next(iter(gains.values()))], [[size, *gain.values()] for size, gain in gains.items()])}

`model.resizer=torch` (`resizer` of the encoder, saved with it) resizes with torch's antialiased bicubic filter for bytes. Its
pixels are at most {largest} of 255 levels away from Pillow's, {mean} in the mean of the worst image here. The bundled model was
trained with Pillow's: of {nano["asked"]} answers about documents that it never saw, {nano["differ"]} differ.
"""


def encoding() -> str:
    found = result("encoding")
    head = ["tower", "precision", "GFLOP/s", "of a product of matrices, GFLOP/s", "ratio"]
    keys = ("tower_gflop_per_s", "product_gflop_per_s", "ratio")
    towers = [(dtype, name, row) for dtype, rows in found["towers"].items() for name, row in rows.items()]
    rows = [[name, dtype, *(row[key] for key in keys)] for dtype, name, row in towers]
    kept = ", ".join(f"`{name}` {count}" for name, count in found["kept"].items())
    return f"""## Encoding

{table(head, rows)}

On one thread. All sub-images of a call enter the tower together (`encoder_batch` bounds them), and each distinct image once.
What a policy drops before the tower is not encoded; of `v1`'s 29 sub-images the tower sees: {kept}.
"""


def decoding() -> str:
    found = result("decoding")
    rows = [
        [name, *(case[key] for key in ("seconds_off", "seconds_on", "ratio", "answers_equal"))]
        for name, case in found["cases"].items()
    ]
    return f"""## Decoding

What follows is off by default: keys and values are the same numbers, but the products have other shapes, so the last bits of a
logit may differ, and a token with them where two are as good as equal.

- `engine.reuse_prompts = True` reads a prompt on from where it departs from those before it: the next question about an image,
  the next turn of a chat, the other questions of a batch (`dragonfly ask --batch rows.jsonl --reuse-prompts`).
- `prompt_lookup=5` guesses tokens from what stands in the prompt and keeps those that the model says too (greedy, one question at
  a time).
- `static_cache=True` keeps room for the whole answer, which transformers compiles for on a GPU.

{table(["", "off, s", "on, s", "ratio", "answers equal"], rows)}

Processor time on one thread, off over on. `v1` is a model of random weights with an image of 867 tokens and answers of
{found["answer_tokens"]} tokens that repeat themselves, the best that can happen to prompt lookup; the bundled model's answers are
a few words, for which it does not pay. `tests/inference/test_reuse.py` and `tests/inference/test_decoding.py` hold the answers
equal.
Weights in 8 or 4 bits: [models.md](models.md).
"""


def start() -> str:
    found = result("startup")
    return f"""## Start

`dragonfly ask` with a tiny model takes {found["ask / imports"]} x the processor time of a program that only imports what it
has loaded in the end ({found["modules"]["loaded"]} modules), which is torch and transformers nearly alone. `dragonfly --help`
takes {found["cases"]["dragonfly --help"]["ratio"]} x `python -c pass`.
"""


def training() -> str:
    found = result("training_speed")
    cases = found["cases"]
    ways = ("without", "with")
    rows = [
        [
            name,
            *(case["seconds a step"][way] for way in ways),
            case["times faster"],
            *(f"{case['loading, share of a step'][way]:.1%}" for way in ways),
            case["MB an image"],
        ]
        for name, case in cases.items()
    ]
    columns = [(name, way) for name in cases for way in ways]
    names = list(next(iter(cases.values()))["parts"]["with"])
    parts = [[part, *(f"{cases[name]['parts'][way][part]:.1%}" for name, way in columns)] for part in names]
    shares = ", ".join(f"{name} {share:.1%}" for name, share in found["tower's share of a stage-1 step's FLOPs"].items())
    farthest = max(case["largest relative difference of losses"] for case in cases.values())
    equal = f"differ by at most {farthest:.1e} of themselves" if farthest else "are equal to the bit"
    rounds = "; ".join(", ".join(str(one) for one in case["rounds"]) for case in cases.values())
    left = [case["parts"]["with"]["language model, forward"] + case["parts"]["with"]["backward"] for case in cases.values()]
    most = max(case["times faster"] for case in cases.values())
    waiting = found["waiting for data, share of the time by the clock"]
    return f"""## Training

Whole runs with [`data.tower_cache`](training.md#a-tower-that-is-run-once) and without, in turns, in processor seconds:
{found["precision"]}. The cache was filled before; filling it is one pass of the tower over each image.

{table(["stage", "seconds a step without", "with", "times faster", "loading without", "with", "MB an image"], rows)}

Rounds: {rounds}. Losses {equal}. What a step is made of (loading is the first five rows):

{table(["part", *(f"{name.partition(':')[0]}, {way}" for name, way in columns)], parts)}

Wanted were 3 x; the most here are {most} x. What is left of a step with the cache is the language model for the most part: its
passes forward and backward take {", ".join(f"{share:.1%}" for share in left)} of it, in the order of the table.

What the cache can save is the tower's share and the loading of images. The larger the language model, the less that is: of a
stage-1 step's FLOPs under `v1` (planned, not measured) the tower takes, by language model: {shares}.

Without a cache, a run of nano's stage `full` stands still for its data {waiting["none"]:.1%} of its time (by the clock) when it
reads them itself, and {waiting["the default"]:.1%} with the default of `data.workers`.

{training_loop()}"""


def training_loop() -> str:
    found = result("training_loop")
    plain, mixes = found["plain"], found["packing"]
    cost, key = plain["milliseconds a supervised token"], "milliseconds a supervised token"
    ways = list(next(iter(mixes.values()))["ways"])
    head = ["way", *(f"{mix}: {what}" for mix in mixes for what in ("padding", "times faster"))]
    rows = [
        [way]
        + [
            cell
            for mix in mixes.values()
            for row in [mix["ways"][way]]
            for cell in (f"{row['padding, share of tokens']:.1%}", row["times faster than padded"])
        ]
        for way in ways
    ]
    farthest = max(mix["largest relative difference of losses"] for mix in mixes.values())
    return f"""### Beside the plain Trainer loop

The bundled model's last stage, `nano/natural`, asks {plain["questions a step"]} questions a step, twelve on each of four
pages. The plain loop is transformers' own Trainer from the same weights through the same steps: one question a row, right
padding, every row's page decoded and encoded for it. Here no question is left out for its length. Processor time, in turns,
{found["precision"]}:

{table(["loop", key], [["plain", cost["plain"]], ["`nano/natural` as shipped", cost["ours"]]])}

The stage is {plain["times faster"]} x as fast (rounds: {", ".join(map(str, plain["rounds"]))}); the losses of the steps
differ by at most {plain["largest relative difference of losses"]:.1e} of themselves.

### Packing and grouping by length

The same {next(iter(mixes.values()))["rows"]} rows, {BATCHED} at once, through a small language model (4 layers, 384 wide):
an image takes 306 tokens, a text 36 to some 450, most of them below 130. Each way
[of making batches](training.md#packing), and how much faster it is than padding to the longest row. Grouping sorts within 32
steps, of which there are two here: over more it saves more.

{table(head, rows)}

Losses with packing and without differ by at most {farthest:.1e} of themselves.
"""


def peers() -> str:
    found = result("peers")
    prepared = [row for row in found["preprocessing"]["rows"] if row["images"] == 1]
    names = list(prepared[0]["seconds"])
    rows = [[f"{row['megapixels']} Mpx", *(row["to_llava_next"][name] for name in names)] for row in prepared]
    memory = [[f"{row['megapixels']} Mpx", *(row["peak_mib"][name] for name in names)] for row in prepared]
    answering = found["answering"]["rows"]
    first, several = answering[0], [row for row in answering if row["images"] > 1]
    lines = [
        [
            name,
            first["visual_tokens"][name],
            seconds,
            *(row["first_token"]["to_llava_next"][name] for row in answering),
            first["tokens_per_s"].get(name, "-"),
        ]
        for name, seconds in first["first_token"]["seconds"].items()
    ]
    head = ["system", "visual tokens", "processor seconds", "ratio", *(f"ratio, {row['images']} images" for row in several)]
    rounds = ", ".join(f"{row['rounds']} with {row['images']}" for row in answering)
    return f"""## Beside other architectures

The same tower shape (ViT-B/32), language model (12 layers, 1024 wide), images and thread, random weights; seconds are
{found["answering"]["seconds_are"]}. LLaVA-NeXT gets 24 crops and the whole image, as many as v1's high level. Ratios are to
LLaVA-NeXT.

Time to the first token, preprocessing included, images of 0.8 megapixels; rounds: {rounds}:

{table([*head, "tokens a second"], lines)}

Preprocessing:

{table(["image", *names], rows)}

The most memory that preprocessing adds, in MiB (of a process that can reuse some that was freed before, so small numbers are
lower bounds):

{table(["image", *names], memory)}
"""


def gpu(file: Path = RESULTS / "gpu.json") -> str:
    """Shares and rates of every case; or that no GPU has run it."""
    intro = """## On a GPU

`python benchmarks/gpu.py` measures all of it at full size on one GPU in under 25 minutes, with random weights made there:
Llama-3 8B and 3B with CLIP shapes in bfloat16, prompts and tokens, other architectures, and training steps, each beside what
`dragonfly plan` says. Wanted: 50 % of the published arithmetic over a prompt, 40 % in a step of stage 2.
"""
    if not file.is_file():
        return f"{intro}\n**Not measured**: no GPU has run it yet; its cases are tested with narrow models on a CPU.\n"
    found = json.loads(file.read_text(encoding="utf-8"))
    head = [
        "case",
        "seconds",
        "TFLOP/s",
        "of the published peak",
        "of a product here",
        "memory, GB",
        "planned / measured",
        "more",
    ]
    parts = [
        f"{part}, {about['date'][:10]}:\n\n{table(head, [_case(name, row) for name, row in about['cases'].items()])}\n"
        for part, about in found["parts"].items()
    ]
    return "\n".join([f"{intro}\nMeasured on {found['hardware']['gpu'] or found['hardware']['cpu']}.\n", *parts])


def _case(name: str, row: dict[str, Any]) -> list[str]:
    """A case's cells; of one that failed, why."""
    if "failed" in row:
        return [name, *[""] * 6, row["failed"]]
    seconds = row.get("seconds", row.get("first_token_seconds"))
    if isinstance(seconds, dict):  # by system
        said = ", ".join(f"{one} {took:.3f} s ({row['to_llava_next'][one]} x)" for one, took in seconds.items())
        return [name, *[""] * 6, said]
    rates = {"tokens_per_second": "tokens/s", "images_per_second": "images/s", "rows_per_second": "rows/s"}
    more = [f"{row[key]:,.1f} {unit}" for key, unit in rates.items() if key in row]
    more += [f"{row['bytes_per_second'] / 1e12:.2f} TB/s"] if "bytes_per_second" in row else []

    def cell(key: str, form: str, factor: float = 1.0) -> str:
        return "" if row.get(key) is None else format(row[key] * factor, form)

    measured = [cell("tflop_per_s", ",.1f"), cell("mfu", ".1%"), cell("of_matmul", ".1%"), cell("peak_bytes", ".1f", 1e-9)]
    return [name, "" if seconds is None else f"{seconds:.4f}", *measured, cell("planned_over_measured", ".2f"), ", ".join(more)]


def page() -> str:
    return f"""# Performance

Ratios of two things that ran in turns in one process, from the files in `benchmarks/results`; the script of the same name in
`benchmarks` measures each again. This page is written by `python scripts/performance.py`.

![Preprocessing against its floor, and time to the first token beside LLaVA-NeXT](images/performance.png)

{preprocessing()}
{encoding()}
{decoding()}
{start()}
{training()}
{peers()}
{gpu()}
## How cost grows

With grid, kept number, batch and text, and what `dragonfly plan` knows of it: [scaling](scaling.md).

Guards in the tests count work and never seconds: resizes, copies of images and tensors, decodes, calls of the tower, tokens read,
imports (`test_work.py` in `tests/inference`, `tests/training` and `tests/evaluation`, and `tests/inference/test_reuse.py`).
"""


def draw() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = result("preprocessing")["sizes"]
    for shift, name in enumerate(("v1 / floor", "v1 residual / floor", "v2 / floor")):
        left.bar([index + 0.27 * (shift - 1) for index in range(len(sizes))], [row[name] for row in sizes], 0.25, label=name)
    left.set_xticks(range(len(sizes)), [row["size"] for row in sizes])
    left.axhline(1, color="grey", linewidth=1)
    left.set_title("preprocessing, multiples of the floor")
    left.legend(fontsize=8)
    first = result("peers")["answering"]["rows"][0]["first_token"]["to_llava_next"]
    right.barh(list(first)[::-1], list(first.values())[::-1])
    right.axvline(1, color="grey", linewidth=1)
    right.set_title("time to the first token, multiples of LLaVA-NeXT's")
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    write_text(PAGE, page())
    draw()
