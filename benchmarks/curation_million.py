"""A million rows through dedupe, cap and mixture: rows per second, peak memory, and the same manifest from a Ray cluster.

Run: python benchmarks/curation_million.py [--rows N] [--output FILE] [--note TEXT] [--table]

The rows are made up: words, and keys and hashes of images that do not exist, so no image is decoded here
(curation_duplicates.py tells that rate). Planted: equal rows, rows on images that look alike, rows in nearly the same
words, images with hundreds of rows. The steps run once in a process of their own on this machine's cores and once on a
local Ray cluster of two nodes with one core each; both write a manifest, and its hash must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from dragonfly.curation.engine import start  # noqa: E402
from dragonfly.curation.export import write_set  # noqa: E402
from dragonfly.curation.hashing import draws, normalised, number  # noqa: E402
from dragonfly.curation.run import Stages, run_steps  # noqa: E402
from dragonfly.curation.steps import Job, Origin  # noqa: E402
from dragonfly.curation.table import PART_ROWS, Table, table_schema, write_part  # noqa: E402
from dragonfly.data.manifest import Manifest  # noqa: E402
from dragonfly.files import result_header, write_json  # noqa: E402

STEPS: list[tuple[str, dict[str, Any]]] = [
    ("dedupe_exact", {}),
    ("dedupe_images", {"radius": 6}),
    ("dedupe_text", {"threshold": 0.8}),
    ("cap", {"per_image": 8}),
    ("mixture", {"text_share": 0.1}),
]
ORIGINS = {f"source-{letter}": Origin(weight, general=True) for letter, weight in zip("abcd", (1.0, 2.0, 1.0, 0.5), strict=True)}
WORDS = [
    f"{first}{last}" for first in ("bar", "den", "fil", "gor", "lum", "mas", "nor", "pel", "rin", "sul") for last in "aeiouyx"
]


def make_rows(folder: Path, rows: int, seed: int) -> Table:
    """The made-up table: a row in ten has no image; four rows share one on average, hundreds the first ones."""
    random = np.random.default_rng(seed)
    images = np.sort((random.random(rows) ** 1.5 * (rows // 4)).astype(np.int64))
    folder.mkdir()
    facts = _facts(rows // 4, seed)
    write_part(facts, folder / "images.parquet")
    keys = facts["key"].to_numpy()
    for place, first in enumerate(range(0, rows, PART_ROWS)):
        own = images[first : first + PART_ROWS]
        write_part(_part(first, own, keys[own], np.random.default_rng([seed, place])), folder / f"part-{place:05d}.parquet")
    return Table(folder, folder / "images.parquet")


def _facts(images: int, seed: int) -> pa.Table:
    """Hashes of images; every twentieth looks like the one before it but for two bits."""
    looks = draws(np.arange(images), seed, "looks")
    copies = np.arange(19, images, 20)
    looks[copies] = looks[copies - 1] ^ np.uint64(0x8000000000000100)
    keys = draws(np.arange(images), seed, "key")
    columns = {"key": keys, "looks": looks, "mirrored": draws(looks, seed, "mirror")}
    return pa.table({"path": [f"/images/{number}.jpg" for number in range(images)], **columns})


def _part(first: int, images: Any, keys: Any, random: np.random.Generator) -> pa.Table:
    count = len(images)
    rows = np.arange(first, first + count)
    with_images = random.random(count) < 0.9
    questions = [" ".join(WORDS[word] for word in words) for words in random.integers(0, len(WORDS), (count, 12)).tolist()]
    answers = [" ".join(WORDS[word] for word in words) for words in random.integers(0, len(WORDS), (count, 30)).tolist()]
    for row in range(1, count):  # neighbours stand mostly on one image
        chance = random.random()
        if chance < 0.1:
            questions[row] = questions[row - 1]
        elif chance < 0.2:
            questions[row], answers[row] = questions[row - 1] + " " + WORDS[row % len(WORDS)], answers[row - 1]
    origin = [f"source-{'abcd'[code]}" for code in (draws(rows, 0, "origin") % np.uint64(4)).tolist()]
    lists = np.concatenate([[0], np.cumsum(with_images)]).astype(np.int32)
    held = pa.array(keys[with_images], pa.uint64())
    columns = {
        "id": [str(row) for row in rows.tolist()],
        "source": origin,
        "images": [[{"path": f"/images/{p}.jpg"}] if has else [] for p, has in zip(images.tolist(), with_images, strict=True)],
        "messages": [_messages(*said) for said in zip(questions, answers, with_images.tolist(), strict=True)],
        "evidence": [[]] * count,
        "meta": ["{}"] * count,
        "row": rows,
        "origin": origin,
        "key": draws(rows, 0, "row"),
        "question": pa.array([number(normalised(question)) for question in questions], pa.uint64()),
        "groups": [[]] * count,
        "image_keys": pa.ListArray.from_arrays(pa.array(lists), held),
        "image_key": np.where(with_images, keys, np.uint64(0)),
        "fault": pa.nulls(count, pa.string()),
        "split": ["train"] * count,
    }
    return pa.table({name: columns[name] for name in table_schema().names}, schema=table_schema())


def _messages(question: str, answer: str, with_images: bool) -> list[dict[str, Any]]:
    shown = [{"type": "image", "text": ""}] if with_images else []
    asked = [*shown, {"type": "text", "text": question}]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]


def run(table: Path, work: Path, ray: str | None) -> dict[str, Any]:
    """Every step and the manifest; seconds of each, peak memory of this process, and the manifest's hash."""
    rows = Table(table, table / "images.parquet")
    start(ray)
    job = Job(0, origins=ORIGINS)
    stages, steps, before = Stages(work), [], rows
    stages.run("read", {}, lambda target, _: _linked(rows, target))
    begun = time.perf_counter()
    for name, options in STEPS:
        at = time.perf_counter()
        before, records = run_steps(stages, before, [(name, options)], job)
        seconds = time.perf_counter() - at
        record = {key: records[-1][key] for key in ("in", "out", "dropped")}
        steps.append({"step": name, **record, "seconds": round(seconds, 2), "rows_per_s": round(record["in"] / seconds)})
        print(f"  {steps[-1]}", flush=True)
    stepped = time.perf_counter() - begun
    (work / "out").mkdir()
    write_set(before, work / "out", work / "store")
    manifest = Manifest.open(work / "out")
    whole = time.perf_counter() - begun
    return {
        "steps": steps,
        "rows_out": len(manifest),
        "steps_s": round(stepped, 1),
        "rows_per_s": round(rows.rows / stepped),
        "with_manifest_s": round(whole, 1),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "manifest_sha256": manifest.sha256,
    }


def _linked(rows: Table, target: Path) -> tuple[Table, dict[str, Any]]:
    """The made-up table as the first stage."""
    for file in rows.folder.iterdir():
        os.link(file, target / file.name)
    return Table(target, target / "images.parquet"), {"in": rows.rows, "out": rows.rows, "dropped": {}}


def in_own_process(table: Path, work: Path, ray: str | None = None) -> dict[str, Any]:
    """`run` in a fresh interpreter, so that its peak memory is its own."""
    work.mkdir()
    result = work / "result.json"
    command = [sys.executable, __file__, "--rows-at", str(table), "--work", str(work), "--output", str(result)]
    subprocess.run(command + (["--ray", ray] if ray else []), check=True)
    return json.loads(result.read_text(encoding="utf-8"))


def on_ray(table: Path, work: Path) -> dict[str, Any]:
    """`run` on a cluster of two nodes, one core each."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # else 15, and a busy machine would tell of that alone
    node = {"num_cpus": 1, "object_store_memory": 2**30, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=2**30)
        return in_own_process(table, work, cluster.address)
    finally:
        cluster.shutdown()


def table(result: dict[str, Any]) -> str:
    """The table of docs/curation.md."""
    lines = ["| step | rows in | rows out | rows/s |", "| --- | --- | --- | --- |"]
    for step in result["here"]["steps"]:
        lines.append(f"| `{step['step']}` | {step['in']:,} | {step['out']:,} | {step['rows_per_s']:,} |")
    here = result["here"]
    same = "the same manifest, byte for byte" if result["same_manifest"] else "another manifest"
    lines += [
        "",
        f"{result['rows']:,} rows, {here['rows_per_s']:,} rows/s through all steps, {here['peak_memory_gib']} GiB at the peak.",
        f"A Ray cluster of two one-core nodes on the same machine wrote {same}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "curation_million.json")
    parser.add_argument("--table", action="store_true", help="print the table of the committed result and stop")
    parser.add_argument("--note", default="", help="what a reader should know of this run")
    parser.add_argument("--rows-at", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ray", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.output.read_text(encoding="utf-8"))))
        return
    if options.rows_at is not None:
        write_json(options.output, run(options.rows_at, options.work, options.ray))
        return
    # Workers, Ray's as well, are new interpreters.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_rows(folder / "table", options.rows, seed=0)
        before = os.getloadavg()
        here = in_own_process(folder / "table", folder / "here")
        ray = on_ray(folder / "table", folder / "ray")
    result = {
        **result_header(),
        "benchmark": "curation_million",
        "note": options.note,
        "rows": options.rows,
        "load_average": {
            "before": [round(value, 2) for value in before],
            "after": [round(value, 2) for value in os.getloadavg()],
        },
        "here": here,
        "ray": ray,
        "same_manifest": here["manifest_sha256"] == ray["manifest_sha256"],
    }
    write_json(options.output, result)
    print(f"{here['rows_per_s']} rows/s, {here['peak_memory_gib']} GiB; same manifest on Ray: {result['same_manifest']}")


if __name__ == "__main__":
    main()
