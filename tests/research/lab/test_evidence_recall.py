from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragonfly.inference import Engine, load
from dragonfly.research.lab import evidence_recall as lab
from dragonfly.vision.selection_spec import NEEDS
from tests import tiny
from tests.research.lab import small


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(tiny.model(), tiny.processor())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images: one question in cell (1, 0), one in (0, 1), one in both (0, 0) and (1, 1)."""
    folder = tmp_path_factory.mktemp("data")
    a = small.sample(folder, "a", [("One?", "1", [small.cell(1, 0)]), ("Two?", "2", [small.cell(0, 1)])], seed=1, kind="near")
    b = small.sample(folder, "b", [("Both?", "3", [small.cell(0, 0), small.cell(1, 1)])], seed=2, kind="far")
    return small.manifest(folder / "m", [a, b])


@pytest.fixture(scope="module")
def found(engine: Engine, data: Path) -> dict[str, Any]:
    return lab.recall(engine, data, keep=(1, 3), by=("kind",))


def values(found: dict[str, Any], keep: int) -> dict[str, float]:
    return {policy: score["recall"]["value"] for policy, score in found["recall"][str(keep)].items()}


def test_recall_is_what_one_counts_by_hand(engine: Engine, data: Path, monkeypatch: pytest.MonkeyPatch):
    # Cells (1, 0), then (0, 1), (1, 0), (1, 2) of the first region; and what a question-aware rule could keep of the others.
    kept = {1: (6,), 3: (1, 6, 8)}
    monkeypatch.setattr(lab.Chooser, "kept", lambda self, question, policy, keep: kept[keep])
    found = lab.recall(engine, data, policies=["detail"], keep=(1, 3))
    assert values(found, 1)["detail"] == pytest.approx(1 / 3, abs=1e-6)
    assert values(found, 3)["detail"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["recall"]["3"]["detail"]["area"]["value"] == pytest.approx(2 / 3, abs=1e-6)


def test_chance_and_oracle_stand_beside(found: dict[str, Any]):
    assert values(found, 1)[lab.EXACT] == pytest.approx((1 / 6 + 1 / 6 + 0) / 3, abs=1e-6)
    assert values(found, 3)[lab.EXACT] == pytest.approx((1 / 2 + 1 / 2 + 4 / 20) / 3, abs=1e-6)
    assert values(found, 1)["oracle"] == pytest.approx(2 / 3, abs=1e-6)  # one kept cannot hold two places of one region
    assert values(found, 3)["oracle"] == 1.0


def test_every_policy_is_there_with_random_and_oracle(found: dict[str, Any]):
    assert set(values(found, 3)) == {lab.EXACT, *(policy for policy, need in NEEDS.items() if need != "question")} - {"all"}
    assert lab.check_policies(["detail"]) == [policy for policy in NEEDS if policy in ("random", "oracle", "detail")]


def test_scores_have_intervals_over_images(found: dict[str, Any]):
    score = found["recall"]["1"]["oracle"]["recall"]
    assert (score["low"], score["high"]) == (0.0, 1.0)  # both draws the second image, whose question is missed, or the first
    assert found["data"]["images"] == 2
    assert found["by"]["kind"]["far"]["1"]["oracle"]["recall"] == {"value": 0.0, "low": None, "high": None}


def test_policies_choose_as_the_served_model_does(engine: Engine, data: Path, found: dict[str, Any], tmp_path: Path):
    engine.model.save_pretrained(tmp_path)
    engine.processor.save_pretrained(tmp_path)
    served = load(tmp_path, device="cpu", overrides=["model.selection.policy=detail", "model.selection.keep=3"])
    question = lab.read_located(data)[0]
    kept = tuple(item.index for item in served.encode([question.image])[0].selection if item.kept)
    specs = {3: engine.model.config.spec.changed({"selection": {"policy": "random", "keep": 3}})}
    chooser = lab.Chooser(engine, specs)
    chooser.open(question)
    assert chooser.kept(question, "detail", 3) == kept


def test_an_image_is_loaded_once_for_all_its_questions(engine: Engine, data: Path, monkeypatch: pytest.MonkeyPatch):
    loaded: list[Any] = []
    load_image = lab.load_image
    monkeypatch.setattr(lab, "load_image", lambda source, policy: loaded.append(source) or load_image(source, policy))
    lab.recall(engine, data, policies=["detail"], keep=(1, 3))
    assert len(loaded) == 2  # of three questions


def test_the_model_is_left_as_it_was(engine: Engine, found: dict[str, Any]):
    assert found["mean_embedding"] == "2 of these images"
    assert not hasattr(engine.model.model, "mean_embedding")
    assert engine.model.model.spec == engine.model.config.spec == engine.processor.image_processor.spec
    assert engine.model.config.spec.selection.policy == "similarity"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policies": ["details"]}, r"policy 'details' is not one of: .*; did you mean 'detail'\?"),
        ({"keep": (7,)}, "selection.keep 7 is more than the 6 of each region"),
        ({"keep": (0,)}, "selection.keep must be at least 1"),
        ({"by": ("colour",)}, "no question has the meta key 'colour'; known: kind"),
    ],
)
def test_faults_are_said(engine: Engine, data: Path, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        lab.recall(engine, data, **{"keep": (1,), "policies": ["uniform"], **options})


def test_a_model_without_high_level_is_refused(data: Path):
    settings = tiny.config("baseline-1")
    with pytest.raises(ValueError, match="has no high level, so there is nothing to select"):
        lab.recall(Engine(tiny.model(settings), tiny.processor(settings)), data)


def test_images_of_different_sizes_have_different_numbers_to_keep_from(tmp_path: Path) -> None:
    """Of a grid that follows the pixels: tiny's sub-images have 32, so 24 of a small image and 80 of a larger one."""
    engine = Engine(tiny.model(settings := tiny.config("v1-any")), tiny.processor(settings))
    rows = [small.sample(tmp_path, name, [("One?", "1", [small.cell(1, 0)])], seed=1) for name in ("a", "b")]
    tiny.image(300, 200).save(tmp_path / "b.png")
    found = lab.recall(engine, small.manifest(tmp_path / "m", rows), policies=["residual", "detail"], keep=(12,))
    assert found["high"] == [24, 80]
    assert values(found, 12)["oracle"] == 1.0
    assert values(found, 12)[lab.EXACT] == pytest.approx((12 / 24 + 12 / 80) / 2, abs=1e-6)
