"""Which modality a row's own words state: the rule for data sets that give questions or captions and no field for it.

1. A caption that names exactly one modality states it.
2. An answer that names exactly one states it. Else a question that names exactly one does, unless the answer begins with "no".
3. Rows about the same image share what any of them states, unless two disagree.
4. Everything else is `NOT_STATED`. Nothing is guessed from pixels, organs or findings.

The first five names are LLaVA-Med's modalities (arXiv 2406.00977, appendix C.1); ultrasound, PET, mammography, angiography and
fluoroscopy stand beside them because ROCO has them (appendix C.7).
"""

import re
from collections.abc import Hashable, Iterable

XRAY, CT, MRI, HISTOPATHOLOGY, GROSS = "X-ray", "CT", "MRI", "histopathology", "gross"
NOT_STATED = "not stated"

_WORDS = {
    XRAY: r"x[ -]?rays?|cxrs?|radiographs?|roentgenograms?|plain films?",
    CT: r"c\.?t\.?|cta|cect|ncct|hrct|computed tomograph(?:y|ic)|computeri[sz]ed tomograph(?:y|ic)",
    MRI: (
        r"mris?|mra|mrcp|fmri|(?-i:FLAIR|DWI)|t[12][ -]?weighted|magnetic resonance"
        r"|mr(?= (?:images?|imaging|scans?|sequences?|angio|cholangio|venogra|spectro))"
    ),
    HISTOPATHOLOGY: (
        r"histolog(?:y|ic|ical)|histopatholog(?:y|ic|ical)|h ?& ?e|ha?ematoxylin|immunohistochemi(?:stry|cal)|photomicrographs?"
        r"|micrographs?|microscopy|microscopic(?= (?:images?|views?|sections?|appearances?|examinations?|findings?))"
    ),
    GROSS: (
        r"(?:gross|macroscopic)"
        r"(?= (?:specimens?|patholog|photographs?|appearances?|views?|images?|sections?|examinations?|findings?))"
    ),
    "ultrasound": r"ultrasound|ultrasonograph(?:y|ic)|sonograph(?:y|ic)|sonograms?|echocardiograph(?:y|ic)|echocardiograms?",
    "PET": r"(?-i:PET)|positron emission tomograph(?:y|ic)",
    "mammography": r"mammograph(?:y|ic)|mammograms?",
    "angiography": r"angiograph(?:y|ic)|angiograms?|arteriograms?",
    "fluoroscopy": r"fluoroscop(?:y|ic)",
}
_NAMED = {name: re.compile(rf"(?<![\w-])(?:{words})(?![\w])", re.IGNORECASE) for name, words in _WORDS.items()}
_PART_OF = {"angiography": (CT, MRI, XRAY)}  # "CT angiography" is CT


def modalities(text: str) -> set[str]:
    """The modalities that a text names; "CT angiography" names CT alone."""
    found = {name for name, words in _NAMED.items() if words.search(text)}
    return {name for name in found if not found.intersection(_PART_OF.get(name, ()))}


def of_caption(caption: str) -> str:
    """Rule 1."""
    return _only(modalities(caption))


def of_question(question: str, answer: str) -> str:
    """Rule 2: "Is this a CT?" states CT unless the answer is no; "Is it CT or MRI?" leaves it to the answer."""
    named = modalities(answer)
    if not named and not re.match(r"no\b", answer.strip(), re.IGNORECASE):
        named = modalities(question)
    return _only(named)


def shared(stated: Iterable[tuple[Hashable, str]]) -> dict[Hashable, str]:
    """Rule 3: (image, what a row about it states) of all rows -> the modality of each image, `NOT_STATED` where two disagree."""
    found: dict[Hashable, set[str]] = {}
    for image, modality in stated:
        found.setdefault(image, set()).update({modality} - {NOT_STATED})
    return {image: _only(names) for image, names in found.items()}


def _only(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else NOT_STATED
