"""docs/findings.md and docs/findings-detail.md from committed result files: every number is in the file that its section names.

The pages depend on the result files and the shipped studies alone, so a test writes them again and compares. The sentences of the
short page stand in findings.md.jinja; what they say of a difference (size, significance) is filled in from its test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from dragonfly.evaluation.report.tables import as_table

from .conclusions import ALPHA, display_scale
from .report import curve_rows, recall_rows, report, tower_rows
from .study import Study, shipped_studies

HEAD = """# Findings in detail

[Findings](findings.md) gives the answers on one page. `dragonfly lab findings` writes both from the result files in
`benchmarks/results/lab`. Each section is one study of
`src/dragonfly/research/lab/specs`, and says what may and may not be concluded from it. The test images are synthetic documents
unless a section names others, and the model is small: these are the paper's questions in miniature, not its numbers."""

KINDS = ("recall", "towers", "curves", "study")

GATED = """## Not studied here

Some questions of the paper need data under an agreement, a paid model or a second tower:

- Tables 3 and 4, and the open questions 1 and 2 for biomedical images: MIMIC-CXR is credentialed. `dragonfly eval` reads the
  other data sets (`dragonfly tasks`).
- MM-Vet is scored by a paid model."""


def answers(results: Path) -> str:
    """The short page as Markdown: a section per question whose results are in the folder.

    Raises:
        ValueError: for a file that is not a result of the lab.
    """
    found = {Path(file).stem: one for file, one in _read(results)}
    measure = {
        name: next(iter(next(iter(one["variants"].values()))["scores"]), "") for name, one in found.items() if one.get("variants")
    }

    def score(study: str, variant: str, of: str | None = None) -> dict[str, Any]:
        return found[study]["variants"][variant]["scores"][of or measure[study]]

    def number(study: str, of: str | None = None) -> str:
        return f"{score(study, next(iter(found[study]['variants'])), of)['n']:,}"

    def test(study: str, variant: str, over: str, of_measure: str | None = None, of: str = "") -> str:
        """`+0.4 points, not significant, p 0.66`; `of` adds what it is above or below."""
        tests = found[study]["tests"]
        (one,) = [
            one for one in tests if (one["variant"], one["over"], one["measure"]) == (variant, over, of_measure or measure[study])
        ]
        points, p = 100 * one["value"], one["p"]
        if of == "above random":  # the study tests random against the policy
            points = -points
        significant = "significant" if p < ALPHA and one["consistent"] else "not significant"
        return f"{points:+.1f} points{f' {of}' if of else ''}, {significant}, p {p:.2g}"

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)
    template = environment.from_string(files(__package__ or "").joinpath("findings.md.jinja").read_text(encoding="utf-8"))
    text = template.render(
        have=lambda *names: all(name in found for name in names),
        of=lambda study, variant, of=None: f"{100 * score(study, variant, of)['value']:.1f} %",
        n=number,
        test=test,
        questions=lambda name: f"{found[name]['data']['questions']:,}",
        kept=lambda name, policy: f"{100 * found[name]['recall']['3'][policy]['recall']['value']:.0f} %",
        pointing=lambda name, key: f"{100 * found[name]['pointing'][key]:.0f} % of {found[name]['pointing']['n']} questions",
    )
    return f"{text.rstrip()}\n"


def page(results: Path) -> str:
    """The long page as Markdown. ValueError for a file that is not a result of the lab, or two results of one study."""
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
