"""Which option a reply chooses, as the harnesses of AI2D, ScienceQA and MMMU decide it.

Sources: lmms-eval `ai2d`, `scienceqa`, `mmmu`; VLMEvalKit `matching_util.py`; LLaVA `eval_science_qa.py`; MMMU
`utils/eval_utils.py`. A parser returns a letter, or None where it finds none; MMMU's official code then draws one at random,
which is left to the caller (`mmmu_choice`).
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence

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
    said = re.sub(r"[.()\[\],:;!*#{}]", " ", reply).split()
    letters = [letter for letter in options if letter in said]
    if len(letters) == 1 and said.index(letters[0]) > len(said) - 5:
        return letters[0]
    if len(reply) > 2 * sum(map(len, options.values())):
        return None
    named = [letter for letter, option in options.items() if option.lower() in reply.lower()]
    return named[0] if len(named) == 1 else None


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
