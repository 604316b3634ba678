"""What a judge is asked about one reply, and how its verdict is parsed.

The protocols are those of MM-Vet and HallusionBench: which columns the judge sees, which verdicts it may give, and what any other
text counts as. The instructions are in our own words, so scores are near the official ones and not equal to them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..question import Question


@dataclass(frozen=True)
class Rubric:
    """`prompt(question, reply)` is sent to the judge; `verdict(text)` parses its reply, None where that holds no verdict.

    After `ATTEMPTS` replies without a verdict the verdict is `fallback`. `max_tokens` bounds each reply.
    """

    prompt: Callable[[Question, str], str]
    verdict: Callable[[str], str | None]
    fallback: str
    max_tokens: int


ATTEMPTS = 5

_MMVET = """Grade a prediction against the ground truth of a question about an image. The grade is one of 0.0, 0.1, ... 1.0: \
0.0 is wholly wrong, 1.0 wholly right. Where the ground truth joins parts by <AND>, all of them are needed for 1.0 and each \
found part earns its share; where it joins them by <OR>, any one of them is enough for 1.0. Write the grade and nothing else.

Question | Ground truth | Prediction | Grade
--- | --- | --- | ---
Which two fruits are on the plate? | apple <AND> pear | bread and cheese | 0.0
Which two fruits are on the plate? | apple <AND> pear | one is an apple | 0.5
Which two fruits are on the plate? | apple <AND> pear | a pear beside an apple | 1.0
What does the clock show? | 7:30 <OR> half past seven | 7:30 | 1.0
What does the clock show? | 7:30 <OR> half past seven | quarter past nine | 0.0
Why does the boy laugh? | The dog runs away with the glove that the boy was looking for. | He laughs at a dog. | 0.4
{question} | {truth} | {reply} | """

_HALLUSION = """Compare a prediction with the truth about an image, a chart or a video. Judge only what the prediction says to \
the question, not its style and not its reasons. Write one word: "correct" where it agrees with the truth, "incorrect" where it \
contradicts the truth, "unclear" where it does not commit itself or says that it cannot tell.

Question: {question}
Truth: {truth}
Prediction: {reply}
Verdict:"""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")


def _grade(text: str) -> str | None:
    """The number from 0 to 1 that the text begins with."""
    found = re.match(r"\W{0,3}(0?\.\d+|[01](?:\.0*)?)(?![\d.]*\d)", text.strip())
    return None if found is None else f"{float(found[1]):.4g}"


def _word(text: str) -> str | None:
    """The one verdict that stands in the text as a word of its own."""
    found = set(re.findall(r"\b(correct|incorrect|unclear)\b", text.lower()))
    return found.pop() if len(found) == 1 else None


MMVET = Rubric(
    lambda question, reply: _MMVET.format(
        question=_cell(question.text),
        truth=_cell(question.answers[0].replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")),
        reply=_cell(reply),
    ),
    _grade,
    fallback="0",
    max_tokens=8,
)
HALLUSION = Rubric(
    lambda question, reply: _HALLUSION.format(question=question.text, truth=question.meta["gt_answer_details"], reply=reply),
    _word,
    fallback="unclear",
    max_tokens=8,
)
