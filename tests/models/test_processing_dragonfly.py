"""DragonflyProcessor: placeholders are counted from the layout, stand where the conversation puts them, and are never cut."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoProcessor

from dragonfly.imaging import load
from dragonfly.models import DragonflyProcessor
from tests import tiny

IMAGE, SEPARATOR = tiny.SPECIAL.index("<image>"), tiny.SPECIAL.index("<separator>")
BOS, EOT = tiny.SPECIAL.index("<|begin_of_text|>"), tiny.SPECIAL.index("<|eot_id|>")


def processor(preset: str = "v1", **changes: Any) -> DragonflyProcessor:
    return tiny.processor(tiny.config(preset), **changes)


def block(preset: str = "v1", height: int = 64, width: int = 96) -> list[int]:
    """The ids of one image: features of each sub-image, then a separator."""
    counts = processor(preset).image_processor.layout((height, width)).token_counts
    return [index for count in counts for index in [IMAGE] * count + [SEPARATOR]]


def ids(of: DragonflyProcessor, text: str | list[str], images: Any = None, **options: Any) -> list[list[int]]:
    return of(text=text, images=images, **options)["input_ids"]


def letters(of: DragonflyProcessor, text: str) -> list[int]:
    return of.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("preset", ["v1", "v2", "low-only", "baseline-2", "v1-global", "v1-any"])
def test_a_block_stands_where_the_text_puts_it(preset: str) -> None:
    of = processor(preset)
    assert ids(of, "a<image>b", tiny.image()) == [[BOS, *letters(of, "a"), *block(preset), *letters(of, "b")]]


def test_several_images_keep_their_order() -> None:
    encoder = {**(tiny.config("v1").encoder or {}), "max_enlargement": 1.0}
    of = tiny.processor(tiny.config(encoder=encoder))
    small, large = tiny.image(40, 40), tiny.image(400, 400)
    one, other = [IMAGE] * 17 + [SEPARATOR], ([IMAGE] * 17 + [SEPARATOR]) * 17
    assert ids(of, "<image>a<image>", [small, large]) == [[BOS, *one, *letters(of, "a"), *other]]
    assert ids(of, "<image>a<image>", [large, small]) == [[BOS, *other, *letters(of, "a"), *one]]


def test_the_prompt_does_not_grow_with_the_image() -> None:
    of, high = processor("v1-any"), []
    for width, height in ((40, 40), (300, 200), (2000, 40), (1900, 2100)):
        out = of(text="a<image>b", images=tiny.image(width, height), return_tensors="pt")
        high.append(of.image_processor.layout((height, width)).count("high"))
        assert out["pixel_values"].shape[:2] == (1, 17) and out["selected_high"].max() < high[-1]
        assert out["input_ids"][0].tolist() == [BOS, *letters(of, "a"), *block("v1-any"), *letters(of, "b")]
    assert high == [24, 8 * 10, 3 * 64, 64 * 60]  # rows and columns of 32 pixels, and never more than 64 of either


def test_flat_and_nested_images_are_the_same() -> None:
    of, images = processor(), [tiny.image(seed=seed) for seed in range(3)]
    text = ["<image><image>a", "b", "<image>c"]
    flat = of(text=text, images=images, padding=True, return_tensors="pt")
    nested = of(text=text, images=[images[:2], [], images[2:]], padding=True, return_tensors="pt")
    assert all(torch.equal(flat[key], nested[key]) for key in flat) and set(flat) == set(nested)
    assert flat["pixel_values"].shape[0] == 3


@pytest.mark.parametrize("images", [None, [], [[], []]])
def test_no_images(images: Any) -> None:
    out = processor()(text=["a", "bc"], images=images, padding=True, return_tensors="pt")
    assert set(out) == {"input_ids", "attention_mask"} and out["input_ids"].shape == (2, 3)


def test_images_and_placeholders_must_agree() -> None:
    with pytest.raises(ValueError, match=r"found 2 '<image>' in the text and 1 images"):
        processor()(text="<image><image>", images=[tiny.image()])
    with pytest.raises(ValueError, match=r"found 1 '<image>' in the text and 0 images"):
        processor()(text="<image>")


def test_every_output_has_one_row_per_image() -> None:
    out = processor()(text="<image><image>", images=[tiny.image(), tiny.image(seed=1)], return_tensors="pt")
    assert set(out) == {"input_ids", "attention_mask", "pixel_values", "sub_image_regions"}  # the layouts are not handed on
    assert {len(value) for key, value in out.items() if key not in ("input_ids", "attention_mask")} == {2}


def test_truncation_that_cuts_an_image_is_refused() -> None:
    of, text = processor(), "<image>" + "long " * 9
    assert len(ids(of, text, tiny.image(), truncation=True, max_length=len(block()) + 5)[0]) == len(block()) + 5
    with pytest.raises(ValueError, match=r"[Mm]ismatch"):
        of(text=text, images=tiny.image(), truncation=True, max_length=len(block()) - 5)


def test_left_and_right_padding() -> None:
    of = processor()
    for side in ("left", "right"):
        out = of(text=["<image>", "ab"], images=[[tiny.image()], []], padding=True, padding_side=side, return_tensors="pt")
        mask = out["attention_mask"][1].bool()
        assert out["input_ids"][1][mask].tolist() == [BOS, *letters(of, "ab")]
        assert mask[-1].item() is (side == "left")


def test_other_placeholder_names() -> None:
    of = processor(image_token="<|end_of_text|>", separator_token="<image>")
    assert of.image_token_id == 1 and of.separator_token_id == IMAGE
    assert ids(of, "<|end_of_text|>", tiny.image())[0][1:19] == [1] * 17 + [IMAGE]


def test_a_token_the_tokenizer_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"the tokenizer does not know '<photo>'; add it as a special token, or name one it has"):
        processor(image_token="<photo>")
    with pytest.raises(ValueError, match=r"needs a tokenizer, got None"):
        DragonflyProcessor(processor().image_processor, None)


def test_saved_and_loaded(tmp_path: Path) -> None:
    of = processor("v2", block_first=True, separator_token="<|end_of_text|>")
    of.save_pretrained(tmp_path)
    for cls in (DragonflyProcessor, AutoProcessor):
        read = cls.from_pretrained(tmp_path)
        assert type(read) is DragonflyProcessor and read.block_first and read.separator_token_id == 1
        assert read.chat_template == of.chat_template and read.image_processor.spec == of.image_processor.spec
        assert ids(read, "a<image>", tiny.image()) == ids(of, "a<image>", tiny.image())
    assert not (tmp_path / "preprocessor_config.json").exists()


def test_preset_overrules_what_was_saved(tmp_path: Path) -> None:
    processor().save_pretrained(tmp_path)
    assert AutoProcessor.from_pretrained(tmp_path, preset="v2").image_processor.preset == "v2"


# block_first: as the released weights were trained


def test_block_first_writes_bos_after_the_block() -> None:
    of = processor("v1-released", block_first=True)
    expected = [*block("v1-released"), BOS, *letters(of, "ab")]
    for text in ("<image>ab", "a<image>b", "ab", "<|begin_of_text|>ab"):  # wherever the placeholder stood, or stood not
        assert ids(of, text, tiny.image()) == [expected], text


def test_block_first_text_only() -> None:
    of = processor("v1-released", block_first=True)
    assert ids(of, ["ab", "<|begin_of_text|>ab"]) == [[BOS, *letters(of, "ab")]] * 2


def test_block_first_with_several_rows() -> None:
    of = processor("v1-released", block_first=True)
    images = [tiny.image(seed=seed) for seed in range(3)]
    one, text = block("v1-released"), letters(of, "ab")
    assert ids(of, ["ab", "ab"], images[:2]) == [[*one, BOS, *text]] * 2
    assert ids(of, ["ab", "ab"], [images[:2], images[2:]]) == [[*one, *one, BOS, *text], [*one, BOS, *text]]
    assert ids(of, ["a<image>b<image>", "ab"], [images[:2], []]) == [[*one, *one, BOS, *text], [BOS, *text]]
    assert ids(of, "ab", images) == [[*one * 3, BOS, *text]]


@pytest.mark.parametrize("images", [[[tiny.image()]], [tiny.image()] * 3])
def test_block_first_with_images_that_do_not_share_out(images: Any) -> None:
    with pytest.raises(ValueError, match=r"(got images for 1 rows and 2 texts|got 3 images and 2 texts)"):
        processor("v1-released", block_first=True)(text=["a", "b"], images=images)


def test_block_first_end_of_text_and_cut() -> None:
    of = processor("v1-released", block_first=True)
    assert ids(of, "ab", tiny.image(), add_end_of_text=True) == [[*block("v1-released"), BOS, *letters(of, "ab"), EOT]]
    cut = ids(of, "abcdefgh", tiny.image(), truncation=True, max_length=10)  # half of it, less one, BOS among them
    assert cut == [[*block("v1-released"), BOS, *letters(of, "abc")]]
    with pytest.raises(ValueError, match=r"add_end_of_text belongs to released weights"):
        processor()(text="a", add_end_of_text=True)


def test_block_first_pads_to_a_length() -> None:
    of = processor("v1-released", block_first=True)
    row = [*block("v1-released"), BOS, *letters(of, "ab")]
    out = of(text="ab", images=tiny.image(), padding="max_length", max_length=len(row) + 5, padding_side="right")
    assert out["input_ids"] == [[*row, *[EOT] * 5]] and sum(out["attention_mask"][0]) == len(row)
    assert ids(of, "ab", tiny.image(), padding=True, max_length=len(row) + 5) == [row]


def test_block_first_cut_to_nothing_leaves_the_block() -> None:
    of = processor("v1-released", block_first=True)
    assert ids(of, "abcdefgh", tiny.image(), truncation=True, max_length=2) == [block("v1-released")]


def test_names_of_inputs_are_those_of_a_call() -> None:
    """For each encoder, since transformers' loaders and trainers ask for them."""
    for changes in ({}, {"selection": {"policy": "question", "scope": "image", "keep": 4}}, {"position": "learned"}):
        encoder = {**(tiny.config().encoder or {}), **changes}
        for capped in (None, 1.0):
            of = tiny.processor(tiny.config(encoder={**encoder, "max_enlargement": capped}))
            assert set(of(text="<image>what?", images=tiny.image())) == set(of.model_input_names), (changes, capped)


# chat content


def test_a_chat_takes_addresses_where_that_is_switched_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    tiny.image().save(buffer, "PNG")
    monkeypatch.setattr(load, "fetch", lambda url, policy: buffer.getvalue())
    raw = base64.b64encode(buffer.getvalue()).decode()

    def chat(part: dict[str, Any], of: Any, **options: Any) -> torch.Tensor:
        messages = [{"role": "user", "content": [{"type": "image", **part}, {"type": "text", "text": "what?"}]}]
        wanted: Any = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "processor_kwargs": options}
        return of.apply_chat_template(messages, **wanted)["pixel_values"]

    expected = chat({"image": tiny.image()}, processor())
    processor().save_pretrained(tmp_path)
    for part, words, switch in (
        ({"url": "https://example.org/a.png"}, "fetching is off", {"urls": "public"}),
        ({"base64": raw}, "raw_base64=True", {"raw_base64": True}),
    ):
        with pytest.raises(ValueError, match=words):
            chat(part, processor())
        assert torch.equal(chat(part, processor(), **switch), expected)
        assert torch.equal(chat(part, processor(), images_kwargs=switch), expected)
        assert torch.equal(chat(part, AutoProcessor.from_pretrained(tmp_path, **switch)), expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"paddding": True}, "did you mean padding"),
        ({"images_kwarg": {}}, "did you mean images_kwargs"),
        ({"audios": ["a.wav"]}, "did you mean audio"),
        ({"audio": ["a.wav"]}, "images and text alone"),
    ],
)
def test_what_would_be_passed_over_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        processor()(text="<image>a", images=tiny.image(), **options)
