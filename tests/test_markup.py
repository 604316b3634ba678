"""Text that is not ours stays text."""

from __future__ import annotations

import pytest

from dragonfly.markup import markdown, terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![x](http://evil/a.png)", r"![x\](http://evil/a.png)"),
        ("[x][y]", r"[x\][y]"),
        ("[y]: http://evil", r"[y\]: http://evil"),
        (r"\](http://evil)", r"\\\](http://evil)"),
        ("<img src=x>", "&lt;img src=x>"),
        ("&#33;", "&amp;#33;"),
        ("`code", r"\`code"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("1. one", r"1\. one"),
        ("two\n\n# lines", "two # lines"),
        ("53.8 [47.1, 60.2]", "53.8 [47.1, 60.2]"),
        ("-0.3", "-0.3"),
        ("-", "-"),
        ("größe a_b", "größe a_b"),
        ("\x1b[31mred", "\ufffd[31mred"),
    ],
)
def test_markdown_shows_the_text_as_it_stands(text: str, shown: str) -> None:
    assert markdown(text) == shown


def test_a_terminal_obeys_nothing_and_lines_stay() -> None:
    hostile = "a\x1b]8;;http://evil\x07b\x1b]8;;\x07\x9b2J\u202egnp\r"
    assert terminal(hostile) == "a\ufffd]8;;http://evil\ufffdb\ufffd]8;;\ufffd\ufffd2J\ufffdgnp\ufffd"
    assert terminal("one\n\ttwo größe \u200d") == "one\n\ttwo größe \u200d"
