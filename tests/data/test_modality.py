"""The modality that a row's words state; what is not said stays not stated."""

import pytest

from dragonfly.data.modality import NOT_STATED, modalities, of_caption, of_question, shared


@pytest.mark.parametrize(
    ("caption", "modality"),
    [
        ("Computed tomography of the chest.", "CT"),
        ("Axial T2-weighted image of the knee.", "MRI"),
        ("Chest X-ray: right pleural effusion", "X-ray"),
        ("Panoramic radiograph before treatment", "X-ray"),
        ("CT angiography of the aorta", "CT"),
        ("Coronary angiogram, left oblique view", "angiography"),
        ("Transthoracic echocardiogram", "ultrasound"),
        ("PET/CT, the fused image", NOT_STATED),  # two
        ("CT (a) and MRI (b) of the same patient", NOT_STATED),
        ("Large mass in the left lung", NOT_STATED),
        ("Gross specimen of the resected colon", "gross"),
        ("Photomicrograph of the lesion (hematoxylin and eosin)", "histopathology"),
        ("Grossly enlarged kidneys, microscopic haematuria, severe MR, a pet dog", NOT_STATED),  # no modality of the image
        ("Compact bone of a petite actor", NOT_STATED),  # no part of a word counts
    ],
)
def test_a_caption_states_the_one_modality_that_it_names(caption: str, modality: str):
    assert of_caption(caption) == modality


@pytest.mark.parametrize(
    ("question", "answer", "modality"),
    [
        ("Is this a CT scan?", "Yes", "CT"),
        ("Is this a CT scan?", "No", NOT_STATED),
        ("Is this a CT scan?", "no, it is an MRI", "MRI"),
        ("Is this a CT or an MRI?", "MRI", "MRI"),
        ("Is this a CT or an MRI?", "the latter", NOT_STATED),
        ("What kind of image is this?", "chest x-ray", "X-ray"),
        ("What does this MR image show?", "normal", "MRI"),
        ("What stain is used?", "H&E", "histopathology"),
        ("Is the heart enlarged?", "Yes", NOT_STATED),
        ("Is the lesion northern?", "Normal", NOT_STATED),  # an answer that begins like "no" is none
    ],
)
def test_question_and_answer_state_it_together(question: str, answer: str, modality: str):
    assert of_question(question, answer) == modality


def test_rows_about_one_image_share_it_unless_they_disagree():
    rows = [("a", "CT"), ("a", NOT_STATED), ("b", NOT_STATED), ("c", "CT"), ("c", "MRI")]
    assert shared(rows) == {"a": "CT", "b": NOT_STATED, "c": NOT_STATED}


def test_the_five_are_spelt_as_evaluation_spells_them():
    from dragonfly.evaluation import scoring

    texts = {"x-ray": "x-ray", "CT scan": "CT", "MRI": "MRI", "histopathology": "histopathology", "gross image": "gross"}
    assert [modalities(text) for text in texts] == [{scoring.canonical_modality(word)} for word in texts.values()]
