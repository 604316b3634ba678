"""Packed rows are trained exactly as rows by themselves: loss, gradients, what is counted, what is evaluated, what is resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dragonfly.research.curriculum import HOOKS
from dragonfly.training import run
from dragonfly.training.packing import check_packing, packed_length
from dragonfly.training.recipe import with_hooks
from dragonfly.training.trainer import StageTrainer
from tests import tiny
from tests.training import small
from tests.training.launch import torchrun
from tests.training.test_trainer import gradients

WHOLE = 100_000
"""Tokens by which all rows of a batch share one sequence; a row with an image has 110 to 900."""


FAST = ("all sub-images", "images of unequal number", "the last tokens alone", "shared_prefix")


def cases(names: Iterable[str]) -> list[Any]:
    return [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in names]


def source(folder: Path, number: int = 8) -> dict[str, Any]:
    """Rows with no image, one and several, of shapes of their own, and answers of several lengths."""
    target = folder / "data"
    if not target.exists():
        target.mkdir(parents=True)
        rows: list[dict[str, Any]] = []
        for index in range(number):
            images = [f"{index}-{image}.png" for image in range((1, 0, 2, 1)[index % 4])]
            for at, name in enumerate(images):
                tiny.image(40 + 24 * index + 56 * at, 64 + 16 * (index % 3), seed=10 * index + at).save(target / name)
            blocks: list[dict[str, Any]] = [{"type": "image"} for _ in images]
            content = [*blocks, {"type": "text", "text": f"question {index}?"}]
            said: list[dict[str, Any]] = [
                {"role": "user", "content": content},
                {"role": "assistant", "content": [{"type": "text", "text": small.WORDS[index % 4]}]},
            ]
            rows.append({"id": str(index), "messages": said, "images": images})
        (target / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"name": "rows", "path": str(target / "rows.jsonl")}


def options(folder: Path, packing: int | None, **more: Any) -> dict[str, Any]:
    return {"train": [source(folder)], "audit": 4, "packing": packing, **more}


def assert_same(one: tuple[float, dict[str, torch.Tensor]], other: tuple[float, dict[str, torch.Tensor]]) -> None:
    """To float32's rounding: blocks of one matrix are added in another order than rows."""
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    assert one[1].keys() == other[1].keys()
    for name, gradient in other[1].items():
        torch.testing.assert_close(one[1][name], gradient, rtol=1e-3, atol=2e-6, msg=name)


ANY_SIZE = {**tiny.config("v1").spec.to_dict(), "max_enlargement": 1.5}
QUESTION = tiny.config("v1").spec.with_selection(policy="question").to_dict()
SURE = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
MODELS: dict[str, dict[str, Any]] = {
    "all sub-images": {"preset": "baseline-1"},
    "images of unequal number": {"preset": "v1", "encoder": ANY_SIZE},
    "chosen by the question": {"preset": "v1", "encoder": QUESTION},
    "the last tokens alone": {"preset": "low-only", "text": {"model_type": "mistral", "sliding_window": 48}},
    "learned positions": {"preset": "low-only", "text": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, **SURE}},
}


@pytest.mark.parametrize("case", cases(MODELS))
def test_loss_and_gradients_are_those_of_rows_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    changes = dict(MODELS[case])
    if text := changes.pop("text", None):
        changes["text_config"] = {**tiny.config().text_config.to_dict(), **text, "n_positions": 4096}
    small.checkpoint(tmp_path / "base", **changes)
    batch = {"global_size": 4, "per_device": 4}
    plain = gradients(tmp_path, "plain", monkeypatch, batch=batch, data=options(tmp_path, None))
    packed = gradients(tmp_path, "packed", monkeypatch, batch=batch, data=options(tmp_path, WHOLE))
    assert_same(packed, plain)
    assert float(plain[1]["model.multi_modal_projector.weight"].abs().max()) > 0


def test_sequences_of_several_lengths_accumulated_are_the_same_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four rows at once some share a sequence, some do not; a longer row than a sequence has its own."""
    sequences: list[list[int]] = []
    whole = StageTrainer.training_step

    def step(self: StageTrainer, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        sequences.append(list(inputs["input_ids"].shape))
        return whole(self, model, inputs, *rest, **more)

    monkeypatch.setattr(StageTrainer, "training_step", step)
    changes: dict[str, Any] = {"batch": {"global_size": 8, "per_device": 4}}
    plain = gradients(tmp_path, "plain", monkeypatch, **changes, data=options(tmp_path, None))
    packed = gradients(tmp_path, "packed", monkeypatch, **changes, data=options(tmp_path, 300))
    assert_same(packed, plain)
    assert [rows for rows, _ in sequences[:2]] == [4, 4]
    assert all(1 < rows < 4 and tokens > 150 for rows, tokens in sequences[2:])


GROUPED: dict[str, dict[str, Any]] = {
    "shared_prefix": {"objective": "shared_prefix", "trainable": ["language_model", "multi_modal_projector"]},
    "shared_prefix, eager": {
        "objective": "shared_prefix",
        "trainable": ["language_model"],
        "attention": {"text_config": "eager"},
    },
    "answer": {"objective": "answer", "trainable": ["language_model"]},
    "attention_choice": {
        "objective": "attention_choice",
        "trainable": ["query_projection"],
        "model": {"selection": {"policy": "question", "scope": "image", "keep": 24}},
        "attention": {"text_config": "eager"},
    },
}


@pytest.mark.parametrize("name", cases(GROUPED))
def test_groups_of_questions_are_packed_like_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    small.checkpoint(tmp_path / "base")
    tiny.image(90, 60).save(tmp_path / "a.png")
    tiny.image(60, 90, seed=1).save(tmp_path / "b.png")
    rows = [
        {"image": f"{one}.png", "question": f"{one} {n}?", "answer": f"{'xyz'[n]} {one}"} for n in range(3) for one in ("a", "b")
    ]
    rows += [{"question": f"text {n}?", "answer": "more of it" * (n + 1)} for n in range(2)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    together = 1 if name == "attention_choice" else 3

    def taken(packing: int | None) -> tuple[float, dict[str, torch.Tensor]]:
        sources = [{"name": "mine", "path": str(tmp_path / "rows.jsonl"), "group_questions": together}]
        data = {"train": sources, "audit": 2, "packing": packing}
        batch = {"global_size": 4, "per_device": 4}
        return gradients(tmp_path, f"out-{packing}", monkeypatch, kind=with_hooks(HOOKS), batch=batch, data=data, **GROUPED[name])

    assert_same(taken(WHOLE), taken(None))


def test_everything_trained_counts_the_same_tokens_but_a_rows_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `train_on: all` a label stands at the second token already; the first would be told by another row's last."""
    batch = {"global_size": 4, "per_device": 4}
    runs = [
        gradients(tmp_path, f"out-{packing}", monkeypatch, batch=batch, data=options(tmp_path, packing, train_on="all"))
        for packing in (WHOLE, None)
    ]
    assert_same(*runs)


def test_a_tower_cache_grouping_evaluation_and_what_is_counted_know_no_packing(tmp_path: Path) -> None:
    def trained(name: str, packing: int | None, **more: Any) -> tuple[list[str], dict[str, Any], dict[str, torch.Tensor]]:
        data = options(tmp_path, packing, eval={**source(tmp_path), "name": "held-out"}, group_by_length=True, **more)
        changes: dict[str, Any] = {
            "trainable": ["multi_modal_projector"],
            "steps": 3,
            "save": {"every": 3},
            "log": {"tensorboard": False, "eval_every": 3},
            "data": data,
        }
        output = run(small.recipe(tmp_path, output=str(tmp_path / name), **changes))
        state = json.loads(next(output.glob("checkpoint-*/trainer_state.json")).read_text())
        return (output / "loss.jsonl").read_text().splitlines(), state, load_file(output / "model.safetensors")

    small.recipe(tmp_path)  # the model
    shutil.rmtree(tmp_path / "data")
    lines, counted, weights = trained("plain", None)
    for one in (trained("packed", WHOLE), trained("cached", WHOLE, tower_cache=str(tmp_path / "tower"))):
        for line, expected in zip(one[0], lines, strict=True):
            assert json.loads(line) == pytest.approx(json.loads(expected), rel=1e-4)
        assert one[1]["num_input_tokens_seen"] == counted["num_input_tokens_seen"] > 0
        for name, weight in weights.items():
            torch.testing.assert_close(one[2][name], weight, rtol=1e-3, atol=1e-5, msg=name)
    assert '"eval_turns"' in lines[-1]


def test_a_packed_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    small.recipe(tmp_path)
    shutil.rmtree(tmp_path / "data")

    def recipe(name: str) -> Any:
        data = options(tmp_path, 400, group_by_length=True)
        return small.recipe(tmp_path, output=str(tmp_path / name), steps=4, save={"every": 2}, data=data)

    whole, cut = run(recipe("whole")), run(recipe("cut"))
    shutil.rmtree(cut / "checkpoint-4")
    for name in ("dragonfly.json", "model.safetensors"):
        (cut / name).unlink()
    run(recipe("cut"))
    assert small.losses(cut) == small.losses(whole)
    ours, expected = (load_file(output / "model.safetensors") for output in (cut, whole))
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_two_processes_pack_their_own_rows(tmp_path: Path) -> None:
    small.recipe(tmp_path)
    shutil.rmtree(tmp_path / "data")
    changes: dict[str, Any] = {"steps": 3, "batch": {"global_size": 8, "per_device": 2}}
    alone = run(small.recipe(tmp_path, output=str(tmp_path / "alone"), data=options(tmp_path, None), **changes))
    both = torchrun(tmp_path, "both", data=options(tmp_path, WHOLE), **changes)
    assert small.losses(both) == pytest.approx(small.losses(alone), rel=1e-5)


RECURRENT = {"model_type": "mamba", "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 263}
BIASED = {"model_type": "bloom", "hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 263}


@pytest.mark.parametrize("text", [RECURRENT, BIASED], ids=["mamba", "bloom"])
def test_a_language_model_that_mixes_rows_is_refused_in_one_line(text: dict[str, Any]) -> None:
    model = tiny.model(tiny.config("low-only", text_config=text))
    with pytest.raises(ValueError, match=rf"'{text['model_type']}' does not keep packed rows apart \(.*; leave data.packing out"):
        check_packing(model)


@pytest.mark.parametrize("head", tiny.HEADS)
def test_what_can_be_packed_is_let_through_as_it_was(head: str) -> None:
    model = tiny.model(tiny.config("low-only", head=head)).train()
    model.config.get_text_config()._attn_implementation = "flash_attention_2"  # is not at hand before the run
    check_packing(model)
    assert model.training and model.config.get_text_config()._attn_implementation == "flash_attention_2"


def test_a_mixture_of_experts_that_balances_is_refused() -> None:
    text = {"model_type": "mixtral", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 263}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 2, "output_router_logits": True}
    with pytest.raises(ValueError, match=r"data\.packing cannot leave padding out of the auxiliary loss"):
        check_packing(tiny.model(tiny.config("low-only", text_config=text)))


def test_recipes_that_packing_cannot_help_are_refused(tmp_path: Path) -> None:
    data = {"train": [{"name": "rows", "path": "rows.json"}], "packing": 100}
    with pytest.raises(ValueError, match=r"data.packing joins the rows of a device's batch, and batch.per_device is 1"):
        small.recipe(tmp_path, data=data, batch={"global_size": 4})
    pages: dict[str, Any] = {"objective": "page_questions", "trainable": ["language_model.layers"]}
    with pytest.raises(ValueError, match=r"objective 'page_questions' does not pack rows; leave data\.packing out"):
        small.recipe(tmp_path, with_hooks(HOOKS), data=data, **pages)
    supervised = {"objective": {"name": "shared_prefix", "attention_supervision": {"words": 0, "places": 1}}}
    with pytest.raises(ValueError, match=r"attention_supervision counts .*; leave data.packing out"):
        small.recipe(tmp_path, with_hooks(HOOKS), data=data, attention={"text_config": "eager"}, **supervised)


def test_under_flash_attention_a_batch_is_one_sequence(tmp_path: Path) -> None:
    data = {"train": [{"name": "rows", "path": "rows.json"}], "packing": 100}
    assert packed_length(small.recipe(tmp_path, data=data)) == 100
    for attention in ("flash_attention_2", {"text_config": "flash_attention_3"}):
        assert packed_length(small.recipe(tmp_path, data=data, attention=attention)) > 10**9
