"""Language models of many families, joined with a tower through the recipe's path: their own logits, losses and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, Gemma3Config, Gemma3ForConditionalGeneration, T5Config, T5ForConditionalGeneration

from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration
from dragonfly.models.joining import Parts, joined_model, joined_processor
from dragonfly.models.outputs import CACHE
from tests import tiny
from tests.models import families

OLD = CACHE == "past_key_values"  # before transformers 5.24, state space models keep theirs under a name of its own
REFUSED = {
    "mamba": "returns no cache of keys and values" if OLD else "reads a padded row otherwise than alone",
    **({"mamba2": "returns no cache of keys and values"} if OLD else {}),
    "recurrent_gemma": "returns no cache of keys and values",
    "bert": "its logits on text would differ by",
    "falcon_h1": "its logits on text would differ by",  # it multiplies embeddings in its forward, only those that it looks up
    "gemma3n_text": "its logits on text would differ by",  # every layer reads the ids again
    "gemma4_text": "cannot be called as Dragonfly does",  # the same
    "modernbert-decoder": "its logits on text would differ by",  # a transformation before its head
}
# One of each kind: plain, soft cap, biased head, expert, factors, other words for everything, projected, state space.
FAST = ("llama, tied", "gemma2", "phi", "mixtral", "granite", "cohere2", "gpt2", "opt, projected", "qwen3_next")
KEPT = [
    pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
    for name in (*families.FAMILIES, *families.MORE)
    if name not in REFUSED
]
ENCODER: Any = tiny.config("low-only").encoder


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tower")
    torch.manual_seed(0)
    AutoModel.from_config(tiny.config("low-only").vision_config).save_pretrained(folder)
    return folder


def save(model: Any, folder: Path, tokens: int = 0) -> Path:
    """The language model's directory; its tokenizer knows some more tokens."""
    tokenizer = tiny.tokenizer()
    tokenizer.add_tokens([f"<extra {index}>" for index in range(tokens)])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def join(tower: Path, language_model: Path, **loading: Any) -> tuple[DragonflyForConditionalGeneration, Any]:
    parts = Parts(str(tower), str(language_model))
    processor = joined_processor(parts, ENCODER, "low-only")
    return joined_model(parts, processor, preset="low-only", **loading).eval(), processor


def text(rows: int = 2, length: int = 12) -> torch.Tensor:
    return torch.randint(8, 200, (rows, length), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", KEPT)
def test_a_joined_language_model_keeps_its_logits_loss_and_answers(name: str, tower: Path, tmp_path: Path) -> None:
    original = families.model(name)
    model, processor = join(tower, save(original, tmp_path / "language_model"))
    ids = text()
    with torch.no_grad():
        theirs, ours = original(ids, labels=ids), model(ids, labels=ids)
        torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.loss, theirs.loss, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model(ids, logits_to_keep=1).logits, ours.logits[:, -1:], rtol=1e-5, atol=1e-5)
        model.save_pretrained(tmp_path / "joined")
        again = DragonflyForConditionalGeneration.from_pretrained(tmp_path / "joined").eval()
        assert torch.equal(again(ids).logits, ours.logits)
    answers_agree(original, again, ids)
    loss_falls(again, processor)


def answers_agree(original: Any, model: Any, ids: torch.Tensor) -> None:
    """Greedy tokens: the original's, in a padded batch as alone, from the cache as without, and up to the end of the turn."""
    original.config.output_router_logits = False  # originals fail at their auxiliary loss while they generate
    options: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None}
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    theirs = original.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :]
    assert torch.equal(model.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :], theirs)
    assert torch.equal(model.generate(ids[:1, 5:], **options)[0, ids.shape[1] - 5 :], theirs[0])
    assert torch.equal(model.generate(ids[1:], **options, use_cache=False)[0, ids.shape[1] :], theirs[1])
    end = int(theirs[1, 1])
    stopped = model.generate(ids[1:], **{**options, "eos_token_id": end})[0, ids.shape[1] :]
    assert stopped.tolist() == theirs[1, : theirs[1].tolist().index(end) + 1].tolist()
    assert model.generation_config.eos_token_id == 4


def loss_falls(model: Any, processor: Any) -> None:
    """A few steps on one image and its answer, every weight trained."""
    torch.manual_seed(0)
    batch = processor(text=["<image>what is it?"], images=[tiny.image()], return_tensors="pt")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    losses: list[float] = []
    for _ in range(4):
        loss = model(**batch, labels=batch["input_ids"]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0], losses
    assert model.model.multi_modal_projector.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["llama", "gemma2", "phi", "gpt2"])
def test_new_tokens_get_rows_of_mean_embeddings_and_change_no_other_logit(name: str, tower: Path, tmp_path: Path) -> None:
    original = families.model(name)
    model, processor = join(tower, save(original, tmp_path / "language_model", tokens=30))
    old, new = families.VOCABULARY, len(processor.tokenizer)
    assert new > old and model.config.get_text_config().vocab_size == new == model.lm_head.out_features
    rows: Any = model.get_input_embeddings().weight
    assert torch.allclose(rows[old:], rows[:old].mean(dim=0).expand(new - old, -1), atol=1e-6)
    tied = bool(original.config.tie_word_embeddings)
    assert (model.lm_head.weight is rows) == tied == model.config.tie_word_embeddings
    if name == "phi":
        assert torch.allclose(model.lm_head.bias[old:], model.lm_head.bias[:old].mean(), atol=1e-6)
    ids = text()
    with torch.no_grad():
        logits = model(ids).logits
        torch.testing.assert_close(logits[..., :old], original(ids).logits, rtol=1e-5, atol=1e-5)
        model.save_pretrained(tmp_path / "joined")
        assert torch.equal(DragonflyForConditionalGeneration.from_pretrained(tmp_path / "joined").eval()(ids).logits, logits)


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_lost_is_refused_in_one_line(name: str, tower: Path, tmp_path: Path) -> None:
    folder = save(families.model(name), tmp_path / "language_model")
    with pytest.raises(ValueError, match=REFUSED[name]) as error:
        join(tower, folder)
    assert "\n" not in str(error.value)


def test_an_encoder_decoder_is_refused(tower: Path, tmp_path: Path) -> None:
    sizes: Any = {"d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "vocab_size": 300}
    folder = save(T5ForConditionalGeneration(T5Config(**sizes)), tmp_path / "t5")
    with pytest.raises(ValueError, match="reads its text in an encoder; give a decoder-only language model"):
        join(tower, folder)


def test_a_checkpoint_without_its_head_is_refused(tower: Path, tmp_path: Path) -> None:
    folder = save(families.model("llama").model, tmp_path / "headless")
    with pytest.raises(ValueError, match=r"does not fit the model: missing lm_head\.weight"):
        join(tower, folder)


def test_of_a_vision_language_model_the_language_model_is_taken(tower: Path, tmp_path: Path) -> None:
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16}
    given = {"vision_config": {**vision, "patch_size": 8}, "mm_tokens_per_image": 4}
    torch.manual_seed(0)
    text_config = families.config("gemma3_text")
    text_config.final_logit_softcapping = None  # which the whole model would ignore and its language model would not
    original = Gemma3ForConditionalGeneration(Gemma3Config(text_config=text_config, **given)).eval()
    model, _ = join(tower, save(original, tmp_path / "gemma3"))
    ids = text()
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, original(ids).logits, rtol=1e-5, atol=1e-5)
    assert model.config.get_text_config().model_type == "gemma3_text"
    assert not [name for name, _ in model.named_parameters() if "language_model.vision" in name]


def test_half_precision_is_joined_as_it_is_stored(tower: Path, tmp_path: Path) -> None:
    folder = save(families.model("granite").to(torch.bfloat16), tmp_path / "language_model")
    model, _ = join(tower, folder, dtype="auto")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_a_configuration_that_ties_weights_ties_them() -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 32}
    tied = DragonflyConfig(text_config={"model_type": "llama", **sizes, "tie_word_embeddings": True})
    assert tied.tie_word_embeddings and tied.to_dict()["tie_word_embeddings"]
    assert not DragonflyConfig(text_config={"model_type": "llama", **sizes}).tie_word_embeddings
    apart = DragonflyConfig(text_config={"model_type": "gemma2", **sizes}, tie_word_embeddings=False)
    assert not apart.tie_word_embeddings and not apart.text_config.tie_word_embeddings


def test_heads_have_the_bias_of_their_family() -> None:
    for name, bias in (("phi", True), ("llama", False), ("phimoe", True), ("ernie4_5_moe", True)):
        assert DragonflyConfig(text_config=families.config(name)).head_bias is bias, name
