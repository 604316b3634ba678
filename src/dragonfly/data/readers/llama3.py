"""Conversations that were stored as text already rendered with Llama 3's chat template, taken apart again.

Promises that every character of the text is accounted for: what stands outside a turn is a fault, not lost. The
released training sets hold such strings; some begin with the begin-of-text mark, which the processor writes itself.
"""

import re

from ..errors import BadSample

_BEGIN, _END = "<|begin_of_text|>", "<|end_of_text|>"
_TURN = re.compile(r"<\|start_header_id\|>(?P<role>.*?)<\|end_header_id\|>(?:\n\n)?(?P<text>.*?)<\|eot_id\|>", re.DOTALL)


def parse_llama3(text: str) -> list[tuple[str, str]]:
    """(role, text) of each turn. `BadSample` (outside-turns) where text lies between turns or a turn does not end."""
    text = text.strip().removeprefix(_BEGIN).removesuffix(_END)
    turns: list[tuple[str, str]] = []
    position = 0
    for match in _TURN.finditer(text):
        _refuse_stray(text[position : match.start()])
        turns.append((match["role"].strip(), match["text"]))
        position = match.end()
    _refuse_stray(text[position:])
    return turns


def _refuse_stray(text: str) -> None:
    if text.strip():
        raise BadSample("outside-turns", f"{text.strip()[:60]!r}; turns are <|start_header_id|>role... to <|eot_id|>")
