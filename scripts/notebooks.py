"""Run the notebooks of examples/notebooks and write down what their cells print and draw; a test runs them again and compares.

Run: python scripts/notebooks.py [NAME ...]

Cells are plain Python and share one namespace, so no Jupyter is needed here; readers open the files in Jupyter as any others.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOGGED = re.compile(r"^\[\d{4}-\d\d-\d\d .*\n", re.MULTILINE)  # what libraries log, with the time
NOTEBOOKS = ROOT / "examples" / "notebooks"


def run(notebook: dict[str, Any], folder: Path) -> list[list[dict[str, Any]]]:
    """The outputs of each code cell, run in `folder`: what is printed, then its last expression as text or as PNG.

    The notebook itself is not changed. What a cell raises is raised here.
    """
    space: dict[str, Any] = {"__name__": "__main__"}
    found = []
    with contextlib.chdir(folder):
        for number, cell in enumerate(one for one in notebook["cells"] if one["cell_type"] == "code"):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                value = _evaluate("".join(cell["source"]), f"cell {number + 1}", space)
            outputs: list[dict[str, Any]] = []
            if text := LOGGED.sub("", printed.getvalue()):
                outputs.append({"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)})
            if value is not None:
                outputs.append({"output_type": "display_data", "metadata": {}, "data": _shown(value)})
            found.append(outputs)
    return found


def _evaluate(source: str, name: str, space: dict[str, Any]) -> Any:
    """Run the statements, and give the value of the last one if it is an expression."""
    body = ast.parse(source, name).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), name, "exec"), space)
    return eval(compile(ast.Expression(last.value), name, "eval"), space) if isinstance(last, ast.Expr) else None


def _shown(value: Any) -> dict[str, Any]:
    if not hasattr(value, "save"):
        return {"text/plain": repr(value).splitlines(keepends=True)}
    image = value.copy()
    image.thumbnail((900, 900))
    file = io.BytesIO()
    image.quantize(128).save(file, "PNG", optimize=True)
    return {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": ["<image>"]}


def read(name: str) -> dict[str, Any]:
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))


def main(names: list[str]) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for name in names or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")):
        notebook = read(name)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "examples").symlink_to(ROOT / "examples")
            outputs = run(notebook, Path(folder))
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for count, (cell, found) in enumerate(zip(code, outputs, strict=True), 1):
            cell.update(outputs=found, execution_count=count)
        (NOTEBOOKS / f"{name}.ipynb").write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name}: {len(code)} cells")


if __name__ == "__main__":
    main(sys.argv[1:])
