"""Policy `question` learns where to look from the attention that answers pay; nothing else moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dragonfly.data import write_manifest
from dragonfly.inference import load
from dragonfly.research.curriculum.attention_choice import _inputs, _loss, attention_loss
from dragonfly.training import Recipe, run
from tests import tiny
from tests.research.curriculum import recipes
from tests.training import small
from tests.training.test_query_projection import sample


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attention_choice")
    small.checkpoint(folder / "base")
    (folder / "data").mkdir()
    write_manifest((sample(folder / "data", index) for index in range(4)), folder / "data" / "manifest")
    return folder


def recipe(shared: Path, name: str, **changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "objective": "attention_choice",
        "trainable": ["query_projection"],
        "data": {"train": [{"name": "rows", "path": str(shared / "data" / "manifest")}], "audit": 4},
        "optim": {"learning_rate": 0.05},
        "model": {"selection": {"policy": "question"}},
        "steps": 12,
        "output": str(shared / name),
        **changes,
    }
    return recipes.recipe(shared, **values)


def test_the_map_alone_learns_from_attention(shared: Path) -> None:
    keep_all = {"selection": {"policy": "question", "scope": "image", "keep": 24}}
    done = run(recipe(shared, "attention", model=keep_all, attention={"text_config": "eager"}))
    before, after = load_file(shared / "base" / "model.safetensors"), load_file(done / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not torch.equal(after["model.query_projection.weight"], torch.eye(len(after["model.query_projection.weight"])))
    losses = small.losses(done)
    assert losses[-1] < losses[0]  # the language model stands still, so this is the choice's
    fewer = load(done, device="cpu", overrides=["model.selection.keep=3"])
    assert sum(item.kept for item in fewer.ask(tiny.image(seed=0), "question 0?", max_new_tokens=1).selections[0]) == 3


def test_what_cannot_learn_from_attention_is_refused(shared: Path) -> None:
    eager = {"text_config": "eager"}
    with pytest.raises(ValueError, match=r"which the default, sdpa, does not give; set attention=\{text_config: eager\}"):
        recipe(shared, "never")
    with pytest.raises(ValueError, match="which flash_attention_2 does not give"):
        recipe(shared, "never", attention={"vision_config": "eager", "text_config": "flash_attention_2"})
    with pytest.raises(ValueError, match="needs what gradient_checkpointing throws away"):
        recipe(shared, "never", attention="eager", gradient_checkpointing=True)
    with pytest.raises(
        ValueError, match=r"model\.selection is policy 'question' with keep 3 of each region; keep all while training"
    ):
        run(recipe(shared, "never", attention=eager))


def test_attention_on_high_sub_images_by_hand() -> None:
    """Two layers of one head over 8 places: an image at 0 to 4 (low, then 2 high of 2 tokens), a question, an answer at 6, 7."""
    labels = torch.tensor([[-100] * 6 + [3, 4]])
    placeholders = torch.tensor([[True] * 5 + [False] * 3])
    first, second = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    first[0, 0, 5, 1], first[0, 0, 5, 0] = 0.5, 0.5  # the place before an answer's token asks for it; low does not count
    second[0, 0, 6, 4] = 0.25
    first[0, 0, 4, 3] = first[0, 0, 7, 3] = 1.0  # neither predicts an answer's token
    scores = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = attention_loss([scores], [5], [first, second], labels, placeholders, 2)
    torch.testing.assert_close(loss, -(torch.tensor([2 / 3, 1 / 3]) * scores.log_softmax(0)).sum())
    loss.backward()
    assert scores.grad is not None and scores.grad[0] < 0
    silent = attention_loss([scores], [5], [first, second], torch.full((1, 8), -100), placeholders, 2)
    assert silent == 0  # without an answer nothing tells


def test_the_choice_learns_from_attention_and_nothing_else_does() -> None:
    """Each image's target is its own share of the attention, whatever stands beside it."""
    spec = tiny.config().spec.with_selection(policy="question", scope="image", keep=24)
    settings = tiny.config(encoder=spec.to_dict())
    model, processor = tiny.model(settings).train(), tiny.processor(settings)
    model.set_attn_implementation({"text_config": "eager"})
    images = [tiny.image(seed=1), tiny.image(seed=2)]
    batch = dict(processor(images=[images], text=["<image>where?<image>what? that"], return_tensors="pt"))
    batch["labels"] = batch["input_ids"].clone()
    batch["labels"][:, :-4] = -100
    tokens = spec.tokens("high")
    inputs = _inputs(model, batch)
    outputs = model(**inputs)
    loss = _loss(2.0, processor.image_token_id, tokens, outputs, {**batch, **inputs})
    placeholders = (batch["input_ids"] == processor.image_token_id)[0]
    per_image = int(placeholders.sum()) // 2
    paid = torch.stack(outputs.attentions)[:, 0, :, -5:-1].mean(dim=(0, 1)).sum(dim=0)[placeholders]
    scores = inputs["mm_encoder_outputs"]["image"].selection.scores
    expected = []
    for number in range(2):
        share = paid[number * per_image : (number + 1) * per_image][-24 * tokens :].view(24, tokens).sum(dim=1)
        expected.append(-(share / share.sum() * scores[number].log_softmax(0)).sum())
    torch.testing.assert_close(loss, 2 * torch.stack(expected).mean())
    loss.backward()
    moved = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.abs().sum() > 0}
    assert moved == {"model.query_projection.weight"}
    assert _inputs(model.eval(), batch) == batch  # held-out rows are answered as ever
