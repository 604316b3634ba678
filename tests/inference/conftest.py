"""One engine for all tests of the room, images, and a way to make the model say a given text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image

from dragonfly.inference import Engine, load
from tests import tiny

Say = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="session")
def engine(saved_model: Path) -> Engine:
    torch.set_num_threads(1)  # the model is so small that a second thread costs more than it gives
    return load(saved_model)


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    return [tiny.image(96, 64, seed=1), tiny.image(40, 120, seed=2), tiny.image(64, 64, seed=3)]


@pytest.fixture
def say(engine: Engine) -> Say:
    """`with say("text of row 1", "text of row 2"):` makes the next generation answer so, byte by byte, then end the turn."""

    @contextmanager
    def speaking(*texts: str, end: bool = True) -> Iterator[None]:
        scripts = [engine.tokenizer(text, add_special_tokens=False)["input_ids"] + [4] * end for text in texts]
        step = 0

        def hook(module: object, inputs: object, logits: object) -> object:
            nonlocal step
            for row, script in enumerate(scripts):
                if step < len(script):
                    logits[row, -1, script[step]] += 1000.0  # pyright: ignore[reportIndexIssue]
            step += 1
            return logits

        handle = engine.model.lm_head.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    return speaking
