"""POPE: does the model say yes to objects that are not there? (RUCAIBox/POPE `evaluate.py`)

Promises the official reading of a reply and the four counts that all of POPE's numbers come from.
"""

from typing import Literal

Outcome = Literal["tp", "fp", "tn", "fn"]


def pope_answer(reply: str) -> Literal["yes", "no"]:
    """Up to the first full stop, commas removed: "No", "no" or "not" among the words is no; everything else is yes."""
    spoken = reply.partition(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(spoken) else "yes"


def pope_answer_lmms(reply: str) -> str:
    """lmms-eval's reading: the stripped reply in lower case; only "yes" and "no" themselves count ("Yes." is neither)."""
    return reply.strip().lower()


def pope_outcome(said: str, answer: str) -> Outcome:
    """Which of the four a question is; yes is the positive class."""
    if answer == "yes":
        return "tp" if said == "yes" else "fn"
    return "fp" if said == "yes" else "tn"
