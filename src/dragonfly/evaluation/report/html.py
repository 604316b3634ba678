"""One HTML file that needs nothing else: tables, plots, and a gallery of successes and failures.

Promises that text of the data, of the model or of a file's name is shown as text: everything is escaped, and the page's own
policy forbids scripts and anything from elsewhere. The same run folders give the same bytes. Needs matplotlib.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from dragonfly.files import write_text

from . import gallery, plots
from .blocks import Block, Drawing, Example, Heading, Items, Rows, Text
from .document import Art, page
from .runs import Run

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c; background: #fff }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h2 { border-bottom: 1px solid #ccc; padding-bottom: .2rem; margin-top: 2.5rem }
h1, h2, h3, td, th, dd, li, p { overflow-wrap: anywhere }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid #ddd }
.wide { overflow-x: auto }
img { max-width: 100%; height: auto }
.example { border: 1px solid #ccc; border-left: .4rem solid #888; border-radius: .3rem; padding: .6rem 1rem; margin: 1rem 0 }
.right { border-left-color: #2e7d32 }
.wrong { border-left-color: #b3261e }
.images { display: flex; flex-wrap: wrap; gap: .8rem; align-items: flex-start }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .8rem; margin: .5rem 0 }
dt { color: #555 }
dd { margin: 0; white-space: pre-wrap }
</style>
</head>
<body>
"""


def write_html(
    runs: Sequence[Run],
    path: Path,
    comparison: dict[str, Any] | None = None,
    *,
    with_reported: bool = False,
    examples: int = 4,
) -> None:
    """Write the page of `runs`, with up to `examples` successes and as many failures of each task.

    ValueError without matplotlib, before anything is read or drawn.
    """
    plots.require()
    if examples < 0:
        raise ValueError(f"examples is {examples}; give 0 or more of each kind")
    art = Art(scores=_scores, breakdown=_breakdown, calibration=_calibration, examples=partial(_examples, count=examples))
    blocks = page(runs, comparison, with_reported=with_reported, art=art)
    write_text(path, HEAD + "\n".join(_html(block) for block in blocks) + "\n</body>\n</html>\n")


def _scores(name: str, runs: Sequence[Run]) -> list[Block]:
    return [plots.scores_plot(name, [(run.label, run.scores[name]) for run in runs])]


def _breakdown(name: str, key: str, run: Run) -> list[Block]:
    return [plots.breakdown_plot(name, key, run.label, run.scores[name])]


def _calibration(name: str, run: Run) -> list[Block]:
    return [plots.calibration_plot(name, run.scores[name])]


def _examples(name: str, runs: Sequence[Run], count: int) -> list[Block]:
    return gallery.examples(name, runs, count) if count else []


def _html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Items(items):
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
        case Rows(rows):
            return _table(rows)
        case Drawing(data, mime, alt):
            return f'<img src="data:{mime};base64,{b64encode(data).decode()}" alt="{escape(alt)}">'
        case Example():
            return _example(block)


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in row)}</tr>" for tag, row in _tagged(rows)]
    body = "\n".join(lines)
    return f'<div class="wide"><table>\n{body}\n</table></div>'


def _tagged(rows: Sequence[Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    return [("th" if index == 0 else "td", row) for index, row in enumerate(rows)]


def _example(example: Example) -> str:
    kind = example.verdict if example.verdict in ("right", "wrong") else ""
    facts = [("question", example.question), ("gold", " | ".join(example.gold))]
    for run, reply, confidence in example.replies:
        sure = "" if confidence is None else f"  (confidence {100 * confidence:.0f} %)"
        facts.append((f"answer, {run}" if len(example.replies) > 1 else "answer", f"{reply or '(empty)'}{sure}"))
    facts += [("note", example.note)] if example.note else []
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    images = "".join(_html(drawing) for drawing in example.drawings)
    head = f"<strong>{escape(example.verdict)}</strong> {escape(example.id)}"
    return f'<div class="example {kind}">{head}<dl>{listed}</dl><div class="images">{images}</div></div>'
