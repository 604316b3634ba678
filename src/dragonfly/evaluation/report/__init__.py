"""Runs as people read them: a Markdown page, one HTML file with plots and examples, and tables for the terminal."""

from .audited import conclusion, differing
from .document import page, write_markdown
from .html import write_html
from .reported import Figure, reported, reported_rows
from .runs import Run, compare, open_run, open_runs
from .tables import (
    breakdown_keys,
    breakdown_rows,
    comparison_rows,
    headline,
    headline_metric,
    modality_rows,
    rows,
    short_rows,
)
from .verdict import comparison_verdict

__all__ = [
    "Figure",
    "Run",
    "breakdown_keys",
    "breakdown_rows",
    "compare",
    "comparison_rows",
    "comparison_verdict",
    "conclusion",
    "differing",
    "headline",
    "headline_metric",
    "modality_rows",
    "open_run",
    "open_runs",
    "page",
    "reported",
    "reported_rows",
    "rows",
    "short_rows",
    "write_html",
    "write_markdown",
]
