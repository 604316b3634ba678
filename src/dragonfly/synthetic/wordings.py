"""How questions are worded, by form and split.

Promises that no wording of one split occurs in another, nor one that differs by articles alone, and that `dev` and `test` use
no word that `train` never uses. Patterns say many wordings at once, `[give|read] the {key}` two: a small model that knows only a
few takes a new one for the nearest that it knows, whatever that asks.
Fields: {key}, {value}, {noun}, {nouns}, {a}, {b} (keys as questions name them), {an} (a key with its article).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import product

CHOICE = re.compile(r"\[([^]]*)\]")
ARTICLE = re.compile(r"\bthe ", re.IGNORECASE)


def expand(pattern: str) -> tuple[str, ...]:
    """Every wording that a pattern says: `[a|b] c` is `a c` and `b c`."""
    parts = CHOICE.split(pattern)  # what stands between choices, and the choices, in turn
    options = [part.split("|") if number % 2 else [part] for number, part in enumerate(parts)]
    return tuple("".join(chosen) for chosen in product(*options))


@dataclass(frozen=True)
class Wordings:
    """The wordings of one form of question: patterns of `train`, and the held-out ones of `dev` and `test` as they are."""

    patterns: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    @cached_property
    def train(self) -> tuple[str, ...]:
        """All that the patterns say, without what is held out."""
        held_out = {ARTICLE.sub("", wording) for wording in (*self.dev, *self.test)}
        said = dict.fromkeys(wording for pattern in self.patterns for wording in expand(pattern))
        return tuple(wording for wording in said if ARTICLE.sub("", wording) not in held_out)

    def of(self, split: str) -> tuple[str, ...]:
        return {"train": self.train, "dev": self.dev, "test": self.test}[split]


WORDINGS: dict[str, Wordings] = {
    "value": Wordings(
        (
            "What is the [{key}|value of {key}|value for {key}|{key} value]?",
            "What is the value [given|written] for {key}?",
            "[Tell me|Give|Give me|Read|Say|Find] the [{key}|{key} value].",
            "[Tell me|Give|Give me|Read|Say|Find] the value [of|for|given for|written for] {key}.",
            "[Which|What] value [does {key} have|does the {key} have|belongs to {key}]?",
            "[Which|What] value [is given|is written|do you see|do you read] for {key}?",
            "What [does it say|does it show|do you read|do you see|is given|is written] for [{key}|the {key}]?",
            "[The value of {key}|The {key}|The value for {key}] is what?",
            "What does [{key}|the {key}] [say|have as its value]?",
            "Find {key} and [read it|give its value|say what it is].",
            "Of {key}, what is the value?",
            "Please [give|read|tell me] the [{key}|value of {key}].",
            "{key}: what [does it say|is it|is the value]?",
            "{key}?",
        ),
        ("Read the value of {key}.", "What value is written for {key}?", "What value does it give for {key}?"),
        (
            "What is the value of {key}?",
            "Give the {key}.",
            "Tell me what the {key} is.",
            "Which value does it say for {key}?",
        ),
    ),
    "beside": Wordings(
        (
            "What [is|stands|is written|do you see|does it say|do you read] [next to|beside|by] the {key}?",
            "[Which|What] value [is|stands|is written|is given|do you see] [next to|beside|by] the {key}?",
            "[Tell me|Give|Give me|Read|Say|Find] [the value|what is|what it says] [next to|beside|by] the {key}.",
            "The {key} [is next to|is beside|stands by] [what|which value]?",
            "[Which|What] value [belongs to the {key}|does the {key} have]?",
            "Find the {key} and [read|give] what is [next to|beside|by] it.",
            "What does the {key} have [next to|beside|by] it?",
            "{key}: what is [next to|beside|by] it?",
        ),
        (
            "What does it say beside the {key}?",
            "Give the value next to the {key}.",
            "Which value do you see beside the {key}?",
        ),
        (
            "What is written next to the {key}?",
            "Read the value beside the {key}.",
            "Tell me the value by the {key}.",
            "The {key} has what value next to it?",
        ),
    ),
    "owner": Wordings(
        (
            "[Which|What] {noun} [has|says|is|has the value|says the value] {value}?",
            "What [has|says|has the value|says the value] {value}?",
            "What [is {value} the value of|does {value} belong to|is {value} written for|is {value} given for]?",
            "[Tell me|Give|Give me|Find|Say] the {noun} that [has|says|is|has the value] {value}.",
            "[Tell me|Say] [which|what] {noun} [has|says|is|has the value] {value}.",
            "[Where|For which {noun}|For what] does it [say|show] {value}?",
            "[{value}|The value {value}] [is the value of|belongs to|is written for|is given for] [what|which {noun}]?",
            "[To|For] which {noun} [does {value} belong|is {value} written|is {value} given]?",
            "Which {noun} has {value} as its value?",
            "{value}: [which {noun} is it|what is it the value of]?",
        ),
        ("Which {noun} has {value}?", "Give the {noun} that says {value}.", "Tell me what has the value {value}."),
        (
            "What says {value}?",
            "Give the {noun} that has the value {value}.",
            "For which {noun} is {value} written?",
            "Say what {value} is the value of.",
        ),
    ),
    "owner of shapes": Wordings(
        (
            "[Which|What] shape [is|stands|is written|do you see] [next to|beside|by] {value}?",
            "What [is|stands|do you see] [next to|beside|by] {value}?",
            "[Tell me|Give|Give me|Find|Say] the shape [next to|beside|by|that is next to|that is by] {value}.",
            "[Tell me|Say] which shape [is|stands] [next to|beside|by] {value}.",
            "[Which|What] shape [belongs to|has] {value}?",
            "[{value}|The value {value}] [is|stands] [next to|beside|by] [what|which shape]?",
            "[To which shape does {value} belong|{value} belongs to which shape]?",
        ),
        ("Which shape is beside {value}?", "Give the shape that stands by {value}.", "What shape is by {value}?"),
        (
            "Which shape stands next to {value}?",
            "Give the shape beside {value}.",
            "Tell me which shape {value} is next to.",
            "{value} stands beside which shape?",
        ),
    ),
    "larger": Wordings(
        (
            "[Which|What] is [larger|more|higher], {a} or {b}?",
            "Is [{a}|the value of {a}] or {b} [larger|more|higher]?",
            "[Which|What] has the [larger|higher] value, {a} or {b}?",
            "[Which|Which one] of {a} and {b} [is larger|is more|is higher|has more|has the higher value]?",
            "Of {a} and {b}, which [is larger|is more|is higher|has more]?",
            "[Tell me|Say] which [is larger|is more|is higher|has more], {a} or {b}.",
            "[Tell me|Say] which of {a} and {b} [is larger|is more|is higher|has the larger value].",
            "Compare {a} and {b}: which [is larger|is more|is higher|has more]?",
            "[Which one|Which value] is [larger|more|higher]: {a} or {b}?",
            "Which value is [larger|more|higher], that of {a} or {b}?",
        ),
        (
            "Which is higher, {a} or {b}?",
            "Which of {a} and {b} has the larger value?",
            "Say which is larger, {a} or {b}.",
        ),
        (
            "What is larger, {a} or {b}?",
            "Which of {a} and {b} is higher?",
            "Compare {a} and {b}: which is higher?",
            "Tell me which of {a} and {b} has more.",
        ),
    ),
    "smaller": Wordings(
        (
            "[Which|What] is [smaller|less|lower], {a} or {b}?",
            "Is [{a}|the value of {a}] or {b} [smaller|less|lower]?",
            "[Which|What] has the [smaller|lower] value, {a} or {b}?",
            "[Which|Which one] of {a} and {b} [is smaller|is less|is lower|has less|has the lower value]?",
            "Of {a} and {b}, which [is smaller|is less|is lower|has less]?",
            "[Tell me|Say] which [is smaller|is less|is lower|has less], {a} or {b}.",
            "[Tell me|Say] which of {a} and {b} [is smaller|is less|is lower|has the smaller value].",
            "Compare {a} and {b}: which [is smaller|is less|is lower|has less]?",
            "[Which one|Which value] is [smaller|less|lower]: {a} or {b}?",
            "Which value is [smaller|less|lower], that of {a} or {b}?",
        ),
        (
            "Which is lower, {a} or {b}?",
            "Which of {a} and {b} has the smaller value?",
            "Say which is smaller, {a} or {b}.",
        ),
        (
            "What is smaller, {a} or {b}?",
            "Which of {a} and {b} is lower?",
            "Compare {a} and {b}: which is lower?",
            "Tell me which of {a} and {b} has less.",
        ),
    ),
    "count": Wordings(
        (
            "How many {nouns} are there?",
            "How many {nouns} does the picture have?",
            "Count the {nouns}.",
            "What is the number of {nouns}?",
            "How many {nouns} do you see?",
            "How many {nouns} are in the picture?",
            "Tell me how many {nouns} there are.",
            "Give the number of {nouns}.",
            "How many {nouns} does it show?",
            "The picture has how many {nouns}?",
            "Find the number of {nouns} in the picture.",
            "Say how many {nouns} you see.",
        ),
        (
            "What number of {nouns} does the picture have?",
            "How many {nouns} do you see in the picture?",
            "The number of {nouns} is what?",
        ),
        (
            "How many {nouns} are there in the picture?",
            "Count the {nouns} in the picture.",
            "Tell me the number of {nouns}.",
            "How many {nouns} can you see?",
        ),
    ),
    "present": Wordings(
        (
            "Is there {an}?",
            "Does the picture have {an}?",
            "Can you see {an}?",
            "Is {an} in the picture?",
            "Do you see {an}?",
            "Does it show {an}?",
            "Is {an} there?",
            "Does it have {an}?",
            "Tell me whether there is {an}.",
            "Can you find {an}?",
            "Is {an} shown?",
            "Is there {an} or not?",
        ),
        ("Does the picture show {an}?", "Do you see {an} in the picture?", "Is {an} shown in the picture?"),
        (
            "Is there {an} in the picture?",
            "Can you see {an} in the picture?",
            "Tell me whether you see {an}.",
            "Does it show {an} or not?",
        ),
    ),
    "holds": Wordings(
        (
            "Is [{key}|the {key}|the value of {key}|the value for {key}|the {key} value] {value}?",
            "Does [{key}|the {key}] [say|have|show|have the value] {value}?",
            "Is {value} [the value of|the value for|written for|given for|what it says for] [{key}|the {key}]?",
            "Does {value} belong to [{key}|the {key}]?",
            "Is it [true|so] that [{key}|the {key}|the value of {key}] is {value}?",
            "Tell me whether [{key}|the {key}|the value of {key}] [is|has the value|says] {value}.",
            "Does it [say|show] that [{key}|the {key}|the value of {key}] is {value}?",
            "Is [{key}|the {key}] given as {value}?",
            "Does [{key}|the {key}] have {value} as its value?",
            "{key}: [is it|does it say] {value}?",
            "Is it {value} that [belongs to|is given for] {key}?",
        ),
        (
            "Is the value of {key} {value}?",
            "Does the {key} have the value {value}?",
            "Tell me whether {key} has the value {value}.",
        ),
        (
            "Does it say {value} for {key}?",
            "Is it true that {key} is {value}?",
            "Is {value} given as the {key}?",
            "Is it {value} that is written for the {key}?",
        ),
    ),
    "holds beside": Wordings(
        (
            "Is {value} [next to|beside|by|written next to|written by|written beside] the {key}?",
            "Is {value} the value [next to|beside|by] the {key}?",
            "Does it [say|show] {value} [next to|beside|by] the {key}?",
            "Does {value} [belong to|stand by|stand next to] the {key}?",
            "Is the {key} [next to|beside|by] {value}?",
            "Does the {key} [have|have the value|stand by] {value}?",
            "Tell me whether {value} is [next to|beside|by] the {key}.",
            "Is {value} what [it says|is written|you see] [next to|beside|by] the {key}?",
            "{key}: is it [next to|beside|by] {value}?",
            "Does the {key} have {value} next to it?",
        ),
        (
            "Is {value} beside the {key}?",
            "Does it say {value} beside the {key}?",
            "Does the {key} stand by {value}?",
        ),
        (
            "Is {value} written next to the {key}?",
            "Is {value} the value next to the {key}?",
            "Tell me whether {value} is next to the {key}.",
            "Does the {key} belong to {value}?",
        ),
    ),
    "holds specks": Wordings(
        (
            "Are there {value} {key}?",
            "Do you see {value} {key}?",
            "Is the number of {key} {value}?",
            "Does the picture have {value} {key}?",
            "Is it true that there are {value} {key}?",
            "Are {value} {key} in the picture?",
            "Can you see {value} {key}?",
            "Does it show {value} {key}?",
            "Tell me whether there are {value} {key}.",
            "Is {value} how many {key} there are?",
            "Does it have {value} {key}?",
        ),
        (
            "Do you see {value} {key} in the picture?",
            "Is it true that the number of {key} is {value}?",
            "Does the picture show {value} {key}?",
        ),
        (
            "Are there {value} {key} in the picture?",
            "Is {value} the number of {key}?",
            "Tell me whether you see {value} {key}.",
            "Is {value} how many {key} you see?",
        ),
    ),
    "colour": Wordings(
        (
            "What colour is the {key}?",
            "Which colour is the {key}?",
            "Give the colour of the {key}.",
            "What is the colour of the {key}?",
            "Which colour does the {key} have?",
            "The {key} is of what colour?",
            "Tell me the colour of the {key}.",
            "The colour of the {key} is what?",
            "Find the {key} and give its colour.",
            "Say which colour the {key} has.",
            "Of what colour is the {key}?",
        ),
        (
            "What colour does the {key} have?",
            "Which is the colour of the {key}?",
            "Tell me which colour the {key} is.",
        ),
        (
            "The {key} has what colour?",
            "Of which colour is the {key}?",
            "Say what colour the {key} has.",
            "What colour do you see for the {key}?",
        ),
    ),
    "colour of specks": Wordings(
        (
            "What colour are the {key}?",
            "Which colour are the {key}?",
            "Give the colour of the {key}.",
            "What is the colour of the {key}?",
            "Which colour do the {key} have?",
            "The {key} are of what colour?",
            "Tell me the colour of the {key}.",
            "The colour of the {key} is what?",
            "Find the {key} and give their colour.",
            "Say which colour the {key} have.",
            "Of what colour are the {key}?",
        ),
        (
            "What colour do the {key} have?",
            "Which is the colour of the {key}?",
            "Tell me which colour the {key} are.",
        ),
        (
            "The {key} have what colour?",
            "Of which colour are the {key}?",
            "Say what colour the {key} have.",
            "What colour do you see for the {key}?",
        ),
    ),
    "shape": Wordings(
        (
            "What shape is {key}?",
            "Which shape is {key}?",
            "What is {key}?",
            "Give the shape that is {key}.",
            "Which shape has the colour {key}?",
            "What shape does the {key} one have?",
            "Tell me the shape that is {key}.",
            "The {key} one has what shape?",
            "Find the {key} one and say its shape.",
            "Say which shape is {key}.",
            "Of what shape is the {key} one?",
            "Which shape do you see in {key}?",
        ),
        (
            "What shape has the colour {key}?",
            "Which shape does the {key} one have?",
            "Tell me what shape the {key} one has.",
        ),
        (
            "What shape is the {key} one?",
            "Give the shape of the {key} one.",
            "Say what shape is {key}.",
            "The {key} one is of which shape?",
        ),
    ),
    "describe": Wordings(
        (
            "Describe the picture.",
            "What is this?",
            "What does the picture show?",
            "Describe this briefly.",
            "What kind of picture is this?",
            "What do you see?",
            "Tell me what this is.",
            "Say what you see.",
            "Give a short description.",
            "What is in the picture?",
            "Say briefly what this is.",
            "What can you see?",
        ),
        ("Describe this.", "What do you see in the picture?", "Say what the picture has."),
        (
            "Describe the picture briefly.",
            "What does this show?",
            "Tell me briefly what you see.",
            "Give a description of the picture.",
        ),
    ),
}
