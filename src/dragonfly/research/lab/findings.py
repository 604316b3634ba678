"""docs/findings.md from committed result files: every number on it is in one of them, and the page says which.

Promises that the page depends on the files and the shipped studies alone, so a test can write it again and compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.evaluation.report.tables import as_table

from .conclusions import shown_times
from .report import report
from .study import Study, shipped_studies
from .tables import curve_rows, recall_rows, tower_rows

HEAD = """# Findings

Written by `dragonfly lab findings` from the result files in `benchmarks/results/lab`; not by hand. Each section is one study of
`src/dragonfly/research/lab/specs` and says what it may and may not be taken for. The images are drawn unless a section names
others, the model is small: these are the paper's questions in miniature, not its numbers."""

KINDS = ("recall", "towers", "curves", "study")

GATED = """## Not asked here

These need data that cannot be had without an agreement, or a second tower: Tables 3 and 4 and open questions 1 and 2 for
biomedical images (MIMIC-CXR is credentialed; the others are read by `dragonfly eval`, see `dragonfly tasks`), MM-Vet (scored by
a paid model), and selection within pretraining (open question 3), for which the paper itself has no setting."""


def page(results: Path) -> str:
    """The page. ValueError naming a file that is no result, or two that answer one study."""
    found = dict(_read(results))
    studies = [name for name in shipped_studies() if not name.startswith("full/")]
    done: dict[str, str] = {}
    for file, one in found.items():
        if one["kind"] == "study" and done.setdefault(one["name"], file) != file:
            raise ValueError(f"{results} holds two results of the study '{one['name']}'; remove the older file")
    order = [*(name for name in studies if name in done), *(name for name in done if name not in studies)]
    parts = [HEAD, *_short([found[done[name]] for name in order])]
    parts += [_recall(file, one) for file, one in found.items() if one["kind"] == "recall"]
    parts += [_towers(file, one) for file, one in found.items() if one["kind"] == "towers"]
    parts += [_curves(file, one) for file, one in found.items() if one["kind"] == "curves"]
    for name in order:
        parts.append(f"{report(found[done[name]], level=2)}\nResult file: `{done[name]}`.")
    if missing := [name for name in studies if name not in done]:
        lines = "\n".join(map(_line, missing))
        parts.append(f"## Without a committed result\n\nThese studies have not been run for this page.\n\n{lines}")
    lines = "\n".join(_line(name) for name in shipped_studies() if name.startswith("full/"))
    parts.append(f"## At full size\n\nThe same questions with the paper's own models and steps. None has been run.\n\n{lines}")
    parts.append(GATED)
    return "\n\n".join(parts) + "\n"


def _short(results: list[dict[str, Any]]) -> list[str]:
    """A row per study that has scores."""
    rows = [["study", "question", "first measure, every variant from best to worst"]]
    for one in results:
        if one["variants"]:
            measure = next(iter(next(iter(one["variants"].values()))["scores"]))
            scores = {name: variant["scores"][measure] for name, variant in one["variants"].items()}
            ranked = sorted(scores, key=lambda name: (-scores[name]["value"], name))
            values = [f"{name} {shown_times(scores[name]) * scores[name]['value']:.1f}" for name in ranked]
            rows.append([one["name"], one["question"], f"{measure}: {', '.join(values)}"])
    text = "Each study's own section says which differences are statistically significant; variants of one seed are exploratory."
    return [f"## The studies in short\n\n{as_table(rows)}\n\n{text}"] if len(rows) > 1 else []


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
        if kind not in KINDS:
            raise ValueError(f"{path} is of kind {kind!r}; accepted: {', '.join(KINDS)}")
        yield path.name, result


def _recall(file: str, found: dict[str, Any]) -> str:
    """A recall result: its table, the breakdowns, and what was measured on what."""
    data, of = found["data"], "/".join(map(str, found["high"]))
    shared = f" The mean embedding of `centred` is from {found['mean_embedding']}." if found["mean_embedding"] else ""
    parts = [
        f"## Evidence recall: {Path(file).stem}",
        f"Share of questions whose evidence is kept (the centre of every evidence box lies in a kept high sub-image), in percent "
        f"with 95 % bootstrap intervals over images. Model `{found['model']['name']}`, {data['questions']} questions about "
        f"{data['images']} images, kept of {of} per {found['scope']}.{shared} {found.get('note', '')}".rstrip(),
        as_table(recall_rows(found)),
    ]
    for key, table in found["by"].items():
        keep = max(next(iter(table.values())).keys() - {"questions"}, key=int)
        policies = list(next(iter(table.values()))[keep])
        rows = [[key, "n", *policies]]
        for value, part in table.items():
            scores = [f"{100 * part[keep][policy]['recall']['value']:.1f}" for policy in policies]
            rows.append([value, str(part["questions"]), *scores])
        parts += [f"By {key}, {keep} kept:", as_table(rows)]
    return "\n\n".join([*parts, f"Result file: `{file}`."])


def _towers(file: str, found: dict[str, Any]) -> str:
    """Recall on a tower alone, seed after seed: random weights say what the shape does, a checkpoint what it has learned."""
    data, of, keep = found["data"], "/".join(map(str, found["high"])), max(found["seeds"][0]["recall"], key=int)
    weights = "with random weights, one column per seed" if found["random"] else "as its checkpoint is"
    text = (
        f"Evidence recall of the tower `{found['tower']}` {weights}, its tokens unchanged by the projector; {keep} kept of {of} "
        f"per {found['scope']}, in percent with 95 % bootstrap intervals over images. {data['questions']} questions about "
        f"{data['images']} images. {found['note']}"
    )
    return "\n\n".join([f"## Another tower: {Path(file).stem}", text, as_table(tower_rows(found)), f"Result file: `{file}`."])


def _curves(file: str, found: dict[str, Any]) -> str:
    data = found["data"]
    text = (
        "Kept high sub-images are ranked by what the answer's log-probability loses without each. Deletion and insertion: the "
        "mean probability of an answer's token while they are left out, or put back, in that order and in random ones. Pointing: "
        "the first of them holds evidence. In percent, with the difference's 95 % bootstrap interval over images. Model "
        f"`{found['model']['name']}`, {data['questions']} questions about {data['images']} images."
    )
    return "\n\n".join([f"## What contributed: {Path(file).stem}", text, as_table(curve_rows(found)), f"Result file: `{file}`."])
