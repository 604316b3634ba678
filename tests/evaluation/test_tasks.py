"""Every task reads its published layout, asks what it says it asks, and scores a constant answer at its base rate."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragonfly.data import BadRow
from dragonfly.evaluation import TASKS, Settings, evaluate, find_task, load_questions, statistics
from dragonfly.evaluation.metrics import captions
from dragonfly.evaluation.metrics.short import is_closed
from dragonfly.evaluation.scoring import scores_of
from dragonfly.evaluation.tasks import render
from dragonfly.evaluation.tasks.high_resolution import HIGH_RESOLUTION
from dragonfly.evaluation.tasks.layouts import DISCIPLINES
from dragonfly.imaging import load_image
from tests.conftest import SHARED

from .fakes import RuleEngine, RuleJudge, sound
from .layouts import LAYOUTS, Layout, base64, lines, mme_rows, parquet

NAMES = [f"{layout.task}-{number}" for number, layout in enumerate(LAYOUTS)]
LARGE = {task.name for task in HIGH_RESOLUTION}
WITH_TEXT = {"scienceqa", "hallusion_bench_judge"}  # some of their questions have no image


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are tested elsewhere and take most of the time."""
    monkeypatch.setattr(statistics, "RESAMPLES", 10)


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Captions scored without the Java programs: PTB leaves texts as they are and METEOR gives nothing."""
    monkeypatch.setattr(captions, "_ptb", lambda texts: texts)
    monkeypatch.setattr(captions, "_meteor", lambda labels, _: (0.0, [0.0] * len(labels), np.zeros((len(labels), 23))))
    monkeypatch.setattr(captions, "require_captions", lambda **_: None)
    captions._cached_scores.cache_clear()
    yield
    captions._cached_scores.cache_clear()


def test_every_task_has_a_layout_and_says_where_it_comes_from() -> None:
    assert {layout.task for layout in LAYOUTS} == set(TASKS)
    for name, task in TASKS.items():
        assert task.name == name and task.source and task.split and task.metrics
        assert task.citation and task.licence and task.parsing and task.paper
        assert bool(task.hub) == bool(task.hub_files)
        assert len({metric.name for metric in task.metrics}) == len(task.metrics)


@pytest.mark.parametrize("layout", LAYOUTS, ids=NAMES)
def test_the_layout_is_read(layout: Layout, tmp_path: Path) -> None:
    layout.write(tmp_path)
    task = TASKS[layout.task]
    questions = sound(task.read(tmp_path))
    assert len(questions) == layout.count == len({question.id for question in questions})
    for question in questions:
        assert (question.images or layout.task in WITH_TEXT) and question.group and question.answers
        width = 4096 if layout.task in LARGE else pytest.approx(14, abs=2)
        assert [load_image(image).image.width for image in question.images] == [width] * len(question.images)
        assert render(task.prompt, question)
    assert [question.id for question in sound(task.read(tmp_path))] == [question.id for question in questions]


@pytest.mark.parametrize("layout", LAYOUTS, ids=NAMES)
def test_the_folder_may_hold_one_folder_per_task(layout: Layout, tmp_path: Path) -> None:
    folder = TASKS[layout.task].folder or layout.task
    (tmp_path / folder).mkdir()
    layout.write(tmp_path / folder)
    assert len(sound(TASKS[layout.task].read(tmp_path))) == layout.count
    with pytest.raises(ValueError, match=f"task '{folder}': none of .*; see --data"):
        list(TASKS[layout.task].read(Path(__file__).parent))


@pytest.mark.parametrize("layout", LAYOUTS, ids=NAMES)
def test_a_constant_answer_scores_its_base_rate_and_a_broken_image_lowers_it(
    layout: Layout, tmp_path: Path, without_java: None
) -> None:
    layout.write(tmp_path / "data")
    found, engine = run_layout(layout, tmp_path)
    assert found["broken"] == [] and engine.asked == layout.count
    for metric, value in layout.expected.items():
        assert found["scores"][metric]["value"] == pytest.approx(value, abs=1e-6), metric
    broken = next(question.id for question in sound(TASKS[layout.task].read(tmp_path / "data")) if question.images)
    worse, _ = run_layout(layout, tmp_path, broken=broken)
    assert [row["id"] for row in worse["broken"]] == [broken]
    for metric, value in worse["scores"].items():
        assert value["value"] <= found["scores"][metric]["value"] and value["n"] == found["scores"][metric]["n"], metric


def run_layout(layout: Layout, folder: Path, broken: str | None = None) -> tuple[dict, RuleEngine]:
    settings = Settings(tasks=(layout.task,), data=str(folder / "data"), with_baselines=False)
    (one,) = load_questions(settings)
    questions = one.questions
    changed = [replace(question, images=(b"nothing",)) if question.id == broken else question for question in questions]
    engine = RuleEngine(lambda _: layout.reply)
    judge: Any = RuleJudge(layout.judge) if layout.judge else None
    scores = evaluate(engine, {}, settings, [replace(one, questions=changed)], folder / f"out-{broken}", judge=judge)
    return scores["tasks"][layout.task], engine


def prompt_of(task: str, folder: Path, number: int = 0) -> str:
    next(layout for layout in LAYOUTS if layout.task == task).write(folder)
    return render(TASKS[task].prompt, sound(TASKS[task].read(folder))[number])


def test_prompts_are_those_of_the_harnesses(tmp_path: Path) -> None:
    letter = "Answer with the option's letter from the given choices directly."
    assert prompt_of("ai2d", tmp_path / "a") == f"q0\nA. w\nB. x\nC. y\nD. z\n{letter}"
    assert prompt_of("scienceqa_img", tmp_path / "s") == f"Context: Look.\nq0\nA. x\nB. y\n{letter}"
    assert prompt_of("mmmu_val", tmp_path / "m") == f"<image 1> q0\n\n(A) $1\n(B) $2\n\n{letter}"
    short = "Answer the question using a single word or phrase."
    assert prompt_of("mmmu_val", tmp_path / "m", 4) == f"<image 1> q4\n\n{short}"
    assert prompt_of("mmmu_val_lmms_eval", tmp_path / "m") == f"<image 1> q0\nA. $1\nB. $2\n\n{letter}"
    assert prompt_of("textvqa", tmp_path / "t") == f"What is it?\n{short}"
    assert prompt_of("textvqa_ocr", tmp_path / "t") == f"What is it?\nReference OCR token: STOP, 0\n{short}"
    choose = "Please select the correct answer from the options above."
    assert prompt_of("ai2d_vlmevalkit", tmp_path / "a") == f"Question: q0\nOptions:\nA. w\nB. x\nC. y\nD. z\n{choose}"
    assert prompt_of("mmvet", tmp_path / "v") == "q0"
    assert prompt_of("mmvet_lmms_eval", tmp_path / "v").endswith("best answer to the following question: \n\nq0")
    assert prompt_of("coco_karpathy_test", tmp_path / "k") == "Describe the image briefly."


def test_prompts_of_high_resolution_are_those_of_the_harnesses(tmp_path: Path) -> None:
    letter = "Answer with the option's letter from the given choices directly."
    asked = "What is the colour of thing 0?\n(A) red\n(B) green\n(C) blue\n(D) black\n"
    assert prompt_of("vstar", tmp_path / "v") == asked + letter
    assert prompt_of("hr_bench_4k", tmp_path / "h", 3) == (
        "What is printed?\nA. east 0\nB. south 0\nC. west 0\nD. north 0\nAnswer the option letter directly."
    )
    listed = "(A) 13\n(B) 90\n(C) 77\n(D) 6\n(E) The image does not feature the number.\n"
    assert prompt_of("mme_realworld", tmp_path / "m") == (
        f"How many are there, 0? The choices are listed below:\n{listed}Select the best answer to the above multiple-choice "
        "question based on the image. Respond with only the letter (A, B, C, D, or E) of the correct option.\n"
        "The best answer is:"
    )


def test_vstar_of_its_authors_has_the_boxes_and_every_form_its_categories(tmp_path: Path) -> None:
    read = {}
    for number, layout in enumerate(layout for layout in LAYOUTS if layout.task == "vstar"):
        layout.write(tmp_path / str(number))
        read[number] = sound(TASKS["vstar"].read(tmp_path / str(number)))
    hub, folder = read[0], read[1]
    assert [question.evidence for question in hub] == [()] * 5  # the parquet file does not have them
    assert [question.evidence[0] for question in folder] == [(100 * n, 100, 100 * n + 80, 140) for n in range(5)]
    assert folder[3].evidence[1] == (5, 6, 12, 14)
    for one, other in zip(hub, folder, strict=True):
        assert (one.id, one.text, one.answers, one.options) == (other.id, other.text, other.answers, other.options)
        assert set(one.meta) == {"question_id", "category"}
    assert [len(question.options) for question in hub] == [4, 4, 4, 2, 2]


def test_the_orders_of_a_question_are_one_question_and_its_image_is_held_once(tmp_path: Path) -> None:
    next(layout for layout in LAYOUTS if layout.task == "hr_bench_4k").write(tmp_path)
    questions = sound(TASKS["hr_bench_4k"].read(tmp_path))
    items = [question.meta["item"] for question in questions]
    assert len(set(items)) == 3 and items == items[:3] * 4
    assert len({question.group for question in questions}) == 2  # the unit of an interval is the image
    assert len({id(question.images[0]) for question in questions}) == 2
    assert set(questions[0].meta) == {"index", "category", "cycle_category", "item"}


@pytest.mark.parametrize(
    ("replies", "mean", "all_orders"),
    [
        (["A", "D", "C", "B"], 1.0, 1.0),  # `north` moves to the front from behind as the options turn
        (["A", "D", "C", "C"], 0.75, 0.0),  # one order wrong: three quarters of the mean, nothing of the other
        (["(A)", "D.", "The answer is C", "b"], 0.75, 0.0),  # a small letter names no option
    ],
)
def test_a_question_counts_by_its_orders_and_apart_by_all_of_them(
    replies: list[str], mean: float, all_orders: float, tmp_path: Path
) -> None:
    next(layout for layout in LAYOUTS if layout.task == "hr_bench_4k").write(tmp_path)
    questions = sound(TASKS["hr_bench_4k"].read(tmp_path))
    told = [replies[place // 3] for place in range(12)]
    scores = scores_of(TASKS["hr_bench_4k"].metrics, questions, told)
    assert scores["accuracy_vlmevalkit"]["value"] == mean and scores["accuracy_vlmevalkit"]["n"] == 12
    assert scores["all_orders_right"]["value"] == all_orders and scores["all_orders_right"]["n"] == 3


def test_categories_of_mme_realworld_are_those_of_the_official_code(tmp_path: Path) -> None:
    for number, layout in enumerate(layout for layout in LAYOUTS if layout.task == "mme_realworld"):
        layout.write(tmp_path / str(number))
        questions = sound(TASKS["mme_realworld"].read(tmp_path / str(number)))
        told = [tuple(question.meta[key] for key in ("task", "subtask", "category")) for question in questions]
        assert told == [
            ("Perception", "OCR with Complex Context", "text"),
            ("Reasoning", "Monitoring", "vehicle/attribute"),
            ("Perception", "Remote Sensing", "count"),
            ("Perception", "Monitoring", "person/counting"),
        ]
        assert not any(len(str(value)) > 60 for question in questions for value in question.meta.values())  # no image among them
        assert questions[1].options[4] == "The image does not feature the number."


def test_an_image_that_is_no_base64_is_a_bad_row(tmp_path: Path) -> None:
    rows = [{**row, "bytes": "!" if n == 1 else base64(n)} for n, row in enumerate(mme_rows())]
    parquet(tmp_path, "data/train-00000-of-00001.parquet", rows)
    bad = [row for row in TASKS["mme_realworld"].read(tmp_path) if isinstance(row, BadRow)]
    assert [(row.row, row.reason) for row in bad] == [(1, "broken-image")]


def test_a_random_option_is_a_baseline_where_every_question_has_options(tmp_path: Path) -> None:
    next(layout for layout in LAYOUTS if layout.task == "vstar").write(tmp_path / "data")
    settings = Settings(tasks=("vstar",), data=str(tmp_path / "data"))
    found = evaluate(RuleEngine(lambda _: "A"), {}, settings, load_questions(settings), tmp_path / "out")["tasks"]["vstar"]
    assert list(found["baselines"]) == ["majority", "random", "blind", "shuffled_image"]
    assert found["baselines"]["random"]["scores"]["accuracy_lmms_eval"]["n"] == 5
    assert set(found["breakdown"]["category"]) == {"direct_attributes", "relative_position"}


def test_images_and_references_belong_together(tmp_path: Path) -> None:
    next(layout for layout in LAYOUTS if layout.task == "coco2017_val").write(tmp_path)
    for question in sound(TASKS["coco2017_val"].read(tmp_path)):
        number = int(question.id)
        assert question.images == (str(tmp_path / "val2017" / f"{number:012}.jpg"),)
        assert question.answers == tuple(f"caption {k} of {number}" for k in range(5))


def test_images_of_one_patient_are_one_unit(tmp_path: Path) -> None:
    next(layout for layout in LAYOUTS if layout.task == "cxr").write(tmp_path)
    rows = [{"image": f"images/{n}.png", "patient": str(n // 2)} for n in range(4)]
    (tmp_path / "dev" / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    groups = [question.group for question in sound(TASKS["cxr"].read(tmp_path))]
    assert groups == ["patient 0", "patient 0", "patient 1", "patient 1", "4.png"]


def test_mmmu_subjects_belong_to_six_disciplines(tmp_path: Path) -> None:
    assert (len(DISCIPLINES), len(set(DISCIPLINES.values()))) == (30, 6)
    next(layout for layout in LAYOUTS if layout.task == "mmmu_val").write(tmp_path)
    question = sound(TASKS["mmmu_val"].read(tmp_path))[0]
    assert (question.meta["subject"], question.meta["discipline"]) == ("Art", "Art and Design")
    assert len(question.images) == 2


def test_a_line_without_a_caption_is_named(tmp_path: Path) -> None:
    lines("test_images.tsv", "peir_gross_images")(tmp_path)
    with (tmp_path / "test_images.tsv").open("a") as file:
        file.write("P9.jpg\n")
    with pytest.raises(ValueError, match=r"test_images.tsv, line 6: expected an image's name"):
        sound(TASKS["peir_gross"].read(tmp_path))


def test_the_train_split_gives_the_majority_answer(tmp_path: Path) -> None:
    layout = next(layout for layout in LAYOUTS if layout.task == "path_vqa")
    layout.write(tmp_path / "data")
    settings = Settings(tasks=("path_vqa",), data=str(tmp_path / "data"))
    found = evaluate(RuleEngine(), {}, settings, load_questions(settings), tmp_path / "out")["tasks"]["path_vqa"]
    majority = found["baselines"]["majority"]
    assert (majority["answer"], majority["origin"]) == ("lung", "train split")
    assert majority["scores"]["exact_match"]["value"] == 0.0


def test_an_unknown_task_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'pop' is not one of: .*did you mean 'pope'"):
        find_task("pop")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="no Java")
@pytest.mark.parametrize("name", ["coco2017_val", "iu_xray"])
def test_captions_are_scored_in_a_run(name: str, tmp_path: Path) -> None:
    next(layout for layout in LAYOUTS if layout.task == name).write(tmp_path / "data")
    settings = Settings(tasks=(name,), data=str(tmp_path / "data"), with_baselines=False)
    engine = RuleEngine(lambda _: "the lungs are clear 2 .")
    scores = evaluate(engine, {}, settings, load_questions(settings), tmp_path / "out")["tasks"][name]["scores"]
    suffix, other = ("_without_ptb", "") if name == "iu_xray" else ("", "_without_ptb")
    first = [f"{metric}{suffix}" for metric in ("cider_d", "rouge_l", "meteor", "bleu_1", "bleu_4")]
    assert list(scores) == [*first, *(f"{metric}{other}" for metric in ("cider_d", "rouge_l", "bleu_1", "bleu_4"))]
    assert all(scores[f"{metric}{suffix}"]["low"] is not None for metric in ("meteor", "rouge_l", "bleu_4"))
    if suffix:
        # four of five references differ in one of six words, one is equal: longest common 5 of 6, 5 of 6, ..., 6 of 6
        assert scores["rouge_l_without_ptb"]["value"] == pytest.approx((4 * 5 / 6 + 1) / 5, abs=1e-6)
        assert scores["bleu_1_without_ptb"]["value"] == pytest.approx((4 * 5 + 6) / 30, abs=1e-6)


REAL = [
    # (task, folder, question count, the constant, its exact matches counted from the file)
    ("vqa_rad", "vqa_rad", 240, "no", 80),
    ("chartqa", "chartqa_test_sample", 250, "yes", 6),
    ("sroie", "sroie_receipts_sample", 88, "9.00", None),
    ("cxr", "cxr_sample", 344, "no", 139),
]


@pytest.mark.parametrize(("task", "folder", "count", "reply", "hits"), REAL, ids=[row[0] for row in REAL])
def test_real_samples(task: str, folder: str, count: int, reply: str, hits: int | None, tmp_path: Path) -> None:
    if not (SHARED / "realdata" / folder).is_dir():
        pytest.skip("the real sample is not here")
    settings = Settings(tasks=(task,), data=str(SHARED / "realdata" / folder), with_baselines=False)
    work = load_questions(settings)
    assert len(work[0].questions) == count
    if hits is not None:

        class Blind(RuleEngine):
            def ask_batch(self, rows, *, batch_size, **options):
                return super().ask_batch([type(row)((), row.question) for row in rows], batch_size=batch_size)

        found = evaluate(Blind(lambda _: reply), {}, settings, work, tmp_path / "out")["tasks"][task]
        assert found["scores"]["exact_match"]["value"] == pytest.approx(hits / count, abs=1e-6)


PUBLISHED = [
    # (task, folder of the published file, questions, clusters); images are not needed to count
    ("slake", "slake", 1061, None),
    ("hallusion_bench", "hallusionbench", 951, None),
    ("hallusion_bench_judge", "hallusionbench", 1129, None),
    ("pope", "pope", 9000, 500),
]


@pytest.mark.parametrize(("task", "folder", "count", "images"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_parity_counts_of_published_files(task: str, folder: str, count: int, images: int | None) -> None:
    path = SHARED / "realdata" / "metric_parity" / folder
    if not path.is_dir():
        pytest.skip("the published file is not here")
    questions = sound(TASKS[task].read(path))
    assert len(questions) == count == len({question.id for question in questions})
    if task == "slake":
        assert sum(map(is_closed, questions)) == 416
    if task == "hallusion_bench":  # the paper: 346 figures, 455 control pairs
        keys = ("category", "subcategory", "set_id")
        for last, expected in (("figure_id", 346), ("question_id", 455)):
            assert len({tuple(question.meta[key] for key in (*keys, last)) for question in questions}) == expected
    if images:
        assert len({question.group for question in questions}) == images
