"""What each patch is to say, from text annotations and the layout."""

from pathlib import Path

import pytest
import torch

from dragonfly.data import ImageRef
from dragonfly.research.curriculum.patch_labels import patch_labels
from dragonfly.research.curriculum.patch_ocr import PatchDataset, PatchOcr
from dragonfly.research.curriculum.text_annotations import Classes, TextAnnotation, find_classes, text_annotations_of
from dragonfly.vision.layout import make_layout
from tests import tiny
from tests.data.fakes import sample


def test_a_patch_says_the_mark_that_covers_most_of_it() -> None:
    spec = tiny.config("baseline-1").spec  # low, then 2 x 2 mid; 4 x 4 patches each, one prefix token
    layout = make_layout((64, 64), spec)
    text_annotations = [TextAnnotation((0.0, 0.0, 40.0, 16.0), "line"), TextAnnotation((48.0, 48.0, 64.0, 52.0), "dot")]
    labels = patch_labels(layout, spec, text_annotations, Classes(("dot", "line"), "", 0, 0))
    assert labels.shape == (5, 17, 1) and bool((labels[:, 0] == -100).all())
    low, first, second, last = (labels[i, 1:, 0].view(4, 4).tolist() for i in (0, 1, 2, 4))
    assert low == [[2, 2, 2, 0], [0] * 4, [0] * 4, [0, 0, 0, 1]]  # 16-px patches; a quarter of the last is the dot's
    assert first == [[2] * 4, [2] * 4, [0] * 4, [0] * 4]  # 8-px patches
    assert second == [[2, 0, 0, 0], [2, 0, 0, 0], [0] * 4, [0] * 4]
    assert last == [[0] * 4, [0] * 4, [0, 0, 1, 1], [0] * 4]


def test_every_patch_of_a_word_says_the_whole_word() -> None:
    spec = tiny.config("baseline-1").spec
    layout = make_layout((64, 64), spec)
    word = TextAnnotation((2.0, 2.0, 22.0, 12.0), "tax", "word")
    classes = Classes((), "atx", 0, 4)
    labels = patch_labels(layout, spec, [word], classes, smallest=6.0)
    says = [2, 1, 3, 0]  # t, a, x, nothing
    assert classes.classes("tax", 4) == says
    inside = labels[1, 1:, 1:].view(4, 4, 4)  # the mid sub-image above left: 8-px patches
    assert inside[0, 0].tolist() == inside[0, 2].tolist() == inside[1, 1].tolist() == says
    assert not inside[2:].any() and not inside[:, 3].any()
    assert labels[0, 1:, 1:].view(4, 4, 4)[0, 0].tolist() == [-100] * 4  # 5 px high at the low level: not asked
    cut = TextAnnotation((20.0, 2.0, 40.0, 12.0), "tax", "word")
    assert patch_labels(layout, spec, [cut], classes)[1, 1:, 1:].view(4, 4, 4)[0, 3].tolist() == [-100] * 4


def test_a_word_cut_by_a_side_of_its_sub_image_says_what_is_inside() -> None:
    """A long word seldom lies in one sub-image: what one shows of it goes on in the next."""
    spec = tiny.config("baseline-1").spec
    layout = make_layout((64, 64), spec)  # two mid sub-images meet at 32
    classes = Classes((), "atx", 1, 4)
    word = TextAnnotation((14.0, 2.0, 44.0, 12.0), "taxa", "word")
    places = zip((14.5, 22.0, 29.0, 36.5), "taxa", strict=True)
    letters = [TextAnnotation((x, 2.0, x + 7.0, 12.0), one, "char") for x, one in places]
    labels = patch_labels(layout, spec, [word, *letters], classes, smallest=6.0)
    left, right = (labels[sub, 1:, 2:].view(4, 4, 4) for sub in (1, 2))
    assert left[0, 2].tolist() == left[1, 3].tolist() == classes.classes("ta", 4)  # the middle of x lies at 32.5
    assert right[0, 0].tolist() == right[0, 1].tolist() == classes.classes("xa", 4)
    sliver = TextAnnotation((30.0, 2.0, 40.0, 12.0), "x", "word")
    middle = TextAnnotation((30.0, 2.0, 40.0, 12.0), "x", "char")
    said = patch_labels(layout, spec, [sliver, middle], classes, smallest=6.0)[1, 1:, 2:].view(4, 4, 4)
    assert said[0, 3].tolist() == [0] * 4  # no letter of it is inside
    halved = [TextAnnotation((box[0], 27.0, box[2], 37.0), one, kind) for box, one, kind in _boxes([word, *letters])]
    assert patch_labels(layout, spec, halved, classes, smallest=6.0)[1, 1:, 2:].view(4, 4, 4)[3, 2].tolist() == [-100] * 4
    foreign = [word, *letters, TextAnnotation((25.0, 4.0, 27.0, 8.0), "t", "char")]
    assert patch_labels(layout, spec, foreign, classes, smallest=6.0)[1, 1:, 2:].view(4, 4, 4)[0, 2].tolist() == [-100] * 4


def _boxes(annotations: list[TextAnnotation]) -> list[tuple[tuple[float, float, float, float], str, str]]:
    return [(annotation.box, annotation.label, annotation.kind) for annotation in annotations]


def test_a_patch_says_the_characters_whose_centres_lie_in_it() -> None:
    spec = tiny.config("baseline-1").spec
    layout = make_layout((64, 64), spec)
    text_annotations = [
        TextAnnotation((x, 2.0, x + 6.0, 10.0), letter, "char") for x, letter in ((1.0, "t"), (7.0, "a"), (14.0, "x"))
    ]
    labels = patch_labels(layout, spec, text_annotations, Classes((), "atx", 2, 0), smallest=6.0)
    assert labels.shape[-1] == 3
    inside = labels[1, 1:, 1:].view(4, 4, 2)  # 8-px patches: centres at 4, 10 and 17, 6 px down
    assert inside[0].tolist() == [[2, 0], [1, 0], [3, 0], [0, 0]] and not inside[1:].any()
    low = labels[0, 1:, 1:].view(4, 4, 2)  # 16-px patches, letters 4 px high: high enough for a small letter
    assert low[0, :2].tolist() == [[2, 1], [3, 0]]
    assert patch_labels(layout, spec, text_annotations, Classes((), "atx", 2, 0), smallest=7.0)[0, 1].tolist() == [0, -100, -100]
    assert not patch_labels(layout, spec, [], Classes((), "atx", 2, 0))[:, 1:].any()  # an empty page is no fault


def test_what_no_patch_sees_asks_nothing() -> None:
    """4 patches of 8 take 32 of 38 pixels: what lies in the strip right and below them is nobody's."""
    spec = tiny.config("low-only").spec.with_changes(resolution=38)
    layout = make_layout((38, 38), spec)
    marks = [TextAnnotation((24.0, 0.0, 32.0, 8.0), "dot"), TextAnnotation((32.0, 32.0, 38.0, 38.0), "dot")]
    says = patch_labels(layout, spec, marks, Classes(("dot",), "", 0, 0))[0, 1:, 0].view(4, 4).tolist()
    assert says == [[0, 0, 0, 1], [0] * 4, [0] * 4, [0] * 4]
    letters = [TextAnnotation((x, 2.0, x + 6.0, 10.0), letter, "char") for x, letter in ((24.0, "t"), (32.0, "a"))]
    near = patch_labels(layout, spec, letters, Classes((), "at", 1, 0))[0, 1:, 1].view(4, 4).tolist()
    assert near == [[0, 0, 0, 2], [0] * 4, [0] * 4, [0] * 4]


def test_a_bound_patch_also_says_what_its_word_belongs_to() -> None:
    spec = tiny.config("low-only").spec
    layout = make_layout((64, 64), spec)  # one sub-image, its patches 16 source pixels wide
    both = (0.0, 0.0, 64.0, 60.0)
    tax = TextAnnotation((0, 0, 60, 26), "ta", "word", "x", both)
    value = TextAnnotation((34, 34, 60, 60), "x", "word", "ta", both)
    star = TextAnnotation((0, 34, 30, 62), "star", "shape", "x", both)
    classes = Classes(("star",), "atx", 0, 2, bound=True)
    assert classes.sizes == (2, 4, 4, 2, 4, 4) and classes.other == slice(3, 6)
    labels = patch_labels(layout, spec, [tax, value, star], classes)[0, 1:].view(4, 4, 6)
    ta, x, named = [2, 1], [3, 0], [1, 0, 0]
    assert labels[0, 0].tolist() == labels[1, 3].tolist() == [0, *ta, 0, *x]
    assert labels[3, 3].tolist() == [0, *x, 0, *ta]
    assert labels[3, 0].tolist() == [*named, 0, *x]
    cut = TextAnnotation((0, 0, 60, 26), "ta", "word", "x", (0.0, 0.0, 64.0, 200.0))
    said = patch_labels(layout, spec, [cut], classes)[0, 1].tolist()
    assert said == [0, *ta, -100, -100, -100]  # its partner lies outside


def test_text_annotations_are_asked_for_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"objective 'patch_ocr' needs meta\['text_annotations'\].*sample 's' of 'test' has none"
    ):
        find_classes([sample("q", "a")], 3, 8)
    box = [0, 0, 1, 1]
    text_annotations = {"text_annotations": [{"box": box, "label": "b"}, {"box": box, "label": "a"}]}
    classes = find_classes([sample("q", "a", meta=text_annotations)], 3, 8)
    assert classes == Classes(("a", "b"), "", 0, 0) and classes.sizes == (3,)
    spelled = [{"box": box, "label": "no", "kind": "word"}, {"box": box, "label": "n", "kind": "char"}]
    found = sample("q", "a", meta={"text_annotations": [*spelled, {"box": box, "label": "star", "kind": "shape"}]})
    assert [annotation.label for annotation in text_annotations_of(found)] == ["no", "n", "star"]
    assert find_classes([found], 3, 8).sizes == (2, *[3] * 11)
    with pytest.raises(ValueError, match="sample 's' has 0 images; it takes one"):
        PatchDataset([sample("q", "a", meta=text_annotations)], tiny.processor(tiny.config("low-only")), classes, PatchOcr())[0]


def test_a_full_stop_is_as_legible_as_its_word() -> None:
    spec = tiny.config("low-only").spec  # 32 px, patches of 8
    layout = make_layout((32, 32), spec)
    word = TextAnnotation((0.0, 0.0, 30.0, 7.0), "a.b", "word")
    letters = [TextAnnotation((1.0, 0.0, 6.0, 7.0), "a", "char"), TextAnnotation((11.0, 5.0, 13.0, 7.0), ".", "char")]
    classes = Classes((), ".ab", 1, 0)
    assert patch_labels(layout, spec, [word, *letters], classes, smallest=7.0)[0, 1:3, 1].tolist() == [2, 1]
    assert patch_labels(layout, spec, letters, classes, smallest=7.0)[0, 1:3, 1].tolist() == [2, -100]  # by its own 2 px


def test_characters_of_a_patch_are_read_from_left_to_right_whatever_their_ink() -> None:
    """Ink of "p" reaches lower than that of "a", and a full stop begins lower: their boxes share neither top nor bottom."""
    spec = tiny.config("low-only").spec
    letters = [
        TextAnnotation((5.0, 1.0, 7.0, 5.0), "a", "char"),
        TextAnnotation((1.0, 1.0, 3.0, 7.0), "p", "char"),
        TextAnnotation((3.5, 4.0, 4.5, 5.0), ".", "char"),
    ]
    labels = patch_labels(make_layout((32, 32), spec), spec, letters, Classes((), ".ap", 3, 0))
    assert labels[0, 1, 1:].tolist() == [3, 1, 2]


def test_sub_images_are_drawn_anew_each_time_the_fuller_ones_more_often(tmp_path: Path) -> None:
    boxes = [(x, 2.0, x + 4.0, 10.0) for x in range(0, 30, 5)]  # six letters above left, one above right
    marks = [{"box": box, "label": "a", "kind": "char"} for box in [*boxes, (50.0, 2.0, 54.0, 10.0)]]
    tiny.image(64, 64).save(tmp_path / "page.png")
    page = sample("q", "a", images=(ImageRef(path=str(tmp_path / "page.png")),), meta={"text_annotations": marks})
    processor = tiny.processor(tiny.config("baseline-1"))
    drawn = PatchDataset([page] * 80, processor, Classes((), "a", 1, 0), PatchOcr(empty_share=0.0, sub_images=1))
    says = [int((drawn[index]["labels"] > 0).sum()) for index in range(80)]
    assert all(drawn[index]["pixel_values"].shape[0] == 1 for index in range(3)) and len(set(says)) > 1
    assert sum(count > 1 for count in says) > 50
    assert [int((drawn[index]["labels"] > 0).sum()) for index in range(80)] == says


def test_sub_images_of_several_images_are_mixed_the_same_way_wherever_a_run_begins(tmp_path: Path) -> None:
    pages = []
    for number in range(6):
        tiny.image(64, 64, seed=number).save(tmp_path / f"{number}.png")
        mark = {"box": (2.0, 2.0, 60.0, 60.0), "label": "abcdef"[number], "kind": "char"}
        reference = ImageRef(path=str(tmp_path / f"{number}.png"))
        pages.append(sample("q", "a", images=(reference,), meta={"text_annotations": [mark]}))
    processor = tiny.processor(tiny.config("baseline-1"))
    classes, options = Classes((), "abcdef", 1, 0), PatchOcr(empty_share=1.0, sub_images=4, window=3)
    mixed, again = (PatchDataset(pages, processor, classes, options) for _ in range(2))
    examples = [mixed[index] for index in range(6)]
    for index in (5, 2, 0):  # a resumed run has seen nothing before
        assert all(torch.equal(again[index][name], examples[index][name]) for name in ("pixel_values", "labels"))
    alone = [PatchDataset(pages, processor, classes, options.model_copy(update={"window": 1}))[index] for index in range(6)]
    assert torch.equal(examples[0]["pixel_values"].sort(dim=0).values, alone[0]["pixel_values"].sort(dim=0).values)
    sources = [
        {
            page
            for page in range(6)
            for one in row["pixel_values"]
            if any(torch.equal(one, other) for other in alone[page]["pixel_values"])
        }
        for row in examples
    ]
    assert all(found <= {index - 2, index - 1, index} for index, found in enumerate(sources)) and any(
        len(found) > 1 for found in sources
    )
