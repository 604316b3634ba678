"""ShareGPT4V, ALLaVA, LLaVA-Pretrain and LLaVA-Med: conversations in LLaVA's JSON."""

from pathlib import Path

import pytest

from dragonfly.data import ImageRef, Message, Part, Sample

from .layouts import LAYOUTS, image, turns, write_json
from .reading import samples


def test_sharegpt4v_keeps_the_placeholders_place_and_tells_its_two_files_apart(tmp_path: Path):
    LAYOUTS["sharegpt4v"](tmp_path)
    first, second, third = samples("sharegpt4v", tmp_path)
    assert first == Sample(
        id="sharegpt4v/sharegpt4v_instruct_gpt4-vision_cap100k/0",
        source="sharegpt4v",
        images=(ImageRef(str(tmp_path / "coco/train2017/1.jpg")),),
        messages=(
            Message("user", (Part("text", "Describe it."), Part("image"))),
            Message("assistant", (Part("text", "A cat."),)),
        ),
        meta={
            "form": "conversation",
            "domain": "general",
            "modality": "photo",
            "licence": "CC BY-NC 4.0",
            "native_id": "1",
            "subset": "gpt4v",
        },
    )
    assert [sample.meta["subset"] for sample in (second, third)] == ["captioner", "captioner"]
    assert second.messages[0].content == (Part("image"), Part("text", "What is it?"))


def test_allava_names_its_four_files(tmp_path: Path):
    LAYOUTS["allava"](tmp_path)
    read = samples("allava", tmp_path)
    assert [sample.meta["subset"] for sample in read] == ["laion-caption", "laion-instruct", "vflan-instruct"]
    assert [sample.messages[1].text for sample in read] == ["A ring.", "No, silver.", "A guitar."]
    assert read[2].images[0].path == str(tmp_path / "allava_vflan/images/images_191task_1k/2.png")


def test_llava_pretrain_finds_its_images_in_images_or_beside_the_list(tmp_path: Path):
    LAYOUTS["llava-pretrain"](tmp_path / "a")
    assert samples("llava-pretrain", tmp_path / "a")[0].images == (ImageRef(str(tmp_path / "a/images/00000/00000.jpg")),)
    image(tmp_path / "b/00000/1.jpg")
    row = {"id": "1", "image": "00000/1.jpg", "conversations": turns("<image>\nQ", "A")}
    write_json(tmp_path / "b/blip_laion_cc_sbu_558k.json", [row])
    assert samples("llava-pretrain", tmp_path / "b")[0].images == (ImageRef(str(tmp_path / "b/00000/1.jpg")),)


@pytest.mark.parametrize("name", ["llava-med-alignment", "llava-med-60k", "llava-med-60k-im"])
def test_llava_med_groups_by_article_whatever_the_spelling_of_its_fields(name: str, tmp_path: Path):
    LAYOUTS[name](tmp_path)
    read = samples(name, tmp_path)
    assert [sample.images[0].group for sample in read] == ["pmid:25639867", "pmid:25639867", "pmid:30000001"]
    assert [sample.messages[1].text for sample in read] == [
        f"An MRI, {n}." for n in ("25639867_F2", "25639867_F3", "30000001_F1")
    ]
    assert read[0].images[0].path == str(tmp_path / "images/25639867_F2.jpg")


def test_llava_med_instruct_is_both_versions_told_apart(tmp_path: Path):
    LAYOUTS["llava-med-instruct"](tmp_path)
    assert [sample.meta["subset"] for sample in samples("llava-med-instruct", tmp_path)] == ["60k-im"] * 3 + ["60k"] * 3
