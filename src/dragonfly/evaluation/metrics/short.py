"""Scores of one short answer against the accepted ones: pure functions of texts, each between 0 and 1.

Sources: lmms-eval, LLaVA-Med and pix2struct as described at each function. Knows no data set and no model.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from .text import normalize_vqa, words


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
    said, meant = Counter(words(reply)), Counter(words(answer))
    if clipped:
        hits = (said & meant).total()
        wrong, missed = said.total() - hits, meant.total() - hits
    else:
        hits = sum(count for word, count in said.items() if word in meant)
        wrong = said.total() - hits
        missed = sum(count for word, count in meant.items() if word not in said)
    return 2 * hits / (2 * hits + wrong + missed) if hits else float(not said and not meant)


def open_recall(reply: str, answer: str) -> float:
    """Share of the answer's words that occur in the reply (the open column of LLaVA-Med's tables)."""
    said, meant = set(words(reply)), words(answer)
    return sum(word in said for word in meant) / len(meant) if meant else float(not said)


def keyword_share(reply: str, answer: str) -> float:
    """Share of an MM-Vet answer's `<AND>` parts that stand in the reply as whole words, the best of its `<OR>` parts.

    Not MM-Vet's score, which a judge gives.
    """
    text = f" {normalize_vqa(reply)} "

    def share(parts: list[str]) -> float:
        return sum(f" {normalize_vqa(part)} " in text for part in parts) / len(parts)

    return max(share(option.split("<AND>")) for option in answer.split("<OR>"))


def relaxed_accuracy(reply: str, answer: str, tolerance: float = 0.05) -> float:
    """ChartQA: numbers may differ by 5 % of the answer, other texts must be equal but for case.

    A percent sign divides by 100 on its own side, so "15%" is wrong for "15". An answer of 0 is compared as text. Commas
    and currency signs do not parse. The reply is stripped first, as VLMEvalKit does and lmms-eval does not.
    """
    reply = reply.strip()
    said, meant = _number(reply), _number(answer)
    if said is not None and meant:
        return float(abs(said - meant) / abs(meant) <= tolerance)
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
    said = normalize_vqa(reply)
    matches = [normalize_vqa(answer) == said for answer in answers]
    return sum(min(1.0, (sum(matches) - own) / 3) for own in matches) / len(matches)
