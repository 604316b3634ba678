"""`dragonfly ask --server`: the question goes to a server, and no model is needed here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dragonfly.cli import common


def ask_server(
    url: str,
    given: Sequence[str],
    question: str,
    system: str | None,
    model: str | None,
    zoom: Path | None,
    as_json: bool,
    options: Any,
) -> int:
    from dragonfly.files import atomic_write
    from dragonfly.imaging import each_image
    from dragonfly.serving.client import Server

    given = [name for word in given for name, _ in each_image(word)]
    targets = [common.numbered(zoom, index, len(given)) for index in range(len(given))] if zoom is not None else []
    for target in targets:
        common.check_image_target(target, given)
        if target.suffix.lower() != ".png":
            raise ValueError(f"a server draws PNG, so --zoom needs a name that ends in .png, not '{target}'")
    asked = Server(url, os.environ.get("DRAGONFLY_API_KEY"))
    chosen = {**options, "max_tokens": options["max_new_tokens"], "stop": list(options["stop"]) or None, "model": model}
    del chosen["max_new_tokens"]
    response = asked.ask(given, question, system, **{key: value for key, value in chosen.items() if value is not None})
    for image, target in zip(given, targets, strict=False):
        with atomic_write(target, "wb") as file:
            file.write(asked.zoom(image, question))
        common.say(f"zoom image: {target}")
    if as_json:
        common.print_json(response)
    else:
        common.show(response["choices"][0]["message"]["content"])
    return 0
