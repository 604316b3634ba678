from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from dragonfly.data import BadRow, BadSample, Sample
from dragonfly.training import Recipe, checkpoints, run, streaming
from dragonfly.training.streaming import Stream
from dragonfly.training.trainer import StageTrainer
from tests.data.fakes import sample
from tests.training import small


@pytest.fixture(autouse=True)
def _small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BUFFER", 3)
    monkeypatch.setattr(streaming, "FEW", 4)


def named(prefix: str, number: int, bad: tuple[int, ...] = ()) -> list[Sample | BadRow]:
    rows = [BadRow("file", i, "empty-answer", "") if i in bad else sample("q", "a", name=f"{prefix}{i}") for i in range(number)]
    return rows


def encode(row: Sample) -> dict[str, Any]:
    if row.id.endswith("7"):
        raise BadSample("broken-image", row.id)
    return {"id": row.id}


def stream(skip: int = 0, max_bad_share: float = 0.5, **rows: list[Sample | BadRow]) -> Stream:
    readers = {name: partial(list, some) for name, some in rows.items()}
    weights = {name: 3.0 if name == "a" else 1.0 for name in rows}
    return Stream(readers, weights, encode, seed=0, max_bad_share=max_bad_share, batch=2, skip=skip)


def ids(examples: Any, number: int) -> list[Any]:
    return [example.get("id") for example in islice(iter(examples), number)]


def test_sources_come_by_weight_shuffled_and_begin_anew() -> None:
    taken = ids(stream(a=named("a", 6), b=named("b", 6)), 400)
    counts = Counter(name[0] for name in taken)
    assert 0.65 < counts["a"] / 400 < 0.85 and set(taken) == {f"{s}{i}" for s in "ab" for i in range(6)}
    assert taken[:6] != sorted(taken[:6]) and taken == ids(stream(a=named("a", 6), b=named("b", 6)), 400)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_stream_is_at_its_place_and_encodes_nothing_before(workers: int) -> None:
    def batches(skip: int) -> list[Any]:
        loader = DataLoader(stream(skip, a=named("a", 20)), batch_size=2, num_workers=workers, collate_fn=list)
        return [[example.get("id") for example in batch] for batch in islice(loader, 9)]

    whole, resumed = batches(0), batches(5)
    assert resumed[5:] == whole[5:] and resumed[:5] == [[None, None]] * 5
    assert all(name is not None and not name.endswith("7") for batch in whole for name in batch)


def test_workers_share_the_rows() -> None:
    rows = stream(a=named("a", 20))
    parts = [[row.id for row in islice(rows.samples(worker, 2, []), 9)] for worker in (0, 1)]
    assert all(int(name[1:]) % 2 == worker for worker, part in enumerate(parts) for name in part)


def test_bad_rows_are_judged_by_their_share_of_what_was_read() -> None:
    assert len(ids(stream(a=named("a", 6, bad=(0, 2))), 20)) == 20
    with pytest.raises(ValueError, match=r"3 of 4 rows are bad.*file row 0: empty-answer"):
        ids(stream(a=named("a", 6, bad=(0, 1, 2))), 20)
    with pytest.raises(ValueError, match="source 'a' has no usable rows"):
        ids(stream(1, 1.0, a=named("a", 2, bad=(0, 1))), 1)


def recipe(folder: Path, output: str, workers: int = 0) -> Recipe:
    small.recipe(folder)
    source = {"name": "rows", "path": str(folder / "data" / "rows.json")}
    data = {"train": [source], "streaming": True, "workers": workers, "audit": 2}
    return small.recipe(folder, data=data, steps=4, save={"every": 2}, output=str(folder / output))


def test_a_streamed_run_resumes_bit_for_bit_with_the_same_workers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, step, calls = run(recipe(tmp_path, "whole")), StageTrainer.training_step, iter(range(100))

    def cut(self: StageTrainer, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(StageTrainer, "training_step", cut)
        with pytest.raises(KeyboardInterrupt):
            run(recipe(tmp_path, "cut"))
    assert checkpoints.step_of(checkpoints.checkpoints(tmp_path / "cut")[-1]) == 2
    with pytest.raises(ValueError, match=r"another recipe \(different: data.workers\)"):
        run(recipe(tmp_path, "cut", workers=1))
    resumed = run(recipe(tmp_path, "cut"))
    assert small.losses(resumed) == small.losses(whole) and len(small.losses(whole)) == 4
    ours, expected = load_file(resumed / "model.safetensors"), load_file(whole / "model.safetensors")
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_a_stream_has_no_epochs_and_no_lengths(tmp_path: Path) -> None:
    data = {"train": [{"name": "a", "path": "b"}], "streaming": True}
    for changes in ({"steps": None, "epochs": 1}, {"data": {**data, "group_by_length": True}}):
        with pytest.raises(ValueError, match=r"data.streaming does not know how many rows there are or how long: give steps"):
            Recipe.model_validate(small.values(tmp_path, **{"data": data, **changes}))
