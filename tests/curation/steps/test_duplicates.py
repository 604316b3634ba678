"""Near duplicates, planted: images by looks, words by overlap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageOps

from dragonfly.curation.steps import Job
from dragonfly.curation.steps.duplicates import banding, keep_first
from tests.curation.fakes import ids, image, run_step, sample, saved, stepped, table


def planted(folder: Path) -> dict[str, Path]:
    """An image, four changed copies of it, and another image."""
    folder.mkdir(parents=True, exist_ok=True)
    first = image(1, 128, 96)
    paths = {name: folder / f"{name}.png" for name in ("first", "half", "dark", "flipped", "other")}
    first.save(paths["first"])
    first.resize((64, 48)).save(paths["half"])
    first.point(lambda value: value * 0.7).save(paths["dark"])
    ImageOps.mirror(first).save(paths["flipped"])
    image(2, 128, 96).save(paths["other"])
    return paths


def test_of_rows_that_ask_the_same_of_images_that_look_alike_the_first_stays(tmp_path: Path) -> None:
    rows = [sample(name, "What is it?", image=path) for name, path in planted(tmp_path / "p").items()]
    rows.append(sample("half, else", "Where is it?", image=tmp_path / "p" / "half.png"))
    made = table(tmp_path, rows)
    left, counts = run_step(made, "dedupe_images")
    assert left == ["first", "other", "half, else"]
    assert counts["dropped"] == {"image looks like another, same instruction": 3}
    assert (counts["images"], counts["images_like_another"], counts["radius"]) == (5, 3, 6)
    assert run_step(made, "dedupe_images", mirrored=False)[0] == ["first", "flipped", "other", "half, else"]
    assert run_step(made, "dedupe_images", drop="all")[0] == ["first", "other"]


def test_later_steps_take_images_that_look_alike_for_one(tmp_path: Path) -> None:
    rows = [sample(name, f"About {name}?", image=path) for name, path in planted(tmp_path / "p").items()]
    joined, _ = stepped(table(tmp_path, rows), "dedupe_images")
    assert joined.rows == 5 and len(set(joined.numbers("image_key").tolist())) == 2
    assert run_step(joined, "cap", per_image=1)[1]["out"] == 2
    assert [row["images"][0]["path"] for row in joined.read("images").to_pylist()][1].endswith("half.png")  # its own file stays


def test_across_sources_alone_one_image_published_twice_is_one_and_two_alike_of_one_source_are_two(tmp_path: Path) -> None:
    paths = planted(tmp_path / "p")
    rows = [sample(f"coco {name}", "What is it?", image=path, source="coco") for name, path in paths.items()]
    copy = tmp_path / "copy.jpg"  # the same hash or nearly so, other bytes
    image(1, 128, 96).save(copy, quality=90)
    rows.append(sample("vg", "What is it?", image=copy, source="vg"))
    rows.append(sample("vg, else", "Where is it?", image=copy, source="vg"))
    made = table(tmp_path, rows)
    left, counts = run_step(made, "dedupe_images", across_sources=True)
    assert left == [*(f"coco {name}" for name in paths), "vg, else"]
    assert counts["images_like_another"] == 1
    joined, _ = stepped(made, "dedupe_images", across_sources=True)
    keys = dict(zip(ids(joined), joined.numbers("image_key").tolist(), strict=True))
    assert keys["vg, else"] == keys["coco first"] and len(set(keys.values())) == len(paths)
    assert run_step(made, "dedupe_images")[0] == ["coco first", "coco other", "vg, else"]


def test_equal_looks_of_one_source_stay_apart_beside_another_source(tmp_path: Path) -> None:
    first = image(3, 128, 96)
    rows = []
    for number, source in enumerate("aabb"):  # four files of the same pixels
        path = tmp_path / f"{number}.png"
        first.save(path, compress_level=number)
        rows.append(sample(f"{source}{number}", "q", image=path, source=source))
    joined, _ = stepped(table(tmp_path, rows), "dedupe_images", across_sources=True)
    assert ids(joined) == ["a0", "a1"]  # b's stand under a's first, and ask the same
    assert len(set(joined.numbers("image_key").tolist())) == 2


def test_plain_images_are_like_no_other(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "p").mkdir()
    for shade in (10, 200):
        Image.new("RGB", (20, 20), (shade, shade, shade)).save(tmp_path / "p" / f"{shade}.png")
    rows = [sample(str(shade), "q", image=tmp_path / "p" / f"{shade}.png") for shade in (10, 200)]
    assert run_step(table(tmp_path, rows), "dedupe_images", radius=11)[0] == ["10", "200"]


def test_options_of_dedupe_images_are_checked(tmp_path: Path) -> None:
    made = table(tmp_path, [sample("a", "q", image=saved(tmp_path, 1))])
    with pytest.raises(ValueError, match="image radius is 40 bits of 64; give 0 to 11"):
        run_step(made, "dedupe_images", radius=40)
    with pytest.raises(ValueError, match="drop is 'rows'; accepted: same_instruction, all"):
        run_step(made, "dedupe_images", drop="rows")


LONG = "one two three four five six seven eight nine ten eleven twelve"  # with the answer "yes": 11 shingles


def test_words_are_compared_on_equal_images_alone(tmp_path: Path) -> None:
    first, second = saved(tmp_path, 1), saved(tmp_path, 2)
    rows = [
        sample("a", LONG, image=first),
        sample("b", LONG.upper() + " ", "Yes", image=first),  # 11 of 11
        sample("c", LONG, image=second),
        sample("d", LONG),
        sample("e", f"{LONG} thirteen"),  # shares 10 of 13 with d: 0.77
        sample("f", f"zero {LONG}"),  # shares 11 of 12 with d: 0.92
    ]
    made = table(tmp_path, rows)
    left, counts = run_step(made, "dedupe_text", threshold=0.8)
    assert left == ["a", "c", "d", "e"]
    assert counts["dropped"] == {"words like another row's (0.8)": 2} and counts["found"] >= 0.95
    assert run_step(made, "dedupe_text", threshold=0.75)[0] == ["a", "c", "d"]
    assert run_step(made, "dedupe_text", threshold=1.0)[0] == ["a", "c", "d", "e", "f"]
    assert run_step(made, "dedupe_text", Job(seed=9), threshold=0.8)[0] == left  # the seed changes candidates, not what is alike


def test_bands_see_what_is_at_the_threshold() -> None:
    for threshold in (0.3, 0.5, 0.8, 0.95, 1.0):
        bands, rows = banding(threshold)
        assert bands * rows <= 128 and 1 - (1 - threshold**rows) ** bands >= 0.95
    assert banding(0.8) == (18, 7)


def test_a_threshold_outside_0_to_1_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"threshold is 0.0; give a Jaccard index above 0, up to 1"):
        run_step(table(tmp_path, [sample("a", "q")]), "dedupe_text", threshold=0.0)


def test_empty_parts_pass_through(tmp_path: Path) -> None:
    made, _ = stepped(table(tmp_path, [sample("a", "q")]), "mixture", total=1)
    assert ids(stepped(made, "dedupe_images")[0]) == ["a"]


def test_one_row_per_image_and_instruction(tmp_path: Path) -> None:
    one, same, other = saved(tmp_path, 1), saved(tmp_path, 1, "same.png"), saved(tmp_path, 2)
    rows = [
        sample("a", "What is it?", "a dog", one),
        sample("b", "what  is IT?", "a cat", same),  # the same bytes and words under another name
        sample("c", "What is it?", "a dog", other),
        sample("d", "What is this?", "a dog", one),
        sample("e", "What is it?", "without an image"),
        sample("f", "What is it?", "again"),
    ]
    left, counts = run_step(table(tmp_path, rows), "dedupe_exact")
    assert left == ["a", "c", "d", "e"]
    assert counts == {"in": 6, "out": 4, "dropped": {"same image and instruction": 2}}


def test_a_chain_does_not_swallow_what_is_not_paired() -> None:
    # 0-1, 1-2, 2-3: 1 goes to 0; 2 is not paired with 0, so it stays; 3 goes to 2.
    first, second = np.array([2, 0, 1]), np.array([3, 1, 2])
    assert keep_first(first, second, 5).tolist() == [0, 0, 2, 2, 4]


def test_of_two_that_could_stand_for_it_the_first_does() -> None:
    assert keep_first(np.array([1, 0]), np.array([2, 2]), 3).tolist() == [0, 1, 0]
