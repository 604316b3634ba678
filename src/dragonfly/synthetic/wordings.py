"""How questions are worded, by form and split.

Promises that no wording of one split occurs in another, and that `dev` and `test` use no word that `train` never uses.
Fields: {key}, {value}, {noun}, {nouns}, {a}, {b} (keys as questions name them), {an} (a key with its article).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wordings:
    """The wordings of one form of question; `one` draws from a split's."""

    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    def of(self, split: str) -> tuple[str, ...]:
        return {"train": self.train, "dev": self.dev, "test": self.test}[split]


WORDINGS: dict[str, Wordings] = {
    "value": Wordings(
        (
            "What is the {key}?",
            "What does it say for {key}?",
            "Read the {key}.",
            "Give the value of {key}.",
            "What value does {key} have?",
            "What is written for the {key}?",
            "Which value belongs to {key}?",
            "{key}?",
        ),
        ("Read the value of {key}.", "What value is written for {key}?"),
        ("What is the value of {key}?", "Give the {key}."),
    ),
    "beside": Wordings(
        (
            "What is next to the {key}?",
            "What does it say next to the {key}?",
            "Read the value next to the {key}.",
            "Which value belongs to the {key}?",
            "What is written beside the {key}?",
            "Give the value beside the {key}.",
            "What stands by the {key}?",
        ),
        ("What does it say beside the {key}?", "Give the value next to the {key}."),
        ("What is written next to the {key}?", "Read the value beside the {key}."),
    ),
    "owner": Wordings(
        (
            "Which {noun} has the value {value}?",
            "Which {noun} says {value}?",
            "What has the value {value}?",
            "What is {value} the value of?",
            "Which {noun} is {value}?",
            "Give the {noun} that has {value}.",
            "Where does it say {value}?",
        ),
        ("Which {noun} has {value}?", "Give the {noun} that says {value}."),
        ("What says {value}?", "Give the {noun} that has the value {value}."),
    ),
    "owner of shapes": Wordings(
        (
            "Which shape is next to {value}?",
            "Which shape stands by {value}?",
            "What is beside {value}?",
            "Give the shape next to {value}.",
            "Which shape belongs to {value}?",
            "What shape is written next to {value}?",
        ),
        ("Which shape is beside {value}?", "Give the shape that stands by {value}."),
        ("Which shape stands next to {value}?", "Give the shape beside {value}."),
    ),
    "larger": Wordings(
        (
            "Which is larger, {a} or {b}?",
            "Which is more, {a} or {b}?",
            "Is {a} or {b} larger?",
            "Which has the larger value, {a} or {b}?",
            "What is higher, {a} or {b}?",
            "Which of {a} and {b} is larger?",
        ),
        ("Which is higher, {a} or {b}?", "Which of {a} and {b} has the larger value?"),
        ("What is larger, {a} or {b}?", "Which of {a} and {b} is higher?"),
    ),
    "smaller": Wordings(
        (
            "Which is smaller, {a} or {b}?",
            "Which is less, {a} or {b}?",
            "Is {a} or {b} smaller?",
            "Which has the smaller value, {a} or {b}?",
            "What is lower, {a} or {b}?",
            "Which of {a} and {b} is smaller?",
        ),
        ("Which is lower, {a} or {b}?", "Which of {a} and {b} has the smaller value?"),
        ("What is smaller, {a} or {b}?", "Which of {a} and {b} is lower?"),
    ),
    "count": Wordings(
        (
            "How many {nouns} are there?",
            "How many {nouns} does the picture have?",
            "Count the {nouns}.",
            "What is the number of {nouns}?",
            "How many {nouns} do you see?",
            "How many {nouns} are in the picture?",
        ),
        ("What number of {nouns} does the picture have?", "How many {nouns} do you see in the picture?"),
        ("How many {nouns} are there in the picture?", "Count the {nouns} in the picture."),
    ),
    "present": Wordings(
        (
            "Is there {an}?",
            "Does the picture have {an}?",
            "Can you see {an}?",
            "Is {an} in the picture?",
            "Do you see {an}?",
            "Does it show {an}?",
        ),
        ("Does the picture show {an}?", "Do you see {an} in the picture?"),
        ("Is there {an} in the picture?", "Can you see {an} in the picture?"),
    ),
    "holds": Wordings(
        (
            "Is the {key} {value}?",
            "Does the {key} say {value}?",
            "Is {value} the value of {key}?",
            "Does {key} have the value {value}?",
            "Is it true that the {key} is {value}?",
            "Does {value} belong to {key}?",
        ),
        ("Is the value of {key} {value}?", "Does the {key} have the value {value}?"),
        ("Does it say {value} for {key}?", "Is it true that {key} is {value}?"),
    ),
    "holds beside": Wordings(
        (
            "Is {value} next to the {key}?",
            "Does it say {value} next to the {key}?",
            "Does {value} belong to the {key}?",
            "Is {value} written by the {key}?",
            "Is {value} the value beside the {key}?",
            "Does it say {value} by the {key}?",
        ),
        ("Is {value} beside the {key}?", "Does it say {value} beside the {key}?"),
        ("Is {value} written next to the {key}?", "Is {value} the value next to the {key}?"),
    ),
    "holds specks": Wordings(
        (
            "Are there {value} {key}?",
            "Do you see {value} {key}?",
            "Is the number of {key} {value}?",
            "Does the picture have {value} {key}?",
            "Is it true that there are {value} {key}?",
            "Are {value} {key} in the picture?",
        ),
        ("Do you see {value} {key} in the picture?", "Is it true that the number of {key} is {value}?"),
        ("Are there {value} {key} in the picture?", "Is {value} the number of {key}?"),
    ),
    "colour": Wordings(
        (
            "What colour is the {key}?",
            "Which colour is the {key}?",
            "Give the colour of the {key}.",
            "What is the colour of the {key}?",
            "Which colour does the {key} have?",
            "The {key} is of what colour?",
        ),
        ("What colour does the {key} have?", "Which is the colour of the {key}?"),
        ("The {key} has what colour?", "Of which colour is the {key}?"),
    ),
    "colour of specks": Wordings(
        (
            "What colour are the {key}?",
            "Which colour are the {key}?",
            "Give the colour of the {key}.",
            "What is the colour of the {key}?",
            "Which colour do the {key} have?",
            "The {key} are of what colour?",
        ),
        ("What colour do the {key} have?", "Which is the colour of the {key}?"),
        ("The {key} have what colour?", "Of which colour are the {key}?"),
    ),
    "shape": Wordings(
        (
            "What shape is {key}?",
            "Which shape is {key}?",
            "What is {key}?",
            "Give the shape that is {key}.",
            "Which shape has the colour {key}?",
            "What shape does the {key} one have?",
        ),
        ("What shape has the colour {key}?", "Which shape does the {key} one have?"),
        ("What shape is the {key} one?", "Give the shape of the {key} one."),
    ),
    "describe": Wordings(
        (
            "Describe the picture.",
            "What is this?",
            "What does the picture show?",
            "Describe this briefly.",
            "What kind of picture is this?",
            "What do you see?",
        ),
        ("Describe this.", "What do you see in the picture?"),
        ("Describe the picture briefly.", "What does this show?"),
    ),
}
