import json
from collections import Counter
from pathlib import Path

import pytest

from dragonfly.data import EncodedDataset, write_manifest
from dragonfly.training.build import build_processor
from dragonfly.training.objective import encoded
from dragonfly.training.recipe import Data, Source
from dragonfly.training.sources import RunOrder, load_rows, manifest_hashes, mixture, num_steps, reader_of
from tests import tiny
from tests.data.fakes import sample
from tests.training import small


class Lengths:
    """A dataset whose examples have these lengths; remembers which were asked for."""

    def __init__(self, *lengths: int) -> None:
        self.lengths, self.asked = lengths, []

    def __len__(self) -> int:
        return len(self.lengths)

    def length(self, index: int) -> int:
        self.asked.append(index)
        return self.lengths[index]


def order(dataset: Lengths, batch: int = 2, start: int = 0, seed: int = 0) -> list[int]:
    return list(RunOrder(dataset, len(dataset), batch, group_by_length=True, seed=seed, start=start))


def test_without_grouping_positions_come_in_their_order() -> None:
    assert list(RunOrder(Lengths(3, 1, 2), 3, 1, group_by_length=False, seed=0)) == [0, 1, 2]


def test_grouped_batches_are_of_alike_lengths_in_a_drawn_order() -> None:
    lengths = [index * 37 % 64 for index in range(64)]
    grouped = order(Lengths(*lengths))
    assert sorted(grouped) == list(range(64))
    pairs = [sorted(lengths[index] for index in grouped[at : at + 2]) for at in range(0, 64, 2)]
    assert all(high - low == 1 for low, high in pairs)
    assert pairs != sorted(pairs)
    assert grouped == order(Lengths(*lengths)) != order(Lengths(*lengths), seed=1)


def test_what_is_skipped_on_resume_is_not_measured_and_what_follows_is_the_same() -> None:
    lengths = [index * 37 % 200 for index in range(200)]
    resumed = Lengths(*lengths)
    assert order(resumed, start=150)[128:] == order(Lengths(*lengths))[128:]  # windows of 32 steps of 2
    assert min(resumed.asked) == 128


def test_steps_of_an_epoch_cover_every_row_and_fill_the_last_step(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path, steps=None, epochs=2, batch={"global_size": 5, "per_device": 5})
    assert num_steps(recipe, rows_per_epoch=8) == 4
    positions = mixture(recipe)
    taken = [positions.locate(position) for position in range(20)]
    assert Counter(place.row for place in taken if place.epoch < 2) == dict.fromkeys(range(8), 2)
    assert [place.epoch for place in taken[16:]] == [2] * 4


def test_a_manifest_is_read_row_by_row_and_its_hash_is_known(tmp_path: Path) -> None:
    manifest = write_manifest([sample("q", "a", name=str(index)) for index in range(3)], tmp_path / "manifest")
    rows = load_rows(Source(name="m", path=str(manifest.parent)), 0.0)
    assert type(rows).__name__ == "Manifest" and [row.id for row in rows] == ["0", "1", "2"]
    recipe = small.recipe(tmp_path, data={"train": [{"name": "m", "path": str(manifest.parent)}]})
    assert manifest_hashes(recipe) == {"m": rows.sha256}  # pyright: ignore[reportAttributeAccessIssue]


def test_bad_rows_fail_the_run_by_name_or_are_left_out(tmp_path: Path) -> None:
    path = small.rows(tmp_path, 4)
    (tmp_path / "1.png").unlink()
    source = Source(name="rows", path=str(path))
    with pytest.raises(ValueError, match=r"1 of 4 rows are bad.*rows.json row 1: missing-image"):
        load_rows(source, 0.0)
    assert [row.id for row in load_rows(source, 0.25)] == ["rows-0", "rows-2", "rows-3"]


def test_a_hugging_face_dataset_is_read_whole_or_as_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [{"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "yes"}]} for n in range(3)]
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    source = Source(name="hub", dataset=str(tmp_path / "set"))
    whole = load_rows(source, 0.0)
    assert [row.messages[0].text for row in whole] == ["0?", "1?", "2?"]
    streamed = reader_of(source)
    assert list(streamed()) == whole == list(streamed())  # a reader begins anew each time
    with pytest.raises(ValueError, match=r'Unknown split "test"'):
        load_rows(source.model_copy(update={"split": "test"}), 0.0)


def test_questions_on_one_image_are_grouped_as_turns(tmp_path: Path) -> None:
    tiny.image(40, 30).save(tmp_path / "a.png")
    tiny.image(40, 30, seed=1).save(tmp_path / "b.png")
    rows = [{"image": f"{name}.png", "question": f"{name}{n}?", "answer": f"{name}{n}"} for n in range(3) for name in "ab"]
    rows += [{"question": "text?", "answer": "text"}, {"question": "more?", "answer": "more"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Source(name="mine", path=str(tmp_path / "rows.jsonl"), group_questions=2)
    conversations = load_rows(source, 0.0)
    turns = [[message.text for message in sample.messages] for sample in conversations]
    assert sorted(len(texts) // 2 for texts in turns) == [1, 1, 1, 1, 2, 2]
    assert sorted(text for texts in turns for text in texts[1::2]) == sorted(row["answer"] for row in rows)
    for told in conversations:
        assert len(told.images) == sum(message.num_images for message in told.messages) <= 1
        assert all(question[:-1] == answer for question, answer in zip(*[iter([m.text for m in told.messages])] * 2, strict=True))
    assert [s.messages for s in load_rows(source, 0.0)] == [s.messages for s in conversations]


def test_grouping_is_refused_where_rows_are_streamed() -> None:
    with pytest.raises(
        ValueError, match=r"group_questions needs all rows at once and data\.streaming reads them one by one; drop one \(mine\)"
    ):
        Data(train=[Source(name="mine", path="rows.jsonl", group_questions=2)], streaming=True)


def test_a_mixture_is_grouped_by_length_within_its_order(tmp_path: Path) -> None:
    """Two sources, one at a half, over more than two epochs: every position once, its window kept, batches of alike rows."""
    small.rows(tmp_path / "text", 16, text_only=True, name="text")
    sources = [
        {"name": "rows", "path": str(small.rows(tmp_path / "data", 16))},
        {"name": "text", "path": str(tmp_path / "text" / "text.json"), "passes": 0.5},
    ]
    recipe = small.recipe(tmp_path, steps=40, data={"train": sources, "audit": 2, "group_by_length": True})
    rows = mixture(recipe)
    dataset = encoded(recipe, rows, build_processor(recipe))
    ordered = list(RunOrder(dataset, 160, 4, group_by_length=True, seed=recipe.seed))
    assert [sorted(ordered[:128]), sorted(ordered[128:])] == [list(range(128)), list(range(128, 160))]
    spread = [max(lengths) - min(lengths) for lengths in _batches(dataset, ordered)]
    plain = [max(lengths) - min(lengths) for lengths in _batches(dataset, list(range(160)))]
    assert sum(spread) * 5 < sum(plain)
    assert list(RunOrder(dataset, 160, 4, group_by_length=True, seed=recipe.seed, start=132))[128:] == ordered[128:]


def _batches(dataset: EncodedDataset, order: list[int]) -> list[list[int]]:
    return [[dataset.length(position) for position in order[at : at + 4]] for at in range(0, len(order), 4)]
