"""How NIfTI volumes, deep grey images and slides that are damaged are taken, into benchmarks/results/medical_volumes.json.

    python benchmarks/medical_volumes.py [--share 0.1]

Each file is read in a process of its own (a fork of this one, so that it starts at once), which may take 1 GiB more memory than
it has; its processor time is measured. Slides are read so too, as no user would read a stranger's: whether their decoder then
dies is counted. A sample of them is read again with `isolate`, as a stranger's file should be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from medical.volumes_slides import (
    ALL_MUTATIONS,
    deep_images,
    inside_nibabel,
    read_bytes,
    read_slide_levels,
    slides,
    volumes,
)

from dragonfly.files import result_header, write_json

RESULT = Path(__file__).parent / "results" / "medical_volumes.json"
CPU_SECONDS, EXTRA_BYTES = 2.0, 2**30
PER_MUTATION = {"volumes": 18, "deep images": 12, "slides": 18}
ISOLATED = 40


def outcome(read: Callable[[], None]) -> dict[str, Any]:
    """What a read comes to in a forked process: shown, refused (one line), traceback or died; and its seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + EXTRA_BYTES, used + EXTRA_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff's own words
        os.write(writing, json.dumps(_told(read)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status, usage = os.wait4(child, 0)
    told = json.loads(said) if said else {"outcome": "died", "message": f"signal {os.waitstatus_to_exitcode(status)}"}
    return {**told, "seconds": usage.ru_utime + usage.ru_stime}


def _told(read: Callable[[], None]) -> dict[str, str]:
    try:
        read()
    except ValueError as error:
        kind = "refused" if str(error).isprintable() and type(error) is ValueError else "traceback"
        return {"outcome": kind, "message": f"{type(error).__name__}: {error}"}
    except BaseException as error:
        return {"outcome": "traceback", "message": f"{type(error).__name__}: {error}"}
    return {"outcome": "shown", "message": ""}


def readers() -> dict[str, tuple[dict[str, bytes], Callable[[str, bytes], Callable[[], None]]]]:
    """For each family its good files, and how one of them is read."""
    return {
        "volumes": (volumes(), lambda name, data: partial(read_bytes, data, "plane=coronal")),
        "deep images": (deep_images(), lambda name, data: partial(read_bytes, data, "window=1000,2000")),
        "slides": (slides(), lambda name, data: partial(read_slide_levels, data)),
    }


def damaged(share: float) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {}
    faults: list[str] = []
    slowest = 0.0
    for family, (files, how) in readers().items():
        for name, data in files.items():
            for kind, mutate in ALL_MUTATIONS.items():
                dice = random.Random(f"{name} {kind}")
                count = counts.setdefault(f"{family}, {kind}", Counter())
                for number in range(max(1, round(PER_MUTATION[family] * share))):
                    seen = outcome(how(name, mutate(data, dice)))
                    count[seen["outcome"]] += 1
                    count["over 2 s"] += seen["seconds"] > CPU_SECONDS
                    slowest = max(slowest, seen["seconds"])
                    if seen["outcome"] in ("traceback", "died"):
                        faults.append(f"{name}, {kind}, {number}: {seen['message'][:200]}")
    total = sum(counts.values(), Counter[str]())
    return {
        "files": sum(total[key] for key in ("shown", "refused", "traceback", "died")),
        "total": dict(sorted((+total).items())),
        "by_kind": {kind: dict(sorted((+count).items())) for kind, count in counts.items()},
        "slowest_s": round(slowest, 3),
        "faults": faults,
    }


def isolated(share: float) -> dict[str, Any]:
    """Damaged slides as a stranger's: every one ends as an image or as one line."""
    count: Counter[str] = Counter()
    dice = random.Random("isolated")
    files, kinds = list(slides().values()), list(ALL_MUTATIONS.values())
    for number in range(max(1, round(ISOLATED * share))):
        changed = kinds[number % len(kinds)](files[number % len(files)], dice)
        count[_told(partial(read_slide_levels, changed, isolate=True))["outcome"]] += 1
    return {"files": sum(count.values()), "total": dict(sorted(count.items()))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    options = parser.parse_args()
    for _, (files, how) in readers().items():
        for name, data in files.items():
            how(name, data)()  # the undamaged ones are shown
    result = {
        **result_header(),
        "share": options.share,
        "limits": {"cpu_seconds": CPU_SECONDS, "extra_bytes": EXTRA_BYTES},
        "inside_nibabel": inside_nibabel(),
        "damaged": damaged(options.share),
        "isolated_slides": isolated(options.share),
    }
    write_json(options.output, result)
    print(json.dumps({key: result[key] for key in ("inside_nibabel", "damaged", "isolated_slides")}, indent=1))


if __name__ == "__main__":
    main()
