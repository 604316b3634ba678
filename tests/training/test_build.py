from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from dragonfly.data import read
from dragonfly.inference import Engine
from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.training.build import build_model, build_processor, encoder_for
from dragonfly.training.label_audit import audit_labels
from dragonfly.training.modules import count_modules, freeze
from dragonfly.training.recipe import InitFrom, ModelOptions, Recipe
from tests import tiny
from tests.templates import CHATML, FAMILIES, tokenizer
from tests.training import small


def from_parts(folder: Path, tower: str = "clip", **changes: object) -> Recipe:
    base = InitFrom.model_validate(small.parts(folder, tower))
    return Recipe.model_validate(small.values(folder, init_from=base.model_dump(), model={"preset": "v1"}, **changes))


@pytest.mark.parametrize("tower", ["clip", "siglip"])
def test_tower_and_language_model_are_put_together_and_saved_whole(tmp_path: Path, tower: str) -> None:
    recipe = from_parts(tmp_path, tower)
    processor: Any = build_processor(recipe)
    model = build_model(recipe, processor)
    assert not any(parameter.is_meta for parameter in model.parameters()) and not any(b.is_meta for b in model.buffers())
    assert (model.config.image_token_id, processor.image_token) == (processor.image_token_id, "<image>")
    inputs = processor(images=[tiny.image()], text="<image>hello", return_tensors="pt")
    with torch.no_grad():
        before = model.eval()(**inputs).logits
        model.save_pretrained(tmp_path / "saved")
        loaded = DragonflyForConditionalGeneration.from_pretrained(tmp_path / "saved").eval()
        assert torch.equal(loaded(**inputs).logits, before)


def test_the_new_projector_is_the_same_on_every_process_and_another_by_seed(tmp_path: Path) -> None:
    recipe = from_parts(tmp_path)
    processor = build_processor(recipe)
    torch.manual_seed(1)
    one = build_model(recipe, processor).model.multi_modal_projector.weight
    torch.manual_seed(2)
    assert torch.equal(build_model(recipe, processor).model.multi_modal_projector.weight, one)
    other = build_model(recipe.model_copy(update={"seed": 5}), processor).model.multi_modal_projector.weight
    assert not torch.equal(other, one)


def test_a_tokenizer_without_image_tokens_gets_them_and_the_embeddings_grow(tmp_path: Path) -> None:
    recipe = from_parts(tmp_path)
    folder = tmp_path / "language_model"
    text = tiny.tokenizer()
    text.save_pretrained(folder)
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace("<separator>", "<unrelated>"))
    processor = build_processor(recipe)
    model = build_model(recipe, processor)
    assert len(processor.tokenizer) == len(text) + 1 == model.get_input_embeddings().num_embeddings
    assert model.lm_head.out_features == len(text) + 1 and processor.separator_token_id == len(text)
    assert model.config.get_text_config().vocab_size == len(text) + 1


def test_named_tokens_are_used(tmp_path: Path) -> None:
    base = {**small.parts(tmp_path), "separator_token": "<|end_of_text|>"}
    recipe = Recipe.model_validate(small.values(tmp_path, init_from=base, model={"preset": "low-only"}))
    assert build_processor(recipe).separator_token_id == 1


def test_weights_are_float32_masters_unless_something_else_keeps_them(tmp_path: Path) -> None:
    small.checkpoint(tmp_path / "base", "low-only")
    plain = Recipe.model_validate(small.values(tmp_path, precision="bfloat16"))
    assert build_model(plain, build_processor(plain)).dtype == torch.float32
    adapted = Recipe.model_validate(small.values(tmp_path, precision="bfloat16", lora={}, trainable=[]))
    assert build_model(adapted, build_processor(adapted)).dtype == torch.bfloat16


def test_a_part_that_knows_no_sdpa_takes_eager_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = tokenizer(FAMILIES["gemma"])
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8}
    ids = {"vocab_size": len(made), "eos_token_id": made.eos_token_id, "bos_token_id": None, "pad_token_id": 0}
    config = AutoConfig.for_model("gemma2", **sizes, num_key_value_heads=2, **ids)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "gemma")
    made.save_pretrained(tmp_path / "gemma")
    base = {**small.parts(tmp_path), "language_model": str(tmp_path / "gemma")}
    joined = Recipe.model_validate(small.values(tmp_path, init_from=base, model={"preset": "low-only"}, attention="sdpa"))
    processor = build_processor(joined)
    for recipe in (joined, joined.model_copy(update={"init_from": InitFrom(checkpoint=str(tmp_path / "start"))})):
        model = build_model(recipe, processor)
        text, vision = model.config.text_config, model.config.vision_config
        assert (text._attn_implementation, vision._attn_implementation) == ("eager", "sdpa")
        assert "attention=sdpa is not known to gemma2, so eager takes its place there" in caplog.text
        caplog.clear()
        model.save_pretrained(tmp_path / "start")
        processor.save_pretrained(tmp_path / "start")


def test_counts_say_what_is_trained() -> None:
    model = tiny.model(tiny.config("low-only"))
    freeze(model, ["multi_modal_projector", "vision_tower.encoder.layers.0"])
    counts = {count.name: count for count in count_modules(model)}
    assert counts["multi_modal_projector"].trained == 32 * 32 + 32
    assert 0 < counts["vision_tower"].trained < counts["vision_tower"].parameters
    assert counts["language_model"].trained == 0 == counts["lm_head"].trained
    assert sum(count.parameters for count in counts.values()) == sum(p.numel() for p in model.parameters())
    texts = [str(count) for count in counts.values()]
    assert any("(partly trainable)" in text for text in texts) and any("(frozen)" in text for text in texts)


def test_the_recipe_changes_the_encoder_and_says_what_does_not_fit() -> None:
    encoder = tiny.config("v1").encoder
    changed = encoder_for(ModelOptions.model_validate({"selection": {"policy": "uniform", "keep": 2}}), encoder)
    assert changed["selection"]["policy"] == "uniform" and changed["selection"]["keep"] == 2
    assert changed["resolution"] == 32 and encoder["selection"]["keep"] == 3  # pyright: ignore[reportOptionalSubscript]
    assert encoder_for(ModelOptions(preset="low-only"), encoder)["high"] is None
    assert encoder_for(ModelOptions.model_validate({"max_enlargement": 2.0}), encoder)["max_enlargement"] == 2.0
    with pytest.raises(ValueError, match="keep 7 is more than the 6"):
        encoder_for(ModelOptions.model_validate({"selection": {"keep": 7}}), encoder)
    with pytest.raises(ValueError, match="both describe the encoder; give one"):
        encoder_for(ModelOptions(preset="v1", encoder={}), encoder)


def test_a_tower_that_is_none_is_told_by_name(tmp_path: Path) -> None:
    recipe = from_parts(tmp_path)
    missing = recipe.init_from.model_copy(update={"tower": "/nowhere/tower"})
    with pytest.raises(ValueError, match="no model directory '/nowhere/tower'"):
        build_processor(recipe.model_copy(update={"init_from": missing}))


def chatml_parts(folder: Path, template: str | None = CHATML) -> dict[str, str]:
    """A language model whose tokenizer has a ChatML template, or none, and an end of turn that is not its EOS."""
    base = small.parts(folder)
    text = tokenizer(FAMILIES["chatml, other eos"], template)
    if template is None:
        text.chat_template = None
    settings = tiny.config(head="qwen2").text_config
    settings.update({"vocab_size": len(text) + 3, "eos_token_id": text.eos_token_id, "pad_token_id": None, "bos_token_id": None})
    AutoModelForCausalLM.from_config(settings).save_pretrained(base["language_model"])
    text.save_pretrained(base["language_model"])
    return base


def test_a_language_model_keeps_its_template_its_end_of_turn_and_its_pad(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(small.values(tmp_path, init_from=chatml_parts(tmp_path), model={"preset": "low-only"}))
    processor = build_processor(recipe)
    assert str(processor.chat_template).endswith(CHATML)
    rows = [row for row in read(small.rows(tmp_path / "data")) if not hasattr(row, "reason")]
    report = audit_labels(recipe, {"rows": rows}, processor)  # pyright: ignore[reportArgumentType]
    assert report["rows"]["rows"] == 4 and report["rows"]["trained"] > 0
    model = build_model(recipe, processor)
    ends = sorted(processor.tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))
    assert processor.tokenizer.pad_token == "<|endoftext|>"
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    saved = DragonflyForConditionalGeneration.from_pretrained(tmp_path / "saved").eval()
    assert saved.generation_config.eos_token_id == ends
    assert saved.generation_config.pad_token_id == processor.tokenizer.pad_token_id
    engine = Engine(saved, type(processor).from_pretrained(tmp_path / "saved"))
    assert engine.end_ids == ends
    assert engine.ask(tiny.image(), "what?", max_new_tokens=2).prompt_tokens > 17  # those of the image


def test_a_base_model_needs_a_chat_template(tmp_path: Path) -> None:
    base = chatml_parts(tmp_path, None)
    with pytest.raises(ValueError, match=r"has no chat template.*init_from.chat_template=FILE"):
        build_processor(Recipe.model_validate(small.values(tmp_path, init_from=base, model={"preset": "low-only"})))
    (tmp_path / "chatml.jinja").write_text(CHATML)
    named = {**base, "chat_template": str(tmp_path / "chatml.jinja")}
    processor = build_processor(Recipe.model_validate(small.values(tmp_path, init_from=named, model={"preset": "low-only"})))
    assert processor.turn_marks().end == "<|im_end|>"
    with pytest.raises(ValueError, match="chat_template belong to tower"):
        InitFrom.model_validate({"checkpoint": "x", "chat_template": "y"})


def test_labels_that_no_generation_would_stop_at_are_refused(tmp_path: Path) -> None:
    base = chatml_parts(tmp_path, CHATML.replace("<|im_end|>", "<|stop|>"))
    recipe = Recipe.model_validate(small.values(tmp_path, init_from=base, model={"preset": "low-only"}))
    with pytest.raises(ValueError, match=r"ends an answer with '<\|stop\|>\\n', where generation cannot stop"):
        audit_labels(recipe, {}, build_processor(recipe))
