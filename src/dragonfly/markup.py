"""Other people's text as text: a model's answer, a row of data or a file's name cannot command a terminal or mark up a page.

HTML pages are escaped by jinja2; this is for Markdown and for terminals.
"""

from __future__ import annotations

import re

# C0 and C1 controls but tab and line feed (terminals obey the rest), and the marks that turn the direction of what follows.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def terminal(text: str) -> str:
    """The text with a replacement character for whatever a terminal would obey."""
    return _CONTROL.sub("\ufffd", text)


def markdown(text: str) -> str:
    """One line that Markdown shows as it stands: no tag, link, image, code span, heading or list begins in it."""
    line = _CONTROL.sub("\ufffd", " ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    line = re.sub(r"[\\`]", r"\\\g<0>", line)
    line = re.sub(r"\](?=[(\[:])", r"\\]", line)  # a bracket alone, as in an interval, links to nothing
    return re.sub(r"^(\d*)([#>+*=~|-]|(?<=\d)[.)])(?=\s|[-=~*|#>])", r"\1\\\2", line)
