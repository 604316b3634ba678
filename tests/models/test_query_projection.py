"""Policy `question`: the right words reach the right image, and the map learns from evidence alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dragonfly.models import DragonflyProcessor
from dragonfly.models.query_projection import QueryProjection, embed_questions, evidence_losses, query_module
from dragonfly.vision.selection import SelectionInputs, select
from dragonfly.vision.selection_spec import SelectionSpec
from tests import tiny


def make(**selection: Any) -> tuple[Any, DragonflyProcessor]:
    spec = tiny.config().spec.with_selection(**{"policy": "question", **selection})
    settings = tiny.config(encoder=spec.to_dict())
    model = tiny.model(settings)
    model.model.query_projection.load_state_dict(query_module(spec.selection, 32).state_dict())
    return model, tiny.processor(settings)


def encode(processor: DragonflyProcessor, text: Any, images: Any, **options: Any) -> Any:
    return processor(text=text, images=images, return_tensors="pt", **options)


def test_scores_by_hand() -> None:
    high = torch.tensor([[[4.0, 0.0], [0.0, 4.0], [0.0, 0.0], [4.0, 4.0]]])  # mean (2, 2)
    question = torch.tensor([[3.0, 1.0]])
    chosen = select(
        SelectionInputs(high=high, question=question),
        torch.tensor([[0, 0, 1, 1]]),
        SelectionSpec(policy="question", scope="region", keep=1),
        2,
    )
    torch.testing.assert_close(chosen.scores, torch.tensor([[4.0, -4.0, -8.0, 8.0]]) / 2**0.5)
    assert chosen.indices.tolist() == [[0, 3]]
    moved = SelectionInputs(high=high + torch.tensor([7.0, -9.0]), question=question)  # what all share changes nothing
    torch.testing.assert_close(
        select(moved, torch.zeros(1, 4, dtype=torch.long), SelectionSpec(policy="question", scope="image", keep=1), 1).scores,
        chosen.scores,
    )


def test_a_question_is_the_mean_of_its_words() -> None:
    table = torch.nn.Embedding(10, 3)
    ids, mask = torch.tensor([[1, 2, 0], [4, 0, 0], [0, 0, 0]]), torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    out = embed_questions(table, ids, mask)
    torch.testing.assert_close(out, torch.stack([table.weight[[1, 2]].mean(dim=0), table.weight[4], torch.zeros(3)]))
    assert not out.requires_grad and torch.equal(QueryProjection(3)(out), out)


@pytest.mark.parametrize("context", ["none", "patches"])
def test_another_question_is_another_choice_and_mates_do_not_matter(context: str) -> None:
    model, processor = make(scope="image", keep=4, context=context)
    image = tiny.image()
    text = ["<image>where is the cat?", "<image>0123456789"]
    together = encode(processor, text, [image, image], padding=True)
    images = {key: value for key, value in together.items() if key not in ("input_ids", "attention_mask")}
    chosen = model.get_image_features(**images).selection
    assert not torch.equal(chosen.indices[0], chosen.indices[1])
    for row in range(2):
        alone = encode(processor, text[row], image)
        own = model.get_image_features(**{key: alone[key] for key in images}).selection
        assert torch.equal(own.indices[0], chosen.indices[row])
        with torch.no_grad():
            logits = model(**together).logits[row][together["attention_mask"][row].bool()]
            torch.testing.assert_close(logits, model(**alone).logits[0], atol=2e-5, rtol=1e-4)


def test_generation_takes_the_question_along() -> None:
    model, processor = make()
    messages: Any = [{"role": "user", "content": [{"type": "image", "image": tiny.image()}, {"type": "text", "text": "what?"}]}]
    inputs: Any = processor.apply_chat_template(
        messages,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        add_generation_prompt=True,
    )
    assert inputs["question_ids"].shape == inputs["question_mask"].shape == (1, 5)
    assert model.generate(**inputs, max_new_tokens=2, do_sample=False).shape[1] == inputs["input_ids"].shape[1] + 2


def test_without_a_question() -> None:
    model, processor = make()
    inputs = encode(processor, "<image>what?", tiny.image())
    with pytest.raises(ValueError, match=r"policy 'question' needs the question that the image is asked \(question_ids"):
        model(**{key: value for key, value in inputs.items() if "question" not in key})
    assert "question_ids" not in encode(tiny.processor(), "<image>what?", tiny.image())
    assert "question_ids" not in encode(processor, "no image", None)


def test_the_loss_by_hand() -> None:
    scores = torch.tensor([[0.0, 0.0], [3.0, 1.0], [1.0, 1.0]])
    evidence = torch.tensor([[5.0, 0.0], [1.0, 3.0], [0.0, 0.0]])
    losses, known = evidence_losses(scores, evidence)
    log = scores[1].log_softmax(0)
    torch.testing.assert_close(losses, torch.tensor([0.6931472, float(-(log[0] + 3 * log[1]) / 4), 0.0]))
    assert known.tolist() == [True, True, False]


@pytest.mark.parametrize("context", ["none", "row", "patches"])
def test_the_map_learns_to_find_the_evidence(context: str) -> None:
    model, processor = make(scope="image", keep=2, context=context)
    boxes = processor.image_processor.layout((64, 96)).level_boxes("high")
    wanted = [3, 17]
    text = ["<image>where is the cat?", "<image>0123456789"]
    inputs = encode(processor, text, [tiny.image(), tiny.image()], padding=True, evidence=[[boxes[index]] for index in wanted])
    assert inputs["evidence_high"].argmax(dim=1).tolist() == wanted
    images = {key: value for key, value in inputs.items() if key not in ("input_ids", "attention_mask")}
    model.get_image_features(**images).selection_loss.backward()
    moved = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    assert moved == [f"model.query_projection.{name}" for name, _ in model.model.query_projection.named_parameters()]
    model.model.vision_tower.requires_grad_(False)  # it has shown that it gets none; without, the test is faster
    optimizer = torch.optim.Adam(model.model.query_projection.parameters(), lr=0.05 if context != "patches" else 0.01)
    for _ in range(25):
        loss = model.get_image_features(**images).selection_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    out = model.get_image_features(**images)
    assert all(index in row for index, row in zip(wanted, out.selection.indices.tolist(), strict=True)) and out.selection_loss < 1
    none = encode(processor, text[0], tiny.image(), evidence=[[]])
    loss = model(**none).selection_loss
    loss.backward()
    assert loss == 0


def test_the_choice_passes_no_gradient_on() -> None:
    model, processor = make()
    inputs = encode(processor, "<image>what?", tiny.image())
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    assert model.model.query_projection.weight.grad is None
