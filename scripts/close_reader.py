"""Train a close reader, the small LLaVA-NeXT model that a lens is measured with.

    python scripts/close_reader.py checkpoints/nano/pages checkpoints/lens-reader --steps 400

The first directory holds a model that reads sub-images of the synthetic documents `nano`, or a close reader that goes on. Every
`--every` steps it is measured on held-out pages; the second gets the best one, and with it loss.jsonl and training.json, what was
measured and what was asked for. Then benchmarks/lens_accuracy.py measures methods with it.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

from dragonfly.files import result_header, write_json
from dragonfly.research.close_reader.examples import Example, examples
from dragonfly.research.close_reader.model import begun, save
from dragonfly.research.close_reader.pages import pages
from dragonfly.research.close_reader.prompts import Prompts
from dragonfly.research.close_reader.training import Schedule, right_by_kind, train

MEASURED = 80  # held-out pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--pages", type=int, default=1200, help="of the split train")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--growth", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=50)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    model, processor = begun(args.source)
    data = list(pages("train", args.seed, args.pages))
    schedule = Schedule(args.steps, rate=args.rate, seed=args.seed, growth=args.growth)
    log = Log(model, processor, held_out(model, processor), args.output, args.every)
    print(f"{len(data)} pages; before: {log.measured()}", flush=True)
    train(model, processor, data, schedule, report=log.step)
    log.record(schedule, args)


def held_out(model: Any, processor: Any) -> list[Example]:
    prompts, rng = Prompts(model, processor), random.Random(1)
    rows = [row for page in pages("dev", 0, MEASURED) for row in examples(prompts, page, rng)]
    return sorted(rows, key=lambda row: row.shared)


class Log:
    """Losses, what is measured on held-out pages, and the model where that is best."""

    def __init__(self, model: Any, processor: Any, dev: list[Example], output: Path, every: int) -> None:
        self.model, self.processor, self.dev, self.output, self.every = model, processor, dev, output, every
        self.losses: list[float] = []
        self.best, self.best_step, self.began = -1.0, 0, time.time()

    def measured(self) -> dict[str, Any]:
        return {kind: round(share, 4) for kind, (share, _) in right_by_kind(self.model, self.dev).items()}

    def step(self, step: int, loss: float) -> None:
        self.losses.append(loss)
        if (step + 1) % self.every:
            return
        found = self.measured()
        mean = round(sum(self.losses[-self.every :]) / self.every, 4)
        row = {"step": step + 1, "loss": mean, **found, "seconds": round(time.time() - self.began)}
        with (self.output / "loss.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        print(row, flush=True)
        if found["shown"] + found["compare"] > self.best:
            self.best, self.best_step = found["shown"] + found["compare"], step + 1
            save(self.model, self.processor, self.output)

    def record(self, schedule: Schedule, args: argparse.Namespace) -> None:
        asked = {"source": str(args.source), "pages": args.pages, "schedule": schedule.__dict__}
        row = {**result_header(), **asked, "best_step": self.best_step, "seconds": round(time.time() - self.began)}
        write_json(self.output / "training.json", row)


if __name__ == "__main__":
    main()
