"""The page: whole in itself, hostile text as text, grid lines from the layout, faults told."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from dragonfly.curation.browse import SIDE, browse
from dragonfly.data import write_manifest
from dragonfly.vision import make_layout
from dragonfly.vision.presets import PRESETS
from tests.curation.fakes import image, sample

HOSTILE = "</p></article><script>alert(1)</script><img src=x onerror=alert(2)>\"' onload='x' ${cards} $cards &lt;"


class Page(HTMLParser):
    """Every element of the page with its attributes, and the text of each article."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.articles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag == "article":
            self.articles.append("")

    def handle_data(self, data: str) -> None:
        if self.articles:
            self.articles[-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browse")
    image(1, 800, 200).save(folder / "wide.png")
    boxes = (((10.0, 20.0, 30.5, 60.0),),)
    rows = [
        sample("with_images", "What is it?", image=folder / "wide.png", source="a & b", evidence=boxes),
        sample(HOSTILE, HOSTILE, HOSTILE, source=HOSTILE, meta={HOSTILE: HOSTILE}),
        sample("lost", "Where?", image=folder / "gone.png", source="a & b"),
        *(sample(f"many {n}", "word " * 400, source="many") for n in range(30)),
    ]
    write_manifest(rows, folder / "out")
    write_manifest([sample("held", "Aside?", source="a & b")], folder / "out" / "eval")
    return folder


def test_every_source_is_shown_and_the_page_needs_nothing_else(made: Path) -> None:
    path = browse(made / "out", limit=12, preset="v2")
    assert path == made / "out" / "browse.html"
    page = Page(path.read_text(encoding="utf-8"))
    articles = page.all("article")
    assert {article["data-source"] for article in articles} == {"a & b", "many", HOSTILE}
    assert {article["data-split"] for article in articles} == {"train", "eval"} and 4 <= len(articles) <= 12
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert not page.all("link") and not any("src" in script for script in page.all("script"))
    assert any("default-src 'none'" in meta.get("content", "") for meta in page.all("meta"))


def test_hostile_text_is_text(made: Path) -> None:
    text = browse(made / "out", made / "hostile.html", limit=50).read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.all("script")) == 1 and len(page.all("img")) == 1 and text.count("<main>") == 1
    shown = next(article for article in page.articles if "alert" in article)
    assert shown.count(HOSTILE) >= 4  # source, id, question, answer, meta
    allowed = {
        "class",
        "title",
        "width",
        "height",
        "alt",
        "src",
        "viewbox",
        "preserveaspectratio",
        "x",
        "y",
        "tabindex",
        "loading",
    }
    found = {
        name for tag, attributes in page.elements if tag in ("article", "img", "svg", "rect", "p", "span") for name in attributes
    }
    assert {name for name in found if not name.startswith("data-")} <= allowed


def test_the_grid_is_the_layouts(made: Path) -> None:
    page = Page(browse(made / "out", made / "grid.html", limit=50, preset="v1").read_text(encoding="utf-8"))
    layout = make_layout((200, 800), PRESETS["v1"].spec)
    drawn: dict[str, list[tuple[float, ...]]] = {}
    for rect in page.all("rect"):
        x, y, width, height = (float(rect[name]) for name in ("x", "y", "width", "height"))
        drawn.setdefault(rect["class"], []).append((x, y, x + width, y + height))
    assert drawn["mid"] == list(layout.level_boxes("mid")) and len(drawn["mid"]) == 4
    for found, box in zip(drawn["high"], layout.level_boxes("high"), strict=True):
        assert found == pytest.approx(box, abs=0.01)
    assert drawn["evidence"] == [(10.0, 20.0, 30.5, 60.0)]
    assert page.all("svg")[0]["viewbox"] == "0 0 800 200"
    frames = [span for span in page.all("span") if "title" in span]
    assert [frame["class"] for frame in frames] == ["image"]  # the style lays the lines over the image by this class
    assert ".image svg { position: absolute" in (made / "grid.html").read_text(encoding="utf-8")


def test_images_are_small_and_a_lost_one_is_told(made: Path) -> None:
    page = Page(browse(made / "out", made / "small.html", limit=50).read_text(encoding="utf-8"))
    data = page.all("img")[0]["src"].partition(",")[2]
    assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) == SIDE
    lost = next(article for article in page.articles if "lost" in article)
    assert "gone.png does not exist; check the path" in lost
    sides = {article["data-place"]: article["data-side"] for article in page.all("article")}
    assert sorted(sides.values(), key=int)[-1] == "800" and "0" in sides.values()


def test_long_turns_are_cut_and_say_so(made: Path) -> None:
    text = browse(made / "out", made / "long.html", limit=50).read_text(encoding="utf-8")
    assert re.search(r"… \(800 letters more\)", text)


def test_faults_are_one_line(made: Path) -> None:
    with pytest.raises(ValueError, match="limit is 0; give at least 1"):
        browse(made / "out", limit=0)
    with pytest.raises(ValueError, match=r"unknown preset: 'v3' is not one of"):
        browse(made / "out", preset="v3")
    with pytest.raises(ValueError, match=r"no file or folder .*nowhere"):
        browse(made / "nowhere")
    with pytest.raises(ValueError, match=r"cannot write this as '.*rows.jsonl'; use a name that ends in .html or .htm"):
        browse(made / "out", made / "rows.jsonl")


def test_whatever_training_reads_is_browsed_and_questions_on_one_image_are_one_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        image(number, 900, 300).save(tmp_path / f"{number}.png")
    rows = ["Bild,question,answer", "0.png,First?,one", "1.png,Other?,two", "0.png,Second?,three", "gone.png,Lost?,x"]
    (tmp_path / "mine.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    path = browse("mine.csv", columns={"image": "Bild"})
    assert path == Path("mine-browse.html")
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.articles) == 2 and len(page.all("img")) == 2
    assert re.search(r"First\?\s*one\s*Second\?\s*three", page.articles[0])
    assert "mine.csv row 5: missing-image (no file gone.png; check image_root)" in text
    assert "3 of 3 rows, 2 cards" in text


def test_the_policy_allows_the_pages_own_script_alone(made: Path) -> None:
    text = browse(made / "out", made / "policy.html", limit=3).read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
