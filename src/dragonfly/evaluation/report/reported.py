"""The figures that the papers report, beside our scores: Tables 1 to 6, and the abstract of version 2.

They stand in `reported.yaml`, each under the table that prints it, versions apart. Every row names what its protocol and ours do
differently. A reported figure has no interval, because the papers print none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from .tables import percent


@dataclass(frozen=True)
class Figure:
    """One printed number: `value` in percent, `source` the table; `beside` is {our task: (our metric, what differs)}."""

    measure: str
    metric: str
    system: str
    version: str
    value: float
    source: str
    beside: dict[str, tuple[str, str]]

    @property
    def is_own(self) -> bool:
        """Whether the papers' own model scored it."""
        return self.system.startswith("Dragonfly")


@cache
def _document() -> dict[str, Any]:
    return yaml.safe_load(files("dragonfly.evaluation.report").joinpath("reported.yaml").read_text(encoding="utf-8"))


def sources() -> dict[str, str]:
    """{version: the paper's title and place}."""
    return _document()["sources"]


@cache
def reported() -> tuple[Figure, ...]:
    """All figures, in the order of the papers."""
    document = _document()
    return tuple(figure for table in document["tables"] for figure in _figures(table, document["measures"]))


def _figures(table: dict[str, Any], measures: dict[str, dict[str, Any]]) -> Iterator[Figure]:
    note = f"; {table['note']}" if "note" in table else ""
    for system, values in table["systems"].items():
        cited = table.get("cited", {}).get(system, [""] * len(values))
        for name, value, by in zip(table["measures"], values, cited, strict=True):
            if value is not None:
                source = f"{table['source']} ({by}){note}" if by else f"{table['source']}{note}"
                metric, beside = (
                    measures[name]["metric"],
                    {task: (ours, why) for task, (ours, why) in measures[name]["beside"].items()},
                )
                yield Figure(name, metric, system, table["version"], value, source, beside)


def reported_rows(name: str, task: dict[str, Any], *, own: bool = False) -> list[list[str]]:
    """The table of one task: a row per figure with our score of the same measure; the head alone where nothing is reported.

    `own` keeps the rows of the papers' own model.
    """
    table = [["reported for", "version", "metric", "reported", "ours", "our metric", "source", "protocol"]]
    for figure in reported():
        if name in figure.beside and (figure.is_own or not own):
            metric, differs = figure.beside[name]
            score = task["scores"].get(metric)
            ours = "not measured" if score is None else f"{percent(score)} (n = {score['n']})"
            beside = [f"{figure.value:g}", ours, metric, figure.source, f"differs: {differs}"]
            table.append([figure.system, figure.version, figure.metric, *beside])
    return table
