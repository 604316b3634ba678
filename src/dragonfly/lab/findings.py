"""docs/findings.md from committed result files: every number on it is in one of them, and the page says which.

Promises that the page depends on the files and the shipped studies alone, so a test can write it again and compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .report import report
from .study import Study, shipped_studies
from .tables import markdown, recall_rows

HEAD = """# Findings

Written by `dragonfly lab findings` from the result files in `benchmarks/results/lab`; not by hand. Each section is one study of
`src/dragonfly/lab/specs` and says what it may and may not be taken for. The pictures are drawn, the model is small: these are
the paper's questions in miniature, not its numbers."""


def page(results: Path) -> str:
    """The page. ValueError naming a file that is no result, or two that answer one study."""
    found = dict(_read(results))
    studies = [name for name in shipped_studies() if not name.startswith("full/")]
    parts = [HEAD]
    parts += [_recall(name, one) for name, one in sorted(found.items()) if one["kind"] == "recall"]
    done = {one["name"]: (name, one) for name, one in sorted(found.items()) if one["kind"] == "study"}
    if len(done) < sum(one["kind"] == "study" for one in found.values()):
        raise ValueError(f"{results} holds two results of one study; remove the older file")
    for study in (*(name for name in studies if name in done), *(name for name in done if name not in studies)):
        file, one = done[study]
        parts.append(report(one, level=2) + f"\n\nResult file: `{file}`.")
    if missing := [name for name in studies if name not in done]:
        parts.append("## Without a committed result\n\nThese studies are in the package and have not been run for this page:\n")
        parts[-1] += "\n" + "\n".join(_line(name) for name in missing)
    parts.append(
        "## At full size\n\nThe same questions as the paper asked them. None has been run here.\n\n"
        + "\n".join(map(_line, _full()))
    )
    return "\n\n".join(parts) + "\n"


def _full() -> list[str]:
    return [name for name in shipped_studies() if name.startswith("full/")]


def _line(name: str) -> str:
    study = Study.load(name)
    paper = f" ({study.paper})" if study.paper else ""
    needs = f" Needs {study.needs}." if study.needs else ""
    return f"- `{name}`{paper}: {study.question}{needs}"


def _read(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            kind = result["kind"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is not a result of the lab; put there what `-o` wrote") from None
        if kind not in ("recall", "study"):
            raise ValueError(f"{path} is of kind {kind!r}; accepted: recall, study")
        yield path.name, result


def _recall(file: str, found: dict[str, Any]) -> str:
    """A recall result: its table, the breakdowns, and what was measured on what."""
    data, of = found["data"], "/".join(map(str, found["high"]))
    shared = f" The shared mean of `centred` is from {found['shared_mean']}." if found["shared_mean"] else ""
    parts = [
        f"## Evidence recall: {Path(file).stem}",
        f"Share of questions whose evidence is kept (the centre of every evidence box lies in a kept high sub-image), in percent "
        f"with 95 % bootstrap intervals over pictures. Model `{found['model']['name']}`, {data['questions']} questions about "
        f"{data['pictures']} pictures, kept of {of} per {found['scope']}.{shared}",
        markdown(recall_rows(found)),
    ]
    for key, table in found["by"].items():
        keep = max(next(iter(table.values())).keys() - {"questions"}, key=int)
        policies = list(next(iter(table.values()))[keep])
        rows = [[key, "n", *policies]]
        for value, part in table.items():
            scores = [f"{100 * part[keep][policy]['recall']['value']:.1f}" for policy in policies]
            rows.append([value, str(part["questions"]), *scores])
        parts += [f"By {key}, {keep} kept:", markdown(rows)]
    return "\n\n".join([*parts, f"Result file: `{file}`."])
