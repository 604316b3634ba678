"""`dragonfly chat`: a conversation at the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dragonfly.cli import common, images

if TYPE_CHECKING:
    from dragonfly.inference import Engine

EXAMPLES = """
Talk about images, turn by turn. Each image is encoded once. An empty line or Ctrl-D ends it; /add IMAGE adds one.

Examples:

  dragonfly chat scan.png

  dragonfly chat scan.png --model ./my-model --system "Answer briefly."
"""


def chat(
    given: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE...]", help="Images for the first turn.")] = None,
    model: common.Model = None,
    allow_urls: images.AllowUrls = False,
    max_pixels: images.MaxPixels = None,
    system: common.System = None,
    max_new_tokens: common.MaxNewTokens = 256,
    temperature: common.Temperature = 0.0,
    top_p: common.TopP = 1.0,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    quantize: common.Quantize = None,
    device_map: common.DeviceMap = None,
    set: common.Overrides = None,
) -> int:
    from dragonfly.imaging import LoadedImage
    from dragonfly.inference import Options, load

    options = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    Options.of(**options)
    if images.STDIN in (given or []):
        raise ValueError("chat reads your questions from standard input, so no image can come from there; name a file")
    allowed = images.allowed(allow_urls, max_pixels)
    policy = images.policy_of(allowed)
    loaded = [image.load(policy) for image in images.each(given or [])]
    common.say_what_answers(model, len(loaded))
    engine = load(**common.loading(model, device, dtype, quantize, device_map, set))
    engine.image_options = allowed
    conversation = engine.chat(loaded, system=system)
    waiting: list[LoadedImage] = []
    noted, alone = 0, not _remembers(engine)
    while line := _read_line():
        try:  # a fault in one turn does not end the conversation
            if line.startswith("/add "):
                waiting += [image.load(policy) for image in images.each([line.removeprefix("/add ").strip()])]
                continue
            answer = conversation.ask(line, waiting, **options)
        except ValueError as error:
            common.say(f"error: {error}")
            continue
        waiting = []
        if alone and len(conversation.messages) > 2 + bool(system):
            common.say("note: this model is asked every question by itself: it sees the images and knows nothing said before")
            alone = False
        common.say_notes(answer.notes[noted:])  # an answer carries the notes of all images so far
        noted = len(answer.notes)
        common.show(answer.text)
    return 0


def _remembers(engine: Engine) -> bool:
    """Whether the model's chat template shows it what was said before; nano's leaves that out, as nano was trained."""
    later = [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "and now?"}]
    first, other = (
        engine.processor.apply_chat_template([{"role": "user", "content": said}, *later], add_generation_prompt=True)
        for said in ("one", "another")
    )
    return first != other


def _read_line() -> str:
    """One line of the user's, empty at the end; the prompt is shown to a person alone."""
    if sys.stdin.isatty():
        print("you> ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


chat.__doc__ = EXAMPLES
