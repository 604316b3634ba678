"""Metrics of a judge's verdicts, and MM-Vet's keyword check, by hand."""

import pytest

from dragonfly.evaluation.metrics import judged
from dragonfly.evaluation.metrics.judged import keyword_share
from dragonfly.evaluation.question import Question


def ask(answers: list[str], **meta: object) -> list[Question]:
    return [Question(id=str(n), text="q", answers=(answer,), meta=dict(meta)) for n, answer in enumerate(answers)]


def test_to_say_that_one_cannot_tell_is_right_only_where_nothing_is_shown() -> None:
    keys = {"category": "VS", "subcategory": "chart", "set_id": "0", "question_id": "0"}
    text, shown = ask(["yes"], **keys, figure_id="0", shown=False), ask(["no"], **keys, figure_id="1", shown=True)
    questions, verdicts = [*text, *shown, *shown], ["unclear", "unclear", "correct"]
    assert judged.HALLUSION_ALL.columns(questions, [*verdicts]).tolist() == [[1, 1], [0, 1], [1, 1]]
    assert judged.HALLUSION_FIGURE.columns(questions, [*verdicts]).tolist() == [[0, 0], [0, 1], [0, 0]]
    assert judged.HALLUSION_QUESTION.columns(questions, ["unclear", "correct", "correct"]).tolist() == [[1, 1], [0, 0], [0, 0]]
    assert judged.GRADE.columns(questions, ["0.3", None, "1"]).tolist() == [[0.3, 1], [0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("reply", "answer", "share"),
    [
        ("x is -1 or x = -5", "-1<AND>-5", 1.0),
        ("the red one", "red<AND>blue", 0.5),
        ("Crimson.", "red<OR>crimson", 1.0),
        ("It is reddish", "red", 0.0),  # whole words only
        ("the blue", "red<AND>blue<OR>green", 0.5),
        ("", "red", 0.0),
    ],
)
def test_keyword_share(reply: str, answer: str, share: float) -> None:
    assert keyword_share(reply, answer) == share
