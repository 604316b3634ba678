"""How texts are normalised before they are compared: the rules of the VQA challenge and of the SLAKE harness.

Sources: EvalAI's answer processor (used by TextVQA, VQAv2 and LLaVA's medical evaluation) and lmms-eval's `slake/utils.py`.
"""

import re
import string
from functools import lru_cache

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ARTICLES = {"a", "an", "the"}
_NUMBERS = "none zero one two three four five six seven eight nine ten"
_NUMBER_WORDS = {word: str(max(0, index - 1)) for index, word in enumerate(_NUMBERS.split())}
_CONTRACTIONS = """ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's
i'd've i'm i've isn't it'd it'll let's ma'am might've mightn't must've mustn't needn't not've o'clock oughtn't shan't she'd've
should've shouldn't somebody'd somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd
there're there's they'd they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're
you've"""
_WITH_APOSTROPHE = {word.replace("'", ""): word for word in _CONTRACTIONS.split()}

_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_ASCII_MARKS = re.compile(f"[{re.escape(string.punctuation)}]")
_YES = {"yes", "yeah", "yep", "true"}
_NO = {"no", "nope", "false"}


@lru_cache(maxsize=1 << 16)  # every metric of a task and each of its baselines asks for the same texts
def normalize_vqa(text: str) -> str:
    """The VQA challenge's form of an answer: lower case, digits for number words, no articles, no punctuation.

    Full stops go unless a digit follows; other marks go where a space is beside them (or the text holds a number such
    as 1,000) and become a space elsewhere. Ours alone: articles stay where nothing else is left. A known weakness of
    these rules: "-5" becomes "5".
    """
    text = re.sub(r"\s+", " ", text).strip().lower()
    joined = _COMMA_IN_NUMBER.search(text) is not None
    original = text
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in original or f" {mark}" in original
        text = text.replace(mark, "" if joined or beside_space else " ")
    text = _FULL_STOP.sub("", text)
    every = text.split()
    kept = [word for word in every if word not in _ARTICLES] or every  # the answer "A" is an option, not an article
    return " ".join(_WITH_APOSTROPHE.get(word, word) for word in (_NUMBER_WORDS.get(word, word) for word in kept))


def normalize_slake(text: str) -> str:
    """lmms-eval's form for SLAKE: lower case, (bracketed) parts dropped, marks to spaces, one word for yes."""
    text = _ASCII_MARKS.sub(" ", re.sub(r"\([^)]*\)", " ", text.lower()))
    text = " ".join(text.split())
    return "yes" if text in _YES else "no" if text in _NO else "xray" if text == "x ray" else text


def words(text: str) -> list[str]:
    """The words of a text after `normalize_vqa`."""
    return normalize_vqa(text).split()
