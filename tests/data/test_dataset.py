"""Example i depends on i alone; bad rows are replaced, named, and in number refused; lengths need no pixels."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from dragonfly.data import Collator, EncodedDataset, ImageRef, Mixture, Part, Sample, row_random
from dragonfly.data.dataset import count_tokens, image_size
from dragonfly.imaging import RELEASED_POLICY, load_image

from .fakes import image, make_processor, sample


@pytest.fixture(scope="module")
def processor() -> Any:
    return make_processor()


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    rows = []
    for i in range(8):
        size = (8, 4) if i % 2 else (4, 8)
        image(*size, shade=10 * i).save(tmp_path / f"{i}.png")
        refs = (ImageRef(str(tmp_path / f"{i}.png")),) * (i % 3)
        rows.append(sample("<image>" * (i % 3) + f"question {i}", "a" * (i + 1), images=refs, name=f"n{i}"))
    return rows


def broken(samples: list[Sample], *rows: int) -> list[Sample]:
    """The same samples with truncated images in some rows: headers whole, pixels not."""
    for row in rows:
        path = Path(str(samples[row].images[0].path))
        Image.effect_noise((64, 64), 50).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    return samples


def test_examples_are_encoded_with_their_images(processor: Any, samples: list[Sample]) -> None:
    dataset = EncodedDataset(samples, processor)
    assert len(dataset) == 8
    example = dataset[5]
    assert example["pixel_values"].shape == (2, 3, 3, 2, 2)
    assert example["pixel_values"][0, 0, 0, 0, 0] == 51  # the fake says the mean shade + 1: row 5 is shade 50
    assert "pixel_values" not in dataset[0]
    assert dataset.bad == {}
    with pytest.raises(IndexError, match="example 8 of 8"):
        dataset[8]


def test_the_settings_reach_the_labels(processor: Any, samples: list[Sample]) -> None:
    whole = EncodedDataset(samples, processor, train_on="all")[0]
    assert (whole["labels"] != -100).sum() == len(whole["input_ids"]) - 1
    long = dataclasses.replace(samples[0], messages=samples[0].messages * 2)
    assert EncodedDataset([long], processor, max_length=40)[0]["num_truncated"] == 1


def test_lengths_are_those_of_the_examples_without_decoding(processor: Any, samples: list[Sample]) -> None:
    dataset = EncodedDataset(samples, processor)
    assert dataset.lengths() == [len(dataset[index]["input_ids"]) for index in range(8)]
    assert max(EncodedDataset(samples, processor, max_length=50).lengths()) == 50
    headers = EncodedDataset(broken(samples, 1), processor)
    assert len(headers.lengths()) == 8
    assert headers.bad == {}


def test_sizes_are_those_after_orientation(tmp_path: Path, processor: Any) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    image(8, 4).save(tmp_path / "a.jpg", exif=turned)
    data = (tmp_path / "a.jpg").read_bytes()
    assert image_size(ImageRef(str(tmp_path / "a.jpg"))) == image_size(ImageRef(bytes=data)) == (8, 4)
    assert image_size(ImageRef(bytes=data), RELEASED_POLICY) == (4, 8)
    row = sample("<image>", "a", images=(ImageRef(bytes=data),))
    assert count_tokens(processor, row) == len(EncodedDataset([row], processor)[0]["input_ids"])


@pytest.mark.parametrize("orientation", range(10))  # 0 and 9 are no orientations
def test_every_orientation_swaps_sides_as_loading_does(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    image(8, 4).save(path, exif=exif)
    assert image_size(ImageRef(str(path))) == load_image(path).size == ((8, 4) if 5 <= orientation <= 8 else (4, 8))


@pytest.mark.parametrize("ref", [ImageRef("gone.png"), ImageRef(bytes=b"text"), ImageRef("https://localhost/a.png")])
def test_an_image_without_a_size_is_a_bad_row(processor: Any, samples: list[Sample], ref: ImageRef) -> None:
    dataset = EncodedDataset([sample("<image>", "a", images=(ref,)), samples[0]], processor, max_bad_share=0.5)
    assert dataset.lengths() == [count_tokens(processor, samples[0])] * 2
    ((bad),) = dataset.bad.values()
    assert (bad.row, bad.reason) == (0, "broken-image")
    assert "\n" not in bad.detail


def test_a_bad_row_is_replaced_by_the_next_and_named(
    processor: Any, samples: list[Sample], caplog: pytest.LogCaptureFixture
) -> None:
    rows = broken(samples, 4, 5)
    rows[4] = dataclasses.replace(rows[4], place=("set.jsonl", 17))
    dataset = EncodedDataset(rows, processor, max_bad_share=0.25)
    for _ in range(2):
        assert torch.equal(dataset[4]["input_ids"], dataset[6]["input_ids"])
    assert [(bad.file, bad.row, bad.reason) for bad in dataset.bad.values()] == [
        ("set.jsonl", 17, "broken-image"),
        ("test", 5, "broken-image"),
    ]
    assert "'n4'" in str(dataset.bad["set.jsonl", 17])
    assert len(caplog.records) == 2
    assert "set.jsonl row 17" in caplog.text


def test_the_last_row_is_replaced_by_the_first(processor: Any, samples: list[Sample]) -> None:
    dataset = EncodedDataset(broken(samples, 7), processor, max_bad_share=0.2)
    assert torch.equal(dataset[7]["input_ids"], dataset[0]["input_ids"])


def test_too_many_bad_rows_end_the_run(processor: Any, samples: list[Sample]) -> None:
    dataset = EncodedDataset(broken(samples, 4, 5), processor, max_bad_share=0.125)
    assert len(dataset[5]["input_ids"]) > 0
    with pytest.raises(ValueError, match=r"2 of 8 rows are bad.*broken-image 2.*test row 5: .*test row 4: "):
        dataset[4]
    with pytest.raises(ValueError, match="1 of 8 rows are bad"):
        EncodedDataset(samples, processor)[4]
    with pytest.raises(ValueError, match="none of the 1 rows can be used; the first: test row 0: too-long"):
        EncodedDataset(samples[:1], processor, max_length=3, max_bad_share=1.0)[0]


def test_a_fault_of_ours_is_not_taken_for_a_bad_row(samples: list[Sample]) -> None:
    bare = make_processor("{{ bos_token }}{% for m in messages %}<|eot|>{% endfor %}")
    with pytest.raises(ValueError, match="marks 0 answers where the conversation has 1"):
        EncodedDataset(samples, bare, max_bad_share=1.0)[0]


def test_chance_comes_from_seed_epoch_and_index_alone(processor: Any, samples: list[Sample]) -> None:
    def choose(row: Sample, chance: random.Random) -> Sample:
        answer = dataclasses.replace(row.messages[1], content=(Part("text", str(chance.random())),))
        return dataclasses.replace(row, messages=(row.messages[0], answer))

    def answers(dataset: EncodedDataset, order: list[int]) -> dict[int, str]:
        return {index: dataset.sample(index).messages[1].text for index in order}

    plain = EncodedDataset(samples, processor, transform=choose, seed=1)
    there, back = answers(plain, list(range(8))), answers(plain, list(range(7, -1, -1)))
    assert there == back
    assert len(set(there.values())) == 8
    assert answers(EncodedDataset(samples, processor, transform=choose, seed=2), [0]) != answers(plain, [0])
    mixed = EncodedDataset(Mixture({"a": samples}, epochs=2), processor, transform=choose, seed=1)
    assert len(set(answers(mixed, list(range(16))).values())) == 16
    assert row_random(1, 0, 12).random() == row_random(1, 0, 12).random() != row_random(1, 1, 2).random()


def test_a_mixture_gives_its_positions(processor: Any, samples: list[Sample]) -> None:
    mixture = Mixture({"text": samples[::3], "images": samples[1::3]}, {"text": 2.0}, epochs=2)
    dataset = EncodedDataset(mixture, processor)
    assert len(dataset) == 18
    alone = EncodedDataset(samples, processor)
    for position in range(18):
        row = samples.index(mixture[position])
        assert torch.equal(dataset[position]["input_ids"], alone[row]["input_ids"])


def test_workers_change_nothing(processor: Any, samples: list[Sample]) -> None:
    dataset = EncodedDataset(Mixture({"a": broken(samples, 1)}, seed=4), processor, max_bad_share=1.0)
    collate = Collator(processor.tokenizer.pad_token_id)
    alone, shared = (list(DataLoader(dataset, batch_size=3, num_workers=workers, collate_fn=collate)) for workers in (0, 2))
    for one, other in zip(alone, shared, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_empty_source_or_share_is_refused(processor: Any, samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match="no samples to train on"):
        EncodedDataset([], processor)
    with pytest.raises(ValueError, match="max_bad_share is 2"):
        EncodedDataset(samples, processor, max_bad_share=2)
