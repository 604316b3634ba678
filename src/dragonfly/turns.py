"""Turns of any chat template: which characters of a rendered conversation are answers, and what each image is asked.

Knows no markup. A template is read by what it writes around stand-ins: characters of Unicode's private use, which no template
and no text has. Answers are found in a conversation by rendering it once more with stand-ins in place of its words; `read_marks`
renders small conversations, once per template. Promises that what it finds was verified: the words put back give the real text,
and what stands before an answer is what generation is given. What cannot be verified is refused.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

Message = Mapping[str, Any]
Render = Callable[[Sequence[Message], bool], str]
"""(messages, add_generation_prompt) -> text."""

Span = tuple[int, int]

_OPEN, _CLOSE = "\U000f0d00", "\U000f0d01"
_STAND_IN = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_TAG = re.compile(r"(</?[^<>\s]{1,40}>)")
_SHOWN = 60


class TurnError(ValueError):
    """One conversation cannot be told apart into turns; another one, under the same template, may."""


@dataclass(frozen=True)
class Marks:
    """What a chat template writes around words.

    Args:
        header: between the words that ask and those that answer, where generation begins ("" never).
        lead: what the template itself writes between the header and the last answer; generation has to produce it.
        end: the control token that ends an answer.
        user: before a user's words.
        close: after a user's words.
    """

    header: str
    lead: str
    end: str
    user: str
    close: str


def read_marks(render: Render, controls: Sequence[str], eos: str | None = None) -> Marks:
    """The marks of a template, from small conversations.

    Args:
        render: of the template.
        controls: the tokenizer's control tokens, at one of which an answer must end.
        eos: the one at which generation stops anyway; it is the end where each answer has it, else the first one is.

    Raises:
        ValueError: if the template does not say where an answer begins, or ends one in no control token.
    """
    user, answer, again = (_said(role, number) for number, role in enumerate(("user", "assistant", "user")))
    header = _around(render([user], True))[-1]
    before, between, after = _around(render([user, answer], False), 2)
    if not header:
        raise ValueError("the chat template adds nothing for add_generation_prompt, so it does not say where an answer begins")
    if header not in between:
        raise ValueError(
            f"the chat template asks for an answer with {_shown(header, last=True)} but writes {_shown(between, last=True)} "
            "before one: what is trained would not be what generation is given; use another chat template"
        )
    found = [(after.index(token), -len(token), token) for token in controls if token.strip() and token in after]
    if not found:
        wrote = f"ends an answer with {_shown(after)}" if after.strip() else "writes nothing after an answer"
        raise ValueError(
            f"the chat template {wrote}, where generation cannot stop: no control token of the tokenizer is there; "
            "use another chat template, or add its end of turn to the tokenizer as a special token"
        )
    users, end = [before], min(found)[2]
    for more in ([user, answer, again], [{**user, "role": "system"}, again]):
        try:
            users.append(_around(render(more, True))[-2])
        except ValueError:
            continue  # no second turn, or no system message: this template forbids it
    if eos is not None and eos in after and all(eos in text for text in users[1:2]):
        end = eos
    opening = users[0] if len(users) == 1 else _common_end(*users[:2])
    close = _around(render([user], False))[-1].strip() or header.strip()
    return Marks(header, between.rpartition(header)[2], end, opening.strip(), close)


def answer_spans(render: Render, messages: Sequence[Message], marks: Marks) -> tuple[str, list[Span]]:
    """The rendered text, and for each assistant message the [start, end) of what generation has to produce.

    That is everything after the header: what the template writes of its own before the answer (a think block, a blank), the
    answer, and its end of turn. Blanks at the edges of a text may be missing, as many templates trim, and words may be written in
    small letters.

    Raises:
        TurnError: if the template changes the words, drops an answer, or writes another header or end than those of `marks`.
    """
    text = render(messages, False)
    for tags in (False, True):  # templates may act on tags that words contain: those then stay in both renderings
        drawn, words, owners = _drawn(messages, tags)
        literals, numbers = _taken_apart(render(drawn, False))
        if (places := _places(text, literals, numbers, words)) is not None:
            break
    else:
        raise TurnError("the chat template changes the words of this conversation, so its answers cannot be found in the text")
    spans: list[Span] = []
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            own = [at for at, number in enumerate(numbers) if owners[number] == index]
            if not own:
                raise TurnError(f"the chat template leaves out the answer in message {index + 1} of the conversation")
            before, after = literals[own[0]], literals[own[-1] + 1]
            opened, ended = before.rfind(marks.header), after.find(marks.end)
            if opened < 0:
                raise TurnError(
                    f"the chat template writes {_shown(before, last=True)} before the answer in message {index + 1}, and "
                    f"generation is given {_shown(marks.header, last=True)}; train one question per conversation"
                )
            if ended < 0:
                raise TurnError(
                    f"the chat template writes {_shown(after)} after the answer in message {index + 1}, without the end of turn "
                    f"{_shown(marks.end)}; train one question per conversation"
                )
            start = places[own[0]][0] - len(before) + opened + len(marks.header)
            spans.append((start, places[own[-1]][1] + ended + len(marks.end)))
    return text, spans


def moved(spans: Sequence[Span], replacements: Sequence[tuple[Span, Span]]) -> list[Span]:
    """Spans of a text in which placeholders were replaced by longer ones: (old span, new span) of each, in order."""
    ends = [old[1] for old, _ in replacements]
    gained = [0, *(new[1] - old[1] for old, new in replacements)]
    return [(start + gained[bisect_right(ends, start)], end + gained[bisect_right(ends, end)]) for start, end in spans]


def tokens_in(offsets: Sequence[Sequence[int]], spans: Sequence[Span]) -> list[int]:
    """1 for each token that begins in one of the spans (in order, none at 0), else 0; `offsets` are [start, end) of characters.

    A token that begins before a span is not in it: it holds an end of the prompt, which generation is given and never produces.
    Padding, at (0, 0), is in none.
    """
    firsts = [first for first, _ in spans]
    inside: list[int] = []
    for start, _ in offsets:
        at = bisect_right(firsts, start) - 1
        inside.append(int(at >= 0 and start < spans[at][1]))
    return inside


def conversation_questions(messages: Sequence[Message], image_token: str, last_only: bool = False) -> list[str]:
    """What each image of a conversation is asked, by `image_questions`; `last_only` leaves out what users said before."""
    users = [message for message in messages if message["role"] == "user"]
    words: list[str] = []
    images = sum(_text(message, image_token).count(image_token) for message in messages)
    for message in users:
        text = _text(message, image_token)
        words.append(image_token * text.count(image_token) if last_only and message is not users[-1] else text)
    return image_questions("".join(words) if last_only else "\n".join(words), image_token, images)


def text_questions(
    text: str, image_token: str, images: int, marks: Marks | None, special: Sequence[str] = (), bos: str = ""
) -> list[str]:
    """What each image of a rendered text, or of one without markup, is asked, by `image_questions`.

    Args:
        text: one row of text, an image being one placeholder.
        image_token: the placeholder.
        images: how many images the row has.
        marks: of the template that may have rendered it.
        special: control tokens that the user's words may not hold.
        bos: the one with which a text may begin.

    Raises:
        ValueError: if the text has another chat template's markup, in which the user's words cannot be told from an answer.
    """
    turns = _user_turns(text, marks) if marks is not None and marks.user else []
    words = "\n".join(turns) if turns else text.removeprefix(bos)
    if found := next((token for token in special if token in words), None):
        raise ValueError(
            f"policy 'question' finds the user's words by the processor's own chat template, and this text has '{found}' outside "
            "of it; use that chat template, or another selection.policy"
        )
    return image_questions(words, image_token, images)


def image_questions(words: str, image_token: str, images: int) -> list[str]:
    """What each of a row's images is asked, in order: the user's words after it, up to the next image.

    Images that stand together share what follows them; where nothing follows, what stands before is taken. Images that do
    not stand in the words (`block_first`) share all of them.
    """
    before, *after = words.split(image_token)
    if len(after) != images:
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


def _user_turns(text: str, marks: Marks) -> list[str]:
    turns: list[str] = []
    _, *opened = text.split(marks.user)
    for part in opened:
        ends = [end for end in (part.find(marks.close), part.find(marks.header)) if end >= 0]
        turns.append((part[: min(ends)] if ends else part).strip())
    return turns


def _text(message: Message, image_token: str) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(image_token if "image" in part.get("type", "") else part.get("text", "") for part in content)


def _said(role: str, number: int) -> Message:
    return {"role": role, "content": [{"type": "text", "text": f"{_OPEN}{number}{_CLOSE}"}]}


def _around(text: str, stand_ins: int | None = None) -> list[str]:
    """What stands around the stand-ins of a rendering."""
    literals, numbers = _taken_apart(text)
    if not numbers or (stand_ins is not None and len(numbers) != stand_ins):
        raise ValueError("the chat template does not write down what is said; use another chat template")
    return literals


def _common_end(one: str, other: str) -> str:
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False)))
    return one[len(one) - same :]


def _taken_apart(text: str) -> tuple[list[str], list[int]]:
    parts = _STAND_IN.split(text)
    return parts[::2], [int(number) for number in parts[1::2]]


def _drawn(messages: Sequence[Message], tags: bool) -> tuple[list[Message], list[str], list[int]]:
    """The messages with stand-ins for words, the words, and of which message they are. `tags` leaves tags as they are."""
    words: list[str] = []
    owners: list[int] = []

    def stand_in(text: str, owner: int) -> str:
        pieces = _TAG.split(text) if tags and _TAG.sub("", text) else [text]
        for at, piece in enumerate(pieces[::2]):
            if piece or len(pieces) == 1:
                pieces[2 * at] = f"{_OPEN}{len(words)}{_CLOSE}"
                words.append(piece)
                owners.append(owner)
        return "".join(pieces)

    drawn: list[Message] = []
    for owner, message in enumerate(messages):
        content = message.get("content") or ""
        if isinstance(content, str):
            drawn.append({**message, "content": stand_in(content, owner)})
            continue
        parts = [{**part, "text": stand_in(part["text"], owner)} if "text" in part else part for part in content]
        if message["role"] == "assistant" and not any("text" in part for part in parts):
            parts.append({"type": "text", "text": stand_in("", owner)})
        drawn.append({**message, "content": parts})
    return drawn, words, owners


def _places(text: str, literals: Sequence[str], numbers: Sequence[int], words: Sequence[str]) -> list[Span] | None:
    """Where each stand-in's words are in the real text; None if it is not the literals with the words between them."""
    if not text.startswith(literals[0]):
        return None
    places: list[Span] = []
    at = len(literals[0])
    for number, literal in zip(numbers, literals[1:], strict=True):
        fits = (form for form in _forms(words[number]) if text.startswith(form + literal, at))
        if (form := next(fits, None)) is None:
            return None
        places.append((at, at + len(form)))
        at += len(form) + len(literal)
    return places if at == len(text) else None


def _forms(word: str) -> list[str]:
    """A text as it is, then with blanks or newlines taken from its edges, then these in small letters."""
    trimmed = (word, word.rstrip("\n"), word.lstrip("\n"), word.strip("\n"), word.rstrip(), word.lstrip(), word.strip())
    return sorted(dict.fromkeys((*trimmed, *(form.lower() for form in trimmed))), key=len, reverse=True)


def _shown(text: str, last: bool = False) -> str:
    """A text for a message, of a long one the beginning, or the end."""
    if len(text) <= _SHOWN:
        return repr(text)
    return repr("..." + text[-_SHOWN:] if last else text[:_SHOWN] + "...")
