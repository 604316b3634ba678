"""The inside of the project: how far a reader travels to follow one question or one training row, and what is done twice.

Run: python benchmarks/structure.py [--label before|after] [--src src] [--output benchmarks/results/structure.json]

A run replaces its own label in the result file, so that two trees stand beside each other, each with its commit; `--src` names
another checkout's `src`. Numbers are reported, never chased. What is traced runs in a fresh interpreter, through the command
line; hooks sit in Python, Pillow and torch, so moved and renamed code is measured by the same definitions.

`ask`, `train`: files of the package entered and switches between them, loading included. A switch is a call of a Python function
    (a lambda, a comprehension and a generator resumed too) whose file differs from that of the call before it; returns do not
    count, nor do module bodies, class bodies and what they call. `ask` ends with the answer, `train` (recipe `finetune`, the
    bundled model, one row) where `backward` is called on the loss.
`spec`: `EncoderSpec` objects made in one `ask`, module bodies excluded, by counting `__post_init__` or, of a pydantic model,
    `model_post_init`, which every validation runs, also one inside another model's. Calls of its `from_dict` apart.
`images`: an image pass is an outermost call into `dragonfly.imaging` under which Pillow decodes, copies or converts an image; a
    call that hands on what is loaded already does none of it. Decodes apart. The vision tower is seen by its patch embedding,
    the one convolution of three input channels: its calls, and the sub-images in them.
`modules`: files of the package; `small` are those with one importer and under 100 lines. Importing a name that is no module
    imports the file that it is asked of, so an `__init__.py` that re-exports is an importer; packages are not judged.
`functions`: `any` is the share with `Any` in the annotation of a parameter (`**kwargs` set aside) or of the result.
`places`: files in which a selection option and a per-image tensor stand as whole words, in code or in text.
`presets`, `zoom`, `plan`: user and system seconds of a process with one thread, the best of three, and what was imported in it.
    `yardstick` is that of importing torch and transformers alone, by which machines and their other work can be told apart.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import contextlib
import inspect
import io
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMAGE = next((ROOT / "examples").rglob("receipt.png"))
QUESTION, ANSWER = "Give the qty.", "51"
SPEC = "EncoderSpec"
OPTION, TENSOR = "diversity", "sub_image_positions"
LABELS = ("before", "after")


class Reached(BaseException):
    """The point at which a traced command is left; no handler of faults may catch it."""


def command(words: list[str]) -> str:
    """What `dragonfly WORDS` prints, run in this process. RuntimeError if it fails."""
    from dragonfly.__main__ import main

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main(words)
    if code:
        raise RuntimeError(f"`dragonfly {' '.join(words)}` ended with {code}")
    return printed.getvalue()


def stack(frame: FrameType | None) -> Iterator[FrameType]:
    """The frame and its callers, innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


class Trace:
    """A profile function that notes in which files of `home` functions are called."""

    def __init__(self, home: str) -> None:
        self.home, self.visits, self.importing = home, [""], 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(self.home):
            return
        if code.co_name == "<module>":
            self.importing += (event == "call") - (event == "return")
        is_function = code.co_flags & inspect.CO_NEWLOCALS  # a class body has no such flag
        if event == "call" and is_function and not self.importing and code.co_filename != self.visits[-1]:
            self.visits.append(code.co_filename)

    def result(self) -> dict[str, int]:
        return {"files": len({*self.visits} - {""}), "switches": len(self.visits) - 2}


def probe_ask(home: str, folder: Path) -> dict[str, Any]:
    trace = Trace(home)
    sys.setprofile(trace)
    answer = command(["ask", str(IMAGE), QUESTION]).strip()
    sys.setprofile(None)
    if answer != ANSWER:  # another answer takes other steps
        raise RuntimeError(f"the bundled model answered {answer!r}, not {ANSWER!r}; the traces cannot be compared")
    return trace.result()


def probe_train(home: str, folder: Path) -> dict[str, Any]:
    import torch

    def backward(*_: Any, **__: Any) -> None:
        raise Reached

    torch.Tensor.backward = backward
    rows = folder / "rows.jsonl"
    rows.write_text(json.dumps({"image": str(IMAGE), "question": QUESTION, "answer": ANSWER}) + "\n", encoding="utf-8")
    changes = [f"data.train=[{{name: row, path: {rows}}}]", f"output={folder / 'run'}", "batch={global_size: 1, per_device: 1}"]
    trace = Trace(home)
    sys.setprofile(trace)
    try:
        command(["train", "finetune", *changes, "steps=null", "epochs=1"])
    except Reached:
        return trace.result()
    finally:
        sys.setprofile(None)
    raise RuntimeError("training ended without a loss")


def probe_spec(home: str, folder: Path) -> dict[str, Any]:
    """Hooks go into the class body of `SPEC`, before pydantic or a dataclass decorator reads it."""
    counts = {"made": 0}
    build: Any = builtins.__build_class__

    def counted(function: Any, name: str) -> Any:
        plain = getattr(function, "__func__", function)  # of a class method

        def count(*args: Any, **options: Any) -> Any:
            bodies = (frame for frame in stack(sys._getframe(1)) if frame.f_code.co_name == "<module>")
            counts[name] += not any(frame.f_code.co_filename.startswith(home) for frame in bodies)
            return plain(*args, **options) if plain else None

        return count

    def build_class(body: Any, name: str, *bases: Any, **options: Any) -> Any:
        if name != SPEC:
            return build(body, name, *bases, **options)
        kind = options.pop("metaclass", type(bases[0]) if bases else type)

        class Counting(kind):
            def __new__(cls, name: str, bases: Any, space: dict[str, Any], **more: Any) -> Any:
                for hook in ("__post_init__", "model_post_init"):
                    space[hook] = counted(space.get(hook), "made")
                if "from_dict" in space:
                    counts["from_dict"] = 0
                    space["from_dict"] = classmethod(counted(space["from_dict"], "from_dict"))
                return super().__new__(cls, name, bases, space, **more)

        return build(body, name, *bases, metaclass=Counting, **options)

    builtins.__build_class__ = build_class
    command(["ask", str(IMAGE), QUESTION])
    return {"from_dict": None, **counts}


def probe_images(home: str, folder: Path, *words: str) -> dict[str, Any]:
    from PIL import Image, ImageFile
    from torch import nn
    from torch.nn.modules.module import register_module_forward_pre_hook

    passes: list[FrameType] = []
    counts = {"decodes": 0, "tower_calls": 0, "sub_images": 0}

    def watch(owner: Any, name: str, decodes: bool) -> None:
        original = getattr(owner, name)

        def watched(self: Any, *args: Any, **options: Any) -> Any:
            entries = [one for one in stack(sys._getframe(1)) if one.f_code.co_filename.startswith(f"{home}imaging{os.sep}")]
            if entries and (not decodes or self.tile):  # `tile` is what remains to be decoded
                counts["decodes"] += decodes
                if all(entries[-1] is not known for known in passes):
                    passes.append(entries[-1])
            return original(self, *args, **options)

        setattr(owner, name, watched)

    def tower(module: nn.Module, args: Any) -> None:
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            counts["tower_calls"] += 1
            counts["sub_images"] += len(args[0])

    watch(ImageFile.ImageFile, "load", True)
    watch(Image.Image, "copy", False)
    watch(Image.Image, "convert", False)
    register_module_forward_pre_hook(tower)
    command(["ask", str(IMAGE), QUESTION, *words])
    return {"passes": len(passes), **counts}


PROBES: dict[str, Callable[[str, Path], dict[str, Any]]] = {
    "ask": probe_ask,
    "train": probe_train,
    "spec": probe_spec,
    "images": probe_images,
    "images_why_zoom": lambda home, folder: probe_images(home, folder, "--why", "--zoom", str(folder / "zoom.png")),
}


def python(src: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in which `src` comes first. RuntimeError with what it said if it fails."""
    path = os.pathsep.join([str(src), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done


def run_probe(name: str, src: Path) -> None:
    """In the fresh interpreter: print the measure as the last line."""
    import dragonfly

    home = f"{src / 'dragonfly'}{os.sep}"
    if not str(dragonfly.__file__).startswith(home):
        raise RuntimeError(f"measuring {src}, but `import dragonfly` found {dragonfly.__file__}")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(PROBES[name](home, Path(folder))))


class Sources:
    """The package's files by module name, read and parsed."""

    def __init__(self, src: Path) -> None:
        files = {file: file.relative_to(src).with_suffix("").parts for file in sorted((src / "dragonfly").rglob("*.py"))}
        names = {file: ".".join(parts).removesuffix(".__init__") for file, parts in files.items()}
        self.packages = {name for file, name in names.items() if file.name == "__init__.py"}
        self.texts = {name: file.read_text(encoding="utf-8") for file, name in names.items()}
        self.trees = {name: ast.parse(text) for name, text in self.texts.items()}

    def _imports(self, name: str) -> Iterator[str]:
        for node in ast.walk(self.trees[name]):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = node.level - (name in self.packages)  # a package is its own first dot
                base = [name.rsplit(".", above)[0]] if node.level else []
                home = ".".join([*base, *([node.module] if node.module else [])])
                yield from (f"{home}.{alias.name}" if f"{home}.{alias.name}" in self.texts else home for alias in node.names)

    def modules(self) -> dict[str, int]:
        importers: dict[str, set[str]] = {name: set() for name in self.texts}
        for name in self.texts:
            for target in {*self._imports(name)} & importers.keys() - {name}:
                importers[target].add(name)
        judged = [name for name in importers.keys() - self.packages if len(importers[name]) == 1]
        return {"count": len(self.texts), "small": sum(len(self.texts[name].splitlines()) < 100 for name in judged)}

    def functions(self) -> dict[str, Any]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        says_any = [_says_any(node) for tree in self.trees.values() for node in ast.walk(tree) if isinstance(node, kinds)]
        return {"count": len(says_any), "any": round(sum(says_any) / len(says_any), 4)}

    def places(self, word: str) -> int:
        found = sum(bool(re.search(rf"\b{word}\b", text)) for text in self.texts.values())
        if not found:
            raise RuntimeError(f"no file says '{word}': it was renamed; name its successor at the top of this script")
        return found


def _says_any(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    given = function.args
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs, *([given.vararg] if given.vararg else [])]
    annotations = [note for note in (*(one.annotation for one in parameters), function.returns) if note is not None]
    return any(isinstance(node, ast.Name) and node.id == "Any" for note in annotations for node in ast.walk(note))


def cpu_seconds(src: Path, *arguments: str) -> float:
    seconds: list[float] = []
    for _ in range(3):
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        python(src, *arguments)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime)
    return round(min(seconds), 2)


def light(src: Path, *words: str) -> dict[str, Any]:
    """CPU seconds of `python -m dragonfly WORDS`, and what one more run has imported."""
    look = "import sys; from dragonfly.__main__ import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    loaded = python(src, "-c", look, *words).stderr.split()
    seconds = cpu_seconds(src, "-m", "dragonfly", *words)
    return {"cpu_seconds": seconds, "torch": "torch" in loaded, "transformers": "transformers" in loaded}


ROWS = (
    ("one ask: files / switches", "ask", "{files} / {switches}"),
    ("one training row to its loss: files / switches", "train", "{files} / {switches}"),
    (f"{SPEC} in one ask: made / by from_dict", "spec", "{made} / {from_dict}"),
    ("image passes in one ask / decodes", "images", "{passes} / {decodes}"),
    ("the same with --why --zoom", "images_why_zoom", "{passes} / {decodes}"),
    ("tower calls in one ask / sub-images", "images", "{tower_calls} / {sub_images}"),
    ("the same with --why --zoom", "images_why_zoom", "{tower_calls} / {sub_images}"),
    ("modules / one importer and under 100 lines", "modules", "{count} / {small}"),
    ("functions / share with Any in the signature", "functions", "{count} / {any:.1%}"),
    (f"files that say {OPTION} / {TENSOR}", "places", "{option} / {tensor}"),
    ("CPU s of presets / torch loaded", "presets", "{cpu_seconds:.2f} / {torch!s}"),
    ("CPU s of zoom --preset v2 / torch loaded", "zoom", "{cpu_seconds:.2f} / {torch!s}"),
    ("CPU s of plan --preset v1 / torch loaded", "plan", "{cpu_seconds:.2f} / {torch!s}"),
    ("CPU s of `import torch, transformers`", "yardstick", "{cpu_seconds:.2f}"),
)


def print_table(result: dict[str, Any]) -> None:
    labels = [label for label in LABELS if label in result]
    print(f"{'':<58}" + "".join(f"{label:>16}" for label in labels))
    for title, measure, form in ROWS:
        print(f"{title:<58}" + "".join(f"{form.format(**result[label][measure]):>16}" for label in labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, default=ROOT / "src")
    parser.add_argument("--label", choices=LABELS, default="after")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "structure.json")
    parser.add_argument("--probe", choices=PROBES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    src = options.src.resolve()
    sys.path.insert(0, str(src))
    if options.probe:
        return run_probe(options.probe, src)

    from dragonfly.files import result_header, write_json

    row: dict[str, Any] = {**result_header(), "load_average": os.getloadavg()}
    for name in PROBES:
        row[name] = json.loads(python(src, __file__, "--src", str(src), "--probe", name).stdout.splitlines()[-1])
    sources = Sources(src)
    row |= {"modules": sources.modules(), "functions": sources.functions()}
    row["places"] = {"option": sources.places(OPTION), "tensor": sources.places(TENSOR)}
    with tempfile.TemporaryDirectory() as folder:
        row["presets"] = light(src, "presets")
        row["zoom"] = light(src, "zoom", str(IMAGE), "--preset", "v2", "-o", f"{folder}/zoom.png")
        row["plan"] = light(src, "plan", "--preset", "v1", "--image", "1024x768")
    row["yardstick"] = {"cpu_seconds": cpu_seconds(src, "-c", "import torch, transformers")}
    earlier = json.loads(options.output.read_text(encoding="utf-8")) if options.output.is_file() else {}
    result: dict[str, Any] = {"benchmark": "structure", **earlier, options.label: row}
    write_json(options.output, result)
    print_table(result)


if __name__ == "__main__":
    main()
