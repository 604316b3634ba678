"""SVIT, The Cauldron, OpenHermes, MathInstruct."""

from pathlib import Path

import pytest

from dragonfly.curation.sources import SOURCES
from dragonfly.curation.sources.conversations import CAULDRON_EXCLUDED, CAULDRON_SUBSETS
from dragonfly.data import BadRow, ImageRef, Message, Part

from .layouts import LAYOUTS, noise, write_json, write_parquet
from .reading import said, samples


def shown(*texts: str) -> tuple[Message, ...]:
    first, *rest = said(*texts)
    return Message("user", (Part("image"), *first.content)), *rest


def test_svit_makes_one_sample_of_each_conversation_and_finds_its_image_by_number(tmp_path: Path):
    LAYOUTS["svit"](tmp_path)
    read = samples("svit", tmp_path)
    assert [sample.id for sample in read] == [f"svit/data/conversation/{place}" for place in ("0/0", "0/1", "1/0")]
    assert [sample.messages for sample in read] == [
        shown("Who?", "A man.", "Where?", "Outside."),
        shown("What?", "A bench."),
        shown("Who?", "A dog."),
    ]
    assert [sample.images[0].path for sample in read] == [
        str(tmp_path / "raw" / path) for path in ("VG_100K/11.jpg", "VG_100K/11.jpg", "VG_100K_2/12.jpg")
    ]
    assert {sample.meta["subset"] for sample in read} == {"conversation"}


def test_a_broken_conversation_of_svit_leaves_its_neighbours_alone(tmp_path: Path):
    LAYOUTS["svit"](tmp_path)
    good = {"content": [{"from": "user", "value": "Q"}, {"from": "gpt", "value": "A"}]}
    write_json(
        tmp_path / "data/conversation.json",
        [{"image_id": 11, "conversations": [good, {"content": None}, good]}, {"image_id": 11}],
    )
    rows = list(SOURCES["svit"].read(tmp_path))
    assert [row.reason if isinstance(row, BadRow) else row.id for row in rows[:4]] == [
        "svit/data/conversation/0/0",
        "bad-conversations",
        "svit/data/conversation/0/2",
        "bad-conversations",
    ]


def test_svit_without_visual_genomes_list_is_refused(tmp_path: Path):
    LAYOUTS["svit"](tmp_path)
    write_json(tmp_path / "raw/annotations/vg/image_data.json", [{"image_id": 11}])
    with pytest.raises(ValueError, match=r"image_data\.json is not Visual Genome's list of images"):
        list(SOURCES["svit"].read(tmp_path))


def test_the_cauldron_has_fifty_sub_sets_and_five_are_left_out_with_a_reason():
    assert len(CAULDRON_SUBSETS) == len(set(CAULDRON_SUBSETS)) == 50
    assert len(CAULDRON_EXCLUDED) == 5
    assert set(CAULDRON_EXCLUDED) <= set(CAULDRON_SUBSETS)
    assert {reason.split(":")[0] for reason in CAULDRON_EXCLUDED.values()} == {"mathematics", "code"}


def test_the_cauldron_reads_every_sub_set_that_is_there(tmp_path: Path):
    row = {"images": [{"bytes": noise(7), "path": None}], "texts": [{"user": "Q", "assistant": "A", "source": "X"}]}
    for subset in CAULDRON_SUBSETS:
        write_parquet(tmp_path / subset / "train-00000-of-00001.parquet", [row])
    assert [sample.meta["subset"] for sample in samples("cauldron", tmp_path)] == list(CAULDRON_SUBSETS)


def test_the_cauldron_shows_its_images_before_the_first_question(tmp_path: Path):
    LAYOUTS["cauldron"](tmp_path)
    first, second, code = samples("cauldron", tmp_path)
    assert first.messages == shown("Q1", "A1", "Q2", "A2")
    assert first.images == (ImageRef(bytes=noise(101)),)
    assert (second.messages, code.messages) == (shown("Q3", "A3"), shown("Write HTML.", "<p>"))
    two = [{"bytes": noise(n), "path": None} for n in (1, 2)]
    write_parquet(
        tmp_path / "nlvr2/train-0.parquet", [{"images": two, "texts": [{"user": "Q", "assistant": "A", "source": "X"}]}]
    )
    pair = next(sample for sample in samples("cauldron", tmp_path) if sample.meta["subset"] == "nlvr2")
    assert pair.messages[0].content == (Part("image"), Part("image"), Part("text", "Q"))


def test_openhermes_keeps_the_system_message(tmp_path: Path):
    LAYOUTS["openhermes"](tmp_path)
    read = samples("openhermes", tmp_path)
    assert read[0].messages == said("Hi", "Hello")
    assert read[1].messages == (Message("system", (Part("text", "Be brief."),)), *said("2+2?", "4"))
    assert [sample.meta.get("subset") for sample in read] == ["airoboros2.2", None, "metamath"]


def test_mathinstruct_asks_its_instruction(tmp_path: Path):
    LAYOUTS["mathinstruct"](tmp_path)
    assert [sample.messages for sample in samples("mathinstruct", tmp_path)] == [
        said(f"What is {n} + {n}?", str(2 * n)) for n in range(3)
    ]
