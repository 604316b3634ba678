"""DICOM images of known values: what every value becomes, in every transfer syntax and photometric interpretation."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dragonfly.imaging import INTENDED_USE, ImagePolicy, View, load_image
from dragonfly.imaging.dicom_window import PRESETS, Window
from tests.imaging.scans import PLANTED, group, hounsfield, item, scan, written

RAMP = np.arange(-1024, 3071, dtype=np.int64).reshape(63, 65)


def grey(dataset: Any, view: str = "") -> NDArray[np.uint8]:
    loaded = load_image(written(dataset), view=View.parse(view) if view else None)
    pixels = np.asarray(loaded.image)
    assert (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0]


def standard(x: NDArray[Any], centre: float, width: float, function: str = "LINEAR") -> NDArray[np.uint8]:
    """The pseudo-code of PS3.3 C.11.2.1.2 and C.11.2.1.3, value by value."""

    def one(x: float) -> float:
        if function == "SIGMOID":
            return 255 / (1 + np.exp(min(700, -4 * (x - centre) / width)))
        if function == "LINEAR_EXACT":
            if x <= centre - width / 2:
                return 0
            return 255 if x > centre + width / 2 else ((x - centre) / width + 0.5) * 255
        if x <= centre - 0.5 - (width - 1) / 2:
            return 0
        return 255 if x > centre - 0.5 + (width - 1) / 2 else ((x - (centre - 0.5)) / (width - 1) + 0.5) * 255

    return np.array([round(one(value)) for value in x.ravel().tolist()], dtype=np.uint8).reshape(x.shape)


@pytest.mark.parametrize(("centre", "width"), [(40, 400), (-600, 1500), (300.5, 1.5), (127.5, 255), (0, 2), (50, 1)])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_every_value_becomes_what_the_standard_says(centre: float, width: float, function: str) -> None:
    dataset = hounsfield(RAMP, WindowCenter=centre, WindowWidth=width, VOILUTFunction=function)
    assert (np.abs(grey(dataset).astype(int) - standard(RAMP, centre, width, function)) == 0).all()


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_another_readers_arithmetic_is_the_same_but_for_rounding(function: str) -> None:
    dataset = hounsfield(RAMP, WindowCenter=40, WindowWidth=400, VOILUTFunction=function)
    dataset.HighBit, dataset.BitsStored = 15, 16
    theirs = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    assert theirs.max() > 60_000  # theirs fills the stored range
    low, high = theirs.min(), theirs.max()
    assert np.abs(grey(dataset) - (theirs - low) / (high - low) * 255).max() <= 0.51


def test_a_window_of_no_width_or_an_unknown_function_is_refused() -> None:
    for elements in ({"WindowWidth": 0}, {"WindowWidth": 0.5}, {"WindowWidth": 100, "VOILUTFunction": "CUBIC"}):
        with pytest.raises(ValueError, match=r"^bytes has a window of .*give another: #window=centre,width$"):
            grey(hounsfield(RAMP, WindowCenter=40, **elements))
    assert grey(hounsfield(RAMP, WindowCenter=40, WindowWidth=0.5, VOILUTFunction="LINEAR_EXACT")).max() == 255


def test_which_window_is_said_in_a_note() -> None:
    dataset = hounsfield(RAMP, WindowCenter=[40, -600], WindowWidth=[400, 1500])
    shown = {
        view: load_image(written(dataset), view=View.parse(view)).notes[0] for view in ("window=2", "window=bone", "window=7,9.5")
    }
    assert shown == {"window=2": "window -600,1500", "window=bone": "window bone (400,1800)", "window=7,9.5": "window 7,9.5"}
    assert load_image(written(dataset)).notes == ("window 40,400 of the file, the first of 2", INTENDED_USE)
    assert (grey(dataset, "window=2") == standard(RAMP, -600, 1500)).all()
    assert (grey(dataset, "window=+40,+400") == standard(RAMP, 40, 400)).all()
    assert len({load_image(written(dataset), view=View.parse(f"window={name}")).sha256 for name in PRESETS}) == len(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_for_hounsfield_units(name: str) -> None:
    assert (grey(hounsfield(RAMP), f"window={name}") == standard(RAMP, PRESETS[name].centre, PRESETS[name].width)).all()
    for other in (scan(RAMP.astype("<i2"), "MR"), scan(RAMP.astype("<i2"), "CT"), hounsfield(RAMP, Modality="PT")):
        with pytest.raises(ValueError, match=f"^bytes has no Hounsfield units, which window '{name}' is for; give centre,width"):
            grey(other, f"window={name}")


def test_three_windows_are_red_green_and_blue() -> None:
    loaded = load_image(written(hounsfield(RAMP)), view=View.parse("window=lung+40,400+bone"))
    for channel, (centre, width) in enumerate([(-600, 1500), (40, 400), (400, 1800)]):
        assert (np.asarray(loaded.image)[..., channel] == standard(RAMP, centre, width)).all()
    for wrong in ("lung+bone", "lung+bone+brain+liver"):
        with pytest.raises(ValueError, match=r"accepted: one, or three joined by \+ as RGB$"):
            load_image(written(hounsfield(RAMP)), view=View.parse(f"window={wrong}"))
    for wrong in ("nonsense", "0", "2"):
        with pytest.raises(ValueError, match=r"^bytes has .*window"):
            load_image(written(hounsfield(RAMP, WindowCenter=1, WindowWidth=2)), view=View.parse(f"window={wrong}"))


def test_without_a_window_the_rule_is_stated() -> None:
    values = np.array([[-100, 0], [155, 155]])
    dataset = hounsfield(values)
    assert load_image(written(dataset)).notes[0] == "no window in the file: from its smallest value, -100, to its largest, 155"
    assert grey(dataset).tolist() == [[0, 100], [255, 255]]
    dataset = hounsfield(np.array([[-1024, 0], [100, 100]]), PixelPaddingValue=0)  # what lies outside does not count
    assert grey(dataset).tolist() == [[0, 0], [255, 255]]
    assert load_image(written(scan(np.array([[0, 7], [200, 255]], np.uint8), "CR"))).notes == (INTENDED_USE,)
    assert grey(scan(np.array([[0, 7], [200, 255]], np.uint8), "CR")).tolist() == [[0, 7], [200, 255]]
    assert grey(scan(np.full((2, 2), 9, "<u2"), "MR")).tolist() == [[0, 0], [0, 0]]  # nothing between equal ends


def test_monochrome1_is_inverted_after_its_window() -> None:
    dataset = hounsfield(RAMP, WindowCenter=40, WindowWidth=400, PhotometricInterpretation="MONOCHROME1")
    assert (grey(dataset) == 255 - standard(RAMP, 40, 400)).all()
    assert "MONOCHROME1, inverted" in load_image(written(dataset)).notes


def test_signed_values_and_unused_bits() -> None:
    values = np.arange(-2048, 2048).reshape(64, 64)
    dirty = (values & 0x0FFF | 0xA000).astype("<u2").view("<i2")  # an overlay in the upper bits, as old files have
    dataset = scan(dirty, WindowCenter=100, WindowWidth=1000, BitsStored=12)
    assert (grey(dataset) == standard(values, 100, 1000)).all()
    dataset = scan(np.array([[-5, 0], [5, 10]], np.int8), "MR", WindowCenter=0, WindowWidth=11)
    assert (grey(dataset) == standard(np.array([[-5, 0], [5, 10]]), 0, 11)).all()


def test_values_of_32_bits_and_floats() -> None:
    values = np.array([[-70_000, 0], [70_000, 2_000_000]])
    dataset = scan(values.astype("<i4"), "PT", WindowCenter=0, WindowWidth=200_000, RescaleSlope=2, RescaleIntercept=10)
    assert (grey(dataset) == standard(values * 2 + 10, 0, 200_000)).all()
    floats = scan(np.zeros((2, 2), "<u4"), "MR", WindowCenter=0, WindowWidth=3, VOILUTFunction="LINEAR_EXACT")
    del floats.PixelData, floats.BitsStored, floats.HighBit, floats.PixelRepresentation
    floats.FloatPixelData = np.array([[-1, 0], [0.5, 1]], "<f4").tobytes()
    assert (grey(floats) == standard(np.array([[-1, 0], [0.5, 1]]), 0, 3, "LINEAR_EXACT")).all()
    floats.FloatPixelData = np.array([[-1, 0], [np.nan, 1]], "<f4").tobytes()
    with pytest.raises(ValueError, match="is DICOM with values that are no numbers"):
        grey(floats)


def test_tables_of_modality_and_of_display() -> None:
    stored = np.arange(256, dtype="<u2").reshape(16, 16)
    modality = item(LUTDescriptor=[100, 50, 16], LUTData=[3 * entry for entry in range(100)], ModalityLUTType="US")
    modality["LUTDescriptor"].VR = "US"
    modality["LUTData"].VR = "US"
    dataset = scan(stored, "CR", ModalityLUTSequence=[modality], WindowCenter=150, WindowWidth=300)
    expected = 3 * np.clip(stored.astype(int) - 50, 0, 99)
    assert (grey(dataset) == standard(expected, 150, 300)).all()
    voi = item(LUTDescriptor=[200, 10, 12], LUTData=[20 * entry for entry in range(200)])
    voi["LUTDescriptor"].VR = "US"
    voi["LUTData"].VR = "US"
    dataset = scan(stored, "CR", VOILUTSequence=[voi])
    assert (grey(dataset) == np.rint(20 * np.clip(stored.astype(int) - 10, 0, 199) / 4095 * 255)).all()
    assert load_image(written(dataset)).notes[0] == "VOI table 1 of the file"
    dataset.WindowCenter, dataset.WindowWidth = 100, 50
    assert (grey(dataset) == standard(stored, 100, 50)).all()  # windows come first, tables are counted after them
    assert (grey(dataset, "window=2") == np.rint(20 * np.clip(stored.astype(int) - 10, 0, 199) / 4095 * 255)).all()
    voi.LUTData = voi.LUTData[:90]
    with pytest.raises(ValueError, match="is DICOM with a lookup table that is not whole"):
        grey(dataset, "window=2")


COLOURS = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)


def test_colours_however_they_are_stored() -> None:
    assert (np.asarray(load_image(written(scan(COLOURS, "US"))).image) == COLOURS).all()
    planes = scan(COLOURS, "US", PlanarConfiguration=1)
    planes.PixelData = np.moveaxis(COLOURS, -1, 0).tobytes()
    assert (np.asarray(load_image(written(planes)).image) == COLOURS).all()
    deep = scan(COLOURS.astype("<u2") * 257, "US")
    assert (np.asarray(load_image(written(deep)).image) == COLOURS).all()
    twelve = scan(((COLOURS.astype(int) * 4095 + 127) // 255).astype("<u2"), "US", BitsStored=12)
    assert (np.asarray(load_image(written(twelve)).image) == COLOURS).all()
    red, green, blue = (COLOURS[..., channel].astype(float) for channel in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    full = np.stack([luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128], -1)
    ybr = scan(np.clip(np.rint(full), 0, 255).astype(np.uint8), "US", PhotometricInterpretation="YBR_FULL")
    assert np.abs(np.asarray(load_image(written(ybr)).image).astype(int) - COLOURS).max() <= 2
    with pytest.raises(ValueError, match="is DICOM in colour, which has no window; leave #window=lung out"):
        load_image(written(scan(COLOURS, "US")), view=View(window="lung"))
    with pytest.raises(ValueError, match="photometric interpretation that is not accepted; accepted: MONOCHROME1"):
        load_image(written(scan(COLOURS, "US", PhotometricInterpretation="CMYK")))


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes(bits: int) -> None:
    table = np.random.default_rng(1).integers(0, 256, (3, 200))
    dataset = scan(np.arange(256, dtype=np.uint8).reshape(16, 16), "US", PhotometricInterpretation="PALETTE COLOR")
    for name, entries in zip(("Red", "Green", "Blue"), table, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [200, 5, bits])
        kind = "<u2" if bits == 16 else "u1"
        setattr(dataset, f"{name}PaletteColorLookupTableData", (entries * (257 if bits == 16 else 1)).astype(kind).tobytes())
    expected = table.T[np.clip(np.arange(256) - 5, 0, 199)].reshape(16, 16, 3)
    assert (np.asarray(load_image(written(dataset)).image) == expected).all()
    dataset.RedPaletteColorLookupTableData = b"\0\0"
    with pytest.raises(ValueError, match="is DICOM with a palette that is not whole"):
        load_image(written(dataset))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_lossless_transfer_syntaxes_give_the_values_that_were_written(syntax: Any, colour: bool) -> None:
    dataset = scan(COLOURS, "US") if colour else hounsfield(RAMP, WindowCenter=40, WindowWidth=400)
    plain = load_image(written(dataset)).image.tobytes()
    dataset.compress(syntax, generate_instance_uid=False)
    assert load_image(written(dataset)).image.tobytes() == plain


def test_htj2k_is_read_where_its_decoder_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders.base import HTJ2KLosslessDecoder

    dataset = hounsfield(RAMP)
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)  # the decoder reads both kinds
    dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    assert (grey(dataset, "window=40,400") == standard(RAMP, 40, 400)).all()
    monkeypatch.setattr(HTJ2KLosslessDecoder, "_available", {})
    with pytest.raises(
        ValueError, match=r"is DICOM in High-Throughput JPEG 2000 .*, whose decoder is not installed: .*\[medical\]"
    ):
        grey(dataset)


def test_video_is_refused_with_what_to_do() -> None:
    dataset = hounsfield(RAMP)
    dataset.compress(RLELossless, generate_instance_uid=False)
    whole = written(dataset)
    for syntax, name in ((b"1.2.840.10008.1.2.4.102\0", "MPEG-4"), (b"1.2.3.4.5.6.7.8.9.10.111", "an unknown transfer syntax")):
        other = whole.replace(b"UI\x14\0" + b"1.2.840.10008.1.2.5\0", b"UI\x18\0" + syntax)
        other = other[:140] + (int.from_bytes(whole[140:144], "little") + 4).to_bytes(4, "little") + other[144:]
        with pytest.raises(ValueError, match=rf"^bytes is DICOM in {name}.*which is not accepted; write it without compression"):
            load_image(other)


def enhanced() -> Any:
    """Three frames of 4 x 4, each with its own rescale and window; what all share says how large a pixel is."""
    frames = np.stack([np.full((4, 4), 10), np.full((4, 4), 20), np.arange(16).reshape(4, 4)]).astype("<u2")
    dataset = scan(frames, "CT", NumberOfFrames=3)
    dataset.SharedFunctionalGroupsSequence = [item(**dict([group("PixelMeasuresSequence", PixelSpacing=[0.25, 0.5])]))]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            **dict(
                [
                    group("PixelValueTransformationSequence", RescaleSlope=slope, RescaleIntercept=-10, RescaleType="HU"),
                    group("FrameVOILUTSequence", WindowCenter=centre, WindowWidth=20),
                ]
            )
        )
        for slope, centre in ((1, 5), (2, 25), (3, 10))
    ]
    return dataset


def test_frames_have_their_own_windows_and_are_named() -> None:
    dataset = enhanced()
    for number, (values, centre) in enumerate(
        [(np.full((4, 4), 0), 5), (np.full((4, 4), 30), 25), (3 * np.arange(16).reshape(4, 4) - 10, 10)], 1
    ):
        loaded = load_image(written(dataset), view=View(frame=str(number)))
        assert (np.asarray(loaded.image)[..., 0] == standard(values, centre, 20)).all()
        assert loaded.label == f"frame {number} of 3" and loaded.label in loaded.notes and loaded.spacing == (0.25, 0.5)
    first = load_image(written(dataset))
    assert first.notes[1] == "frame 1 of 3; #frame=2 after the name is the second, #frames=8 eight of them"
    with pytest.raises(ValueError, match=r"^bytes has 3 frames, counted from 1, and no frame 4$"):
        load_image(written(dataset), view=View(frame="4"))
    with pytest.raises(ValueError, match=r"has a view of 3 frames where one image is wanted; give one frame, or add montage"):
        load_image(written(dataset), view=View(frame="all"))


def test_a_montage_holds_the_frames_row_by_row() -> None:
    dataset = enhanced()
    page = np.asarray(load_image(written(dataset), view=View(montage="2x2")).image)
    each = [np.asarray(load_image(written(dataset), view=View(frame=str(number))).image) for number in (1, 2, 3)]
    assert page.shape == (8, 8, 3)
    for place, one in enumerate([*each, np.zeros_like(each[0])]):
        assert (page[place // 2 * 4 : place // 2 * 4 + 4, place % 2 * 4 : place % 2 * 4 + 4] == one).all()
    pair = load_image(written(dataset), view=View(frame="2-3", montage="1x2"))
    assert (np.asarray(pair.image) == np.concatenate(each[1:], axis=1)).all() and "frames 2, 3 of 3" in pair.notes
    with pytest.raises(ValueError, match="has a montage of 1x2 for 3 frames; it has 2 cells"):
        load_image(written(dataset), view=View(frame="all", montage="1x2"))


def test_only_the_frame_that_is_asked_for_is_decoded() -> None:
    dataset = scan(np.zeros((3, 64, 64), np.uint8), "US", NumberOfFrames=3)
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    whole = written(dataset)
    broken = whole[: whole.rindex(b"\xff\x4f\xff\x51") + 30] + b"\xaa" * 20 + whole[whole.rindex(b"\xff\x4f\xff\x51") + 50 :]
    assert load_image(broken, view=View(frame="2")).size == (64, 64)
    with pytest.raises(ValueError, match=r"^bytes is "):
        load_image(broken, view=View(frame="3"))


def test_how_large_a_pixel_is_and_who_says_so() -> None:
    stored = np.zeros((4, 4), np.uint8)
    assert load_image(written(scan(stored))).spacing is None
    loaded = load_image(written(scan(stored, "CR", ImagerPixelSpacing=[0.2, 0.1])))
    assert loaded.spacing == (0.2, 0.1) and "millimetres are those of the detector, not of the body" in loaded.notes
    loaded = load_image(written(scan(stored, "CR", ImagerPixelSpacing=[0.2, 0.1], PixelSpacing=[0.15, 0.075])))
    assert loaded.spacing == (0.15, 0.075) and loaded.notes == (INTENDED_USE,)
    region = item(PhysicalUnitsXDirection=3, PhysicalUnitsYDirection=3, PhysicalDeltaX=0.01, PhysicalDeltaY=0.02)
    assert load_image(written(scan(stored, "US", SequenceOfUltrasoundRegions=[region]))).spacing == (0.2, 0.1)


def test_without_a_preamble_deflated_and_in_a_process_of_its_own() -> None:
    dataset = hounsfield(RAMP, WindowCenter=40, WindowWidth=400)
    whole = written(dataset)
    expected = load_image(whole)
    assert load_image(whole[132:]).image.tobytes() == expected.image.tobytes()
    start = whole.index(b"\x08\0\x16\0")  # after the file's own group
    assert load_image(whole[start:], view=View(window="40,400")).image.tobytes() == expected.image.tobytes()
    alone = load_image(whole, ImagePolicy(isolate=True), view=View(window="lung"))
    here = load_image(whole, view=View(window="lung"))
    assert (alone.image.tobytes(), alone.notes, alone.spacing, alone.sha256) == (
        here.image.tobytes(),
        here.notes,
        here.spacing,
        here.sha256,
    )
    url = f"data:application/dicom;base64,{base64.b64encode(whole).decode()}"
    assert load_image(url).image.tobytes() == expected.image.tobytes()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert load_image(written(dataset)).image.tobytes() == expected.image.tobytes()


def test_bombs_are_refused_by_their_headers() -> None:
    large = scan(np.zeros((2, 2), np.uint8), Rows=60_000, Columns=60_000)
    with pytest.raises(ValueError, match=r"has 60000 x 60000 = 3,600,000,000 pixels, over the limit"):
        load_image(written(large))
    short = scan(np.zeros((2, 2), np.uint8), Rows=100, Columns=100)
    with pytest.raises(ValueError, match="is a truncated DICOM file: 4 bytes of pixels where 10,000 belong"):
        load_image(written(short))
    lying = scan(np.zeros((64, 64), np.uint8), "US")
    lying.compress(JPEG2000Lossless, generate_instance_uid=False)
    lying.Rows = 8
    with pytest.raises(ValueError, match="is DICOM of 64 x 8 pixels whose compressed frame has 64 x 64"):
        load_image(written(lying))
    montage = scan(np.zeros((2, 4096, 4096), np.uint8), NumberOfFrames=2)
    with pytest.raises(ValueError, match="over the limit"):
        load_image(written(montage), view=View(montage="9x9"))
    deflated = hounsfield(RAMP)
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = written(deflated)
    head = whole[: 144 + int.from_bytes(whole[140:144], "little")]
    with pytest.raises(ValueError, match=r"inflates to more than 1,048,576 bytes; make it smaller"):
        load_image(head + zlib.compress(b"\0" * 2**22, wbits=-15), ImagePolicy(max_bytes=2**20))
    many = written(hounsfield(RAMP))[: -RAMP.size * 2 - 12] + b"\x09\0\x10\x10LO\0\0" * 300_000
    with pytest.raises(ValueError, match="is DICOM of more than 200,000 elements"):
        load_image(many)


def test_what_is_no_image_is_refused_and_no_value_is_quoted() -> None:
    dataset = hounsfield(RAMP)
    del dataset.PixelData
    with pytest.raises(ValueError, match=r"is DICOM without an image \(a report, a plan, measurements or a document\)"):
        load_image(written(dataset))
    whole = written(hounsfield(RAMP))
    for wrong in (
        whole.replace(b"-1024.0 ", b"Zebedee "),
        whole[:400],
        whole[:-900],
    ):
        with pytest.raises(ValueError) as error:
            load_image(wrong)
        assert not any(name in str(error.value) for name in (*PLANTED, "Zq", "Zebede")) and "\n" not in str(error.value)


@pytest.mark.parametrize("window", [Window(40, 400), Window(40, 400, "SIGMOID"), Window(40, 400, "LINEAR_EXACT")])
def test_a_window_is_monotonous_and_within_its_ends(window: Window) -> None:
    grey = window(np.arange(-3000.0, 3000.0, 0.25))
    assert (np.diff(grey) >= 0).all() and grey.min() >= 0 and grey.max() <= 255
