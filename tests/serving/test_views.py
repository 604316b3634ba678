"""A view beside an image: the page, frame or window that `ask` shows for the same words after #."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragonfly.imaging import load_image
from dragonfly.inference import Engine
from dragonfly.serving.client import image_url
from tests.imaging.scans import scan, written
from tests.serving.conftest import data_url, run, served

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def url_of(data: bytes) -> str:
    return f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"


def frames() -> bytes:
    """DICOM of three frames that differ."""
    stored = np.random.default_rng(0).integers(0, 256, (3, 48, 64), dtype=np.uint8)
    return written(scan(stored, "MR", NumberOfFrames=3))


def pages() -> bytes:
    images = [Image.new("RGB", (72, 36), colour) for colour in COLOURS]
    out = io.BytesIO()
    images[0].save(out, "PDF", save_all=True, append_images=images[1:], resolution=72)
    return out.getvalue()


def body(question: str, *images: dict[str, Any]) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": image} for image in images]
    return {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}], "max_tokens": 6}


def test_a_page_goes_through_the_process_that_decodes(engine: Engine) -> None:
    async def work() -> None:
        async with served(engine) as client:
            ask = {"image": url_of(pages()), "format": "image"}
            first = await client.post("/v1/zoom", json=ask)
            second = await client.post("/v1/zoom", json={**ask, "view": "2"})
        shown = [Image.open(io.BytesIO(reply.content)).getcolors(2**20) for reply in (first, second)]
        notes = [json.loads(reply.headers["dragonfly-notes"])[0] for reply in (first, second)]
        colours: list[Any] = [max(one)[1] for one in shown if one]
        assert [max(range(3), key=colour.__getitem__) for colour in colours] == [0, 1]  # red, green
        assert "page 1 of 3" in notes[0] and "#2" in notes[0] and "page 2 of 3" in notes[1]

    run(work)


@pytest.mark.usefixtures("decoding_here")
def test_several_frames_are_labelled_as_ask_labels_them_and_remembered_apart(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "scan.dcm"
    file.write_bytes(frames())
    named = [f"{file}#frame=1", f"{file}#frame=3"]
    url = url_of(frames())

    async def work() -> None:
        async with served(engine) as client:
            asked = body("Which?", {"url": url, "view": "frame=1"}, {"url": url, "view": "frame=3"})
            told = [(await client.post("/v1/chat/completions", json=asked)).json() for _ in range(2)]
            counted = (await client.get("/metrics")).text
        answer = engine.ask(named, "Which?", max_new_tokens=6)
        unlabelled = engine.ask([load_image(name).image for name in named], "Which?", max_new_tokens=6)
        assert unlabelled.prompt_tokens < answer.prompt_tokens
        for one in told:  # the second time from the cache
            assert one["usage"]["prompt_tokens"] == answer.prompt_tokens
            assert one["choices"][0]["message"]["content"] == answer.text
            assert [image["label"] for image in one["dragonfly"]["images"]] == ["frame 1 of 3", "frame 3 of 3"]
        assert 'source="cache"} 2.0' in counted and 'source="decoded"} 2.0' in counted

    run(work)


@pytest.mark.usefixtures("decoding_here")
@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("frame=9", "image 1 has 3 frames"),
        ("plane=axial", "image 1 is DICOM, which has no plane; leave #plane=axial out"),
        ("frames=2", "one image is wanted"),
        ("pages=2", "with 'pages', which is not known"),
        ("window=", "empty 'window'"),
        ("#2", "empty '#2'"),
        ("frame=1&frame=2", "twice"),
        ("window=<script>", "window="),
        ("x" * 201, "200"),
    ],
)
def test_a_view_that_cannot_be_shown_is_refused_in_one_line(engine: Engine, view: str, said: str) -> None:
    async def work() -> None:
        async with served(engine) as client:
            url = url_of(frames())
            replies = [
                await client.post("/v1/chat/completions", json=body("?", {"url": url, "view": view})),
                await client.post("/v1/zoom", json={"image": url, "view": view}),
            ]
        for reply in replies:
            message = reply.json()["error"]["message"]
            assert reply.status_code == 400 and said in message and "\n" not in message

    run(work)


@pytest.mark.usefixtures("decoding_here")
def test_an_image_without_views_says_so(engine: Engine) -> None:
    async def work() -> None:
        async with served(engine) as client:
            url = data_url(Image.new("RGB", (40, 30)))
            reply = await client.post("/v1/chat/completions", json=body("?", {"url": url, "view": "2"}))
        assert reply.json()["error"]["message"] == "image 1 is no PDF, and only a PDF has pages; leave #2 out"

    run(work)


def test_the_client_sends_the_view_of_a_name(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(pages())
    assert image_url(str(file)) == {"url": image_url(f"{file}#2")["url"]} and image_url(f"{file}#2")["view"] == "2"
    odd = tmp_path / "a#2"
    odd.write_bytes(b"x")
    assert "view" not in image_url(str(odd))  # a file of that whole name
    assert image_url("https://example.org/a.pdf#2") == {"url": "https://example.org/a.pdf#2"}
    with pytest.raises(ValueError, match=r"a\.pdf#frame=x has a view with frame='x'"):
        image_url(f"{file}#frame=x")
