"""Everything at full size on one GPU: random weights made on the device, bfloat16, Llama-3 8B and 3B, CLIP-B/32, CLIP-L/14-336.

Run: python benchmarks/gpu.py [--parts NAME ...] [--share S] [--tiny] [--output benchmarks/results/gpu.json]

No weights are read and nothing is fetched. `--tiny` runs every case with narrow models wherever it is, a CPU too, to test this
script. A part has a budget of seconds, of which `--share` gives it less: what has not begun by then is skipped, and said so. A
case that fails, for want of memory or otherwise, is recorded with its message, and the others run. The file is written after
every case; parts that are not named stay as it has them.

Clocks are read when the device has finished. `mfu` is FLOPs by `planning`'s formulas, nothing computed twice counted, over the
maker's dense bfloat16 peak (None for a device that `planning` does not know); `of_matmul` is over the fastest product of matrices
measured here. Memory is what torch's allocator held at most, beside `planning`'s peak. Training is `dragonfly.training.run`
itself, with weights made where it would read them, and nothing exported.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

import peers  # noqa: E402  # pyright: ignore[reportMissingImports]
import torch  # noqa: E402
from gpu_parts.answering import answering  # noqa: E402  # pyright: ignore[reportMissingImports]
from gpu_parts.bench import FULL, TINY, Bench, Cases, Row, free  # noqa: E402  # pyright: ignore[reportMissingImports]
from gpu_parts.training import training  # noqa: E402  # pyright: ignore[reportMissingImports]
from scaling import SIZE  # noqa: E402  # pyright: ignore[reportMissingImports]
from transformers.utils import logging as transformers_logging  # noqa: E402

from dragonfly.files import one_line, result_header, write_json  # noqa: E402
from dragonfly.models import DragonflyImageProcessor  # noqa: E402
from dragonfly.vision.presets import get_preset  # noqa: E402


def matmul(bench: Bench) -> Cases:
    """Products of square matrices, ten to a clock; and a copy, whose bytes are read and written."""

    def product(side: int) -> Row:
        left, right = (torch.randn(side, side, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
        took = bench.seconds(lambda: [left @ right for _ in range(10)]) / 10
        rate = 2 * side**3 / took
        bench.matmul = max(bench.matmul or 0.0, rate)
        return {"seconds": took, "tflop_per_s": rate / 1e12, "mfu": rate / bench.peak if bench.peak else None}

    def copying() -> Row:
        source = torch.zeros(2**30 if bench.on_gpu else 2**22, device=bench.device, dtype=torch.bfloat16)
        target = torch.empty_like(source)
        return {"bytes_per_second": 2 * source.nbytes / bench.seconds(lambda: target.copy_(source))}

    bench.matmul = None
    for side in bench.scale.sides:
        yield f"product of {side}", partial(product, side)
    yield "copy", copying


def preprocessing(bench: Bench) -> Cases:
    """Images that the host cuts in a second: what a GPU may wait for."""

    def images(preset: str, size: tuple[int, int]) -> Row:
        processor, one = DragonflyImageProcessor(encoder=get_preset(preset).spec.to_dict()), peers.image(size)
        took = bench.seconds(lambda: processor(one, return_tensors="pt"))
        return {"seconds": took, "images_per_second": 1 / took, "threads": torch.get_num_threads()}

    for preset in bench.scale.towers:
        for size in peers.SIZES[1:3]:
            yield f"{preset}, {size[1]}x{size[0]}", partial(images, preset, size)


def beside_peers(bench: Bench) -> Cases:
    """Time to the first token, preprocessing included, of one tower and language model in four architectures."""
    found = peers.systems(
        [],
        sizes=peers.Sizes(bench.scale.language["8B"], tower_shape(bench.scale.towers["v1"]), str(bench.device), torch.bfloat16),
    )

    def first_token(count: int) -> Row:
        images = [peers.image(SIZE)] * count
        taken: dict[str, list[float]] = {name: [] for name in found}
        tokens = {name: len(system.ids(system.placed(system.prepare(images)))) for name, system in found.items()}
        works, beyond = peers.answers(found, images, 1), dict[str, int | None]()
        for name, work in works.items():  # warming up, with an eye on memory
            beyond[name] = bench.beyond(work)
        for _ in range(bench.scale.rounds):
            for name, work in works.items():
                start = time.perf_counter()
                work()
                bench.wait()
                taken[name].append(time.perf_counter() - start)
        return {"visual_tokens": tokens, "bytes_beyond_weights": beyond, **peers.table(taken)}

    for count in bench.scale.batches[:1] if bench.scale is TINY else peers.COUNTS:
        yield f"{count} images", partial(first_token, count)


def tower_shape(tower: Row) -> Row:
    return {key: tower[key] for key in peers.TOWER}


PARTS: dict[str, tuple[float, Callable[[Bench], Cases]]] = {  # seconds in which a part's cases may begin
    "matmul": (30, matmul),
    "preprocessing": (40, preprocessing),
    "answering": (300, answering),
    "peers": (240, beside_peers),
    "training": (540, training),
}


def failure(error: Exception) -> Row:
    """What is recorded of a case that failed: one may not end the others, for a device is lent for minutes."""
    traceback.print_exc()
    return {"failed": "out of memory" if isinstance(error, torch.OutOfMemoryError) else one_line(error)}


def measure(bench: Bench, part: str, keep: Callable[[dict[str, Row]], None], share: float = 1.0) -> None:
    """All cases of a part within a share of its budget; `keep` is called after each."""
    budget, make = PARTS[part][0] * share, PARTS[part][1]
    rows: dict[str, Row] = {}
    begun, cases = time.perf_counter(), make(bench)
    while True:
        name = "models"  # which cases share, and which may not fit either
        try:
            name, work = next(cases)
            late = time.perf_counter() - begun > budget
            rows[name] = {"failed": f"skipped: the part's {budget:.0f} seconds were over"} if late else work()
        except StopIteration:
            break
        except Exception as error:
            rows[name] = failure(error)
        work = None  # what it held is let go before more is made
        free()
        print(f"{part}: {name}: {rows[name]}", flush=True)
        keep(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="the others stay as the file has them"
    )
    parser.add_argument("--share", type=float, default=1.0, help="of every part's budget, where a device is lent for minutes")
    parser.add_argument("--tiny", action="store_true", help="narrow models, on whatever there is; needs --output")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; `--tiny --output FILE` runs every case with narrow models on the CPU")
    if options.tiny and options.output is None:
        parser.error("--tiny measures nothing that is worth keeping; name a file with --output")
    output: Path = options.output or ROOT / "benchmarks" / "results" / "gpu.json"
    transformers_logging.set_verbosity_error()
    header, begun = result_header(), time.perf_counter()
    about: Row = {"benchmark": "gpu", "tiny": options.tiny, "hardware": header["hardware"]}
    before: Row = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
    if any(before.get(name) != value for name, value in about.items()):  # of another device, or in earnest where this is not
        before = {}
    bench = Bench(TINY if options.tiny else FULL, before.get("matmul_flops_per_second"))
    result = {**header, **about, "published_flops_per_second": bench.peak, "parts": before.get("parts", {})}
    if bench.matmul is None and "matmul" not in options.parts:
        parser.error("shares are of the rate that part matmul finds, which the file does not have; name matmul too")
    for part in [part for part in PARTS if part in options.parts]:

        def keep(rows: dict[str, Row], part: str = part) -> None:
            result["parts"][part] = {"date": header["date"], "commit": header["commit"], "cases": rows}
            write_json(output, {**result, "matmul_flops_per_second": bench.matmul})

        measure(bench, part, keep, options.share)
    cases = [(f"{part}: {name}", row) for part in options.parts for name, row in result["parts"][part]["cases"].items()]
    failed = [name for name, row in cases if "failed" in row]
    print(f"{time.perf_counter() - begun:.0f} s; result: {output}; failed: {', '.join(failed) or 'none'}")


if __name__ == "__main__":
    main()
