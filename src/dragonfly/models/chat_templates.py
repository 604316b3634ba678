# pyright: reportUnknownMemberType=false
"""Which chat template a processor gets: the language model's own as it is, with images as placeholders wherever they stand.

The project's own template is for released weights (`block_first`), and for tokenizers without a template that have its control
tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from dragonfly.turns import Message, Render, read_marks

PROJECT = Path(__file__).with_name("chat_template.jinja")
CONTENT = Path(__file__).with_name("message_content.jinja")

THINKING = ("enable_thinking", "thinking")
"""Variables by which templates are told whether the model thinks before it answers."""

_FIRST, _SECOND = "\U000f0d02", "\U000f0d03"  # private use: no template and no text has them


def chat_template_for(tokenizer: Any, image_token: str, block_first: bool = False, given: str | None = None) -> str | None:
    """The chat template of a new processor; None if the tokenizer has none and the project's does not suit it.

    Args:
        tokenizer: of the language model.
        image_token: the placeholder.
        block_first: images stand before BOS, as in released weights, which have the project's template.
        given: a template to use in place of the tokenizer's own.

    Raises:
        ValueError: if the template does not write down what a user says.
    """
    own = given or default_of(tokenizer.chat_template)
    if block_first and given is None:
        return project_template(image_token, block_first)
    if own is not None:
        return _without_thinking(tokenizer, _with_images(tokenizer, own, image_token), image_token)
    template = project_template(image_token, block_first)
    known = tokenizer.get_vocab()
    return template if all(token in known for token in re.findall(r"<\|\w+\|>", template)) else None


def joined_chat_template(tokenizer: Any, image_token: str, file: str | None) -> str:
    """The chat template of a model that is joined: that of `file` where one is named, else `chat_template_for`'s.

    Raises:
        ValueError: if there is none, `file` cannot be read, or the template does not write down what a user says.
    """
    given = None
    if file is not None:
        try:
            given = Path(file).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"chat template {file!r} cannot be read ({type(error).__name__}); name a Jinja file") from None
    template = chat_template_for(tokenizer, image_token, given=given)
    if template is None:
        raise ValueError(
            "the language model's tokenizer has no chat template, so how turns begin and end is not known; "
            "name a Jinja file with one (init_from.chat_template=FILE, --chat-template FILE)"
        )
    return template


def project_template(image_token: str, block_first: bool) -> str:
    """The project's chat template for a placeholder and a place of the images."""
    head = f'{{%- set image_token = "{image_token}" -%}}{{%- set block_first = {str(block_first).lower()} -%}}\n'
    return head + PROJECT.read_text(encoding="utf-8")


def default_of(template: str | dict[str, str] | None) -> str | None:
    """A tokenizer's or processor's template; of several named ones, the default."""
    return template.get("default") if isinstance(template, dict) else template


def control_tokens(tokenizer: Any) -> set[str]:
    """The tokenizer's special and added tokens."""
    return {*map(str, tokenizer.added_tokens_decoder.values()), *tokenizer.all_special_tokens}


def _without_thinking(tokenizer: Any, template: str, image_token: str) -> str:
    """The template itself, or where it gives generation a thought to begin and writes answers without one: with thinking off.

    Off by default only: a caller's own value is kept.
    """
    controls = sorted(control_tokens(tokenizer) - {image_token})
    for name in (None, *THINKING):
        off = f"{{%- if {name} is not defined -%}}{{%- set {name} = false -%}}{{%- endif -%}}{{{{- '' }}}}" if name else ""
        try:
            read_marks(_renderer(tokenizer, off + template), controls)
        except ValueError:
            continue
        return off + template
    return template  # refused where answers are trained or generated, with the reason


def _renderer(tokenizer: Any, template: str) -> Render:
    def render(messages: Sequence[Message], prompt: bool) -> str:
        options: dict[str, Any] = {"chat_template": template, "tokenize": False, "add_generation_prompt": prompt}
        try:
            return tokenizer.apply_chat_template(list(messages), **options)
        except (TemplateError, TypeError) as error:
            raise ValueError(str(error)) from None

    return render


def _with_images(tokenizer: Any, own: str, image_token: str) -> str:
    """The template itself where it writes images as placeholders in their place, else with a message's parts joined before it."""
    bos = _missing_bos(tokenizer, own)
    for as_parts in (None, False, True):
        template = f"{{{{- {bos} }}}}{own}" if bos and as_parts is None else own
        if as_parts is not None:
            # Quoted as JSON, which Jinja reads alike. The output tag at the end leaves blanks that the template begins with.
            head = f"{{%- set image_token = {json.dumps(image_token)} -%}}{{%- set as_parts = {str(as_parts).lower()} -%}}\n"
            template = f"{head}{CONTENT.read_text(encoding='utf-8').rstrip()}{{{{- {bos or repr('')} }}}}{own}"
        if _writes_images(tokenizer, template, image_token, strings=as_parts is None):
            return template
    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "a"}], chat_template=own, tokenize=False)
    except (TemplateError, TypeError) as error:
        raise ValueError(f"the chat template cannot be used ({error}); give another (init_from.chat_template)") from None
    raise ValueError("the chat template does not write down what a user says; give another (init_from.chat_template)")


def _missing_bos(tokenizer: Any, own: str) -> str | None:
    """The template variable to write first, where the tokenizer begins every text with BOS and the template does not."""
    if tokenizer.bos_token is None or tokenizer("a")["input_ids"][0] != tokenizer.bos_token_id:
        return None
    for content in ("a", [{"type": "text", "text": "a"}]):
        try:
            text = tokenizer.apply_chat_template([{"role": "user", "content": content}], chat_template=own, tokenize=False)
        except (TemplateError, TypeError):
            continue  # it takes the other kind of content
        return None if text.lstrip().startswith(tokenizer.bos_token) else "bos_token"
    return None


def _writes_images(tokenizer: Any, template: str, image_token: str, strings: bool) -> bool:
    """Whether an image between two texts becomes one placeholder between them, and a string (where asked) is written whole."""
    parts = [{"type": "text", "text": _FIRST}, {"type": "image"}, {"type": "text", "text": _SECOND}]
    wanted = [(parts, [_FIRST, image_token, _SECOND]), *([(f"{_FIRST}a{_SECOND}", [f"{_FIRST}a{_SECOND}"])] if strings else [])]
    for content, pieces in wanted:
        try:
            text = tokenizer.apply_chat_template([{"role": "user", "content": content}], chat_template=template, tokenize=False)
        except (TemplateError, TypeError):
            return False
        found = [text.find(piece) for piece in pieces]
        if min(found) < 0 or found != sorted(found) or (content is parts and text.count(image_token) != 1):
            return False
    return True
