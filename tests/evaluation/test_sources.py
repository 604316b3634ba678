"""Where a task's files come from: a folder, our manifest, or a data set of the hub, here in a cache made by hand."""

from pathlib import Path

import pytest

from dragonfly.data import ImageRef, Message, Part, Sample, write_manifest
from dragonfly.evaluation import Settings, load_questions
from dragonfly.evaluation.tasks import find_task, folder_of, read_questions, read_train
from tests.evaluation.fakes import sound

from .layouts import LAYOUTS, YES_NO, qa_hub, slake_zip


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache; no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def snapshot(cache: Path, name: str, revision: str = "main") -> Path:
    """The folder of a data set as `huggingface_hub` keeps it."""
    commit = f"{sum(map(ord, revision)):040x}"
    root = cache / f"datasets--{name.replace('/', '--')}"
    (root / "refs").mkdir(parents=True, exist_ok=True)
    (root / "refs" / revision).write_text(commit)
    (root / "snapshots" / commit).mkdir(parents=True)
    return root / "snapshots" / commit


def test_a_task_is_read_from_its_data_set_on_the_hub(cache: Path) -> None:
    qa_hub(YES_NO)(snapshot(cache, "flaviagiammarino/vqa-rad"))
    (found,) = load_questions(Settings(tasks=("vqa_rad",)))
    questions, train = found.questions, found.train
    assert [question.answers for question in questions] == [(answer,) for answer in YES_NO]
    assert isinstance(questions[0].images[0], bytes)
    assert [question.answers for question in train or []] == [("lung",)]


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if find_task(layout.task).hub], ids=lambda layout: layout.task)
def test_every_data_set_of_the_hub_is_read_in_its_layout(layout, cache: Path) -> None:
    task = find_task(layout.task)
    layout.write(snapshot(cache, task.hub))
    assert len(list(read_questions(task, folder_of(task, None)))) == layout.count


def test_another_data_set_and_one_version_of_it(cache: Path) -> None:
    slake_zip(snapshot(cache, "someone/copy", "v2"))
    task = find_task("slake")
    assert len(list(read_questions(task, folder_of(task, "someone/copy@v2")))) == 5
    with pytest.raises(ValueError, match=r"there is no folder someone/copy@v3, and the Hugging Face hub does not give"):
        folder_of(task, "someone/copy@v3")


def test_what_is_missing_is_said_in_one_line(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"task 'pope' reads lmms-lab/POPE.*does not give.*: --data DIR$") as caught:
        folder_of(find_task("pope"), None)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"task 'iu_xray' reads R2Gen's annotation.json .*: --data DIR$"):
        folder_of(find_task("iu_xray"), None)
    (tmp_path / "owner/name").mkdir(parents=True)
    assert folder_of(find_task("pope"), str(tmp_path / "owner/name")) == tmp_path / "owner/name"


def test_a_folder_wins_over_the_hub(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot(cache, "owner/name")
    (tmp_path / "owner/name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert folder_of(find_task("pope"), "owner/name") == Path("owner/name")


def test_a_packed_image_that_is_missing_is_found_out_when_it_is_asked_about(tmp_path: Path) -> None:
    slake_zip(tmp_path)
    (tmp_path / "imgs.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    assert sound(find_task("slake").read(tmp_path))[0].images == (str(tmp_path / "imgs/xmlab0/source.jpg"),)
    (tmp_path / "other").mkdir()
    slake_zip(tmp_path / "other")
    (tmp_path / "other/imgs.zip").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"imgs.zip is not a whole zip file; fetch it again"):
        sound(find_task("slake").read(tmp_path / "other"))


def test_images_of_slake_are_told_apart(tmp_path: Path) -> None:
    """They are all named source.jpg; the folder says which is which, and is the unit of the intervals."""
    slake_zip(tmp_path)
    assert len({question.group for question in sound(find_task("slake").read(tmp_path))}) == 5


def test_a_task_reads_our_manifest_with_its_own_prompt_and_metrics(tmp_path: Path) -> None:
    def sample(n: int) -> Sample:
        user, assistant = Message("user", (Part("image"), Part("text", f"q{n}"))), Message("assistant", (Part("text", "red"),))
        return Sample(f"s{n}", "mine", (ImageRef(bytes=b"x"),), (user, assistant), meta={"answers": ["red", "crimson"]})

    write_manifest([sample(n) for n in range(3)], tmp_path / "data/textvqa", store_images="bytes")
    settings = Settings(tasks=("textvqa", "textvqa_ocr"), data=str(tmp_path / "data"))
    for one in load_questions(settings):
        task, questions, train = one.task, one.questions, one.train
        assert [question.answers for question in questions] == [("red", "crimson")] * 3
        assert (train, task.metrics[0].name) == (None, "vqa_accuracy")
    assert read_train(find_task("vqa_rad"), tmp_path / "data/textvqa") is None
