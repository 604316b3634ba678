"""How people type: letter case, final marks, spelling and typing errors. Values are never altered, only cased."""

from __future__ import annotations

import random
import re

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEAR = {key: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _ROWS for at, key in enumerate(row)}
_AMERICAN = {"colour": "color", "grey": "gray", "centre": "center", "litre": "liter", "metre": "meter", "cheque": "check"}
_SHORT = {"what is": "what's", "i would": "i'd", "who is": "who's", "where is": "where's", "cannot": "can't", "it is": "it's"}
_CHAT = {"please": "pls", "you": "u", "are": "r", "thanks": "thx", "picture": "pic", "number": "no.", "and": "&"}
LOWER, UPPER, UNMARKED, MISTYPED, AMERICAN, SHORTENED, CHATTY, BARE_QUOTES = 0.28, 0.05, 0.3, 0.07, 0.5, 0.3, 0.02, 0.15


def mistype(rng: random.Random, word: str) -> str:
    """One error in a word of five letters or more: a letter dropped, doubled, swapped with the next, or the key beside it."""
    places = [at for at in range(1, len(word) - 1) if word[at].isalpha() and word[at].lower() in _NEAR]
    if len(word) < 5 or not places or not word.isalpha():
        return word
    at = rng.choice(places)
    kind = rng.choice(("drop", "double", "swap", "near"))
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    if kind == "double":
        return word[:at] + word[at] + word[at:]
    if kind == "swap":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + rng.choice(_NEAR[word[at].lower()]) + word[at + 1 :]


def mistype_some(rng: random.Random, text: str) -> str:
    """An error in one long word of a text, slots such as {key} left alone; the text as it is where it has none."""
    words = text.split(" ")
    long = [at for at, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if long:
        at = rng.choice(long)
        words[at] = mistype(rng, words[at])
    return " ".join(words)


def respell(rng: random.Random, text: str) -> str:
    """A template in one spelling: American or British, long or shortened, at times as in a chat."""
    text = _swap(text, _AMERICAN) if rng.random() < AMERICAN else text
    text = _swap(text, _SHORT) if rng.random() < SHORTENED else text
    text = _swap(text, _CHAT) if rng.random() < CHATTY else text
    return text.replace("'", "") if rng.random() < BARE_QUOTES else text


def _swap(text: str, table: dict[str, str]) -> str:
    return re.sub(r"\b(" + "|".join(table) + r")\b", lambda found: table[found[0]], text)


def draw_case(rng: random.Random) -> str:
    """`lower`, `upper` or `sentence`: how the whole question is cased."""
    at = rng.random()
    return "lower" if at < LOWER else "upper" if at < LOWER + UPPER else "sentence"


def cased(text: str, case: str) -> str:
    """A text in a case of `draw_case`; a sentence keeps the letters as they are but for its first."""
    if case == "sentence":
        return text
    return text.lower() if case == "lower" else text.upper()


def draw_mark(rng: random.Random, mark: str) -> str:
    """What stands at the end: `mark`, nothing, or a careless one."""
    if rng.random() < UNMARKED:
        return ""
    return rng.choices((mark, " " + mark, mark * 2, "...", "."), (90, 4, 3, 1, 2))[0]
