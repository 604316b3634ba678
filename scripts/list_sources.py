"""Write docs/curation-sources.md: every data set that curation reads, with its licence, its counts and its layout.

python scripts/list_sources.py
"""

from __future__ import annotations

from pathlib import Path

from dragonfly.curation.sources import SOURCES, Source
from dragonfly.curation.sources.conversations import CAULDRON_EXCLUDED, CAULDRON_SUBSETS
from dragonfly.files import write_text

TARGET = Path(__file__).parents[1] / "docs" / "curation-sources.md"

_HEAD = """# Data sets that curation reads

Written by `scripts/list_sources.py` from `dragonfly.curation.sources`; change the entries there. Get a data set where it is
published, on its terms, and give its folder to a mix (`paths.NAME=FOLDER`); `dragonfly curate MIX --download` fetches those
that are open and on the Hugging Face hub. "Paper" is arXiv 2406.00977. A count that the paper does not give is the data set's
own, rounded where its page rounds; rows are what a reader yields. "Not confirmed" and "not checked" mark what we could not
compare with the data set's own files or page.

| name | form | domain | rows in the paper | rows published | access | size | licence |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The whole page as Markdown."""
    table = "".join(_line(source) for source in SOURCES.values())
    sections = "".join(_section(source) for source in SOURCES.values())
    return _HEAD + table + "\n" + sections + _cauldron()


def _line(source: Source) -> str:
    cells = (
        f"[{source.name}]({source.url})",
        source.form,
        source.domain,
        _count(source.paper_rows),
        _count(source.published_rows),
        source.access.terms + (" (hub)" if source.access.downloads else ""),
        source.access.size,
    )
    return f"| {' | '.join((*cells, source.licence))} |\n"


def _section(source: Source) -> str:
    counts = [f"Paper: {source.paper_place}."] if source.paper_place else []
    counts += [f"Published: {source.published_place}."] if source.published_place else []
    counts += [f"Questions: {source.questions:,}."] if source.questions else []
    access = [f"Publisher: {source.access.publisher}."]
    access += [f"Access: {source.access.apply}."] if source.access.apply else []
    access += [f"Besides: {source.access.rest}."] if source.access.rest else []
    lines = [f"## {source.title} (`{source.name}`)", source.layout, " ".join(access), *([" ".join(counts)] if counts else [])]
    return "".join(f"{line}\n\n" for line in lines)


def _cauldron() -> str:
    names = ", ".join(f"`{name}`" for name in CAULDRON_SUBSETS)
    reasons = "".join(f"- `{name}`: {reason}\n" for name, reason in CAULDRON_EXCLUDED.items())
    return (
        f"## The Cauldron's sub-sets\n\n{names}.\n\nThe paper removes five for mathematics or code and does not name them. "
        f"`general.yaml` leaves out these five, by our reading:\n\n{reasons}"
    )


def _count(count: int | None) -> str:
    return "not given" if count is None else f"{count:,}"


if __name__ == "__main__":
    write_text(TARGET, page())
