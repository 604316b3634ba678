"""Captions become instructions: a question in one of many wordings, with the caption as its answer.

The wording depends on (seed, sample id) alone, so neither order nor number of workers changes it; a sample that is no caption
passes unchanged.
"""

from dataclasses import replace
from random import Random

from dragonfly.data import BadSample, Message, Part, Sample

WORDINGS = {
    "figure": (
        "What does this figure show?",
        "Describe the figure.",
        "Write a caption for this figure.",
        "Give a caption that would suit this figure in a paper.",
        "Explain briefly what can be seen in the figure.",
        "Summarise this figure in its caption's words.",
        "What would the caption of this figure say?",
        "Please provide a caption for the figure.",
        "Tell me what this figure presents.",
        "How would you caption this scientific figure?",
        "State what is depicted here.",
        "Describe the content of this figure for a reader who has only the text.",
    ),
    "radiology": (
        "What does this radiology image show?",
        "Describe this radiology image.",
        "Write a caption for this radiological image.",
        "Give a short description of the scan.",
        "What can be seen in this medical image?",
        "Caption this scan as a radiologist would.",
        "Summarise the main observation in this image.",
        "Provide a caption for the image.",
        "State briefly what this examination shows.",
        "Tell me what is depicted in this radiograph or scan.",
        "Which finding does this image illustrate? Answer with its caption.",
        "Explain in a sentence or two what this image presents.",
    ),
    "pathology": (
        "What does this pathology image show?",
        "Describe this pathology image.",
        "Write a caption for this slide.",
        "Give a short description of the tissue in the image.",
        "What can be seen under the microscope here?",
        "Caption this image as a pathologist would.",
        "Summarise what this slide illustrates.",
        "Provide a description of the image.",
        "State briefly what this image shows.",
        "What would a pathologist note about this image?",
        "Tell me what is depicted in this pathology image.",
        "Explain the content of this image in a few words.",
    ),
    "gross-pathology": (
        "What does this photograph of a specimen show?",
        "Describe the gross specimen.",
        "Write a one-sentence caption for this gross pathology image.",
        "Give a short description of this specimen.",
        "What can be seen with the naked eye here?",
        "Caption this photograph for a pathology teaching collection.",
        "Summarise the gross appearance.",
        "Provide a caption for this case photograph.",
        "State briefly what the specimen shows.",
        "What would the label of this teaching image say?",
        "Tell me what is depicted in this gross photograph.",
        "Describe the lesion or organ in one sentence.",
    ),
    "chest-xray": (
        "Write the findings section of the report for this chest X-ray.",
        "What are the findings in this chest radiograph?",
        "Describe the findings on this chest X-ray.",
        "Report the findings of this chest radiograph.",
        "Provide the findings for this chest film.",
        "As the radiologist, dictate the findings for this image.",
        "List what you observe in this chest X-ray, as findings of a report.",
        "Give the findings paragraph for this radiograph.",
        "What would a radiologist write under findings?",
        "Read this chest X-ray and state the findings.",
        "Please report on the heart, lungs, pleura and bones in this chest X-ray.",
        "Summarise the radiographic findings in this chest image.",
    ),
    "chest-xray-report": (
        "Write impression and findings for this chest X-ray.",
        "Report on this chest radiograph: impression first, then findings.",
        "What are the impression and the findings in this chest X-ray?",
        "Describe this chest X-ray as in a report, beginning with the impression.",
        "Provide the radiology report for this chest film.",
        "As the radiologist, dictate the report for this image.",
        "Give the impression, followed by the findings, for this radiograph.",
        "Read this chest X-ray and write the report.",
        "What would a radiologist report here?",
        "Summarise this chest examination in a short report.",
        "Please write a brief radiology report for this image.",
        "State the impression and then what you observe in this chest image.",
    ),
}
"""Ours: the paper gives no wordings (appendix C names the tasks, section 4.3 the findings section)."""


def instructions_from_captions(sample: Sample, seed: int) -> Sample:
    """A sample with `meta["caption"]` (form caption) as one question and answer; any other sample as it is.

    `meta["style"]` is a key of `WORDINGS`. `BadSample`: no-caption where the caption is empty, unknown-style.
    """
    if sample.meta.get("form") != "caption":
        return sample
    caption, style = sample.meta.get("caption"), sample.meta.get("style")
    if not isinstance(caption, str) or not caption.strip():
        raise BadSample("no-caption", "the caption is empty")
    if style not in WORDINGS:
        raise BadSample("unknown-style", f"{style!r}; accepted: {', '.join(WORDINGS)}")
    wording = Random(f"{seed}:{sample.id}").choice(WORDINGS[style])
    images = tuple(Part("image") for _ in sample.images)
    messages = (Message("user", (*images, Part("text", wording))), Message("assistant", (Part("text", caption.strip()),)))
    kept = {key: value for key, value in sample.meta.items() if key not in ("caption", "style")}
    return replace(sample, messages=messages, meta={**kept, "form": "qa", "kind": "caption"})
