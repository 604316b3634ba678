"""Which words ask about which picture: the user's text after it, up to the next picture (policy `question`).

Reads text as the project's chat template renders it, pictures still one placeholder each, or text without any markup.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

TURN = re.compile(
    r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)(?:<\|eot_id\|>|(?=<\|start_header_id\|>)|\Z)", re.DOTALL
)


def picture_questions(text: str, image_token: str, pictures: int, special: Sequence[str] = ()) -> list[str]:
    """What each of a text's pictures is asked, in order.

    The user's words after a picture, of all turns, up to the next picture. Pictures that stand together share what follows them;
    where nothing follows, what stands before is taken. Pictures outside any turn (`block_first`) share all of it.

    Args:
        text: one row of text.
        image_token: the placeholder.
        pictures: how many pictures the row has.
        special: control tokens that text without markup may not hold.

    Raises:
        ValueError: if the text has another chat template's markup, in which the user's words cannot be told from an answer.
    """
    turns = TURN.findall(text)
    words = "\n".join(content for role, content in turns if role == "user") if turns else text
    if not turns and (found := next((token for token in special if token in words), None)):
        raise ValueError(
            f"policy 'question' finds the user's words by the project's chat template, and this text has '{found}' outside "
            "of it; use the processor's own chat template, or another selection.policy"
        )
    before, *after = words.split(image_token)
    if len(after) != pictures:  # all of them stand before the text
        return [words.replace(image_token, "").strip()] * pictures
    questions: list[str] = []
    following = ""
    for part in reversed(after):
        following = part.strip() or following
        questions.insert(0, following)
    preceding = before.strip()
    for index, part in enumerate(after):
        questions[index] = questions[index] or preceding
        preceding = part.strip() or preceding
    return questions
