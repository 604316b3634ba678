"""What becomes of medical files: those inside other libraries, and mutated ones; benchmarks/results/medical_files.json.

Run: python benchmarks/medical_files.py [PART ...] [--share 0.1] [--output benchmarks/results/medical_files.json]

A part is a function of a share (1: all of it) that returns what is written under its name; parts that are not run keep what the
file says of them. Each file is loaded in a process of its own: "opened"; "refused" (one line, ValueError); "traceback"; "died" (a
decoder ended its process). Beside these, how many took more than two seconds of processor time or 1 GiB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT), str(ROOT / "src")]

import numpy as np  # noqa: E402
from hostile.mutations import MUTATIONS, photo  # noqa: E402

from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.imaging import load_image  # noqa: E402
from robustness import CPU_SECONDS, EXTRA_BYTES, outcome  # noqa: E402

PER_SEED = 18  # of each mutation
HARD_SECONDS = 30
_LIBRARY = {"JPEG": "SC_rgb_jpeg_gdcm.dcm", "JPEG lossy": "SC_rgb_dcmtk_+eb+cy+np.dcm", "palette": "examples_palette.dcm"}


def apart(data: bytes) -> dict[str, Any]:
    """`robustness.outcome` in a forked process, which a decoder may end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_CPU, (HARD_SECONDS, HARD_SECONDS))
        os.write(writer, json.dumps(outcome(data, None)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not answer:
        return {"outcome": "died", "seconds": 0.0, "extra_bytes": 0, "message": f"status {status}"}
    seen = json.loads(answer)
    return {
        **seen,
        "outcome": {"noted": "opened", "equal": "opened", "different": "opened"}.get(seen["outcome"], seen["outcome"]),
    }


def counted(files: list[tuple[str, bytes]]) -> dict[str, Any]:
    count: Counter[str] = Counter()
    slowest, largest, faults, reasons = 0.0, 0, [], Counter()
    for name, data in files:
        seen = apart(data)
        count[seen["outcome"]] += 1
        count["over 2 s"] += seen["seconds"] > CPU_SECONDS
        count["over 1 GiB"] += seen["extra_bytes"] > EXTRA_BYTES
        slowest, largest = max(slowest, seen["seconds"]), max(largest, seen["extra_bytes"])
        if seen["outcome"] == "refused":
            reasons[" ".join(seen["message"].removeprefix("bytes ").split(" (")[0].split(";")[0].split(":")[0].split()[:8])] += 1
        if seen["outcome"] in ("traceback", "died"):
            faults.append(f"{name}: {seen['message']}"[:200])
    return {
        "files": len(files),
        "total": dict(sorted((+count).items())),
        "slowest_s": round(slowest, 3),
        "largest_extra_mib": largest >> 20,
        "refusals": dict(reasons.most_common(12)),
        "faults": faults,
    }


def shipped(share: float) -> dict[str, Any]:
    """Every file that ships inside pydicom (its data) and highdicom, code aside."""
    found: dict[str, Any] = {}
    for library, folder in (("pydicom", "data"), ("highdicom", "")):
        spec = find_spec(library)
        assert spec is not None and spec.origin is not None
        files = sorted(path for path in Path(spec.origin).parent.joinpath(folder).rglob("*") if path.is_file())
        data = [(path.name, path.read_bytes()) for path in files if path.suffix not in (".py", ".pyc", ".pyi", ".typed")]
        found[library] = counted(data[:: max(1, round(1 / share))])
    return found


def dicom_seeds() -> dict[str, bytes]:
    """Good DICOM files of every kind, by the writer that the tests have."""
    from pydicom.data import get_testdata_file
    from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless
    from tests.imaging.scans import group, hounsfield, item, scan, written

    grey = np.asarray(photo().convert("L"), dtype=int) * 8 - 1000
    colour = np.asarray(photo())
    seeds = {"uncompressed": written(hounsfield(grey, WindowCenter=40, WindowWidth=400))}
    for name, syntax in (("RLE", RLELossless), ("JPEG 2000", JPEG2000Lossless), ("JPEG-LS", JPEGLSLossless)):
        dataset = scan(colour, "US") if name == "JPEG 2000" else hounsfield(grey)
        dataset.compress(syntax, generate_instance_uid=False)
        seeds[name] = written(dataset)
    for name, file in (
        ("JPEG", "SC_rgb_jpeg_gdcm.dcm"),
        ("JPEG lossy", "SC_rgb_dcmtk_+eb+cy+np.dcm"),
        ("palette", "examples_palette.dcm"),
    ):
        seeds[name] = Path(str(get_testdata_file(file))).read_bytes()
    deflated = hounsfield(grey)
    deflated.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1.99")
    seeds["deflated"] = written(deflated)
    frames = scan(np.stack([grey + 1000] * 3).astype("<u2"), NumberOfFrames=3)
    windows = [item(**dict([group("FrameVOILUTSequence", WindowCenter=900, WindowWidth=one)])) for one in (500, 600, 700)]
    frames.PerFrameFunctionalGroupsSequence = windows
    seeds["enhanced"] = written(frames)
    return seeds


def mutated_dicom(share: float) -> dict[str, Any]:
    """Every kind of DICOM file, changed in five ways with seeded dice."""
    files: list[tuple[str, bytes]] = []
    for name, data in dicom_seeds().items():
        load_image(data)  # imports what decodes it, before any process is forked
        for kind, mutate in MUTATIONS.items():
            dice = random.Random(f"{name} {kind}")
            changed = [mutate(data, dice) for _ in range(max(1, round(PER_SEED * share)))]
            # Half of them early, where the header is: most bytes of a file are pixels.
            files += [
                (f"{name}, {kind}", one if number % 2 else mutate(data[:1200], dice) + data[1200:])
                for number, one in enumerate(changed)
            ]
    return counted([(name, data) for name, data in files])


PARTS = {"shipped": shipped, "mutated_dicom": mutated_dicom}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/medical_files.json")
    given = parser.parse_args()
    before = json.loads(given.output.read_text()) if given.output.exists() else {}
    results = {name: {"share": given.share, **PARTS[name](given.share)} for name in given.parts or PARTS}
    write_json(given.output, {**before, **result_header(), **results})
    for name, result in results.items():
        print(name, json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
