"""How many small faults the tests notice: seeded mutants of the packages, the share killed, and every survivor.

Run: python benchmarks/mutants.py [--seed 0] [--n 300] [--only PACKAGE] [--jobs 2] [--limit-minutes M] [--test-seconds S]

First the fast tests run once on a copy of the tree, traced (`mutation/lines.py`), so that it is known which test executes which
line; the record is kept in build/mutants and holds until a source or a test changes. Then each mutant (`mutation/edits.py`) is
written into a copy and the tests that execute its lines run there until one fails: those of the mirrored test folder first,
cheapest first, as many as fit into `--test-seconds`. This process imports torch, transformers and whatever else the tests need,
but nothing of ours, and forks for every mutant (`mutation/forks.py`), so that a mutant costs its tests and not its imports.

A mutant is killed by a failing test, or by running much longer than its tests did. At the end the tests that killed run once
more on the unchanged tree: what they killed counts only if they pass there. Mutants that mean the same as the source are not
told apart, so the share killed is a lower bound.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation.edits import Mutation, changed_lines, mutated, mutations
from mutation.forks import BASE, BUILD, SETTINGS, Chosen, Outcome, Run, finish, preload
from mutation.lines import ROOT, SOURCE, Record, Recorder

PACKAGES = {
    "vision": ("vision",),
    "models": ("models",),
    "data": ("data",),
    "training": ("training",),
    "metrics": ("evaluation/metrics", "evaluation/scor*", "evaluation/statistics*", "evaluation/intervals*"),
    "curation": ("curation/steps",),
}
"""Folders and files below the package, as patterns. A pattern may find nothing; a package must have files."""


@dataclass(frozen=True)
class Mutant:
    package: str
    path: Path  # relative to the root
    mutation: Mutation
    text: str  # of the whole file


def copy_tree() -> str:
    """Bring build/mutants/base up to date with the files that git knows or would take; the digest of sources and tests."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True).stdout
    files = sorted(name for name in listed.decode().split("\0") if name and (ROOT / name).is_file())
    hashed = hashlib.sha256(sys.version.encode())
    for name in files:
        if name == "pyproject.toml" or (name.startswith(("src/", "tests/")) and name.endswith(".py")):
            hashed.update(name.encode() + (ROOT / name).read_bytes())
    digest = hashed.hexdigest()
    stamp = BASE / "digest"
    if not stamp.is_file() or stamp.read_text() != digest:
        shutil.rmtree(BUILD, ignore_errors=True)
    for name in files:
        (BASE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, BASE / name)
    stamp.write_text(digest)
    return digest


def recorded(digest: str, jobs: int, scratch: Path) -> Record:
    """What a traced run of all fast tests found, now or when the sources were last the same."""
    kept = BUILD / "record.json"
    if kept.is_file() and (known := json.loads(kept.read_text(encoding="utf-8")))["digest"] == digest:
        return Record(known["parts"])
    files = sorted(str(file.relative_to(BASE)) for file in (BASE / "tests").rglob("test_*.py"))
    runs = [Run(files[number::jobs], Recorder(BASE / SOURCE)) for number in range(jobs)]
    ended = list(finish(runs, [BASE] * jobs, scratch))
    if any(outcome.code not in (0, 1) for _, outcome in ended):
        sys.exit(f"the tests could not be recorded; see {BUILD / 'base.log'}")
    parts = [outcome.result for _, outcome in ended]
    kept.write_text(json.dumps({"digest": digest, "parts": parts}), encoding="utf-8")
    return Record(parts)


def sources(package: str, root: Path = BASE) -> list[Path]:
    """The sources of a package, relative to the root."""
    found: set[Path] = set()
    for pattern in PACKAGES[package]:
        for place in (root / SOURCE).glob(pattern):
            found.update(place.rglob("*.py") if place.is_dir() else [place])
    if not found:
        raise ValueError(f"package {package} has no sources under {SOURCE}: {', '.join(PACKAGES[package])}")
    return sorted(path.relative_to(root) for path in found)


def draw(packages: Iterable[str], seed: int, root: Path = BASE) -> list[tuple[str, Path, Mutation]]:
    """Every mutation of the packages, with its package and path, in an order that the seed decides."""
    everything = [
        (package, path, mutation)
        for package in packages
        for path in sources(package, root)
        for mutation in mutations((root / path).read_text(encoding="utf-8"))
    ]
    random.Random(seed).shuffle(everything)
    return everything


def mutants(drawn: Iterable[tuple[str, Path, Mutation]], number: int) -> Iterator[Mutant]:
    """The first mutants that compile and differ from the source."""
    for package, path, mutation in drawn:
        if number and (text := mutated((BASE / path).read_text(encoding="utf-8"), mutation)) is not None:
            number -= 1
            yield Mutant(package, path, mutation, text)


def planted(known: Record) -> Mutant:
    """A fault that no test can miss: the best tested line of a source raises."""
    path, by_line = max(known.by_line.items(), key=lambda item: max(map(len, item[1].values())))
    path = SOURCE / path
    lines = (BASE / path).read_text(encoding="utf-8").splitlines()
    for number in sorted(by_line, key=lambda number: -len(by_line[number])):
        line = lines[number - 1]
        broken = "\n".join([*lines[: number - 1], f"{line[: len(line) - len(line.lstrip())]}raise RuntimeError", *lines[number:]])
        with contextlib.suppress(SyntaxError):
            compile(broken, str(path), "exec")
            return Mutant("", path, Mutation(0, 0, "", "planted", number, (number, number)), broken)
    raise RuntimeError(f"no line of {path} can be broken")


def run_of(mutant: Mutant, known: Record, seconds: float) -> Run:
    """The tests of a mutant, to be ended when they take far longer than they did."""
    tests, files, cost = known.choose(mutant.path, mutant.mutation.lines, seconds)
    return Run(files, Chosen(tests), 60 + 10 * cost, (mutant.path, mutant.text), ("-x",), mutant)


def check_itself(known: Record, copies: list[Path], scratch: Path, seconds: float) -> None:
    """A planted mutant is killed, and the same tests pass without it."""
    broken = run_of(planted(known), known, seconds)
    whole = Run(broken.files, Chosen(broken.plugin.tests), broken.limit, None, broken.options)  # pyright: ignore
    ends = {run.edit is None: outcome for run, outcome in finish([broken, whole], copies, scratch)}
    if ends[True].code != 0 or not ends[False].killed:
        sys.exit(f"the check of this tool failed: unchanged {ends[True]}, planted {ends[False]}; see {BUILD}/*.log")


def share(killed: int, number: int) -> dict[str, Any]:
    """The share killed with its 95 % interval (Wilson 1927)."""
    if not number:
        return {"mutants": 0, "killed": 0, "share": None, "interval": None}
    z, p = 1.959964, killed / number
    middle, reach = p + z * z / (2 * number), z * math.sqrt(p * (1 - p) / number + z * z / (4 * number * number))
    ends = [(middle + sign * reach) / (1 + z * z / number) for sign in (-1, 1)]
    return {"mutants": number, "killed": killed, "share": round(p, 4), "interval": [round(end, 4) for end in ends]}


def summary(rows: list[tuple[Mutant, Outcome]]) -> dict[str, Any]:
    return share(sum(outcome.killed for _, outcome in rows), len(rows)) | {
        "timeouts": sum(outcome.timeout for _, outcome in rows)
    }


def line_of(mutant: Mutant, outcome: Outcome) -> str:
    old, new = changed_lines((BASE / mutant.path).read_text(encoding="utf-8"), mutant.mutation)
    end = f"killed by {outcome.killer}" if outcome.killed else "SURVIVED"
    return f"{outcome.seconds:6.1f} s  {mutant.path}:{mutant.mutation.line} {end}\n    {old[:120]}\n    {new[:120]}"


def survivor(mutant: Mutant, known: Record, seconds: float) -> dict[str, Any]:
    """Where it is, what changed, how many tests execute the line, and how many of these there was time for."""
    old, new = changed_lines((BASE / mutant.path).read_text(encoding="utf-8"), mutant.mutation)
    where = mutant.path, mutant.mutation.lines
    place = f"{mutant.path.as_posix()}:{mutant.mutation.line}"
    tests, ran = len(known.covering(*where)), len(known.choose(*where, seconds)[0])
    return {"place": place, "kind": mutant.mutation.kind, "old": old, "new": new, "tests": tests, "ran": ran}


def unreliable(killers: list[str], copies: list[Path], scratch: Path) -> set[str]:
    """Those of the tests that fail on the unchanged tree too, when the others that killed run beside them."""
    parts = [killers[number :: len(copies)] for number in range(len(copies))]
    runs = [Run(list(dict.fromkeys(name.partition("::")[0] for name in part)), Chosen(part)) for part in parts if part]
    return {name for _, outcome in finish(runs, copies, scratch) for name in outcome.result["failed"]}


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Make the mutants, run their tests, print each end; what the result file says of it."""
    begun = time.perf_counter()
    digest = copy_tree()
    preload(["torch", "transformers", "hypothesis"])
    known = recorded(digest, options.jobs, scratch)
    preload(known.modules)
    copies = [BUILD / str(number) for number in range(options.jobs)]
    for copy in copies:
        shutil.copytree(BASE, copy, dirs_exist_ok=True)
    check_itself(known, copies, scratch, options.test_seconds)
    before = time.perf_counter() - begun
    print(f"{len(known.tests)} tests known, {len(known.unused)} not used, after {before:.0f} s", flush=True)

    drawn = draw([options.only] if options.only else PACKAGES, options.seed)
    end = begun + before + 60 * options.limit_minutes
    chosen = (run_of(mutant, known, options.test_seconds) for mutant in mutants(drawn, options.n) if time.perf_counter() < end)
    rows: list[tuple[Mutant, Outcome]] = []
    for run, outcome in finish(chosen, copies, scratch):
        rows.append((run.about, outcome))
        print(line_of(*rows[-1]), flush=True)
    seconds = time.perf_counter() - begun - before
    unsure = unreliable(sorted({outcome.killer for _, outcome in rows} & set(known.tests)), copies, scratch)
    rows = [(mutant, outcome) for mutant, outcome in rows if outcome.killer not in unsure]
    alive = [survivor(mutant, known, options.test_seconds) for mutant, outcome in rows if not outcome.killed]
    survivors = sorted(alive, key=lambda row: row["place"])
    return {
        **{"seed": options.seed, "asked": options.n, "only": options.only, "mutations_in_all": len(drawn)},
        **{"tests": len(known.tests), "test_seconds": options.test_seconds, "jobs": options.jobs},
        **{"seconds_before": round(before), "seconds": round(seconds)},
        **summary(rows),
        "packages": {name: summary([row for row in rows if row[0].package == name]) for name in PACKAGES},
        "unreliable_tests": sorted(unsure),
        "never_executed": sum(not row["tests"] for row in survivors),
        "survivors": survivors,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--only", choices=sorted(PACKAGES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit-minutes", type=float, default=math.inf, help="start no mutant later than this")
    parser.add_argument(
        "--test-seconds", type=float, default=60, help="at most this much CPU time of tests for one mutant, as recorded"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "mutants.json")
    parser.add_argument("--note", default="", help="what a reader should know of this run")
    options = parser.parse_args()
    os.environ.update(SETTINGS)
    for log in BUILD.glob("*.log"):
        log.unlink()
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        result = measure(options, Path(scratch))
    sys.path.insert(0, str(ROOT / "src"))
    from dragonfly.files import result_header, write_json  # not before: the forks must import the mutants

    write_json(options.output, {**result_header(), "benchmark": "mutants", "note": options.note, **result})
    print(f"{result['killed']} of {result['mutants']} killed: {result['share']} {result['interval']}, in {result['seconds']} s")


if __name__ == "__main__":
    main()
