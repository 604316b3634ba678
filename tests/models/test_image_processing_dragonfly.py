"""DragonflyImageProcessor: every form of image gives the same sub-images; options are honoured or refused."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from dragonfly.imaging import load
from dragonfly.models import PRESETS, DragonflyImageProcessor
from dragonfly.vision.layout import PADDING, make_layout
from dragonfly.vision.selection import select_before_tower
from tests import tiny

CAPPED = {**(tiny.config("v1").encoder or {}), "max_enlargement": 1.0}


def image_processor(preset: str = "v1", **selection: Any) -> DragonflyImageProcessor:
    spec = tiny.config(preset).spec
    if selection:
        spec = spec.with_selection(**selection)
    return DragonflyImageProcessor(encoder=spec.to_dict(), preset=preset)


def pixels(processor: DragonflyImageProcessor, source: Any, **options: Any) -> torch.Tensor:
    return processor(source, return_tensors="pt", **options)["pixel_values"]


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_every_form_of_one_image_gives_the_same_pixels(tmp_path: Path) -> None:
    image = tiny.image()
    (tmp_path / "a.png").write_bytes(png(image))
    array = np.asarray(image)
    forms = {
        "path": str(tmp_path / "a.png"),
        "Path": tmp_path / "a.png",
        "bytes": png(image),
        "numpy HWC": array,
        "numpy CHW": np.ascontiguousarray(array.transpose(2, 0, 1)),
        "torch CHW": torch.tensor(array).permute(2, 0, 1),
        "a batch of one": array[None],
        "list": [image],
        "nested list": [[image]],
        "RGBA": image.convert("RGBA"),
    }
    processor = image_processor()
    expected = pixels(processor, image)
    assert expected.shape == (1, 29, 3, 32, 32) and expected.dtype == torch.float32
    for name, form in forms.items():
        assert torch.equal(pixels(processor, form), expected), name


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    source = tiny.image().convert("L")
    image = Image.fromarray(np.asarray(source).astype(np.uint16) * 257) if mode == "I;16" else source.convert(mode)
    values = pixels(image_processor(), image)
    assert values.shape == (1, 29, 3, 32, 32) and values.std() > 0


def test_one_row_per_image_in_the_layouts_order() -> None:
    processor = image_processor()
    images = [tiny.image(96, 64), tiny.image(40, 200, seed=1)]
    out = processor(images, return_tensors="pt")
    layouts = [processor.layout((64, 96)), processor.layout((200, 40))]
    assert out["layouts"] == layouts
    assert out["sub_image_regions"].tolist() == [list(layout.codes) for layout in layouts]
    assert set(out) - {"layouts"} <= set(processor.model_input_names)
    assert "num_sub_images" not in out and "selected_high" not in out
    assert torch.equal(out["pixel_values"][1:], pixels(processor, images[1]))


def test_pixels_are_normalised_with_the_towers_mean() -> None:
    processor = image_processor()
    flat = Image.new("RGB", (64, 64), (255, 0, 128))
    values = pixels(processor, flat)[0, 0, :, 0, 0]
    expected = (torch.tensor([255.0, 0.0, 128.0]) / 255 - torch.tensor(processor.image_mean)) / torch.tensor(processor.image_std)
    assert torch.allclose(values, expected, atol=1e-6)
    plain = DragonflyImageProcessor(encoder=tiny.config().encoder, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    assert torch.allclose(pixels(plain, flat)[0, 0, :, 0, 0], torch.tensor([1.0, -1.0, 128 / 127.5 - 1]), atol=1e-6)


def test_resample_is_used() -> None:
    processor = image_processor()
    nearest = pixels(processor, tiny.image(), resample=Image.Resampling.NEAREST)
    assert not torch.equal(nearest, pixels(processor, tiny.image()))
    assert torch.equal(pixels(processor, tiny.image(), resample=Image.Resampling.BICUBIC), pixels(processor, tiny.image()))


@pytest.mark.parametrize("preset", ["v1", "v2-released", "v1-high48"])
def test_saved_and_loaded(preset: str, tmp_path: Path) -> None:
    processor = image_processor(preset)
    processor.save_pretrained(tmp_path)
    for cls in (DragonflyImageProcessor, AutoImageProcessor):
        read = cls.from_pretrained(tmp_path)
        assert type(read) is DragonflyImageProcessor
        assert read.spec == processor.spec and read.preset == preset
        assert read.released_images is (preset == "v2-released")
        assert torch.equal(pixels(read, tiny.image()), pixels(processor, tiny.image()))


def test_preset_argument(tmp_path: Path) -> None:
    assert DragonflyImageProcessor(preset="v2").spec == PRESETS["v2"].spec
    assert DragonflyImageProcessor().spec == PRESETS["v1"].spec
    image_processor("v1").save_pretrained(tmp_path)
    read = AutoImageProcessor.from_pretrained(tmp_path, preset="v2-released")
    assert read.spec == PRESETS["v2-released"].spec and read.released_images and read.size["height"] == 336


def test_unknown_preset() -> None:
    with pytest.raises(ValueError, match=r"unknown preset: 'v3'"):
        DragonflyImageProcessor(preset="v3")


@pytest.mark.parametrize(
    "option",
    [
        {"preset": "v2"},
        {"do_normalize": False},
        {"do_resize": False},
        {"released_images": True},
        {"size": {"height": 9, "width": 9}},
    ],
)
def test_what_a_call_cannot_change_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(option))}=.* cannot be given per call"):
        image_processor()(tiny.image(), **option)


def test_a_step_cannot_be_switched_off() -> None:
    with pytest.raises(ValueError, match=r"do_rescale=False is not possible"):
        DragonflyImageProcessor(do_rescale=False)


def test_exif_orientation_is_honoured_unless_released() -> None:
    image = tiny.image(96, 64)
    image.getexif()[0x0112] = 6  # turned by 90 degrees
    source = io.BytesIO()
    image.save(source, "JPEG", exif=image.getexif())
    assert image_processor("v1")(source.getvalue())["layouts"][0].size == (96, 64)
    assert image_processor("v1-released")(source.getvalue())["layouts"][0].size == (64, 96)


def test_sizes_alone_give_the_number_of_tokens() -> None:
    processor = image_processor()
    assert processor.get_number_of_image_tokens(64, 96) == processor(tiny.image())["layouts"][0].num_image_tokens == 17 * 18


@pytest.mark.parametrize("policy", ["uniform", "random", "residual"])
def test_early_policies_cut_only_what_is_kept(policy: str) -> None:
    full = image_processor()(tiny.image(), return_tensors="pt")
    out = image_processor(policy=policy)(tiny.image(), return_tensors="pt")
    kept = out["selected_high"][0]
    assert out["pixel_values"].shape[:2] == (1, 17) and kept.shape == (12,)
    assert torch.equal(out["pixel_values"][0, :5], full["pixel_values"][0, :5])
    assert torch.equal(out["pixel_values"][0, 5:], full["pixel_values"][0, 5 + kept])
    assert torch.equal(out["sub_image_regions"][0, 5:], full["sub_image_regions"][0, 5 + kept])


def test_random_depends_on_image_and_seed_not_on_the_batch() -> None:
    one, other = tiny.image(seed=1), tiny.image(seed=2)
    chosen = lambda images, **rule: image_processor(policy="random", **rule)(images, return_tensors="pt")["selected_high"]  # noqa: E731
    assert torch.equal(chosen([one, other])[1], chosen([other, one])[0])
    assert torch.equal(chosen([one, other])[1], chosen(other)[0])
    assert not torch.equal(chosen(one), chosen(other))
    assert not torch.equal(chosen(one, seed=1), chosen(one))


def test_residual_keeps_what_only_the_high_level_shows() -> None:
    processor = image_processor(policy="residual", scope="image", keep=2)
    pixels = np.full((128, 192, 3), 90, dtype=np.uint8)
    pixels[40:60:2, 70:90] = 250  # lines of one pixel, in the sub-image in row 1 and column 2
    pixels[100:116, 10:26:2] = 200  # and in row 3, column 0
    out = processor(Image.fromarray(pixels), return_tensors="pt")
    assert out["selected_high"].tolist() == [[8, 18]]
    batch = processor([tiny.image(), Image.fromarray(pixels)], return_tensors="pt")
    assert batch["selected_high"][1].tolist() == [8, 18]


def test_oracle_keeps_what_covers_the_evidence() -> None:
    processor = image_processor(policy="oracle", keep=1)
    layout = processor.layout((64, 96))
    wanted = [next(i for i, region in enumerate(layout.regions) if region == r) + 2 for r in range(4)]
    evidence = [layout.level_boxes("high")[index] for index in wanted]
    out = processor([tiny.image(), tiny.image(seed=1)], evidence=[evidence, []], return_tensors="pt")
    assert out["selected_high"][0].tolist() == sorted(wanted)
    assert tuple(out["selected_high"][1].tolist()) == select_before_tower(layout, processor.spec.selection, evidence=[])


@pytest.mark.parametrize(("evidence", "given"), [(None, "none"), ([[]], "1 lists")])
def test_oracle_without_evidence(evidence: Any, given: str) -> None:
    with pytest.raises(ValueError, match=f"needs evidence, one list of boxes for each of 2 images; got {given}"):
        image_processor(policy="oracle")([tiny.image(), tiny.image()], evidence=evidence)


def test_uneven_images_are_padded_and_counted() -> None:
    processor = DragonflyImageProcessor(encoder=CAPPED)
    out = processor([tiny.image(40, 40), tiny.image(400, 400)], return_tensors="pt")
    assert out["num_sub_images"].tolist() == [1, 29]
    assert out["pixel_values"].shape[:2] == (2, 29) and not out["pixel_values"][0, 1:].any()
    assert (out["sub_image_regions"][0, 1:] == PADDING).all()


def test_grids_of_unequal_size_are_counted_too() -> None:
    encoder = tiny.config(encoder={"mid": {"grids": [[2, 2], [1, 2]]}}).encoder
    out = DragonflyImageProcessor(encoder=encoder)([tiny.image(64, 64), tiny.image(128, 64)], return_tensors="pt")
    assert out["num_sub_images"].tolist() == [5, 3]


def test_a_small_image_is_cut_as_v1_cuts_it_bit_by_bit() -> None:
    rule = {"policy": "residual", "scope": "image", "keep": 12}
    v1 = DragonflyImageProcessor(encoder=PRESETS["v1"].spec.with_selection(**rule).to_dict())
    same = DragonflyImageProcessor(preset="v1-any")
    for width, height in ((640, 480), (1344, 896), (100, 896)):
        one, other = (of([tiny.image(width, height)], return_tensors="pt") for of in (v1, same))
        assert one.keys() == other.keys() and one["layouts"] == other["layouts"]
        assert all(torch.equal(one[name], other[name]) for name in ("pixel_values", "selected_high", "sub_image_regions"))


def test_uneven_selections_are_padded() -> None:
    encoder = {**CAPPED, "selection": {"policy": "uniform", "scope": "region", "keep": 3}}
    out = DragonflyImageProcessor(encoder=encoder)([tiny.image(40, 40), tiny.image(400, 400)], return_tensors="pt")
    assert (out["selected_high"][0] == -1).all() and (out["selected_high"][1] >= 0).all()
    assert out["num_sub_images"].tolist() == [1, 17]


@pytest.mark.parametrize(
    ("source", "words"), [(np.zeros((4, 4, 3), np.float32), "float32"), (b"not an image", "not"), (3, "int")]
)
def test_what_is_no_image_is_one_line(source: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        image_processor()(source)
    assert "\n" not in str(caught.value)


def test_layout_is_made_once() -> None:
    processor = image_processor()
    assert processor(tiny.image())["layouts"][0] == make_layout((64, 96), processor.spec)


# where images may come from


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the internet, which answers with one image."""
    asked: list[str] = []

    def fetch(url: str, policy: Any) -> bytes:
        asked.append(url)
        return png(tiny.image())

    monkeypatch.setattr(load, "fetch", fetch)
    return asked


URL = "https://example.org/image.png"
RAW = base64.b64encode(png(tiny.image())).decode()


def test_urls_are_fetched_only_where_that_is_switched_on(web: list[str], tmp_path: Path) -> None:
    expected = pixels(image_processor(), tiny.image())
    with pytest.raises(ValueError, match=r"fetching is off.*set urls to 'public'"):
        image_processor()(URL)
    assert not web
    assert torch.equal(pixels(image_processor(), URL, urls="public"), expected)
    DragonflyImageProcessor(encoder=tiny.config("v1").encoder, urls="public").save_pretrained(tmp_path)
    for cls in (DragonflyImageProcessor, AutoImageProcessor):
        assert torch.equal(pixels(cls.from_pretrained(tmp_path), URL), expected)
        with pytest.raises(ValueError, match="fetching is off"):
            cls.from_pretrained(tmp_path)(URL, urls="refuse")
    assert web == [URL] * 3


def test_addresses_of_a_private_network_are_refused_all_the_same() -> None:
    with pytest.raises(ValueError, match="not public"):
        image_processor()("http://127.0.0.1:9/a.png", urls="public")


@pytest.mark.parametrize("raw", [RAW, "\n".join(RAW[at : at + 76] for at in range(0, len(RAW), 76)), "A" * 5_000_000])
def test_raw_base64_is_read_only_where_that_is_switched_on(raw: str) -> None:
    with pytest.raises(ValueError, match=r"characters of base64 .* raw_base64=True") as caught:
        image_processor()(raw)
    assert len(str(caught.value)) < 200
    if raw.startswith("A"):
        with pytest.raises(ValueError, match="not") as caught:
            image_processor()(raw, raw_base64=True)
        assert len(str(caught.value)) < 200
        return
    expected = pixels(image_processor(), tiny.image())
    assert torch.equal(pixels(image_processor(), raw, raw_base64=True), expected)
    always = DragonflyImageProcessor(encoder=tiny.config("v1").encoder, raw_base64=True)
    assert torch.equal(pixels(always, raw), expected)


def test_no_message_repeats_a_path_without_end() -> None:
    with pytest.raises(ValueError) as caught:
        image_processor()("/no/such/" + "x." * 10**6)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ulrs": "public"}, "takes no argument 'ulrs'; did you mean urls"),
        ({"encodr": {}}, "did you mean encoder"),
        ({"zzz": 1}, "leave it out"),
        ({"do_center_crop": True}, "of no use"),
        ({"urls": "all"}, "'public'"),
    ],
)
def test_what_would_be_passed_over_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DragonflyImageProcessor(**options)
    with pytest.raises(ValueError, match=words):
        image_processor()(tiny.image(), **options)


# what makes it fast


@pytest.mark.parametrize("policy", ["similarity", "residual", "random"])
@pytest.mark.parametrize("encoder", [{}, {"max_enlargement": 1.0}, {"resizer": "torch"}])
def test_threads_change_no_bit(policy: str, encoder: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    processor = DragonflyImageProcessor(
        encoder=tiny.config("v1").spec.changed({**encoder, "selection": {"policy": policy}}).to_dict()
    )
    images = [tiny.image(40, 40), tiny.image(400, 300, seed=1), tiny.image(700, 900, seed=2)]
    alone, together = processor(images[2], return_tensors="pt"), processor(images, return_tensors="pt")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for given, expected in ((images[2], alone), (images, together)):
        out = processor(given, return_tensors="pt")
        assert all(torch.equal(out[name], expected[name]) for name in expected if name != "layouts")


def test_a_fault_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    processor = DragonflyImageProcessor(encoder=tiny.config("v1").spec.changed({"resizer": "torch"}).to_dict())
    with pytest.raises(ValueError, match="resizer 'torch' has no filter LANCZOS"):
        processor([tiny.image(), tiny.image()], resample=Image.Resampling.LANCZOS)


def test_the_resizer_is_part_of_what_is_saved(tmp_path: Path) -> None:
    processor = DragonflyImageProcessor(encoder=tiny.config("v1").spec.changed({"resizer": "torch"}).to_dict())
    processor.save_pretrained(tmp_path)
    values, pillows = pixels(AutoImageProcessor.from_pretrained(tmp_path), tiny.image()), pixels(image_processor(), tiny.image())
    assert torch.equal(values, pixels(processor, tiny.image())) and not torch.equal(values, pillows)
    assert (values - pillows).abs().max() < 0.04  # two of 255 levels, over a standard deviation of 0.26


def test_a_callers_rgb_image_is_neither_copied_nor_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    image = tiny.image(100, 70)  # a size of no level, which Pillow would copy
    image.info["dpi"] = (72, 72)
    before, expected = image.tobytes(), pixels(image_processor(), png(image))
    monkeypatch.setattr(Image.Image, "copy", lambda image: pytest.fail("the image is copied"))
    assert torch.equal(pixels(image_processor(), image), expected)
    assert image.tobytes() == before and image.info == {"dpi": (72, 72)}


def test_a_callers_image_is_turned_and_its_transparent_colour_white() -> None:
    turned, clear = tiny.image(96, 64), Image.new("RGB", (64, 64), (1, 2, 3))
    turned.getexif()[0x0112] = 6
    clear.info["transparency"] = (1, 2, 3)
    assert image_processor()(turned)["layouts"][0].size == (96, 64)
    assert torch.equal(pixels(image_processor(), clear), pixels(image_processor(), Image.new("RGB", (64, 64), "white")))
