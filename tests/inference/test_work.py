"""How much is done for an answer, counted, never timed: resizes, decodes, copies, calls of the vision tower, imports."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from dragonfly.data import Collator
from dragonfly.imaging import pixels
from dragonfly.inference import Engine, Row
from dragonfly.models import DragonflyImageProcessor
from dragonfly.vision.presets import get_preset
from tests import tiny

ROOT = Path(__file__).parents[2]

Count = Callable[[Any, str], list[Any]]


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Count:
    """The first arguments of every call of a function from now on."""

    def watch(owner: Any, name: str) -> list[Any]:
        seen: list[Any] = []
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            seen.append(args[0] if args else None)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)
        return seen

    return watch


def engine(**selection: Any) -> Engine:
    settings = tiny.config("v1")
    settings.encoder = settings.spec.with_selection(**selection).to_dict() if selection else settings.encoder
    return Engine(tiny.model(settings), tiny.processor(settings))


@pytest.mark.parametrize(("policy", "resizes"), [("similarity", 6), ("residual", 8)])
def test_an_image_is_resized_twice_for_every_level(policy: str, resizes: int, count: Count) -> None:
    """Width and height are two calls of Pillow; the residual enlarges mid to high besides."""
    processor = engine(policy=policy).processor.image_processor
    image = tiny.image(300, 200)
    calls, copies = count(Image.Image, "resize"), count(Image.Image, "copy")
    processor(image, return_tensors="pt")
    assert (len(calls), len(copies)) == (resizes, 0)


@pytest.mark.parametrize(("preset", "images", "most"), [("v1", 1, 1.5), ("v2", 1, 1.5), ("v1", 3, 1.25), ("v2", 3, 1.25)])
def test_pixels_are_written_once_to_where_the_tower_reads_them(
    preset: str, images: int, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy's memory at its fullest, in multiples of `pixel_values`: one image's levels in bytes come on top, a quarter of it."""
    processor = DragonflyImageProcessor(encoder=get_preset(preset).spec.to_dict())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # each thread has an image's levels
    image = tiny.image(1000, 700)
    processor(image, return_tensors="pt")
    tracemalloc.start()
    made = processor([image] * images, return_tensors="pt")["pixel_values"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 1 <= peak / made.nbytes < most


class Copies(TorchDispatchMode):
    """Operations whose result is a new tensor of at least so many numbers."""

    def __init__(self, least: int) -> None:
        super().__init__()
        self.least, self.seen = least, list[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.numel() >= self.least and _storage(made) not in set(_storages(args)):
            self.seen.append(str(func))
        return made


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _storages(values: Any) -> Iterator[int]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield _storage(value)
        elif isinstance(value, list | tuple):
            yield from _storages(value)


def test_pixels_are_copied_once_into_a_batch_and_never_in_the_model() -> None:
    asked, images = engine(), [tiny.image(), tiny.image(seed=1)]
    made = asked.processor.image_processor(images, return_tensors="pt")
    made.pop("layouts")
    pixels = made["pixel_values"].numel()
    with torch.inference_mode(), Copies(pixels) as forward:
        asked.model.model.get_image_features(**made)
    with Copies(pixels) as encoded:
        asked.encode(images)
    ids = {"input_ids": torch.arange(5), "labels": torch.arange(5)}
    with Copies(pixels) as collated:
        Collator(0)([{**{name: value[row : row + 1] for name, value in made.items()}, **ids} for row in range(2)])
    assert (forward.seen, encoded.seen, collated.seen) == ([], ["aten.cat.default"], ["aten.cat.default"])


def test_three_questions_decode_and_encode_an_image_once(tmp_path: Path, count: Count) -> None:
    path, asked = tmp_path / "a.png", engine()
    tiny.image().save(path)
    decodes, towers = count(pixels, "decode"), count(asked.model.model, "run_tower")
    rows = [Row(path, "What?"), Row([path, path], "Which?"), Row(path, "Where?")]
    asked.ask_batch(rows, max_new_tokens=2)
    asked.ask_batch(rows, max_new_tokens=2, batch_size=1)
    assert [len(pixels) for pixels in towers] == [29]
    assert len(decodes) == 8  # a file may have changed between questions, so each naming of it is looked at


@pytest.mark.parametrize(("policy", "encoded"), [("similarity", 29), ("question", 29), ("residual", 17), ("random", 17)])
def test_what_an_early_policy_drops_never_enters_the_tower(policy: str, encoded: int, count: Count) -> None:
    asked = engine(policy=policy)
    towers = count(asked.model.model, "run_tower")
    asked.ask([tiny.image(), tiny.image(seed=1)], "What?", max_new_tokens=1)
    assert [len(pixels) for pixels in towers] == [2 * encoded]


@pytest.mark.slow
def test_an_answer_imports_no_package_beyond_what_it_uses() -> None:
    """transformers itself takes scipy, sklearn and others where they are installed; what is named here only we could ask for."""
    program = (
        "import sys; from dragonfly.__main__ import main; "
        "main(['ask', 'examples/images/receipt.png', 'Give the qty.', '--max-new-tokens', '2']); "
        "others = ('datasets', 'pyarrow', 'pandas', 'matplotlib', 'trl', 'peft', 'fastapi', 'daft', 'torchvision', 'deepspeed',"
        " 'dragonfly.training', 'dragonfly.evaluation', 'dragonfly.serving', 'dragonfly.research', 'dragonfly.curation');"
        "print([name for name in others if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"
