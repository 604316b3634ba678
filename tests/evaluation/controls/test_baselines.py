"""The majority, blind and shuffled-image baselines, from the questions alone."""

from dataclasses import replace

from dragonfly.evaluation.controls import majority, random_options, with_shuffled_images, without_images
from dragonfly.evaluation.question import Question


def ask(n: int, answer: str, group: str = "", images: tuple[str, ...] = ()) -> Question:
    return Question(id=str(n), text=f"q{n}", answers=(answer,), group=group or str(n), images=images)


def test_majority_counts_normalised_answers_and_keeps_a_spelling() -> None:
    questions = [ask(n, answer) for n, answer in enumerate(["Left lung.", "left lung", "Left lung.", "no", "No", "x"])]
    found = majority(questions, None)
    assert (found.answer, found.origin) == ("Left lung.", "evaluated split")


def test_majority_comes_from_the_train_split_and_ties_go_to_the_alphabet() -> None:
    found = majority([ask(0, "test")], [ask(n, answer) for n, answer in enumerate(["b", "a2", "b", "a2"])])
    assert (found.answer, found.origin) == ("a2", "train split")


def test_no_image_is_kept_by_its_own_group() -> None:
    questions = [ask(n, "a", group=f"g{n % 5}", images=(f"g{n % 5}.png",)) for n in range(20)] + [ask(20, "a", group="text")]
    shuffled = with_shuffled_images(questions) or []
    assert all(new.images != old.images for new, old in zip(shuffled[:20], questions, strict=False))
    assert {question.images for question in shuffled[:20]} == {question.images for question in questions[:20]}
    assert shuffled[20] == questions[20]
    assert [replace(new, images=()) for new in shuffled] == without_images(questions)
    assert shuffled == with_shuffled_images(questions)


def test_a_random_option_follows_from_the_question_and_is_one_of_its_own() -> None:
    questions = [replace(ask(n, "A"), options=("x",) * (2 + 2 * (n % 2))) for n in range(400)]
    letters = random_options(questions) or []
    assert letters == random_options(questions) and random_options(questions[7:8]) == letters[7:8]
    assert set(letters[0::2]) == {"A", "B"} and set(letters[1::2]) == {"A", "B", "C", "D"}
    assert 60 < letters[0::2].count("A") < 140 and 25 < letters[1::2].count("D") < 75
    assert random_options([*questions, ask(0, "A")]) is None


def test_one_image_cannot_be_shuffled() -> None:
    assert with_shuffled_images([ask(n, "a", group="g", images=("g.png",)) for n in range(3)]) is None
