"""Labels become questions: open, yes or no, or a choice, with the answer that the label implies.

Question and wording depend on (seed, sample id) alone; a sample without a label passes unchanged. There is one set of labels: the
grades of diabetic retinopathy, 0 to 4.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from dragonfly.data import BadSample, Message, Part, Sample

DR_GRADES = (
    "no diabetic retinopathy",
    "mild non-proliferative diabetic retinopathy",
    "moderate non-proliferative diabetic retinopathy",
    "severe non-proliferative diabetic retinopathy",
    "proliferative diabetic retinopathy",
)
"""The International Clinical Diabetic Retinopathy scale, by grade."""

_OPEN = (
    "What is the grade of diabetic retinopathy in this fundus photograph?",
    "Grade the diabetic retinopathy in this image from 0 to 4.",
    "Which stage of diabetic retinopathy does this retina show?",
    "How severe is the diabetic retinopathy in this image?",
    "Assess this fundus photograph for diabetic retinopathy and state the grade.",
    "What is the severity of diabetic retinopathy here?",
    "Give the diabetic retinopathy grade of this eye.",
    "As an ophthalmologist, how would you grade this retina for diabetic retinopathy?",
)
_ANY = (
    "Is there any sign of diabetic retinopathy in this fundus photograph?",
    "Does this retina show diabetic retinopathy?",
    "Is diabetic retinopathy present in this image?",
    "Can diabetic retinopathy be seen in this eye?",
    "Would you diagnose diabetic retinopathy of any degree here?",
    "Does this fundus image show signs of diabetic retinopathy?",
)
_PROLIFERATIVE = (
    "Is this proliferative diabetic retinopathy?",
    "Has the diabetic retinopathy in this eye become proliferative?",
    "Does this fundus photograph show proliferative diabetic retinopathy?",
    "Is the retinopathy in this image at the proliferative stage?",
)
_REFERABLE = (
    "Is the diabetic retinopathy in this eye moderate or worse?",
    "Does this fundus photograph show at least moderate diabetic retinopathy?",
    "Is this referable diabetic retinopathy, that is moderate or worse?",
    "Should this eye be referred for diabetic retinopathy of grade 2 or above?",
)
_CHOICE = (
    "Which of these describes the image?",
    "Choose the description that fits this fundus photograph.",
    "Select the right diagnosis for this retina.",
    "Which grade does this eye have?",
)


def _open(grade: int, random: Random) -> tuple[str, str]:
    name = DR_GRADES[grade]
    answer = random.choice((f"{_capital(name)} (grade {grade}).", f"Grade {grade}: {name}.", f"{_capital(name)}."))
    return random.choice(_OPEN), answer


def _yes_or_no(grade: int, random: Random) -> tuple[str, str]:
    wordings, least = random.choice(((_ANY, 1), (_REFERABLE, 2), (_PROLIFERATIVE, 4)))
    answer = "Yes" if grade >= least else "No"
    return random.choice(wordings), random.choice((f"{answer}.", f"{answer}, this is {DR_GRADES[grade]}."))


def _choice(grade: int, random: Random) -> tuple[str, str]:
    order = random.sample(range(len(DR_GRADES)), len(DR_GRADES))
    options = "\n".join(f"{letter}. {_capital(DR_GRADES[option])}" for letter, option in zip("ABCDE", order, strict=True))
    return f"{random.choice(_CHOICE)}\n{options}", f"{'ABCDE'[order.index(grade)]}. {_capital(DR_GRADES[grade])}"


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


_KINDS: tuple[Callable[[int, Random], tuple[str, str]], ...] = (_open, _open, _yes_or_no, _choice)  # open ones twice as often


def questions_from_labels(sample: Sample, seed: int) -> Sample:
    """A sample with `meta["label"]` (form label) as one question and answer; any other sample as it is.

    `BadSample`: unknown-label-set unless `meta["label_set"]` is dr-grade, unknown-label unless the label is 0 to 4 (a
    image that its graders found ungradable has none).
    """
    if sample.meta.get("form") != "label":
        return sample
    label, label_set = sample.meta.get("label"), sample.meta.get("label_set")
    if label_set != "dr-grade":
        raise BadSample("unknown-label-set", f"{label_set!r}; accepted: dr-grade")
    if not isinstance(label, int) or not 0 <= label < len(DR_GRADES):
        raise BadSample("unknown-label", f"{label!r}; accepted: 0 to {len(DR_GRADES) - 1}")
    random = Random(f"{seed}:{sample.id}")
    question, answer = random.choice(_KINDS)(label, random)
    images = tuple(Part("image") for _ in sample.images)
    messages = (Message("user", (*images, Part("text", question))), Message("assistant", (Part("text", answer),)))
    return replace(sample, messages=messages, meta={**sample.meta, "form": "qa", "kind": "grade"})
