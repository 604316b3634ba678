"""A model from scratch, and embeddings that spell."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import dragonfly
from dragonfly.research.curriculum.patch_ocr_head import PatchOcrModel, save_head
from dragonfly.research.curriculum.projector_init import _fit, initialise_projector, spell_embeddings
from dragonfly.research.curriculum.scratch import TEMPLATE, learn_tokenizer
from dragonfly.research.curriculum.text_annotations import Classes
from dragonfly.training import run
from dragonfly.training.build import build_model, build_processor
from tests import tiny
from tests.research.curriculum.recipes import CurriculumRecipe
from tests.training import small


def scratch(folder: Path, **changes: Any) -> dict[str, Any]:
    """A recipe's values for a new model that learns text rows."""
    texts = small.rows(folder / "text", text_only=True)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    return small.values(
        folder,
        init_from={
            "scratch": {
                "texts": str(texts),
                "vocabulary": 300,
                "tower": {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, **sizes},
                "language_model": {"model_type": "llama", "num_key_value_heads": 2, "tie_word_embeddings": True, **sizes},
            }
        },
        model={"encoder": {"resolution": 32, "patch_size": 16, "low": {"grids": [[1, 1]]}}},
        objective="text",
        trainable=["language_model", "lm_head"],
        data={"train": [{"name": "text", "path": str(texts)}], "audit": 4},
        **changes,
    )


def test_a_model_from_nothing_trains_loads_and_answers(tmp_path: Path) -> None:
    output = run(CurriculumRecipe.model_validate(scratch(tmp_path)))
    engine = dragonfly.load(output)
    assert engine.ask(tiny.image(), "what?", max_new_tokens=2).text is not None
    again = run(CurriculumRecipe.model_validate(scratch(tmp_path, output=str(tmp_path / "again"))))
    assert (output / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert (output / "tokenizer.json").read_bytes() == (again / "tokenizer.json").read_bytes()


def test_the_attention_of_a_new_model_is_the_recipes(tmp_path: Path) -> None:
    chosen = {"vision_config": "eager", "text_config": "sdpa"}
    recipe = CurriculumRecipe.model_validate(scratch(tmp_path, attention=chosen))
    model: Any = build_model(recipe, build_processor(recipe))
    assert model.model.vision_tower.config._attn_implementation == "eager"
    assert model.model.language_model.config._attn_implementation == "sdpa"


def test_a_new_towers_filters_do_not_see_even_brightness(tmp_path: Path) -> None:
    recipe = CurriculumRecipe.model_validate(scratch(tmp_path))
    model: Any = build_model(recipe, build_processor(recipe))
    filters = next(m for n, m in model.model.vision_tower.named_modules() if n.endswith("patch_embedding"))
    grey, striped = torch.full((1, 3, 16, 16), 0.8), torch.ones(1, 3, 16, 16)
    striped[..., ::2] = -1
    with torch.no_grad():
        assert float(filters(grey).abs().max()) < 1e-5
        assert float(filters(striped).abs().max()) > 0.1


def test_any_text_comes_back_from_the_tokenizer() -> None:
    tokenizer = learn_tokenizer(iter(["read the tax"] * 50), 300)
    for text in ("tax 47", "Größe: 10 µm", "\u4e2d\u6587 and \U0001f9ea", " two  blanks\n"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert len(tokenizer("1234", add_special_tokens=False)["input_ids"]) == 4


def test_common_words_are_one_token_and_others_are_spelled() -> None:
    tokenizer = learn_tokenizer(iter(["read the tax"] * 50 + ["the rare"] * 9), 300)
    assert tokenizer.tokenize("read the tax") == ["read", "\u0120the", "\u0120tax"]
    assert tokenizer.tokenize("rare taxes") == [*"rare", "\u0120", *"taxes"]
    assert len(learn_tokenizer(iter([" ".join("abcdefgh"[n] * 3 for n in range(8))] * 50), 268)) == 268


def test_a_language_model_that_has_learned_comes_with_its_tokenizer(tmp_path: Path) -> None:
    values = scratch(tmp_path)
    new = values["init_from"]["scratch"]
    values["init_from"]["scratch"] = {"tower": new["tower"], "language_model": "src/dragonfly/assets/nano"}
    recipe = CurriculumRecipe.model_validate(values)
    processor = build_processor(recipe)
    model: Any = build_model(recipe, processor)
    bundled = dragonfly.load("nano")
    learned, own = bundled.model.model.language_model.state_dict(), model.model.language_model.state_dict()
    assert learned.keys() == own.keys() and all(torch.equal(own[name], learned[name].float()) for name in own)
    assert processor.tokenizer.get_vocab() == bundled.processor.tokenizer.get_vocab()
    assert processor.chat_template == bundled.processor.chat_template
    assert model.model.vision_tower.config.hidden_size == 32
    values["init_from"]["scratch"]["texts"] = new["texts"]
    with pytest.raises(ValueError, match="brings its tokenizer; leave texts out"):
        build_processor(CurriculumRecipe.model_validate(values))


def test_one_way_to_begin(tmp_path: Path) -> None:
    values = scratch(tmp_path)
    values["init_from"]["checkpoint"] = "nano"
    with pytest.raises(ValueError, match=r"give one of checkpoint, scratch, .*given: checkpoint, scratch"):
        CurriculumRecipe.model_validate(values)


def test_a_words_embedding_is_the_shifted_sum_of_its_characters() -> None:
    table = torch.zeros(5, 4)
    table[0] = torch.tensor([1.0, 0, 0, 0])  # a
    table[1] = torch.tensor([0.0, 1, 0, 0])  # b
    table[4] = 7.0
    spell_embeddings(table, ["a", "b", "ab", "ba", ""])
    half = 0.5**0.5
    assert torch.allclose(table[2], torch.tensor([half, 0, half, 0]))  # b is shifted by one place
    assert torch.allclose(table[3], torch.tensor([0, 1.0, 0, 0]))  # a shifted falls on b
    assert torch.equal(table[4], torch.full((4,), 7.0))


class Seen(torch.nn.Module):
    """A tower whose tokens are its input."""

    def forward(self, pixel_values: torch.Tensor) -> Any:
        return SimpleNamespace(last_hidden_state=pixel_values)


def spoken(folder: Path, classes: Classes, rows: list[list[int]], places: bool = False) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """What a projector says that was begun on tokens which say `rows` of classes; the embeddings, and their tokenizer."""
    settings = tiny.config("low-only")
    model, tokenizer = tiny.model(settings), tiny.processor(settings).tokenizer
    torch.manual_seed(3)
    labels, codes = torch.tensor(rows), [torch.randn(size, 32) for size in classes.sizes]
    said = [code[column] * (column > 0)[:, None] for code, column in zip(codes, labels.unbind(-1), strict=True)]
    tokens = torch.stack(said).sum(dim=0)
    noisy = [{"pixel_values": tokens[None] + 0.05 * torch.randn(1, *tokens.shape), "labels": labels[None]} for _ in range(50)]
    save_head(PatchOcrModel(Seen(), 32, classes), folder, noisy)
    initialise_projector(model, tokenizer, folder, places)
    with torch.no_grad():
        spoken = model.model.multi_modal_projector(tokens)
    return spoken, model.get_input_embeddings().weight.detach(), tokenizer


def test_a_spoken_projector_says_what_tokens_say(tmp_path: Path) -> None:
    rows = [[0, 1, 2], [0, 2, 1], [0, 1, 0], [0, 0, 0]]
    said, table, tokenizer = spoken(tmp_path, Classes(("red",), "ab", 0, 2), rows)
    a, b = (table[tokenizer(c, add_special_tokens=False)["input_ids"][-1]] for c in "ab")
    expected = torch.stack([a + b.roll(1), b + a.roll(1), a])
    assert float(torch.cosine_similarity(said[:3], expected).min()) > 0.95
    assert float(said[3].norm()) < 0.1 * float(said[:3].norm(dim=-1).min())  # a patch that says nothing is silent
    with pytest.raises(ValueError, match="holds no OCR head"):
        initialise_projector(tiny.model(), tokenizer, tmp_path / "elsewhere")


def test_what_a_patch_belongs_to_is_spoken_turned_by_half_the_width(tmp_path: Path) -> None:
    rows = [[0, 1, 2, 0, 2, 0], [0, 2, 0, 0, 1, 2], [0, 1, 0, 0, 0, 0]]
    said, table, tokenizer = spoken(tmp_path, Classes(("red",), "ab", 0, 2, bound=True), rows)
    a, b = (table[tokenizer(c, add_special_tokens=False)["input_ids"][-1]] for c in "ab")
    expected = torch.stack([a + b.roll(1) + b.roll(16), b + (a + b.roll(1)).roll(16), a])
    assert float(torch.cosine_similarity(said, expected).min()) > 0.95


def test_a_projector_may_also_say_in_which_row_a_patch_stands(tmp_path: Path) -> None:
    # 9 patches that all say "a", whose tokens also tell their row
    torch.manual_seed(1)
    classes, at = Classes((), "a", 0, 1), torch.arange(9)
    said, rows = torch.randn(32), torch.randn(3, 32)
    tokens = said + rows[at // 3]
    examples = [
        {"pixel_values": tokens[None] + 0.02 * torch.randn(1, 9, 32), "labels": torch.tensor([[0, 1]]).expand(1, 9, 2)}
        for _ in range(40)
    ]
    save_head(PatchOcrModel(Seen(), 32, classes), tmp_path, examples)
    likeness = {}
    for named in (False, True):
        model: Any = tiny.model(tiny.config("low-only"))
        initialise_projector(model, tiny.processor(tiny.config("low-only")).tokenizer, tmp_path, named)
        with torch.no_grad():
            told = model.model.multi_modal_projector(tokens)
        likeness[named] = torch.cosine_similarity(told[:, None], told[None], dim=-1)
    assert float(likeness[False].min()) > 0.98  # one word, wherever it stands
    assert float(likeness[True][at // 3 == 0][:, at // 3 == 0].min()) > 0.98
    assert float(likeness[True][0, 3]) > float(likeness[True][0, 6]) + 0.02  # the next row is more alike than one farther down
    assert float(likeness[True][0, 6]) < 0.95


def test_a_head_without_moments_is_refused(tmp_path: Path) -> None:
    spoken(tmp_path, Classes((), "ab", 0, 2), [[0, 1, 2]])
    tensors = load_file(tmp_path / "ocr_head.safetensors")
    save_file({name: tensors[name] for name in ("weight", "bias")}, tmp_path / "ocr_head.safetensors")
    with pytest.raises(ValueError, match="is of an earlier version, without moments; train that stage again"):
        initialise_projector(tiny.model(tiny.config("low-only")), tiny.processor().tokenizer, tmp_path)


def test_letters_are_fitted_so_that_words_sum_to_their_embeddings() -> None:
    classes, vectors = Classes((), "abc", 0, 2), torch.randn(8, 16)  # two slots of nothing and three letters
    words = {"ab": torch.randn(16), "ba": torch.randn(16), "long": torch.randn(16)}
    before = vectors.clone()
    _fit(vectors, classes, words)
    torch.testing.assert_close(vectors[1] + vectors[4 + 2], words["ab"], atol=0.5, rtol=0.1)
    assert float((vectors[1] + vectors[6] - words["ab"]).norm()) < 0.2 * float((before[1] + before[6] - words["ab"]).norm())
    assert torch.equal(vectors[3], before[3])  # no word has a c


def test_a_spoken_projector_comes_with_the_tower_that_reads(tmp_path: Path) -> None:
    values = scratch(tmp_path)
    first = CurriculumRecipe.model_validate({**values, "seed": 5})
    reading: Any = build_model(first, build_processor(first))
    reading.save_pretrained(tmp_path / "read")
    seen = {"pixel_values": torch.randn(2, 3, 32, 32), "labels": torch.ones(2, 5, 3, dtype=torch.long)}
    save_head(PatchOcrModel(reading.model.vision_tower, 32, Classes(("red",), "ab", 0, 2)), tmp_path / "read", [seen])
    values["init_from"]["scratch"]["projector"] = str(tmp_path / "read")
    second = CurriculumRecipe.model_validate(values)
    built: Any = build_model(second, build_processor(second))
    for name, weight in reading.model.vision_tower.state_dict().items():
        assert torch.equal(built.model.vision_tower.state_dict()[name], weight), name
    del values["init_from"]["scratch"]["projector"]
    plain: Any = build_model(CurriculumRecipe.model_validate(values), build_processor(second))
    assert torch.equal(built.lm_head.weight, plain.lm_head.weight)  # the rest is drawn from this recipe's seed
    assert not torch.equal(built.model.multi_modal_projector.weight, plain.model.multi_modal_projector.weight)


def test_patch_ocr_resumes_with_its_head(tmp_path: Path) -> None:
    tower, classes = tiny.model(tiny.config("low-only")).model.vision_tower, Classes(("red",), "ab", 0, 2)
    before, after = PatchOcrModel(tower, 32, classes), PatchOcrModel(tower, 32, classes)
    other = PatchOcrModel(tower, 32, Classes(("blue",), "ab", 0, 2))
    save_head(before, tmp_path, [])
    drawn = other.head.weight.clone()
    after.begin_from(str(tmp_path))
    other.begin_from(str(tmp_path))
    assert torch.equal(after.head.weight, before.head.weight) and torch.equal(after.head.bias, before.head.bias)
    assert torch.equal(other.head.weight, drawn)  # which says other things


def test_its_template_asks_the_last_question_by_itself_and_trains_on_all_turns() -> None:
    """Every question is learned by itself, so an earlier turn in the prompt would be something never seen."""
    processor = tiny.processor()
    processor.chat_template = TEMPLATE.read_text(encoding="utf-8")
    image = {"type": "image"}
    start, system = processor.tokenizer.bos_token, {"role": "system", "content": "be brief"}

    def rendered(*turns: list[Any] | str, **options: Any) -> str:
        named = [{"role": ("user", "assistant")[n % 2], "content": turn} for n, turn in enumerate(turns)]
        return processor.apply_chat_template([system, *named], **options).removeprefix(start)

    first, second = [image, {"type": "text", "text": "a?"}], [image, {"type": "text", "text": "b?"}]
    asked = {"add_generation_prompt": True}
    assert rendered(first, **asked) == "<|system|>be brief<|user|><image>a?<|assistant|>"
    assert rendered(first, "x", "c?", **asked) == "<|system|>be brief<|user|><image>c?<|assistant|>"
    assert rendered(first, "x", second, **asked) == "<|system|>be brief<|user|><image><image>b?<|assistant|>"
    end = processor.tokenizer.eos_token
    assert (
        rendered(first, "x", "c?", "y") == f"<|system|>be brief<|user|><image>a?<|assistant|>x{end}<|user|>c?<|assistant|>y{end}"
    )
