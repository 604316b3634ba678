"""`dragonfly doctor`: a model looked over, and a report to paste into a bug report."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragonfly.cli import common

if TYPE_CHECKING:
    from dragonfly.inference.doctor import Findings

NEVER_VERIFIED = """\
The released 8B checkpoints were never loaded by the authors: their format is checked on miniature directories with recorded
outputs (docs/fidelity.md), their answers are not. CUDA, MPS and device maps over several GPUs were never run; int8 and int4 were
measured with the bundled model on a CPU alone (benchmarks/results/quantization.json)."""
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "pillow", "accelerate", "torchao", "bitsandbytes", "peft")

EXAMPLES = """
Look a model over: files, tensors, tokenizer, template, memory, three questions.

The report names versions and platform; paste it into a bug report. The model
is read, never changed. Exit code 0: sound, 1: faults found, 2: no such model.

Examples:

  dragonfly doctor

  dragonfly doctor ./Llama-3.1-8B-Dragonfly-v2 -o report.md

  dragonfly doctor ./mine --verify --no-ask
"""


def doctor(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Model directory or hub name; the bundled model if not given.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file's sha256 with dragonfly.json.")] = False,
    ask: Annotated[bool, typer.Option("--ask/--no-ask", help="Load the model and ask it three questions.")] = True,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the report here too.")] = None,
    json: common.Json = False,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    quantize: common.Quantize = None,
    device_map: common.DeviceMap = None,
) -> int:
    from dragonfly.files import write_json, write_text
    from dragonfly.inference.doctor import examine

    loading = common.loading(model, device, dtype, quantize, device_map, None)
    found = examine(**loading, verify=verify, ask=ask, say=lambda what: common.say(f"looking at {what}"))
    facts = {"model": found.model, "sound": found.sound, **vars(found), "machine": machine(), "never_verified": NEVER_VERIFIED}
    text = report(found)
    if output is not None:
        write_json(output, facts) if json else write_text(output, text)
    if json:
        common.print_json(facts)
    else:
        typer.echo(text, nl=False)
    return 0 if found.sound else 1


doctor.__doc__ = EXAMPLES


def machine() -> dict[str, str]:
    """Versions and platform."""
    import torch

    from dragonfly import __version__

    versions = {"dragonfly": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return {**versions, "platform": platform.platform(), "gpu": ", ".join(gpus) or "none"}


def report(found: Findings) -> str:
    """The findings as Markdown that is read as well plain."""
    count = len(found.faults)
    verdict = "sound" if found.sound else f"{count} fault{'s' if count > 1 else ''}"
    lines = [f"# dragonfly doctor: {found.model}: {verdict}", ""]
    lines += [f"- FAULT {fault}" for fault in found.faults] + [f"- note {note}" for note in found.notes]
    for heading, facts in {**found.facts, "machine": machine()}.items():
        lines += ["", f"## {heading}", "", *(f"- {name}: {_plain(value)}" for name, value in facts.items())]
    if found.answers:
        lines += ["", "## three questions", ""]
        for one in found.answers:
            seen = f"image {one['image']}" if one["image"] else "no image"
            ended = "" if one["ended"] else ", cut off"
            lines.append(f"- {one['question']} ({seen}, {one['prompt_tokens']} tokens in): {one['answer']!r}")
            lines.append(f"  {one['tokens']} tokens{ended}, {one['seconds']} s, {one['tokens_per_second']} tokens/s")
    return "\n".join([*lines, "", "## never verified", "", NEVER_VERIFIED, ""])


def _plain(value: Any) -> str:
    return {True: "yes", False: "no", None: "none"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)
