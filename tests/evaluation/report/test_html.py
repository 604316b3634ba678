"""The HTML file: whole, harmless, the same every time; its examples chosen by rule."""

import base64
import hashlib
import io
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dragonfly.evaluation import Settings, compare, evaluate, load_questions
from dragonfly.evaluation.report import open_runs, write_html
from dragonfly.evaluation.report.html import choose
from dragonfly.imaging import load_image
from dragonfly.inference import Answer, Row
from dragonfly.inference.answer import describe_selection
from dragonfly.vision.layout import make_layout
from dragonfly.vision.presets import PRESETS
from tests.evaluation.fakes import RuleEngine, write_qa, yes_no_rows

HOSTILE = "<script>alert(1)</script> $x$ & \"'> <img src=x onerror=alert(1)> ` | \x07 \u4e2d"


class LookingEngine(RuleEngine):
    """Also says what it was shown: preset v1's layout and the first sub-images of it."""

    def ask_batch(self, rows: Sequence[Row], *, batch_size: int, **options: Any) -> list[Answer]:
        answers = super().ask_batch(rows, batch_size=batch_size, **options)
        return [self._looked(answer, row, n) for n, (answer, row) in enumerate(zip(answers, rows, strict=True))]

    def _looked(self, answer: Answer, row: Row, n: int) -> Answer:
        images = [load_image(image).image for image in row.images]
        layouts = tuple(make_layout((one.height, one.width), PRESETS["v1"].spec) for one in images)
        chosen = tuple(describe_selection(layout, range(12), [float(i) for i in range(24)]) for layout in layouts)
        return replace(answer, layouts=layouts, selections=chosen, confidence=0.05 * n)


def run(out: Path, data: Path, reply: str = "yes") -> Path:
    settings = Settings(tasks=(f"jsonl:{data}",))
    evaluate(LookingEngine(lambda _: reply), {"name": f"m {HOSTILE}"}, settings, load_questions(settings), out)
    return out


def html(folders: list[Path], path: Path, **options: Any) -> str:
    write_html(open_runs(folders), path, compare(folders) if len(folders) > 1 else None, **options)
    return path.read_text()


def embedded(text: str, mime: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(rf'src="data:{re.escape(mime)};base64,([^"]+)"', text)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose questions, answers, categories and model are all hostile."""
    folder = tmp_path_factory.mktemp("run")
    told = [
        {**row, "question": f"{row['question']} {HOSTILE}", "kind": HOSTILE[n % 2 :]} for n, row in enumerate(yes_no_rows(20))
    ]
    told[4]["answer"] = HOSTILE
    return run(folder / "out", write_qa(folder / "data", told), reply="yes")


@pytest.fixture(scope="module")
def whole(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return html([finished], tmp_path_factory.mktemp("page") / "page.html", with_reported=True, examples=2)


def test_hostile_text_is_text(whole: str) -> None:
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", whole))
    allowed = (
        "html head meta title style body h1 h2 h3 p ul li div table tr th td img strong dl dt dd main header span b i script"
    )
    assert tags <= {*allowed.split(), *["details", "summary", "code", "button", "input", "label"]}
    assert whole.count("<script") == 1
    assert all(tag.removeprefix('class="plot" ').startswith('src="data:') for tag in re.findall(r"<img ([^>]*)>", whole))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x$ &amp; &#34;&#39;&gt;" in whole
    drawn = embedded(whole, "image/svg+xml")
    assert drawn and all(b"<script" not in svg and b"<img" not in svg for svg in drawn)
    assert any(b"&lt;script&gt;alert(1)&lt;/script&gt;" in svg for svg in drawn)


def test_nothing_comes_from_elsewhere(whole: str) -> None:
    assert "default-src 'none'" in whole
    assert re.findall(r'(?:src|href)="(?!data:)', whole) == []


def test_plots_and_examples_are_there(whole: str) -> None:
    alts = re.findall(r'alt="([^"]*)"', whole)
    assert sum(": exact match 40.0 %, best guess 55.0 %" in alt for alt in alts) == 1
    assert sum(": exact match by kind" in alt for alt in alts) == 1
    assert sum(": calibration: " in alt for alt in alts) == 1
    assert whole.count('class="card right-card"') == 2 and whole.count('class="card wrong-card') == 2
    assert alts.count("where the model looked") == 4  # it holds the image itself
    assert whole.count("Bar: the model, line: its 95 % interval.") == 1
    for data in embedded(whole, "image/jpeg"):
        with Image.open(io.BytesIO(data)) as image:
            assert max(image.size) <= 1000 and len(data) < 200_000
    assert re.search(
        r"<dt>gold</dt><dd>[^<]+</dd><dt>answer</dt><dd>yes  \((?:very sure|fairly sure|unsure|very unsure), \d+ %\)</dd>", whole
    )


def test_the_page_begins_with_its_verdict_and_how_it_came_about(finished: Path, whole: str) -> None:
    body = whole.partition("</h1>")[2]
    assert body.strip().startswith('<p class="verdict">40.0 % exact match, not above always answering \u201cNo\u201d (55.0 %).')
    date = json.loads((finished / "run.json").read_text())["date"][:10]
    first = body.partition("</header>")[0]
    assert f"<dt>date</dt><dd>{date}</dd>" in first and "<code>dragonfly eval --model" in first and "<dt>model</dt>" in first
    (script,) = re.findall(r"<script>(.*?)</script>", whole, re.DOTALL)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in whole


def test_every_cell_says_its_column_for_a_narrow_screen(whole: str) -> None:
    table = re.search(r"<table>.*?</table>", whole, re.DOTALL)
    assert table is not None
    heads = re.findall(r"<th>([^<]*)</th>", table[0])
    cells = re.findall(r'data-head="([^"]*)"', table[0])
    assert heads and cells == heads * (len(cells) // len(heads))


def test_the_same_bytes_again(finished: Path, whole: str, tmp_path: Path) -> None:
    assert html([finished], tmp_path / "again.html", with_reported=True, examples=2) == whole


def test_two_runs_share_their_examples(finished: Path, tmp_path: Path) -> None:
    data = next((finished.parent / "data").glob("qa.jsonl"))
    text = html([finished, run(tmp_path / "other", data, reply="no")], tmp_path / "page.html", examples=1)
    assert text.count('class="card ') == 2
    assert text.count(f"<dt>answer, {finished}</dt><dd>yes") == 2
    assert text.count(f"<dt>answer, {tmp_path / 'other'}</dt><dd>no") == 2


def test_an_image_that_is_gone_is_said(tmp_path: Path) -> None:
    folder = run(tmp_path / "out", write_qa(tmp_path / "data", yes_no_rows(4, per_image=1)))
    for image in (tmp_path / "data/images").iterdir():
        image.unlink()
    text = html([folder], tmp_path / "page.html", examples=1)
    assert text.count("<dt>note</dt><dd>no image: ") == 2 and embedded(text, "image/jpeg") == []
    assert 'class="card ' not in html([folder], tmp_path / "none.html", examples=0)
    with pytest.raises(ValueError, match="examples is -1; give 0 or more"):
        html([folder], tmp_path / "bad.html", examples=-1)


def test_without_matplotlib_one_line_and_no_file(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ValueError, match=r"need matplotlib, which is not installed; install it: .*pip install .*\[eval\]'$"):
        html([finished], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def records(*rows: tuple[str, str, str]) -> list[dict[str, Any]]:
    common: dict[str, Any] = {"question": "q", "options": [], "meta": {}, "images": ["p"]}
    return [
        {**common, "id": str(n), "group": group, "answers": [gold], "reply": reply} for n, (group, gold, reply) in enumerate(rows)
    ]


def test_examples_are_chosen_by_rule() -> None:
    told = records(*[(f"p{n // 2}", "yes", "yes" if n % 3 else "no") for n in range(30)])
    right, wrong, metric = choose("jsonl:x", told, 3)
    assert metric == "exact_match"
    assert [score for _, score in right] == [1.0] * 3 and [score for _, score in wrong] == [0.0] * 3
    for chosen in (right, wrong):
        assert len({told[index]["group"] for index, _ in chosen}) == 3
    told.append({**told[0], "id": "broken", "error": "gone"})
    del told[-1]["reply"]
    assert choose("jsonl:x", told, 100)[1] != [] and 30 not in [index for index, _ in choose("jsonl:x", told, 100)[1]]
    assert choose("jsonl:x", told, 3)[:2] == (right, wrong)
    assert choose("jsonl:x", records(("p", "yes", "yes")), 3) == ([(0, 1.0)], [], "exact_match")
