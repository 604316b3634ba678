"""Questions with options: which letter a reply chooses by the rule of each harness, and the accuracies of the tasks that ask so.

Sources: lmms-eval `ai2d`, `scienceqa`, `mmmu`, `vstar_bench`; VLMEvalKit `matching_util.py`; LLaVA `eval_science_qa.py`; MMMU
`utils/eval_utils.py`; MME-RealWorld `evaluation/eval_your_results.py`. A parser returns a letter, or None where the
reply names none. `answers[0]` of a question is its letter; MMMU's open questions have accepted texts instead (`mmmu_open`).
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence

from ..question import Question
from .base import Metric, each
from .presence import all_right

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def ai2d_letter(reply: str) -> str:
    """lmms-eval's filter: a capital letter with a full stop at the start is the letter, else the reply as it is."""
    match = re.match(r"\s*([A-Z])\.", reply)
    return match[1] if match else reply.strip().strip(".,:;!?()'\"")


def science_qa_letter(reply: str, letters: Sequence[str] = "ABCDE") -> str | None:
    """LLaVA's rule: the reply is a letter, or begins "A. ", or says "The answer is A." exactly once."""
    if reply in letters and len(reply) == 1:
        return reply
    if reply[:1] in letters and reply[1:3] == ". ":
        return reply[0]
    found = re.findall(r"The answer is ([A-Z]).", reply)
    return found[0] if len(found) == 1 else None


def science_qa_letter_lmms(reply: str) -> str:
    """lmms-eval's rule: the stripped reply in capitals, or its first letter where a full stop follows."""
    reply = reply.strip()
    return reply[0] if re.match(r"[A-Z]\.", reply) else reply.upper()


def vlmevalkit_letter(reply: str, options: Mapping[str, str]) -> str | None:
    """VLMEvalKit's rule without its judge: the one letter named, if within the last four words, else the one option named.

    An option counts as named where its text occurs, whatever its case, in a reply at most twice as long as all options.
    """
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", reply).split()
    letters = [letter for letter in options if letter in words]
    if len(letters) == 1 and words.index(letters[0]) > len(words) - 5:
        return letters[0]
    if len(reply) > 2 * sum(map(len, options.values())):
        return None
    named = [letter for letter, option in options.items() if option.lower() in reply.lower()]
    return named[0] if len(named) == 1 else None


_VSTAR = (
    r"^([A-D])",
    r"(?:ANSWER|CHOICE|OPTION)(?:\s+IS)?[\s:]+([A-D])",
    r"\(([A-D])\)",
    r"([A-D])\s*[.)\]]",
    r"(?:^|\s)([A-D])(?:\s|$)",
)


def vstar_letter(reply: str) -> str | None:
    """lmms-eval's rule for V*, whatever the case: the first of its forms that occurs, else the only letter A to D there is.

    The forms: the reply begins with the letter; it follows "answer", "choice" or "option"; (A); A with a full stop or a closing
    bracket; A alone.
    """
    text = reply.strip().upper()
    for form in _VSTAR:
        if match := re.search(form, text):
            return match[1]
    letters = re.findall("[A-D]", text)
    return letters[0] if len(letters) == 1 else None


def mme_real_world_letter(reply: str, options: Sequence[str]) -> str:
    """The official rule: a phrase such as "The answer is" left out, the first capital A to E.

    Without one, the first option, written "(A) text", that contains the reply; nothing where none does, or where the reply has
    more than ten words.
    """
    text = reply.strip()
    for phrase in ("The best answer is", "The correct answer is", "The answer is", "The answer"):
        text = text.replace(phrase, "")
    if match := re.search("[A-E]", text):
        return match[0]
    if len(text.split()) > 10:
        return ""
    listed = (f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    return next((option[1] for option in listed if text.lower() in option.lower()), "")


def mmmu_letter(reply: str, options: Mapping[str, str]) -> str | None:
    """The official MMMU parser: "(A)", else a lone "A", else (above five words) an option's text; the last one named wins."""
    return _last_named(reply, options, (("({})", "({})"), (" {} ", " {} ")))


def mmmu_letter_lmms(reply: str, options: Mapping[str, str]) -> str | None:
    """lmms-eval's parser: as the official one, but "A " and then "A." count without a space before them.

    Of several such letters the last one that stands alone wins, the first option where none does.
    """
    return _last_named(reply, options, (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")))


def _last_named(reply: str, options: Mapping[str, str], forms: Sequence[tuple[str, str]]) -> str | None:
    """The first form that occurs says which letters are named, its second half where; then the options' texts."""
    text = reply
    for mark in ",.!?;:'":
        text = text.strip(mark)
    text, lower = f" {text} ", f" {text} ".lower()
    for named, placed in forms:
        if found := [letter for letter in options if named.format(letter) in text]:
            return max(found, key=lambda letter: text.rfind(placed.format(letter)))
    found = [letter for letter, option in options.items() if option.lower() in lower] if len(text.split()) > 5 else []
    return max(found, key=lambda letter: lower.rfind(options[letter].lower()), default=None)


def mmmu_choice(
    reply: str,
    options: Mapping[str, str],
    key: str,
    parse: Callable[[str, Mapping[str, str]], str | None] = mmmu_letter,
) -> str:
    """What `parse` reads, or a letter drawn from the question's own `key` where it reads none.

    The official code draws from one generator over the whole run, so its draw depends on the order of the questions; ours
    does not. The chance of a hit is the same.
    """
    return parse(reply, options) or random.Random(key).choice(list(options))


_CUES = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_ONLY_PUNCTUATION = {":", ",", ".", "!", "?", ";", "'"}
_WITH_COMMAS = re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b")
_SCIENTIFIC = re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+")
_PLAIN = re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])")

_Value = str | float


def mmmu_open(reply: str, answers: Sequence[str]) -> float:
    """MMMU's open questions: 1 where a part of the reply contains an accepted text or is an accepted number, else 0."""
    labels = [form for answer in answers for form in _forms(answer)]
    texts = [form for form in labels if isinstance(form, str)]
    return float(any(any(t in value for t in texts) if isinstance(value, str) else value in labels for value in _readings(reply)))


def _readings(reply: str) -> set[_Value]:
    """The parts of a reply that may be the answer, and every number in them."""
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


def _forms(text: str) -> list[_Value]:
    """A number rounded to two decimals; a text in lower case, a single letter only as a word of its own."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]


def _letter(name: str, parse: Callable[[str], str | None], *, any_case: bool = False) -> Metric:
    def score(reply: str, question: Question) -> float:
        predicted, label = parse(reply), question.answers[0]
        return float(predicted is not None and (predicted.upper() == label.upper() if any_case else predicted == label))

    return each(name, score)


def _options(question: Question) -> dict[str, str]:
    return dict(zip(LETTERS, question.options, strict=False))


def _mmmu(parse: Callable[[str, Mapping[str, str]], str | None]) -> Callable[[str, Question], float]:
    def score(reply: str, question: Question) -> float:
        if not question.options:
            return mmmu_open(reply, question.answers)
        return float(mmmu_choice(reply, _options(question), question.id, parse) == question.answers[0])

    return score


AI2D = _letter("accuracy", ai2d_letter, any_case=True)
SCIENCE_QA = _letter("accuracy_lmms_eval", science_qa_letter_lmms)
SCIENCE_QA_LLAVA = _letter("accuracy_llava", science_qa_letter)
VLMEVALKIT = each(
    "accuracy_vlmevalkit",
    lambda reply, question: float(vlmevalkit_letter(reply, _options(question)) == question.answers[0]),
)
ALL_CYCLES = all_right(
    "all_orders_right",
    ("item",),
    lambda question, reply: reply is not None and vlmevalkit_letter(reply, _options(question)) == question.answers[0],
)
VSTAR_LMMS = _letter("accuracy_lmms_eval", vstar_letter)
MME_REAL_WORLD = each(
    "accuracy_official",
    lambda reply, question: float(mme_real_world_letter(reply, question.options) == question.answers[0]),
)
MME_REFUSALS = each("share_of_e", lambda reply, question: float(mme_real_world_letter(reply, question.options) == "E"))
MMMU = each("accuracy_official", _mmmu(mmmu_letter))
MMMU_LMMS = each("accuracy_lmms_eval", _mmmu(mmmu_letter_lmms))
