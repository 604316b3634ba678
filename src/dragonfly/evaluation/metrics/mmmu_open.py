"""MMMU's open questions: what a free reply may mean, and whether that is the answer (`utils/eval_utils.py` of MMMU).

Promises the official verdicts; knows nothing of choices.
"""

import re
from collections.abc import Sequence

_CUES = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_ONLY_PUNCTUATION = {":", ",", ".", "!", "?", ";", "'"}
_WITH_COMMAS = re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b")
_SCIENTIFIC = re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+")
_PLAIN = re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])")

Value = str | float


def mmmu_open(reply: str, answers: Sequence[str]) -> float:
    """1 where an accepted text stands in a part of the reply, or a number of the reply is an accepted number."""
    meant = [form for answer in answers for form in _forms(answer)]
    said = _meanings(reply)
    texts = [form for form in meant if isinstance(form, str)]
    return float(any(any(t in value for t in texts) if isinstance(value, str) else value in meant for value in said))


def _meanings(reply: str) -> set[Value]:
    """The parts of a reply that may hold the answer, and every number in them."""
    parts = _key_parts(reply)
    return {form for part in [*parts, *(number for part in parts for number in _numbers(part))] for form in _forms(part)}


def _key_parts(reply: str) -> list[str]:
    """What follows the last cue word of each line ("is", "answer", ...), the shortest where several cues occur."""
    text = reply.strip().strip(".").lower()
    lines = text.split("\n")
    parts: list[str] = []
    for number, line in enumerate(lines, start=1):
        cues = (*_CUES, "=") if number == len(lines) else _CUES
        shortest = ""
        for tail in (line.split(cue)[-1].strip() for cue in cues if cue in line):
            if not shortest or len(tail) < len(shortest):  # an empty tail gives way to whatever comes next
                shortest = tail
        if shortest and shortest not in _ONLY_PUNCTUATION:
            parts.append(shortest)
    return parts or [text]


def _numbers(text: str) -> list[str]:
    return [*_WITH_COMMAS.findall(text), *_SCIENTIFIC.findall(text), *_PLAIN.findall(text)]


def _forms(text: str) -> list[Value]:
    """A number rounded to two decimals; a text in lower case, a single letter only as a word of its own."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]
