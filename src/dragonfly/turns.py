"""Which words ask about which image: the user's text after it, up to the next image (policy `question`).

Reads text as the project's chat templates render it, images still one placeholder each, or text without any markup. There are
two: that of `models` (headers, as Llama 3 writes them) and that of models made from scratch (`research/curriculum`), where
the role alone opens a turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HEADER = r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n"
ROLE = r"<\|(system|user|assistant)\|>"


def turns_of(text: str) -> list[tuple[str, str]]:
    """(role, content) of each turn; none where neither template's markup is found. The markup that comes first is the text's."""
    found = [(match.start(), opening) for opening in (HEADER, ROLE) if (match := re.search(opening, text))]
    if not found:
        return []
    _, *parts = re.split(min(found)[1], text)
    return [(role, content.partition("<|eot_id|>")[0]) for role, content in zip(parts[::2], parts[1::2], strict=True)]


def image_questions(text: str, image_token: str, images: int, special: Sequence[str] = ()) -> list[str]:
    """What each of a text's images is asked, in order.

    The user's words after an image, of all turns, up to the next image. Images that stand together share what follows them;
    where nothing follows, what stands before is taken. Images outside any turn (`block_first`) share all of it.

    Args:
        text: one row of text.
        image_token: the placeholder.
        images: how many images the row has.
        special: control tokens that the user's words may not hold, unless headers tell them from all else.

    Raises:
        ValueError: if the text has another chat template's markup, in which the user's words cannot be told from an answer.
    """
    turns = turns_of(text)
    words = "\n".join(content for role, content in turns if role == "user") if turns else text
    if "<|start_header_id|>" not in text and (found := next((token for token in special if token in words), None)):
        raise ValueError(
            f"policy 'question' finds the user's words by the project's chat templates, and this text has '{found}' outside "
            "of it; use the processor's own chat template, or another selection.policy"
        )
    before, *after = words.split(image_token)
    if len(after) != images:  # all of them stand before the text
        return [words.replace(image_token, "").strip()] * images
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
