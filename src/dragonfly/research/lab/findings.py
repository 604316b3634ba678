"""docs/findings.md from committed result files: every number on the page is in the result file that its section names.

The page depends on the result files and the shipped studies alone, so a test writes it again and compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.evaluation.report.tables import as_table

from .conclusions import display_scale
from .report import curve_rows, recall_rows, report, tower_rows
from .study import Study, shipped_studies

HEAD = """# Findings

`dragonfly lab findings` writes this page from the result files in `benchmarks/results/lab`. Each section is one study of
`src/dragonfly/research/lab/specs`, and says what may and may not be concluded from it. The test images are synthetic documents
unless a section names others, and the model is small: these are the paper's questions in miniature, not its numbers."""

KINDS = ("recall", "towers", "curves", "study")

GATED = """## Not studied here

Some questions of the paper need data under an agreement, a paid model or a second tower:

- Tables 3 and 4, and the open questions 1 and 2 for biomedical images: MIMIC-CXR is credentialed. `dragonfly eval` reads the
  other data sets (`dragonfly tasks`).
- MM-Vet is scored by a paid model.
- Selection within pretraining (open question 3): the paper itself has no setting for it."""


def page(results: Path) -> str:
    """The page as Markdown. ValueError for a file that is not a result of the lab, or two results of one study."""
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
    parts.append(
        "## At full size\n\nThese studies ask the same questions with the paper's own models and training steps. None has been "
        f"run.\n\n{lines}"
    )
    parts.append(GATED)
    return "\n\n".join(parts) + "\n"


def _short(results: list[dict[str, Any]]) -> list[str]:
    """A table with a row per study that has scores."""
    rows = [["study", "question", "first measure (% of its questions), variants from best to worst"]]
    for one in results:
        if one["variants"]:
            measure = next(iter(next(iter(one["variants"].values()))["scores"]))
            scores = {name: variant["scores"][measure] for name, variant in one["variants"].items()}
            ranked = sorted(scores, key=lambda name: (-scores[name]["value"], name))
            values = [f"{name} {display_scale(scores[name]) * scores[name]['value']:.1f}" for name in ranked]
            rows.append([one["name"], one["question"], f"{measure}: {', '.join(values)}"])
    text = (
        "The section of each study says which differences are statistically significant. Variants with one seed are exploratory."
    )
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
    """A result of kind `recall`: its setting, its table and its breakdowns."""
    data, of = found["data"], "/".join(map(str, found["high"]))
    shared = f" The mean embedding of `centred` is from {found['mean_embedding']}." if found["mean_embedding"] else ""
    parts = [
        f"## Evidence recall: {Path(file).stem}",
        f"Percentage of {data['questions']} questions about {data['images']} images whose evidence is kept, which means that the "
        "centre of every evidence box lies in a kept high sub-image. 95 % bootstrap intervals over images. Model "
        f"`{found['model']['name']}`, {of} high sub-images per image; `keep` counts per {found['scope']}.{shared} "
        f"{found.get('note', '')}".rstrip(),
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
    """A result of kind `towers`: recall on a tower's tokens without a projector, by seed where its weights are random."""
    data, of, keep = found["data"], "/".join(map(str, found["high"])), max(found["seeds"][0]["recall"], key=int)
    weights = "with random weights, one column per seed" if found["random"] else "as its checkpoint is"
    text = (
        f"Percentage of {data['questions']} questions about {data['images']} images whose evidence is kept by policies that see "
        f"the tokens of the tower `{found['tower']}` {weights}, without a projector. Of {of} high sub-images, {keep} are kept "
        f"per {found['scope']}. 95 % bootstrap intervals over images. {found['note']}"
    )
    return "\n\n".join([f"## Another tower: {Path(file).stem}", text, as_table(tower_rows(found)), f"Result file: `{file}`."])


def _curves(file: str, found: dict[str, Any]) -> str:
    data = found["data"]
    text = (
        "The kept high sub-images are ranked by the log-probability that the answer loses without each. Deletion and insertion: "
        "the mean probability of the answer's tokens while sub-images are left out, or put back, in that order and in random "
        "orders. Pointing: how often the first of the ranking holds evidence. In percent of the n questions; the difference with "
        f"its 95 % bootstrap interval over images. Model `{found['model']['name']}`, {data['questions']} questions about "
        f"{data['images']} images."
    )
    return "\n\n".join(
        [f"## Contribution of sub-images: {Path(file).stem}", text, as_table(curve_rows(found)), f"Result file: `{file}`."]
    )
