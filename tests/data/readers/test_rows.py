"""Each dialect becomes the same sample; the strings are those that the data sets really hold."""

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dragonfly.data import BadSample, ImageRef, Message, Part, Sample, validate
from dragonfly.data.readers.images import image_ref, image_refs
from dragonfly.data.readers.rows import message_row, parse_llama3, question_row, released_row, turn_row

from ..fakes import image

ROOT = Path("/data")
IMAGE = Part("image")
KITE = "<|start_header_id|>user<|end_header_id|>\n\nWhat is in the image?<|eot_id|>"
KITE += "<|start_header_id|>assistant<|end_header_id|>\n\nA red kite.<|eot_id|>"


def spoken(row: Sample) -> list[tuple[str, list[str]]]:
    return [(m.role, ["<image>" if p.type == "image" else p.text for p in m.content]) for m in row.messages]


def told(*values: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": value} for i, value in enumerate(values)]


def test_a_question_and_its_answer_are_one_turn_behind_the_images() -> None:
    row = question_row({"image": "a.jpg", "question": "How many?", "answer": 3, "group": "p1", "organ": "CHEST"}, ROOT)
    assert (row.images, row.meta) == ((ImageRef("/data/a.jpg", group="p1"),), {"organ": "CHEST"})
    assert spoken(row) == [("user", ["<image>", "How many?"]), ("assistant", ["3"])]
    both = question_row({"images": ["a.jpg", "b.jpg"], "question": "Alike?", "answer": "no", "system": "Be brief."}, ROOT)
    assert spoken(both) == [("system", ["Be brief."]), ("user", ["<image>", "<image>", "Alike?"]), ("assistant", ["no"])]
    assert spoken(question_row({"question": "Who?", "answer": "nobody"}, ROOT)) == [("user", ["Who?"]), ("assistant", ["nobody"])]


@pytest.mark.parametrize("row", [{"question": "Who?"}, {"question": None, "answer": "x"}, {"question": "Who?", "answer": ["x"]}])
def test_a_question_without_text_is_bad(row: dict[str, Any]) -> None:
    with pytest.raises(BadSample, match="bad-question: question and answer must be text"):
        question_row(row, ROOT)


def test_llava_rows_place_images_where_their_tokens_stand() -> None:
    row = turn_row({"id": 7, "image": "a.jpg", "conversations": told("<image>\nWhat?", "A kite"), "split": "t"}, ROOT)
    assert (row.id, row.images, row.meta) == ("7", (ImageRef("/data/a.jpg"),), {"split": "t"})
    assert spoken(row) == [("user", ["<image>", "What?"]), ("assistant", ["A kite"])]
    last = turn_row({"image": "a.jpg", "conversations": told("What?\n<image>", "A kite")}, ROOT)
    assert spoken(last)[0] == ("user", ["What?", "<image>"])
    two = turn_row({"image": ["a", "b"], "conversations": told("Is <image> like <image>?", "no")}, ROOT)
    assert spoken(two)[0] == ("user", ["Is ", "<image>", " like ", "<image>", "?"])
    assert [image.path for image in two.images] == ["/data/a", "/data/b"]


def test_sharegpt_rows_bring_a_system_message_and_no_image() -> None:
    row = turn_row({"system": "Be brief.", "conversations": told("Hi", "Hello")}, ROOT)
    assert spoken(row) == [("system", ["Be brief."]), ("user", ["Hi"]), ("assistant", ["Hello"])]
    assert row.images == ()
    with pytest.raises(BadSample, match="'bing'; accepted: human") as caught:
        turn_row({"conversations": [{"from": "bing", "value": "x"}]}, ROOT)
    assert caught.value.reason == "unknown-role"


def test_openai_rows_take_text_blocks_and_inline_images() -> None:
    blocks = [{"type": "image", "text": None}, {"type": "text", "text": "What?"}]
    row = {"messages": [{"role": "user", "content": blocks}, {"role": "assistant", "content": "A kite"}]}
    assert spoken(message_row({**row, "images": ["a"]}, ROOT))[0] == ("user", ["<image>", "What?"])
    uri = "data:image/png;base64," + base64.b64encode(b"png").decode()
    blocks[0] = {"type": "image_url", "image_url": {"url": uri}}  # pyright: ignore[reportArgumentType]
    assert message_row(row, ROOT).images == (ImageRef(bytes=b"png"),)


def test_openai_images_come_in_the_order_of_their_blocks() -> None:
    content = [{"type": "image", "path": "in"}, {"type": "image"}, {"type": "text", "text": "<image>?"}]
    row = message_row({"messages": [{"role": "user", "content": content}], "images": ["1", "2"]}, ROOT)
    assert [image.path for image in row.images] == ["/data/in", "/data/1", "/data/2"]
    assert row.messages[0].content == (IMAGE, IMAGE, IMAGE, Part("text", "?"))


def test_openai_images_without_a_placeholder_stand_first_and_left_over_ones_are_kept() -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "What?"}]
    row = message_row({"messages": messages, "images": ["a", "b"]}, ROOT)
    assert spoken(row) == [("system", ["s"]), ("user", ["<image>", "<image>", "What?"])]
    messages[1] = {"role": "user", "content": "<image>What?"}
    assert len(message_row({"messages": messages, "images": ["a", "b"]}, ROOT).images) == 2


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ("text", "bad-messages"),
        (["text"], "bad-messages"),
        ([{"role": "user", "content": ["text"]}], "bad-messages"),
        ([{"role": "user", "content": [{"type": "video"}]}], "unknown-block"),
    ],
)
def test_openai_faults(messages: Any, reason: str) -> None:
    with pytest.raises(BadSample) as caught:
        message_row({"messages": messages}, ROOT)
    assert caught.value.reason == reason


@pytest.mark.parametrize("before", ["", "<|begin_of_text|>"])
def test_released_rows_are_taken_out_of_their_template(before: str) -> None:
    row = released_row({"image_url": "a.png", "conversations": before + KITE, "source": "llava"}, ROOT)
    assert spoken(row) == [("user", ["<image>", "What is in the image?"]), ("assistant", ["A red kite."])]
    assert (row.source, row.images) == ("llava", (ImageRef("/data/a.png"),))
    assert released_row({"conversations": KITE}, ROOT).images == ()
    listed = released_row({"image_url": "a.png", "conversations": told("What?", "A kite")}, ROOT)
    assert spoken(listed)[0] == ("user", ["<image>", "What?"])
    placed = released_row({"image_url": "a.png", "conversations": told("Is <image> a kite?", "yes")}, ROOT)
    assert spoken(placed)[0] == ("user", ["Is ", "<image>", " a kite?"])


@pytest.mark.parametrize("text", [KITE + " A striped cat", "note " + KITE, KITE.removesuffix("<|eot_id|>")])
def test_text_outside_turns_is_a_fault(text: str) -> None:
    with pytest.raises(BadSample) as caught:
        released_row({"conversations": text}, ROOT)
    assert caught.value.reason == "outside-turns"


spoken_text = st.text(max_size=30).filter(lambda text: "<|" not in text and not text.startswith("\n\n"))


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), spoken_text), max_size=5), st.booleans())
def test_every_templated_string_is_taken_apart_exactly(turns: list[tuple[str, str]], framed: bool) -> None:
    text = "".join(f"<|start_header_id|>{role}<|end_header_id|>\n\n{said}<|eot_id|>" for role, said in turns)
    assert parse_llama3(f"<|begin_of_text|>{text}<|end_of_text|>" if framed else text) == turns


@pytest.mark.parametrize("conversations", [None, 3, ["text"]])
def test_conversations_must_be_a_list_of_turns(conversations: Any) -> None:
    with pytest.raises(BadSample, match=r"a list of \{from, value\} is expected"):
        turn_row({"conversations": conversations}, ROOT)


def test_message_content_may_be_absent() -> None:
    row = message_row({"messages": [{"role": "user", "content": None}]}, ROOT)
    assert row.messages == (Message("user", ()),)


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/passwd", "a/../../secret.txt", str(ROOT.parent / "data2" / "a.png")])
def test_a_row_names_nothing_outside_the_root(path: str) -> None:
    with pytest.raises(BadSample, match=r"outside-root: .* lies outside .*; name the folder that holds all images as image_root"):
        image_ref(path, ROOT)


def test_a_row_names_what_is_inside_in_any_way() -> None:
    assert image_ref("a/../b.png", ROOT).path == str(ROOT / "a/../b.png")
    assert image_ref(str(ROOT / "a.png"), ROOT).path == str(ROOT / "a.png")
    assert image_ref("a.png", Path()).path == "a.png"


def test_images_as_rows_name_them() -> None:
    assert image_refs(None, ROOT) == image_refs("", ROOT) == image_refs([], ROOT) == ()
    assert image_ref("https://x/a.png", ROOT) == ImageRef("https://x/a.png")
    assert image_ref("/abs/a.png", Path("/"), "g") == ImageRef("/abs/a.png", group="g")
    assert image_ref({"bytes": b"x", "path": "a.png"}, ROOT) == ImageRef(bytes=b"x")
    assert image_ref({"bytes": None, "path": "a.png"}, None) == ImageRef("a.png")
    for wrong in (3, {}, {"path": None}, "data:image/png,raw", "data:image/png;base64,@@"):
        with pytest.raises(BadSample) as caught:
            image_ref(wrong, ROOT)
        assert caught.value.reason == "bad-image-field"


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK"])
def test_a_decoded_image_keeps_its_pixels(mode: str) -> None:
    decoded = image(shade=70).convert(mode)
    data = image_ref(decoded, ROOT).bytes
    assert data is not None
    assert Image.open(io.BytesIO(data)).convert("RGB").tobytes() == decoded.convert("RGB").tobytes()


GOLDEN = Path(os.environ.get("DRAGONFLY_GOLDEN", Path(__file__).parents[4] / "shared" / "golden" / "set_a"))


@pytest.mark.skipif(not (GOLDEN / "MANIFEST.json").is_file(), reason="the recorded cases are not here")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_strings_that_the_released_code_was_fed_are_taken_apart_and_put_together_again(version: str) -> None:
    cases = json.loads((GOLDEN / "MANIFEST.json").read_text())[version]["cases"]
    items = [item for case in cases.values() if case["kind"] == "train" for item in case["items"]]
    ended = [item for item in items if item["conversations"].endswith("<|eot_id|>")]
    assert 5 <= len(ended) < len(items)
    for item in ended:
        row = released_row(item, ROOT)
        validate(row)
        assert len(row.images) == ("image_url" in item)
        text = "".join(f"<|start_header_id|>{m.role}<|end_header_id|>\n\n{m.text}<|eot_id|>" for m in row.messages)
        assert text == item["conversations"].removeprefix("<|begin_of_text|>")
    for item in items:
        if item not in ended:
            with pytest.raises(BadSample, match="outside-turns"):
                released_row(item, ROOT)
