"""Self-contained HTML pages: a jinja2 template, the one stylesheet, and at most one script, allowed by its hash.

Whatever a page shows is escaped by jinja2. The policy forbids everything from elsewhere and every other script.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any


def render(
    package: str, folder: str, template: str, *, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any
) -> str:
    """The page of `template` in `folder` of a package; a script of the same stem (`page.js`) beside it goes into it.

    The template gets `style`, `script` and `policy` besides `values`; jinja2's own error where a value is missing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    layout: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    environment: Any = Environment(loader=PackageLoader(package, folder), autoescape=True, undefined=StrictUndefined, **layout)
    environment.filters.update(filters or {})
    source = files(package).joinpath(folder, f"{template.partition('.')[0]}.js")
    script = source.read_text(encoding="utf-8") if source.is_file() else ""
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'" + (
        f"; script-src 'sha256-{digest}'" if script else ""
    )
    style = files("dragonfly.visualization").joinpath("page.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=Markup(style), script=Markup(script), policy=Markup(policy), **values)
