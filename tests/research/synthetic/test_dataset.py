"""A written data set: the same bytes from any number of processes, rows that train, close-ups and records."""

from __future__ import annotations

import io
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from dragonfly.data import EncodedDataset, Manifest, answer_marks, audit, grouped
from dragonfly.research.curriculum.text_annotations import find_classes
from dragonfly.research.synthetic import ABSENT, SPECS, DatasetOptions, make_image, write_dataset
from dragonfly.research.synthetic import dataset as dataset_module
from dragonfly.research.synthetic.dataset import make_views
from tests import tiny


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "nano"
    write_dataset(DatasetOptions("nano", "train", 40, 3), folder)
    return folder


def test_the_bytes_do_not_depend_on_the_workers_or_on_the_place(nano: Path, tmp_path: Path) -> None:
    write_dataset(DatasetOptions("nano", "train", 40, 3), tmp_path / "elsewhere" / "again", workers=2)
    assert files(tmp_path / "elsewhere" / "again") == files(nano)


def test_an_image_does_not_depend_on_how_many_are_drawn(nano: Path, tmp_path: Path) -> None:
    write_dataset(DatasetOptions("nano", "train", 2, 3), tmp_path / "few")
    few, many = files(tmp_path / "few"), files(nano)
    assert all(many[name] == content for name, content in few.items() if name.startswith("images/"))


def test_rows_are_one_question_each_on_shared_images(nano: Path) -> None:
    manifest = Manifest.open(nano)
    manifest.verify()
    rows = list(manifest)
    assert len({row.id for row in rows}) == len(rows)
    assert len({row.images for row in rows}) == 40
    assert all(len(row.messages) == 2 and len(row.evidence) == 1 for row in rows)
    assert all(Path(row.images[0].path or "").is_file() for row in rows)
    keys = {"kind", "form", "family", "template", "detail_px", "about", "split", "spec", "licence"}
    assert all(set(row.meta) == keys and row.meta["split"] == "train" for row in rows)


def test_a_packed_page_trains_with_clean_labels(nano: Path) -> None:
    rows = grouped(Manifest.open(nano), 8)
    processor = tiny.processor()
    data = EncodedDataset(rows, processor)
    assert Counter(len(row.images) for row in rows) == {1: len(rows)}
    example = data[0]
    faults = audit(
        example,
        image_token_id=processor.image_token_id,
        separator_token_id=processor.separator_token_id,
        marks=answer_marks(processor),
    )
    assert faults == []
    assert sum(message.role == "assistant" for message in rows[0].messages) == 8


def test_one_question_per_kind(tmp_path: Path) -> None:
    write_dataset(DatasetOptions("nano", "dev", 6, 3, questions="one-per-kind"), tmp_path / "few")
    kinds = Counter((row.images, row.meta["kind"]) for row in Manifest.open(tmp_path / "few"))
    assert set(kinds.values()) == {1} and len(kinds) > 6 * 5


def test_the_questions_of_some_kinds_are_those_of_all_kinds(nano: Path, tmp_path: Path) -> None:
    def asked(folder: Path) -> list[tuple[tuple[str, ...], str | None, str]]:
        return [
            (tuple(Path(image.path or "").name for image in row.images), row.messages[0].content[-1].text, row.meta["kind"])
            for row in Manifest.open(folder)
        ]

    write_dataset(DatasetOptions("nano", "train", 40, 3, questions="count,next to"), tmp_path / "some")
    some = asked(tmp_path / "some")
    assert some == [row for row in asked(nano) if row[2] in ("count", "next to")]
    assert {kind for *_, kind in some} == {"count", "next to"}


def test_a_page_that_is_asked_nothing_leaves_no_image(tmp_path: Path) -> None:
    write_dataset(DatasetOptions("nano", "train", 40, 3, questions="look"), tmp_path / "some")
    named = {Path(image.path or "").name for row in Manifest.open(tmp_path / "some") for image in row.images}
    written = {file.name for file in (tmp_path / "some" / "images").rglob("*.jpg")}
    assert 0 < len(named) < 40 and written == named


def test_kinds_that_no_page_is_asked_are_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="questions is 'look', and no page of spec 'documents' that was drawn has one"):
        write_dataset(DatasetOptions("documents", "train", 2, 3, questions="look"), tmp_path / "none")
    assert not any(tmp_path.iterdir())


def test_a_share_of_what_is_absent_is_kept_and_all_else(nano: Path, tmp_path: Path) -> None:
    def asked(folder: Path, absent: bool) -> list[tuple[str, str | None]]:
        rows = [row for row in Manifest.open(folder) if (row.meta["kind"] == "absent") == absent]
        return [(row.id.rsplit("-", 1)[0], row.messages[0].content[-1].text) for row in rows]

    write_dataset(DatasetOptions("nano", "train", 40, 3, absent=0.5), tmp_path / "half")
    write_dataset(DatasetOptions("nano", "train", 40, 3, absent=0.0), tmp_path / "none")
    assert asked(nano, False) == asked(tmp_path / "half", False) == asked(tmp_path / "none", False)
    everything, half = asked(nano, True), asked(tmp_path / "half", True)
    assert set(half) < set(everything) and 0.3 < len(half) / len(everything) < 0.7
    assert asked(tmp_path / "none", True) == []


def test_marks_come_one_row_per_image(tmp_path: Path) -> None:
    write_dataset(DatasetOptions("nano-crowded", "train", 6, 3, text_annotations=True), tmp_path / "text_annotations")
    rows = list(Manifest.open(tmp_path / "text_annotations"))
    assert len(rows) == 6
    for row in rows:
        assert {annotation["kind"] for annotation in row.meta["text_annotations"]} <= {"char", "word", "shape"}
        assert all(set(annotation) == {"box", "label", "kind", "other", "around"} for annotation in row.meta["text_annotations"])
        assert all(len(annotation["box"]) == 4 for annotation in row.meta["text_annotations"])
        bound = [annotation for annotation in row.meta["text_annotations"] if annotation["other"]]
        for annotation in bound:  # what belongs together says so of each other, and lies in one box
            assert (
                annotation["box"][0] >= annotation["around"][0] - 0.01 and annotation["box"][3] <= annotation["around"][3] + 0.01
            )
            mates = [other for other in bound if other["around"] == annotation["around"] and other is not annotation]
            assert annotation["kind"] == "shape" or [mate["other"] for mate in mates if mate["label"] == annotation["other"]] == [
                annotation["label"]
            ]
        assert len(bound) > 10
        assert len(row.meta["text_annotations"]) > 40


@pytest.mark.parametrize("count", [1, 4, 9])
def test_close_ups_are_asked_about_what_they_show(count: int) -> None:
    spec, seen = SPECS[f"nano-close-{count}"], Counter[str]()
    for index in range(8):
        for view in make_views(spec, "train", 2, index):
            assert len(view.images) == 1
            width, height = view.images[0].size
            assert max(width, height) <= 73 * count**0.5
            for question in view.questions:
                seen[question.kind] += 1
                assert question.kind not in ("describe",) and question.form != "describe"
                for left, top, right, bottom in question.evidence:
                    assert 0 <= left < right <= width and 0 <= top < bottom <= height
            for annotation in view.text_annotations:
                assert (
                    annotation.box[0] >= 0
                    and annotation.box[2] <= width
                    and annotation.box[1] >= 0
                    and annotation.box[3] <= height
                )
    assert seen["absent"] and seen["yes/no"] and seen["read"]
    assert bool(seen["compare"]) == (count > 1)


def test_a_mark_of_a_close_up_lies_where_its_pixels_do() -> None:
    spec = SPECS["nano-close-4"]
    page, compared = make_image(spec, "train", 2, 0), 0
    once = {
        annotation.label: annotation
        for annotation in page.text_annotations
        if sum(annotation.label == other.label for other in page.text_annotations) == 1
    }
    for view in make_views(spec, "train", 2, 0):
        for annotation in view.text_annotations:
            before = once.get(annotation.label)
            if before is not None and abs((annotation.box[2] - annotation.box[0]) - (before.box[2] - before.box[0])) < 0.01:
                assert corner(view.images[0], annotation.box) == corner(page.image, before.box)
                compared += 1
    assert compared > 10


def corner(image: Image.Image, box: tuple[float, float, float, float]) -> bytes:
    """Some pixels from the upper left corner of the box on."""
    left, top = round(box[0]), round(box[1])
    return image.crop((left, top, left + 4, top + 4)).tobytes()


def test_records_as_text_hold_their_answers(tmp_path: Path) -> None:
    write_dataset(DatasetOptions("nano-text", "test", 8, 3), tmp_path / "text")
    rows = list(Manifest.open(tmp_path / "text"))
    assert not any(row.images or row.evidence for row in rows)
    for row in rows:
        *records, question = row.messages[0].text.split("\n")
        answer = row.messages[1].text
        if row.meta["kind"] == "read":
            assert any(line.endswith(f" {answer}") for line in records[1:]), (records, question, answer)
        if row.meta["kind"] == "absent":
            assert answer == ABSENT
    assert all(len(row.messages) == 2 for row in rows)


def test_records_to_train_on_are_said_once_for_all_questions(tmp_path: Path) -> None:
    write_dataset(DatasetOptions("nano-text", "train", 5, 3), tmp_path / "text")
    rows = list(Manifest.open(tmp_path / "text"))
    assert len(rows) == 5 and all(len(row.messages) > 20 for row in rows)
    assert all("\n" not in message.text for row in rows for message in row.messages[1:])


def test_captions_say_what_the_questions_of_a_page_ask_for(tmp_path: Path) -> None:
    """One row a page: what it is, then its lines from top to bottom; evidence in their order."""
    write_dataset(DatasetOptions("nano-captions", "train", 8, 3), tmp_path / "captions")
    rows = list(Manifest.open(tmp_path / "captions"))
    assert len(rows) == 8 and all(len(row.messages) == 2 and row.images for row in rows)
    for row in rows:
        head, *lines = row.messages[1].text.split("\n")
        assert f" with {len(lines)} " in head and len(row.evidence[0]) == len(lines)
        tops = [box[1] for box in row.evidence[0]]
        tallest = max(box[3] - box[1] for box in row.evidence[0])
        assert all(below > above - tallest for above, below in pairwise(tops))
        assert max(tops) > min(tops) + tallest or len(lines) < 4


def test_images_are_jpeg_files_that_open(nano: Path) -> None:
    images = [content for name, content in files(nano).items() if name.startswith("images/")]
    assert len(images) == 40
    for content in images:
        image = Image.open(io.BytesIO(content))
        assert image.format == "JPEG" and image.mode == "RGB"
        image.load()


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"spec": "nanno"}, "spec 'nanno' is not one of: nano, .*; did you mean 'nano'"),
        ({"split": "eval"}, "split 'eval' is not one of: train, dev, test"),
        ({"n": 0}, "n is 0; give at least 1 image"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
        ({"questions": "some"}, "questions is 'some'; accepted: all, one-per-kind, or of read,next to,"),
        ({"questions": "count,"}, "questions is 'count,'; accepted: all, one-per-kind"),
        ({"questions": "count", "text_annotations": True}, "questions is 'count', and text annotations come one row per image"),
        ({"absent": 1.5}, "absent is 1.5; give the share to keep, from 0 to 1"),
        ({"absent": float("nan")}, "absent is nan; give the share to keep, from 0 to 1"),
        ({"absent": 0.5, "text_annotations": True}, "absent is 0.5, and text annotations come one row per image"),
        ({"spec": "nano-text", "text_annotations": True}, "spec 'nano-text' draws no images, so it has no text annotations"),
    ],
)
def test_a_bad_plan_is_refused(plan: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetOptions(**{"spec": "nano", "split": "train", "n": 1, "seed": 0, **plan})  # pyright: ignore[reportArgumentType]


def test_no_workers_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers is 0; give at least 1"):
        write_dataset(DatasetOptions("nano", "train", 1, 0), tmp_path / "new", workers=0)
    assert not any(tmp_path.iterdir())


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = dataset_module.make_views

    def failing(spec: object, split: str, seed: int, index: int) -> object:
        if index == 2:
            raise RuntimeError("out of ink")
        return real(spec, split, seed, index)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(dataset_module, "make_views", failing)
    with pytest.raises(RuntimeError, match="out of ink"):
        write_dataset(DatasetOptions("nano", "train", 4, 0), tmp_path / "new")
    assert not any(tmp_path.iterdir())


def test_a_folder_in_use_is_left_alone(nano: Path) -> None:
    before = files(nano)
    with pytest.raises(ValueError, match="exists and is not empty"):
        write_dataset(DatasetOptions("nano", "train", 1, 0), nano)
    assert files(nano) == before


def test_documents_train_an_ocr_head_and_are_asked_in_free_language(tmp_path: Path) -> None:
    """Rows that the patch classes can be made from, and that name their language."""
    write_dataset(DatasetOptions("documents", "train", 6, 3, text_annotations=True), tmp_path / "documents")
    rows = list(Manifest.open(tmp_path / "documents"))
    assert len(rows) == 6 and all(row.meta["language"] == "natural" for row in rows)
    kinds = Counter(annotation["kind"] for row in rows for annotation in row.meta["text_annotations"])
    assert set(kinds) == {"char", "word", "line", "key", "value"}
    classes = find_classes(rows, 3, 8, bound=True)
    assert classes.names == () and {"0", "e", "T", " "} <= set(classes.characters)
    assert all(len(row.evidence) == 1 for row in rows)


def test_the_language_of_cards_is_an_option(tmp_path: Path) -> None:
    """The same pages in other words: owners are asked for as often as values."""
    plain, natural = (
        make_views(DatasetOptions("nano", "test", 9, 3, language=language).drawn, "test", 3, 4)[0]
        for language in ("plain", "natural")
    )
    assert plain.images[0].tobytes() == natural.images[0].tobytes()
    assert {question.text for question in plain.questions}.isdisjoint(question.text for question in natural.questions)
    with pytest.raises(ValueError, match="language is 'french'; accepted: plain, natural, varied"):
        DatasetOptions("nano", "test", 1, 0, language="french")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="spec 'documents' is asked about in language natural alone"):
        DatasetOptions("documents", "test", 1, 0, language="plain")
