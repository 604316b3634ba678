"""`dragonfly ask`: one question about images together or each, or a file of questions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dragonfly.cli import common, images
from dragonfly.cli import lens as lenses
from dragonfly.cli.ask_server import ask_server
from dragonfly.cli.asking import Asking

EXAMPLES = """
Ask a question about an image, or about several together; each image of a folder; or (--batch) a file of questions.

Examples:

  dragonfly ask scan.png "Is there a fracture?"

  dragonfly ask before.png after.png "What changed?" --zoom where.png

  dragonfly ask scan.pdf#2 "The total?" --json --set model.selection.keep=2

  dragonfly ask receipt.jpg "The total?" --why --zoom why.png

  dragonfly ask scans "Is there a fracture?" --model ./my-model

  dragonfly ask big.tif "Which street?" --model ./qwen --max-tokens 1024

  cat scan.png | dragonfly ask - "Is there a fracture?"

  dragonfly ask --batch rows.jsonl -o answers.jsonl

  dragonfly ask scan.png "Is there a fracture?" --server http://gpu-box:8000

A folder, a pattern ('scans/*.png') or --each asks about each image by itself: a line with its name, a tab and the answer.
A row of a batch is one line {"id": ANY, "image": PATH, "question": TEXT, "system": TEXT}; "images" takes a list of paths,
and only the question is needed. Paths are relative to the file. Run the same command again to resume where it stopped.
"""


def ask(
    words: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE...] QUESTION", help="Images, then the question.")] = None,
    model: common.Model = None,
    zoom: Annotated[Path | None, typer.Option(help="Write an image of where the model looked.")] = None,
    why: Annotated[bool, typer.Option("--why", help="Show what each sub-image contributed, by leaving it out.")] = False,
    scores: common.Scores = False,
    sr: Annotated[
        Path | None, typer.Option("--sr", metavar="FILE", help="Write the answer about DICOM as a Structured Report.")
    ] = None,
    burned_in_check: images.BurnedInCheck = False,
    each: Annotated[bool, typer.Option("--each", help="Ask about each image by itself.")] = False,
    no_image: Annotated[bool, typer.Option("--no-image", help="Ask without an image.")] = False,
    json: common.Json = False,
    batch: Annotated[Path | None, typer.Option(help="A JSONL file of questions.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where a batch's answers go.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions answered together in a batch.")] = 8,
    reuse_prompts: Annotated[
        bool, typer.Option("--reuse-prompts", help="In a batch, read an image's tokens once for all its questions.")
    ] = False,
    allow_urls: images.AllowUrls = False,
    max_pixels: images.MaxPixels = None,
    system: common.System = None,
    max_new_tokens: common.MaxNewTokens = 256,
    temperature: common.Temperature = 0.0,
    top_p: common.TopP = 1.0,
    seed: common.Seed = 0,
    stop: common.Stop = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask this server instead (`dragonfly serve`); its key: DRAGONFLY_API_KEY.")
    ] = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    quantize: common.Quantize = None,
    device_map: common.DeviceMap = None,
    set: common.Overrides = None,
    method: lenses.Method = None,
    max_tokens: lenses.MaxTokens = None,
    max_calls: lenses.MaxCalls = None,
) -> int:
    options = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "stop": tuple(stop or ()),
    }
    asking = Asking(
        loading=common.loading(model, device, dtype, quantize, device_map, set),
        options=options,
        policy=images.allowed(allow_urls, max_pixels),
        system=system,
        zoom=zoom,
        why=why,
        scores=scores,
        json=json,
        sr=sr,
        burned_in_check=burned_in_check,
        lens=lenses.Wanted(method, max_tokens, max_calls),
    )
    if batch is not None:
        if server is not None:
            raise ValueError("--batch asks a model that runs here; leave --server out")
        if words:
            raise ValueError("--batch reads its questions from the file; leave the question and the images out")
        for option, given in (
            ("--zoom", zoom),
            ("--why", why),
            ("--json", json),
            ("--system", system),
            ("--each", each),
            ("--sr", sr),
        ):
            if given:
                raise ValueError(f"{option} is for one question; a batch writes JSON, and its rows have their own system message")
        if output is None:
            raise ValueError("--batch needs a file for the answers: -o answers.jsonl")
        return asking.batch(batch, output, batch_size, reuse_prompts)
    if output is not None or reuse_prompts:
        alone = "--output is for the answers of --batch; one answer is printed (redirect it: > answer.txt)"
        raise ValueError(alone if output is not None else "--reuse-prompts is for the questions of --batch; leave it out")
    asking.check()
    given, question = split(words or [], no_image)
    grouped = each or any(map(images.is_group, given))
    if server is not None:
        asking.lens.refuse("with --server")
        local = {
            "--why": why,
            "--set": set,
            "--quantize": quantize,
            "--device-map": device_map,
            "--scores": scores,
            "--each": grouped,
            "--sr": sr is not None,
        }
        for option, is_given in local.items():
            if is_given:
                raise ValueError(f"{option} is for a model that runs here; leave it out, or ask without --server")
        return ask_server(server, given, question, system, model, zoom, json, options)
    if grouped:
        if sr is not None:
            raise ValueError("--sr is for one question; leave --each out, or name the images of one study")
        return asking.each(images.each(given, files=each), question)
    return asking.together([image for word in given for image in images.apart(word)], question)


ask.__doc__ = EXAMPLES


def split(words: Sequence[str], no_image: bool) -> tuple[Sequence[str], str]:
    """The images and the question; a slip of the usual kinds raises a ValueError that says how to write it."""
    how = 'write: dragonfly ask IMAGE "QUESTION"'
    if not words or not words[-1].strip():
        raise ValueError(f"nothing to ask; {how}")
    *given, question = words
    folder = os.path.isdir(question)  # noqa: PTH112 - Path raises on long names
    if os.path.isfile(question) or (len(words) == 1 and folder):  # noqa: PTH113
        raise ValueError(f"the last word is the question, and '{question}' is a {'folder' if folder else 'file'}; {how}")
    if images.looks_like_image(question) and not set(question) & set(" ?\n"):
        raise ValueError(f"the last word is the question, and '{question}' is named like an image, of which there is none; {how}")
    if no_image and given:
        raise ValueError(f"--no-image asks without an image, and '{given[0]}' is given; leave one of the two out")
    if not given and not no_image:
        raise ValueError(f"no image is given, only a question; {how}, or add --no-image to ask without one")
    return given, question
