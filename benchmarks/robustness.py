"""How the program takes hostile input: counts of outcomes by kind, into benchmarks/results/robustness.json.

Run: python benchmarks/robustness.py [PART ...] [--share 0.1] [--output benchmarks/results/robustness.json]

A part is a function of a share (1: all of it; less: a rehearsal) that returns what is written under its name; parts that are
not run keep what the file says of them. Outcomes of an image: "refused" (one line, ValueError), "equal" (loaded with the pixels
of the undamaged file), "noted" (loaded, and a note says that something is odd), "different" (loaded with other pixels and no
word: the damage makes another valid file, or the format has nothing to tell it by), "traceback", and, beside these, how many
took more than two seconds of processor time or 1 GiB above the image's own size (4 bytes a pixel).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT), str(ROOT / "src")]

from hostile import checkpoints, processes, rows  # noqa: E402
from hostile.bombs import BOMBS, encoded  # noqa: E402
from hostile.mutations import MUTATIONS, photo, seeds  # noqa: E402
from PIL import Image  # noqa: E402

from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.imaging import ImagePolicy, load_image  # noqa: E402

PER_SEED = 45  # of each mutation
CPU_SECONDS, EXTRA_BYTES = 2.0, 2**30
HARD_SECONDS = 60


def outcome(data: bytes, whole: bytes | None) -> dict[str, Any]:
    """What loading `data` comes to; `whole` are the pixels of the undamaged file."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start, pixels, message = _peak(), time.process_time(), 0, ""
    try:
        image = load_image(data)
    except ValueError as error:
        message = str(error)
        result = "refused" if message.isprintable() and type(error) is ValueError else "traceback"
    except BaseException as error:
        result, message = "traceback", f"{type(error).__name__}: {error}"
    else:
        pixels = image.size[0] * image.size[1]
        equal = whole is not None and image.image.tobytes() == whole
        result = "equal" if equal else "noted" if whole is None or any(map(_tells, image.notes)) else "different"
    seconds = time.process_time() - start
    extra = max(0, _peak() - before - 4 * pixels)
    return {"outcome": result, "seconds": seconds, "extra_bytes": extra, "message": message}


def _peak() -> int:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def _tells(note: str) -> bool:
    return "missing" in note or "stray" in note


def mutated(share: float) -> dict[str, Any]:
    """Files of every format, changed in five ways with seeded dice."""
    counts: dict[str, Counter[str]] = {}
    slowest, largest, faults = 0.0, 0, []
    for name, data in seeds().items():
        whole = load_image(data).image.tobytes()
        for kind, mutate in MUTATIONS.items():
            dice = random.Random(f"{name} {kind}")
            count = counts.setdefault(f"{name.partition(':')[0]}, {kind}", Counter())
            for _ in range(max(1, round(PER_SEED * share))):
                changed = mutate(data, dice)
                if changed == data:
                    continue
                seen = outcome(changed, whole)
                count[seen["outcome"]] += 1
                count["over 2 s"] += seen["seconds"] > CPU_SECONDS
                count["over 1 GiB"] += seen["extra_bytes"] > EXTRA_BYTES
                slowest, largest = max(slowest, seen["seconds"]), max(largest, seen["extra_bytes"])
                if seen["outcome"] == "traceback":
                    faults.append(f"{name}, {kind}: {seen['message']}")
    return {
        "images": sum(
            sum(count[key] for key in ("refused", "equal", "noted", "different", "traceback")) for count in counts.values()
        ),
        "total": dict(sorted(sum(counts.values(), Counter()).items())),
        "by_kind": {kind: dict(sorted((+count).items())) for kind, count in counts.items()},
        "slowest_s": round(slowest, 3),
        "largest_extra_mib": largest >> 20,
        "faults": faults,
    }


def bombs(share: float) -> dict[str, Any]:
    """Each in a process of its own, so that its peak of memory is its own."""
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bomb"
        for name, make in list(BOMBS.items())[:: max(1, round(1 / share))]:
            path.write_bytes(make())
            run = subprocess.run([sys.executable, __file__, "--one", str(path)], capture_output=True, text=True, check=False)
            seen: dict[str, Any] = json.loads(run.stdout) if run.returncode == 0 else {"outcome": f"died {run.returncode}"}
            rows[name] = {
                "bytes": path.stat().st_size,
                "outcome": "loaded" if seen["outcome"] == "noted" else seen["outcome"],
                "cpu_s": round(seen.get("seconds", HARD_SECONDS), 2),
                "extra_mib": seen.get("extra_bytes", 0) >> 20,
                **({"message": seen["message"][:160]} if seen.get("message") else {}),
            }
    return {
        "bombs": len(rows),
        "total": dict(sorted(Counter(row["outcome"] for row in rows.values()).items())),
        "over_2_s": sorted(name for name, row in rows.items() if row["cpu_s"] > CPU_SECONDS),
        "over_1_gib": sorted(name for name, row in rows.items() if row["extra_mib"] << 20 > EXTRA_BYTES),
        "by_bomb": rows,
    }


def one(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (HARD_SECONDS, HARD_SECONDS))
    print(json.dumps(outcome(path.read_bytes(), None)))


def second_reading(share: float) -> dict[str, Any]:
    """What looking for missing data costs: processor milliseconds of loading a JPEG of 12 megapixels, the least of seven."""
    rounds = max(1, round(7 * share))
    rows: dict[str, Any] = {}
    for name, options in {"baseline": {}, "progressive": {"progressive": True}}.items():
        data = encoded(photo(0, 4000, 3000), "JPEG", quality=92, **options)
        times: dict[str, list[float]] = {"refuse": [], "ignore": [], "Pillow alone": []}
        for _ in range(rounds):
            for way, taken in times.items():
                start = time.process_time()
                if way == "Pillow alone":
                    Image.open(io.BytesIO(data)).convert("RGB")
                else:
                    load_image(data, ImagePolicy(missing_data="refuse" if way == "refuse" else "ignore"))
                taken.append(1000 * (time.process_time() - start))
        rows[name] = {"bytes": len(data)} | {f"{way}_ms": round(min(taken), 1) for way, taken in times.items()}
    start = time.perf_counter()
    load_image(encoded(photo(), "PNG"), ImagePolicy(isolate=True))
    return {**rows, "isolate_start_s": round(time.perf_counter() - start, 2), "load_average": os.getloadavg()[0]}


def bad_checkpoints(share: float) -> dict[str, Any]:
    """A tiny model's directory without a record of its files, one thing changed: a value, a bit, a cut, a file that is gone."""
    counts: dict[str, Counter[str]] = {}
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        checkpoints.make(whole)
        expected = tuple(checkpoints.outcome(whole, None)["ids"])
        for index in range(max(1, round(250 * share))):
            folder = Path(name) / str(index)
            what = checkpoints.changed(whole, folder, random.Random(f"checkpoint {index}"))
            seen = checkpoints.outcome(folder, expected)
            counts.setdefault(what.partition(":")[0], Counter())[seen["outcome"]] += 1
            if seen["outcome"] in ("traceback", "killed", "different"):
                rows.append(f"{seen['outcome']}: {what}" + (f" -> {seen['message']}" if "message" in seen else ""))
            shutil.rmtree(folder)
    total = sum(counts.values(), Counter())
    by_file = {file: dict(sorted(count.items())) for file, count in sorted(counts.items())}
    return {"checkpoints": sum(total.values()), "total": dict(sorted(total.items())), "by_file": by_file, "told": rows}


def hostile_rows(share: float) -> dict[str, Any]:
    """150 rows among sound ones, through four commands: every row ends as a result or a named error, the sound ones as ever."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoints.make(folder / "model")
        (folder / "good.png").write_bytes(encoded(photo(), "PNG"))
        bad = rows.bad_rows(folder, max(26, round(150 * share)))
        lines = [line for index, row in enumerate(bad) for line in (row, *([rows.good_row(index)] if index % 5 == 0 else []))]
        (folder / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
        sound = sum(b'"good ' in line for line in lines)
        return {
            "rows": len(lines),
            "sound_rows": sound,
            "ask": _rows_in_ask(folder),
            "eval": _rows_in_eval(folder),
            "train": _rows_in_train(folder),
            "curate": _rows_in_curate(folder),
        }


def _rows_in_ask(folder: Path) -> dict[str, Any]:
    output, model = folder / "answers.jsonl", folder / "model"
    code, said = _ran("ask", "--batch", str(folder / "rows.jsonl"), "-o", str(output), "-m", str(model), *_SHORT)
    records = [json.loads(line) for line in output.read_bytes().splitlines()]
    return {"exit_code": code, "traceback": "Traceback" in said, "lines": len(records), **_answered(records)}


def _rows_in_eval(folder: Path) -> dict[str, Any]:
    """Rows that no question could be made of are named in run.json; the others are asked."""
    run, task = folder / "run", f"jsonl:{folder / 'rows.jsonl'}"
    code, said = _ran("eval", "--tasks", task, "--out", str(run), "-m", str(folder / "model"), *_SHORT)
    document = json.loads((run / "run.json").read_bytes())
    records = [json.loads(line) for file in run.glob("*/predictions.jsonl") for line in file.read_bytes().splitlines()]
    scored = json.loads((run / "scores.json").read_bytes())["tasks"][task]
    unreadable = document["unreadable"][task]
    lines = len(records) + len(unreadable)
    about = {"exit_code": code, "traceback": "Traceback" in said, "lines": lines, "unreadable": len(unreadable)}
    return {**about, **_answered(records), "scored": scored["questions"]}


def _rows_in_train(folder: Path) -> dict[str, Any]:
    """Once over all rows, bad ones allowed: named in the log, each replaced by the next; and once with none allowed."""
    recipe = processes.recipe(folder / "model", folder / "rows.jsonl", folder / "trained")
    recipe["data"] |= {"max_bad_share": 1.0, "max_length": 512}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    code, said = _ran("train", str(folder / "recipe.json"))
    strict, told = _ran("train", str(folder / "recipe.json"), "data.max_bad_share=0.0", f"output={folder / 'strict'}")
    return {
        "exit_code": code,
        "traceback": "Traceback" in said + told,
        "finished": (folder / "trained" / "dragonfly.json").is_file(),
        "named": sum("rows.jsonl row" in line for line in said.splitlines()),
        "none_allowed": {"exit_code": strict, "told": _error_of([(strict, told)], folder)},
    }


def _rows_in_curate(folder: Path) -> dict[str, Any]:
    mix = {
        "name": "m",
        "sources": [{"name": "m", "path": str(folder / "rows.jsonl"), "format": "auto"}],
        "steps": [{"step": "validate"}],
    }
    (folder / "mix.json").write_text(json.dumps(mix))
    code, said = _ran("curate", str(folder / "mix.json"), "-o", str(folder / "set"))
    from dragonfly.data import Manifest

    kept = list(Manifest.open(folder / "set"))
    faults = [json.loads(line) for line in (folder / "set" / "faults.jsonl").read_bytes().splitlines()]
    sound = sum(sample.messages[0].text.strip() == "What is it?" for sample in kept)
    return {
        "exit_code": code,
        "traceback": "Traceback" in said,
        "kept": len(kept),
        "named": len(faults),
        "sound_rows_kept": sound,
    }


_SHORT = ("--batch-size", "8", "--max-new-tokens", "2", "--device", "cpu")


def _ran(*words: str) -> tuple[int, str]:
    return processes.finish(processes.start(processes.Command(words, Path())))


def _answered(records: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [record["error"] for record in records if record.get("error")]
    sound = [record for record in records if str(record["id"]).startswith("good")]
    return {
        "answers": len(records) - len(errors),
        "errors": len(errors),
        "sound_rows_answered": sum(not record.get("error") for record in sound),
        "kinds_of_error": len({str(error)[:40] for error in errors}),
    }


def killed_commands(share: float) -> dict[str, Any]:
    """Commands killed at a random moment and run again: the output must be that of an unbroken run, with nothing left over."""
    counts: dict[str, Counter[str]] = {}
    told: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for title, command in processes.prepare(Path(name)).items():
            command.clear()
            begun = time.perf_counter()
            processes.finish(processes.start(command))
            seconds, expected = time.perf_counter() - begun, processes.digest(command)
            for index in range(max(1, round(8 * share))):
                command.clear()
                code, said, cut = processes.killed(command, seconds, random.Random(f"{title} {index}"))
                left = processes.leftovers(command)
                same = code == 0 and processes.digest(command) == expected and not left
                counts.setdefault(title, Counter())["different" if not same else "equal" if cut else "was quicker"] += 1
                if not same:
                    told.append(f"{title}: exit {code}, left {left}, {said.strip()[-200:]}")
    cut = sum(count["equal"] + count["different"] for count in counts.values())
    return {"killed": cut, "by_command": counts, "told": told}


def two_processes(share: float) -> dict[str, Any]:
    """Two processes with one command and one output at once: one does it, the other is told; the output is that of one alone."""
    rows_: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for title, command in processes.prepare(Path(name)).items():
            command.clear()
            processes.finish(processes.start(command))
            expected = processes.digest(command)
            command.clear()
            ends = [processes.finish(one) for one in [processes.start(command), processes.start(command)]]
            rows_[title] = {
                "exit_codes": sorted(code for code, _ in ends),
                "equal": processes.digest(command) == expected,
                "told": _error_of(ends, Path(name)),
            }
    return {"commands": len(rows_), "by_command": rows_}


def full_disk(share: float) -> dict[str, Any]:
    """Every command's output on a disk too small for it: one line, exit 2, no temporary name left. Needs the right to mount."""
    rows_: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as disk:
        for title, command in processes.prepare(Path(name)).items():
            command.clear()
            processes.finish(processes.start(command))
            needed = sum(file.stat().st_size for file in [command.output, *command.output.rglob("*")] if file.is_file())
            small = command.into(Path(disk))
            for part in (0.1, 0.5, 0.9)[: max(1, round(3 * share))]:
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={max(4096, int(needed * part))}", "tmpfs", disk], check=True)
                try:
                    code, said = processes.finish(processes.start(small))
                    left = processes.leftovers(small)
                finally:
                    subprocess.run(["umount", disk], check=True)
                rows_[f"{title}, room for {part:.0%}"] = {
                    "exit_code": code,
                    "lines": len([line for line in said.splitlines() if "error" in line.lower()]),
                    "traceback": "Traceback" in said,
                    "left": left,
                    "told": _error_of([(code, said)], Path(name)).replace(disk, "DISK"),
                }
    return {
        "runs": len(rows_),
        "one_line": sum(row["exit_code"] == 2 and not row["traceback"] and not row["left"] for row in rows_.values()),
        "by_command": rows_,
    }


def _error_of(ends: list[tuple[int, str]], folder: Path) -> str:
    """The error line of the first process that failed, without this run's temporary folder."""
    said = next((line for code, text in ends if code for line in text.splitlines() if line.startswith("error:")), "")
    return said[:200].replace(str(folder), "FOLDER")


def number_formats(share: float) -> dict[str, Any]:
    """nano's answers to 200 questions, in batches of eight against one by one, for the two number formats of a CPU."""
    from dragonfly.__main__ import main as command
    from dragonfly.evaluation.question import from_manifest
    from dragonfly.inference import Row, load

    counts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        command(["synth", "--spec", "nano", "--split", "test", "--n", "60", "--seed", "77", "-o", f"{name}/pages"])
        questions = list(from_manifest(Path(name) / "pages"))[: max(8, round(200 * share))]
        asked = [Row(list(question.images), question.text) for question in questions]
        for dtype in ("float32", "bfloat16"):
            engine = load(device="cpu", dtype=dtype)
            together = [answer.token_ids for answer in engine.ask_batch(asked, batch_size=8, max_new_tokens=24)]
            alone = [engine.ask(row.images, row.question, max_new_tokens=24).token_ids for row in asked]
            different = sum(one != other for one, other in zip(alone, together, strict=True))
            counts[dtype] = {"questions": len(asked), "answers_that_differ": different}
    return counts


PARTS: dict[str, Callable[[float], dict[str, Any]]] = {
    "mutated_images": mutated,
    "image_bombs": bombs,
    "jpeg_second_reading": second_reading,
    "bad_checkpoints": bad_checkpoints,
    "hostile_rows": hostile_rows,
    "killed_commands": killed_commands,
    "two_processes": two_processes,
    "full_disk": full_disk,
    "number_formats": number_formats,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "robustness.json")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return one(options.one)
    known: dict[str, Any] = json.loads(options.output.read_text())["parts"] if options.output.exists() else {}
    for name in options.parts or PARTS:
        result = PARTS[name](options.share)
        known[name] = {"measured": result_header(), "share": options.share, **result}
        write_json(options.output, {"benchmark": "robustness", "parts": known})
        print(name, json.dumps({key: value for key, value in result.items() if not key.startswith("by_")}))


if __name__ == "__main__":
    main()
