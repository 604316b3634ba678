"""The page is served whole, asks nothing of the internet, and shows the repository's own examples."""

from __future__ import annotations

import re
from pathlib import Path

from dragonfly.inference import Engine
from dragonfly.serving.app import create_app
from tests.serving.conftest import client_of, run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src/dragonfly/serving/page"


def test_every_file_that_the_page_names_is_served_by_its_kind(engine: Engine) -> None:
    async def work() -> None:
        async with client_of(create_app(engine)) as client:
            page = await client.get("/")
            named = re.findall(r'(?:src|href)="([^":]+)"', page.text)
            script = (await client.get("/page.js")).text
            named += re.findall(r'from "\./(\w+\.js)"', script)
            named += [f"examples/{name}" for name in re.findall(r'\["(\w+\.png)"', script)]
            assert len(named) == 7
            kinds = {".css": "text/css", ".js": "text/javascript", ".png": "image/png"}
            for name in named:
                reply = await client.get(f"/{name}")
                assert reply.status_code == 200 and reply.headers["content-type"].startswith(kinds[Path(name).suffix])

    run(work)


def test_nothing_comes_from_elsewhere_and_nothing_stands_inline() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in PAGE.iterdir() if path.is_file()}
    for text in texts.values():
        assert set(re.findall(r"https?://[^\s\"'`)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(
        r"\sstyle=|\son\w+=|<script>|innerHTML|eval\(", "".join(text for name, text in texts.items() if name != "page.css")
    )
    labelled = set(re.findall(r'for="(\w+)"', texts["index.html"]))
    assert labelled == set(re.findall(r"<(?:input|textarea|select) id=\"(\w+)\"", texts["index.html"]))


def test_the_examples_are_those_of_the_repository() -> None:
    for path in (PAGE / "examples").iterdir():
        assert path.read_bytes() == (ROOT / "examples/images" / path.name).read_bytes()
