"""Several workers for one run: joined, they are the undivided run to the byte."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dragonfly.evaluation import Settings, Shard, ask, compare, evaluate, load_questions, rescore, statistics
from dragonfly.evaluation.predictions import BLOCK, join_shards
from dragonfly.evaluation.run import predictions_of

from .fakes import RuleEngine, write_qa, yes_no_rows


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 10)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    file = write_qa(tmp_path_factory.mktemp("data"), yes_no_rows(3 * BLOCK + 5))  # blocks of 32, 32, 32 and 5
    return Settings(tasks=(f"jsonl:{file}",), by=("answer_type",))


@pytest.fixture(scope="module")
def whole(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run by one worker that is not told of any other."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", 10)
        evaluate(engine(), {"name": "rule"}, settings, load_questions(settings), out)
    return out


def engine(stop_after: int | None = None) -> RuleEngine:
    """Its replies hold what Python's splitlines would take for a line's end."""
    return RuleEngine(lambda row: "yes\u2028\x85" if "3" in row.question else "no", stop_after=stop_after)


def work(out: Path, settings: Settings, shard: Shard | None, stop_after: int | None = None) -> RuleEngine:
    worker = engine(stop_after)
    ask(worker, {"name": "rule"}, settings, load_questions(settings), out, shard=shard)
    return worker


def files_of(out: Path) -> dict[str, bytes]:
    """What an undivided run writes, but for the times in it."""
    found = {path.relative_to(out).as_posix(): path for path in out.glob("*/*") if path.is_file()}
    found["scores.json"] = out / "scores.json"
    return {name: path.read_bytes() for name, path in found.items() if "cost" not in name}


@pytest.mark.parametrize("count", [1, 3, 6])
def test_joined_is_the_undivided_run_to_the_byte(count: int, settings: Settings, whole: Path, tmp_path: Path) -> None:
    asked = [work(tmp_path / "parts", settings, Shard(index, count)).asked for index in reversed(range(1, count + 1))]
    assert sum(asked) == 3 * (3 * BLOCK + 5) and max(asked) < 3 * (3 * BLOCK + 5) / count + 3 * BLOCK
    rescore(tmp_path / "parts")
    assert files_of(tmp_path / "parts") == files_of(whole)
    cost = json.loads((tmp_path / "parts/cost.json").read_text())[settings.tasks[0]]
    assert {name: one["questions"] for name, one in cost.items()} == dict.fromkeys(("model", "blind", "shuffled_image"), 101)
    assert work(tmp_path / "parts", settings, Shard(1, count)).asked == 0


def test_folders_of_several_machines_are_joined_when_they_lie_in_one(settings: Settings, whole: Path, tmp_path: Path) -> None:
    for index in (1, 2):
        work(tmp_path / f"machine{index}", settings, Shard(index, 2))
    shutil.copytree(tmp_path / "machine2", tmp_path / "machine1", dirs_exist_ok=True)
    found = compare([whole, tmp_path / "machine1"])  # joins what was never scored
    assert found["tasks"][settings.tasks[0]]["exact_match"][1]["p"] == 1.0
    rescore(tmp_path / "machine1")
    assert files_of(tmp_path / "machine1") == files_of(whole)


def test_a_worker_that_was_stopped_goes_on_and_is_named_until_then(settings: Settings, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    work(out, settings, Shard(1, 2))
    with pytest.raises(ValueError, match=r"answers 0 of 37 questions; finish it with `dragonfly eval --shard 2/2`"):
        rescore(out)
    with pytest.raises(KeyboardInterrupt):
        work(out, settings, Shard(2, 2), stop_after=40)
    with pytest.raises(ValueError, match=r"predictions-blind.jsonl answers 32 of 37 questions"):
        rescore(out)
    assert work(out, settings, Shard(2, 2)).asked == 2 * 37 - 32
    rescore(out)
    assert files_of(out) == files_of(whole)


def test_a_worker_without_its_baselines_is_not_done(settings: Settings, tmp_path: Path) -> None:
    for index in (1, 2):
        work(tmp_path / "out", settings, Shard(index, 2))
    folder = next(path for path in (tmp_path / "out").iterdir() if path.is_dir())
    (folder / "shard-2of2" / "majority.json").unlink()
    with pytest.raises(ValueError, match="worker 2 of 2 has not asked all baselines"):
        predictions_of(tmp_path / "out", settings.tasks[0])
    with pytest.raises(ValueError, match="no worker has answered anything"):
        join_shards(tmp_path, 0, 2, with_baselines=False)


def test_a_run_is_divided_in_one_way(settings: Settings, whole: Path, tmp_path: Path) -> None:
    work(tmp_path / "out", settings, Shard(1, 2))
    for shard in (None, Shard(2, 3)):
        with pytest.raises(ValueError, match="was begun with --shard I/2; continue with that"):
            work(tmp_path / "out", settings, shard)
    with pytest.raises(ValueError, match="was begun with no --shard"):
        work(whole, settings, Shard(1, 2))


def test_the_first_file_of_another_worker_is_no_strange_content(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.run.json.1a2b3c4d.tmp").write_text("{")
    assert work(tmp_path / "out", settings, Shard(1, 2)).asked == 3 * 64


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2"])
def test_a_shard_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not I/N with I from 1 to N, such as 2/4"):
        Shard.of(text)


def test_parts_are_whole_blocks_and_miss_nothing() -> None:
    numbers: list[Any] = list(range(3 * BLOCK + 5))
    for count in (1, 2, 3, 5):
        parts: Any = [Shard(index, count).part(numbers) for index in range(1, count + 1)]
        assert sorted(number for part in parts for number in part) == numbers
        assert [len(part) for part in parts] == [Shard(index, count).size(len(numbers)) for index in range(1, count + 1)]
        assert all(part[start] % BLOCK == 0 for part in parts for start in range(0, len(part), BLOCK))
    assert Shard.of(" 2/4 ") == Shard(2, 4)
