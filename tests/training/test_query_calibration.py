"""The query projection learned from evidence: it finds a relation that is there under what all share, and changes
nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dragonfly.cli import run
from dragonfly.inference import load
from dragonfly.models.query_projection import PatchQuery, QueryProjection
from dragonfly.training.query_calibration import Asked, _recall, learn_query_projection, read_located
from dragonfly.training.query_fitting import PatchViews, WholeViews
from dragonfly.vision.scoring import patch_scores
from dragonfly.vision.selection_spec import patch_query_size
from tests.training import small

HIGH, HIDDEN = 12, 16
POSITIONS = torch.tensor([[row, column] for row in range(HIGH // 2) for column in (0, 1)])


def views_of(images: torch.Tensor, *, in_rows: bool = False) -> WholeViews:
    """Images of sub-images with one token each."""
    views = WholeViews(in_rows)
    for high in images:
        views.add(high.unsqueeze(1), POSITIONS)
    return views


def hidden_relation(images: int, loud: float = 30.0) -> tuple[WholeViews, Asked]:
    """Each sub-image shows one of ten things, turned and under a component that all share; a question asks for one thing."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(10, HIDDEN, generator=generator)
    turn = torch.linalg.qr(torch.randn(HIDDEN, HIDDEN, generator=generator))[0]
    shown = torch.stack([torch.randperm(HIGH, generator=generator) for _ in range(images)])  # 10 and 11 are blanks
    things = torch.cat([words @ turn, torch.zeros(2, HIDDEN)])
    blank = torch.randn(HIDDEN, generator=generator)
    strength = torch.rand(images, HIGH, 1, generator=generator)
    high = things[shown] + loud * strength * blank
    asked = torch.randint(10, (images, 6), generator=generator)
    places = shown[:, None, :] == asked[:, :, None]
    image = torch.arange(images).repeat_interleave(6)
    return views_of(high), Asked(words[asked].flatten(0, 1), image, places.flatten(0, 1).float() * 7.0, places.flatten(0, 1))


def test_it_finds_what_a_question_asks_for_under_a_loud_common_component() -> None:
    views, asked = hidden_relation(400)
    chosen = asked.image < 300
    assert _recall(QueryProjection(HIDDEN), views, asked, ~chosen, keep=1) < 0.3  # chance is one of twelve
    learned, again = (views.fit(asked.words, asked.image, asked.areas, chosen, steps=400, batch=128, seed=0) for _ in range(2))
    assert _recall(learned, views, asked, ~chosen, keep=1) > 0.95
    assert torch.equal(learned.weight, again.weight)


def test_in_context_it_finds_what_stands_beside_what_a_question_names() -> None:
    """Values look alike: only the key in the other sub-image of its row tells which one is asked for."""
    generator = torch.Generator().manual_seed(0)
    images, rows = 300, HIGH // 2
    words = torch.randn(rows, HIDDEN, generator=generator)
    order = torch.stack([torch.randperm(rows, generator=generator) for _ in range(images)])
    high = torch.stack([words[order], torch.randn(HIDDEN, generator=generator).expand(images, rows, HIDDEN)], dim=2).flatten(1, 2)
    image = torch.arange(images).repeat_interleave(rows)
    value = (order.argsort(dim=1) * 2 + 1).flatten()  # of every word in turn, the sub-image to its right
    places = torch.nn.functional.one_hot(value, HIGH).bool()
    asked = Asked(words.repeat(images, 1), image, places.float(), places)
    learned = asked.image < 200
    recalls = []
    for views in (views_of(high), views_of(high, in_rows=True)):
        query_projection = views.fit(asked.words, asked.image, asked.areas, learned, steps=300, batch=128, seed=0)
        recalls.append(_recall(query_projection, views, asked, ~learned, keep=1))
    assert recalls[0] < 0.35 and recalls[1] > 0.95  # one of six values by chance


def crowded(images: int, patches: int = 12) -> tuple[PatchViews, list[torch.Tensor], Asked]:
    """Each sub-image shows a crowd of things, each turned and in one patch, so that their mean says little; one is asked for."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(HIGH * patches, HIDDEN, generator=generator)
    turn = torch.linalg.qr(torch.randn(HIDDEN, HIDDEN, generator=generator))[0]
    shown = torch.stack([torch.randperm(HIGH * patches, generator=generator) for _ in range(images)])
    views, drawn = PatchViews(), [2 * (words @ turn)[one].unflatten(0, (HIGH, patches)) + 5 for one in shown]
    for high in drawn:
        views.add(high, POSITIONS)
    asked = torch.randint(HIGH * patches, (images, 20), generator=generator)
    where = shown.argsort(dim=1).gather(1, asked) // patches
    places = torch.nn.functional.one_hot(where, HIGH).bool().flatten(0, 1)
    image = torch.arange(images).repeat_interleave(20)
    return views, drawn, Asked(words[asked].flatten(0, 1), image, places.float(), places)


def test_among_patches_it_finds_one_of_many_things_that_a_sub_image_shows() -> None:
    views, drawn, asked = crowded(120)
    chosen = asked.image < 100
    whole = WholeViews(in_rows=False)
    for high in drawn:
        whole.add(high, POSITIONS)
    network = views.fit(asked.words, asked.image, asked.areas, chosen, passes=24)
    found = _recall(network, views, asked, ~chosen, keep=1)
    blind = _recall(whole.fit(asked.words, asked.image, asked.areas, chosen), whole, asked, ~chosen, keep=1)
    assert found > 0.9 and blind < 0.7


def test_what_is_learned_between_whitened_patches_holds_for_patches_as_they_are() -> None:
    views, drawn, asked = crowded(40)
    network, again = (views.fit(asked.words, asked.image, asked.areas, asked.image >= 0, passes=6) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), again.parameters(), strict=True))
    index = (asked.image == 7).nonzero()[:, 0]
    with torch.no_grad():
        wanted = network(asked.words[index])
        own = patch_scores(wanted, drawn[7].expand(len(index), -1, -1, -1), POSITIONS.expand(len(index), -1, -1))
        held = views.scores(wanted, asked.image[index])
    shift = (own - held).mean(dim=1, keepdim=True)  # what all patches share changes no ranking
    torch.testing.assert_close(own, held + shift, atol=0.02, rtol=0.0)  # patches are held in half precision
    assert (own - own.mean(dim=1, keepdim=True)).abs().max() > 0.5


def test_a_new_patch_query_is_the_same_at_every_start_and_says_that_it_is_new() -> None:
    one, other = (PatchQuery(HIDDEN, patch_query_size(HIDDEN)) for _ in range(2))
    assert not one.learned() and not one.bfloat16().learned()
    assert torch.equal(one.float().weights[2].bfloat16(), other.weights[2].bfloat16())
    other.biases[0].data += 1
    assert other.learned()


def test_recall_wants_all_of_the_evidence() -> None:
    views, asked = hidden_relation(40, loud=0.0)
    asked.places[:, 0] = True  # a second place, which the score does not know of
    every = asked.image >= 0
    query_projection = QueryProjection(HIDDEN)
    assert _recall(query_projection, views, asked, every, keep=HIGH) == 1.0
    both = asked.places.sum(dim=1) == 2
    assert _recall(query_projection, views, asked, every & both, keep=1) == 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("map")
    small.checkpoint(folder / "base")
    assert run(["synth", "--spec", "nano", "--split", "train", "--n", "20", "--seed", "1", "-o", str(folder / "data")]) == 0
    return folder


QUESTION = ["model.selection.policy=question", "model.selection.scope=image", "model.selection.keep=2"]


@pytest.mark.slow
@pytest.mark.parametrize("context", ["none", "patches"])
def test_the_command_changes_the_map_alone(folder: Path, capsys: pytest.CaptureFixture[str], context: str) -> None:
    sets = [word for override in (*QUESTION, f"model.selection.context={context}") for word in ("--set", override)]
    target = folder / f"asked-{context}"
    assert run(["lab", "calibrate", str(folder / "base"), str(folder / "data"), *sets, "-o", str(target)]) == 0
    assert "on 20 images" in capsys.readouterr().out
    model: Any = load(target, device="cpu").model
    assert model.config.spec.selection.policy == "question" and model.config.spec.selection.keep == 2
    assert model.model.query_projection.learned()
    first = load(folder / "base", device="cpu").model.state_dict()
    now = {name: tensor for name, tensor in model.state_dict().items() if "query_projection" not in name}
    assert now.keys() == first.keys() and all(torch.equal(tensor, first[name]) for name, tensor in now.items())


@pytest.mark.slow
def test_a_model_learns_to_choose_in_another_context_than_before(folder: Path) -> None:
    base, data = str(folder / "base"), str(folder / "data")
    for source, context in ((base, "row"), (str(folder / "in-row"), "patches")):
        sets = [word for override in (*QUESTION, f"model.selection.context={context}") for word in ("--set", override)]
        assert run(["lab", "calibrate", source, data, *sets, "-o", str(folder / f"in-{context}")]) == 0
    model: Any = load(folder / "in-patches", device="cpu").model
    assert model.config.spec.selection.context == "patches"
    assert isinstance(model.model.query_projection, PatchQuery) and model.model.query_projection.learned()


def test_too_few_images_are_refused(folder: Path) -> None:
    engine = load(folder / "base", device="cpu", overrides=QUESTION)
    with pytest.raises(ValueError, match="at least 20 images of one number of high sub-images; got"):
        learn_query_projection(engine, read_located(folder / "data")[:40])
