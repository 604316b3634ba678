"""Which option a reply chooses, as the harnesses of AI2D, ScienceQA and MMMU decide it.

Sources: lmms-eval `ai2d`, `scienceqa`; LLaVA `eval_science_qa.py`; MMMU `utils/eval_utils.py`. A parser returns a letter, or
None where it finds none; MMMU's official code then draws one at random, which is left to the caller (`mmmu_choice`).
"""

import random
import re
from collections.abc import Mapping, Sequence

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


def mmmu_letter(reply: str, options: Mapping[str, str]) -> str | None:
    """The official MMMU parser: "(A)", else a lone "A", else (above five words) an option's text; the last one named wins."""
    text = reply
    for mark in ",.!?;:'":
        text = text.strip(mark)
    text = f" {text} "
    lower = text.lower()
    places = {letter: text.rfind(f"({letter})") for letter in options}
    if max(places.values(), default=-1) < 0:
        places = {letter: text.rfind(f" {letter} ") for letter in options}
    if max(places.values(), default=-1) < 0 and len(text.split()) > 5:
        places = {letter: lower.rfind(option.lower()) for letter, option in options.items()}
    if max(places.values(), default=-1) < 0:
        return None
    return max(places, key=lambda letter: places[letter])


def mmmu_choice(reply: str, options: Mapping[str, str], key: str) -> str:
    """`mmmu_letter`, or a letter drawn from the question's own `key` where there is none.

    The official code draws from one generator over the whole run, so its draw depends on the order of the questions; ours
    does not. The chance of a hit is the same.
    """
    return mmmu_letter(reply, options) or random.Random(key).choice(list(options))
