"""Short answers: exact match, closed questions, words in common, numbers within a tolerance.

First the scores of one reply against the accepted answers, pure functions of texts with values from 0 to 1; then the metrics
made of them. Sources: lmms-eval, LLaVA-Med and pix2struct, as each function says.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from ..question import Question
from .base import each
from .text import normalize_slake, normalize_vqa, words


def exact_match(reply: str, accepted: Sequence[str], normalize: Callable[[str], str] = normalize_vqa) -> float:
    """1 where the reply is one of the accepted answers after normalisation."""
    return float(normalize(reply) in {normalize(answer) for answer in accepted})


def is_yes_no(answer: str) -> bool:
    """Whether an answer is yes or no, however it is written."""
    return normalize_vqa(answer) in ("yes", "no")


def yes_or_no(reply: str) -> str | None:
    """`yes` or `no` where exactly one of the two words stands in the reply (VLMEvalKit's rule), else None."""
    found = {"yes", "no"} & set(words(reply))
    return found.pop() if len(found) == 1 else None


def closed_accuracy(reply: str, answer: str, choices: Sequence[str] = ()) -> float:
    """1 where the reply gives the answer of a closed question.

    Yes/no questions: the reply holds the right word and not the other. Given `choices`: the reply names the answer and no
    other choice (a choice inside a longer one that is named does not count). Else the normalised texts must be equal.
    """
    if is_yes_no(answer):
        return float(yes_or_no(reply) == normalize_vqa(answer))
    if not choices:
        return exact_match(reply, [answer])
    return float(named_choices(reply, choices) == {normalize_vqa(answer)})


def named_choices(reply: str, choices: Sequence[str]) -> set[str]:
    """The normalised choices that the reply names as whole words; longer ones are looked for first and taken out."""
    text = f" {normalize_vqa(reply)} "
    found: set[str] = set()
    for choice in sorted({normalize_vqa(choice) for choice in choices} - {""}, key=lambda c: (-len(c), c)):
        if f" {choice} " in text:
            found.add(choice)
            text = text.replace(f" {choice} ", " | ")
    return found


def closed_accuracy_llava_med(reply: str, answer: str) -> float:
    """LLaVA-Med's rule (run_eval.py since b9a98a7), quirks included: a reply without the letters of yes or no is wrong.

    Otherwise it is right when the answer occurs in it, so "yes and no" is right for both, and choices such as "CT or MRI"
    are wrong unless the reply happens to hold "no" ("abnormal").
    """
    reply, answer = normalize_vqa(reply), normalize_vqa(answer)
    return float(("yes" in reply or "no" in reply) and answer in reply)


def token_f1(reply: str, answer: str, *, clipped: bool = True) -> float:
    """F1 of the reply's words against the answer's.

    Clipped (as SQuAD): a word counts as often as both have it. Not clipped (LLaVA-Med): every word of the reply that occurs
    in the answer is a hit, however often it is repeated; words of the answer that the reply lacks are misses.
    """
    predicted, label = Counter(words(reply)), Counter(words(answer))
    if clipped:
        hits = (predicted & label).total()
        wrong, missed = predicted.total() - hits, label.total() - hits
    else:
        hits = sum(count for word, count in predicted.items() if word in label)
        wrong = predicted.total() - hits
        missed = sum(count for word, count in label.items() if word not in predicted)
    return 2 * hits / (2 * hits + wrong + missed) if hits else float(not predicted and not label)


def open_recall(reply: str, answer: str) -> float:
    """Share of the answer's words that occur in the reply (the open column of LLaVA-Med's tables)."""
    predicted, label = set(words(reply)), words(answer)
    return sum(word in predicted for word in label) / len(label) if label else float(not predicted)


def relaxed_accuracy(reply: str, answer: str, tolerance: float = 0.05) -> float:
    """ChartQA: numbers may differ by 5 % of the answer, other texts must be equal but for case.

    A percent sign divides by 100 on its own side, so "15%" is wrong for "15". An answer of 0 is compared as text. Commas
    and currency signs do not parse. The reply is stripped first, as VLMEvalKit does and lmms-eval does not.
    """
    reply = reply.strip()
    predicted, label = _number(reply), _number(answer)
    if predicted is not None and label:
        return float(abs(predicted - label) / abs(label) <= tolerance)
    return float(reply.lower() == answer.lower())


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def vqa_accuracy(reply: str, answers: Sequence[str]) -> float:
    """VQA accuracy: over all ways to leave one annotator out, min(1, matches among the others / 3), averaged.

    Normalised by the VQA rules. With one annotator there is nobody left to agree with, so it is an exact match.
    """
    if len(answers) < 2:
        return exact_match(reply, answers)
    predicted = normalize_vqa(reply)
    matches = [normalize_vqa(answer) == predicted for answer in answers]
    return sum(min(1.0, (sum(matches) - own) / 3) for own in matches) / len(matches)


def is_closed(question: Question) -> bool:
    """What the row's `answer_type` states; without one, a question with options or with answers that are yes or no is closed."""
    stated = question.meta.get("answer_type")
    if isinstance(stated, str):
        return stated.strip().lower() == "closed"
    return bool(question.options) or all(is_yes_no(answer) for answer in question.answers)


def is_open(question: Question) -> bool:
    return not is_closed(question)


def _closed_score(reply: str, question: Question) -> float:
    return max(closed_accuracy(reply, answer, question.options) for answer in question.answers)


def _token_f1(clipped: bool) -> Callable[[str, Question], float]:
    return lambda reply, question: max(token_f1(reply, answer, clipped=clipped) for answer in question.answers)


EXACT = each("exact_match", lambda reply, question: exact_match(reply, question.answers))
CLOSED = each("closed_accuracy", _closed_score, is_closed)
CLOSED_LLAVA_MED = each(
    "closed_accuracy_llava_med",
    lambda reply, question: max(closed_accuracy_llava_med(reply, answer) for answer in question.answers),
    is_closed,
)
OPEN_RECALL = each("open_recall", lambda reply, question: max(open_recall(reply, answer) for answer in question.answers), is_open)
F1 = each("token_f1", _token_f1(clipped=True))
F1_OPEN = each("token_f1_open", _token_f1(clipped=True), is_open)
F1_UNCLIPPED = each("token_f1_unclipped", _token_f1(clipped=False))
F1_UNCLIPPED_OPEN = each("token_f1_unclipped_open", _token_f1(clipped=False), is_open)
RELAXED = each("relaxed_accuracy", lambda reply, question: relaxed_accuracy(reply, question.answers[0]))
VQA = each("vqa_accuracy", lambda reply, question: vqa_accuracy(reply, question.answers))
EXACT_SLAKE = each("exact_match_slake", lambda reply, question: exact_match(reply, question.answers, normalize_slake))
