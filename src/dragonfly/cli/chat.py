"""`dragonfly chat`: a conversation at the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from dragonfly.cli import common

EXAMPLES = """
Talk about pictures, turn by turn. Each picture is encoded once. An empty line or Ctrl-D ends it; /add PICTURE adds one.

Examples:

  dragonfly chat scan.png

  dragonfly chat scan.png --model ./my-model --system "You are a careful radiologist."
"""


def chat(
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE...]", help="Pictures for the first turn.")] = None,
    model: common.Model = None,
    system: common.System = None,
    max_new_tokens: common.MaxNewTokens = 256,
    temperature: common.Temperature = 0.0,
    top_p: common.TopP = 1.0,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    set: common.Overrides = None,
) -> int:
    from dragonfly.inference import load

    engine = load(model, device=device, dtype=dtype, overrides=set or ())
    conversation = engine.chat(images or [], system=system)
    waiting: list[str] = []
    while True:
        try:
            line = typer.prompt("you", default="", show_default=False, prompt_suffix="> ", err=True).strip()
        except (typer.Abort, EOFError):
            break
        if not line:
            break
        if line.startswith("/add "):
            waiting.append(line[len("/add ") :].strip())
            continue
        try:
            answer = conversation.ask(
                line, waiting, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
            )
        except ValueError as error:  # a fault in one turn does not end the conversation
            common.say(f"error: {error}")
            waiting = []
            continue
        waiting = []
        typer.echo(answer.text)
    return 0


chat.__doc__ = EXAMPLES
