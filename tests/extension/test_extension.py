"""What users add meets what is there: a policy, a tower, an objective and a task of their own, from training to a score."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from dragonfly.__main__ import main
from dragonfly.evaluation.tasks import TASKS
from dragonfly.inference import load
from dragonfly.models import DragonflyConfig
from dragonfly.training import Recipe, run
from dragonfly.vision.scoring import SCORES, add_policy
from dragonfly.vision.selection_spec import NEEDS
from tests import tiny
from tests.training import small

MODULES = ("objective", "policy", "task", "tower")
DOCUMENT = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture(scope="module", autouse=True)
def _taken_away_again() -> Iterator[None]:
    """Other tests look at all policies and tasks: what the package adds is gone after this module."""
    known: list[dict[str, Any]] = [NEEDS, SCORES, TASKS]
    before = [(entries, dict(entries)) for entries in known]
    for name in MODULES:
        import_module(f"tests.extension.{name}")
    yield
    for entries, own in before:
        entries.clear()
        entries.update(own)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model with the tower and the policy, and rows."""
    from tests.extension import tower

    folder = tmp_path_factory.mktemp("extension")
    spec = tiny.config().spec.with_changes(num_prefix_tokens=0).with_selection(policy="loudest", keep=2)
    settings = DragonflyConfig(
        vision_config=tower.ConvTowerConfig(),
        text_config=tiny.config().text_config,
        encoder=spec.to_dict(),
        vision_feature_layer=-1,
        image_token_id=tiny.SPECIAL.index("<image>"),
        separator_token_id=tiny.SPECIAL.index("<separator>"),
    )
    tiny.model(settings).save_pretrained(folder / "base")
    tiny.processor(settings).save_pretrained(folder / "base")
    small.rows(folder / "data")
    return folder


def recipe(folder: Path, weight: float) -> Recipe:
    from tests.extension import objective

    values = small.values(folder, objective={"name": "quiet", "weight": weight}, steps=2, output=str(folder / f"out-{weight}"))
    return Recipe.load(None, base=values, hooks=objective.HOOKS)


def test_the_policy_keeps_what_it_says(folder: Path) -> None:
    engine = load(folder / "base", device="cpu")
    image = tiny.image()
    inputs = engine.processor.image_processor([image], return_tensors="pt")
    model: Any = engine.model.model
    with torch.no_grad():
        tokens = model.multi_modal_projector(model.encode(inputs["pixel_values"][0]))[5:]  # after 1 low and 4 mid
    loudness = tokens.norm(dim=-1).amax(dim=-1)
    regions = torch.tensor(inputs["layouts"][0].regions)
    best = [
        int(index)
        for region in range(4)
        for index in (regions == region).nonzero()[:, 0][loudness[regions == region].topk(2).indices]
    ]
    kept = [item.index for item in engine.ask(image, "what?", max_new_tokens=1).selections[0] if item.kept]
    assert kept == sorted(best)


def test_an_override_and_a_typing_slip_know_it(folder: Path) -> None:
    engine = load(folder / "base", device="cpu", overrides=["model.selection.policy=loudest", "model.selection.keep=1"])
    assert engine.model.config.spec.selection.keep == 1
    with pytest.raises(ValueError, match=r"'loudst' is not one of: .*did you mean 'loudest'"):
        load(folder / "base", device="cpu", overrides=["model.selection.policy=loudst"])
    with pytest.raises(ValueError, match="there is a policy 'loudest' already"):
        add_policy("loudest", "tokens", SCORES["detail"])


def test_the_objective_trains_and_the_model_loads_and_answers_a_task(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, quiet = run(recipe(folder, 0.0)), run(recipe(folder, 10.0))
    assert small.losses(quiet)[0] > small.losses(plain)[0]
    norms = [load(out, device="cpu").encode([tiny.image()])[0].tokens for out in (plain, quiet)]
    assert norms[1].square().mean() < norms[0].square().mean()  # pyright: ignore[reportOptionalMemberAccess]
    (folder / "colours.csv").write_text("0.png,What colour?,red\n1.png,What colour?,blue\n", encoding="utf-8")
    for number in range(2):
        tiny.image(seed=number).save(folder / f"{number}.png")
    command = ["eval", "--model", str(quiet), "--tasks", "colours", "--data", str(folder), "--out", str(folder / "run")]
    assert main([*command, "--max-new-tokens", "2", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["tasks"]["colours"]
    assert scores["questions"] == 2 and set(scores["baselines"]) >= {"majority", "blind"}


def test_another_recipe_does_not_know_the_objective(folder: Path) -> None:
    with pytest.raises(ValueError, match="quiet"):
        Recipe.load(None, base=small.values(folder, objective="quiet"))


def test_the_document_shows_this_package() -> None:
    """Every block of docs/extending.md that names a file is that file, from its imports on."""
    text = DOCUMENT.read_text(encoding="utf-8")
    shown = dict(re.findall(r"`(tests/extension/\w+\.py)`:\n\n```python\n(.*?)```", text, flags=re.DOTALL))
    assert set(shown) == {f"tests/extension/{name}.py" for name in MODULES}
    for name, block in shown.items():
        source = (DOCUMENT.parents[1] / name).read_text(encoding="utf-8")
        assert block.strip() == source.partition('"""\n')[2].strip(), name
