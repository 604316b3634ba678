"""Encoded images: one pass of the tower and one decode for any number of questions, a bounded cache, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dragonfly.cli import run
from dragonfly.imaging import decode, pixels
from dragonfly.inference import EncodedImage, Engine
from dragonfly.inference import load as load_engine
from dragonfly.inference.encoded import EncodedCache
from dragonfly.vision.layout import make_layout
from tests import tiny

SHORT: dict[str, Any] = {"max_new_tokens": 2}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(saved(tmp_path_factory.mktemp("question"), policy="question", scope="image", keep=5), device="cpu")


def saved(folder: Path, **selection: Any) -> Path:
    settings = tiny.config(encoder=tiny.config().spec.with_selection(**selection).to_dict())
    tiny.model(settings).save_pretrained(folder)
    tiny.processor(settings).save_pretrained(folder)
    return folder


@pytest.fixture
def passes(engine: Engine) -> Any:
    """Sub-images of each call of the tower, beginning with an empty cache."""
    engine.cache.clear()
    calls: list[int] = []
    tower: Any = engine.model.model.vision_tower
    handle = tower.register_forward_pre_hook(lambda _, __, options: calls.append(len(options["pixel_values"])), with_kwargs=True)
    yield calls
    handle.remove()


def test_many_questions_on_an_image_encode_it_once(engine: Engine, passes: list[int], tmp_path: Path) -> None:
    tiny.image().save(tmp_path / "a.png")
    tiny.image().save(tmp_path / "b.png")  # the same bytes under another name
    rows = [(tmp_path / "a.png", f"where is {number}?") for number in range(22)]
    engine.ask_batch([*rows, (tmp_path / "b.png", "where?")], batch_size=4, **SHORT)
    engine.ask(tiny.image(), "where?", **SHORT)  # pixels from memory have another hash
    assert passes == [29, 29]


def test_the_name_in_a_note_is_the_callers_own(engine: Engine, tmp_path: Path) -> None:
    grey = tiny.image().convert("L").convert("LA")
    grey.putalpha(100)
    for name in ("c.png", "d.png"):
        grey.save(tmp_path / name)
        assert engine.ask(tmp_path / name, "where?", **SHORT).notes == (f"{tmp_path / name}: alpha blended on white",)


def test_an_encoded_image_is_taken_wherever_an_image_is(engine: Engine, passes: list[int]) -> None:
    (encoded,) = engine.encode([tiny.image()])
    assert isinstance(encoded, EncodedImage) and encoded.tokens is None and encoded.views is not None
    engine.cache.clear()
    answers = [engine.ask(encoded, "where?", **SHORT), engine.chat(encoded).ask("where?", **SHORT)]
    assert passes == [29]
    assert [answer.token_ids for answer in answers] == [engine.ask(tiny.image(), "where?", **SHORT).token_ids] * 2


def test_an_image_of_another_encoder_is_refused(engine: Engine, tmp_path: Path) -> None:
    other = load_engine(saved(tmp_path, policy="detail", scope="image", keep=5), device="cpu")
    (encoded,) = other.encode([tiny.image()])
    assert encoded.tokens is not None and encoded.views is None  # nothing waits for a question, so the tower's output is gone
    with pytest.raises(ValueError, match="encoded for another encoder"):
        engine.ask(encoded, "where?", **SHORT)


def test_cached_is_uncached(engine: Engine) -> None:
    engine.cache.clear()
    first = engine.ask(tiny.image(), "where is it?", **SHORT)
    assert len(engine.cache) == 1
    again = engine.ask(tiny.image(), "where is it?", **SHORT)
    assert (first.token_ids, first.confidence, first.selections) == (again.token_ids, again.confidence, again.selections)


def test_the_cache_is_bounded_and_forgets_what_waited_longest() -> None:
    layout = make_layout((64, 64), tiny.config().spec)
    images = [EncodedImage(str(number), layout, tokens=torch.zeros(25)) for number in range(3)]  # 100 bytes each
    cache = EncodedCache(max_bytes=250)
    for image in images[:2]:
        cache.put(image)
    assert cache.get("0") is images[0]  # now 1 has waited longer
    cache.put(images[2])
    assert [cache.get(str(number)) for number in range(3)] == [images[0], None, images[2]]
    cache.put(EncodedImage("large", layout, tokens=torch.zeros(100)))
    assert cache.get("large") is None and len(cache) == 2
    nothing = EncodedCache(max_bytes=0)
    nothing.put(images[0])
    assert nothing.get("0") is None


def test_an_explained_and_drawn_answer_decodes_and_encodes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine, passes: list[int]
) -> None:
    tiny.image().save(tmp_path / "a.png")
    decoded: list[int] = []
    monkeypatch.setattr(pixels, "decode", lambda *args: decoded.append(1) or decode.decode(*args))
    monkeypatch.setattr("dragonfly.inference.load", lambda **_: engine, raising=False)
    code = run(["ask", str(tmp_path / "a.png"), "where?", "--why", "--zoom", str(tmp_path / "zoom.png"), "--max-new-tokens", "2"])
    assert code == 0 and (tmp_path / "zoom.png").is_file()
    assert (len(decoded), passes) == (1, [29])
