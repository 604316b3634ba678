# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
"""A model directory looked over before it is trusted: files, tensors, tokenizer, template, memory, and three questions.

Promises that every check runs whatever the ones before it found, and that a fault is told and never raised. Whether a sound model
answers well, `dragonfly eval` tells.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from transformers import AutoProcessor, GenerationConfig

from dragonfly.files import ORIGIN
from dragonfly.inference.adapter import is_adapter
from dragonfly.inference.engine import Engine
from dragonfly.inference.integrity import check_directory, has_template, lost_tokens, weight_files
from dragonfly.inference.loading import find_directory, load
from dragonfly.inference.memory import BITS, memory_of
from dragonfly.models import DragonflyConfig
from dragonfly.models.origin import file_faults, model_files, read_origin
from dragonfly.models.released import is_released, read_config
from dragonfly.models.weight_check import WeightCheck, check_weights

QUESTIONS = ("What is shown in this image?", "Which number is written in the image?", "What is two plus two?")
MAX_NEW_TOKENS = 16
SHOWN = 5  # names in one line


@dataclass
class Findings:
    """`faults` make a model unsound; `notes` are what a person should know; `facts` are what was seen, by heading."""

    model: str
    faults: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    facts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def sound(self) -> bool:
        return not self.faults


def examine(
    model: str | None = None,
    *,
    verify: bool = False,
    ask: bool = True,
    say: Callable[[str], None] = lambda _: None,
    **loading: Any,
) -> Findings:
    """Look a model over.

    Args:
        model: a directory (ours, or in the released format) or a hub name; None for the bundled model.
        verify: read every file and compare its hash with `dragonfly.json`.
        ask: load the model and ask it three questions.
        say: told what is being done.
        loading: `device`, `dtype`, `quantization`, `device_map` of `dragonfly.load`.

    Raises:
        ValueError: if there is no such model. Everything else is in what is returned.
    """
    path = find_directory(model, setting="MODEL")
    if is_adapter(path):
        raise ValueError(
            f"'{path}' is an adapter, no whole model; look at its base, or merge the two: dragonfly merge {path} DIRECTORY"
        )
    found = Findings(path.name if model is not None else "nano (bundled)")
    say("files")
    _guarded(found, "files", lambda: check_directory(path, True))
    _guarded(found, "files", lambda: _files(path, verify, found))
    config = _guarded(found, "configuration", lambda: _config(path, found))
    if config is not None and weight_files(path):
        say("tensors")
        _guarded(found, "tensors", lambda: _tensors(path, config, found))
        form = loading.get("quantization") if loading.get("quantization") in BITS else "bfloat16"
        _guarded(found, "memory", lambda: _memory(path, config, str(form), found))
    say("tokenizer and template")
    processor = _guarded(found, "processor", lambda: AutoProcessor.from_pretrained(path))
    if config is not None and processor is not None:
        _guarded(found, "processor", lambda: _processor(path, config, processor, found))
    if ask and False not in found.facts.get("memory", {}).values():
        say("three questions")
        _guarded(found, "questions", lambda: _questions(model, loading, found))
    elif ask:
        found.notes.append("questions: not asked, since the weights do not fit; try --quantize int8 or --device-map auto")
    return found


def _guarded(found: Findings, check: str, work: Callable[[], Any]) -> Any:
    """What a check returns; None and a fault where it fails, whatever it fails with: a damaged model may break any library."""
    try:
        return work()
    except Exception as error:
        line = " ".join(str(error).split()) or type(error).__name__
        fault = f"{check}: {line:.400}"
        if not any(line[:60] in known for known in found.faults):  # the same fault met again by a later check
            found.faults.append(fault)
        return None


def _files(path: Path, verify: bool, found: Findings) -> None:
    files = model_files(path)
    found.facts["files"] = {file.name: f"{file.stat().st_size:,} bytes" for file in files}
    record = read_origin(path)
    if record is None or not record["files"]:
        why = f"no {ORIGIN}" if record is None else f"{ORIGIN} lists no files (an older one)"
        found.notes.append(f"files: {why}, so sizes and hashes cannot be checked; `dragonfly convert` writes both")
        return
    found.faults += [f"files: {fault}" for fault in file_faults(path, record, hash_below=math.inf if verify else 0)]
    if extra := [file.name for file in files if file.name not in record["files"]]:
        found.notes.append(f"files: {ORIGIN} does not list {_some(extra)}")
    found.facts["files"]["checked"] = "sizes and sha256" if verify else "sizes (--verify reads every file's sha256)"


def _config(path: Path, found: Findings) -> DragonflyConfig:
    config = DragonflyConfig.from_pretrained(path)
    text = config.get_text_config()
    found.facts["configuration"] = {
        "format": "released" if is_released(read_config(str(path))) else "ours",
        "preset": config.preset or "its own encoder",
        "vision tower": f"{config.vision_config.model_type}, {config.spec.resolution} px, patches of {config.spec.patch_size} px",
        "language model": f"{text.model_type}, {text.num_hidden_layers} layers, hidden {text.hidden_size}",
        "selection": config.spec.selection.policy if config.spec.selects else "keeps all",
        "dtype": str(config.dtype or "not stated").removeprefix("torch."),
    }
    return config


def _tensors(path: Path, config: DragonflyConfig, found: Findings) -> None:
    if getattr(config, "quantization_config", None) is not None:
        found.notes.append("tensors: a quantised checkpoint, whose tensors have names of their own; they are not checked")
        return
    weights = check_weights(weight_files(path), config)
    found.facts["tensors"] = {
        "count": weights.tensors,
        "bytes": f"{weights.bytes:,}",
        "dtypes": ", ".join(f"{dtype} {count}" for dtype, count in weights.dtypes.items()),
    }
    found.faults += [f"tensors: {what}: {_some(names)}" for what, names in _tensor_faults(weights) if names]
    stated = str(config.dtype).removeprefix("torch.")
    if config.dtype is not None and stated not in weights.dtypes:
        found.notes.append(f"tensors: config.json says {stated}, the files hold {', '.join(weights.dtypes)}")


def _tensor_faults(weights: WeightCheck) -> list[tuple[str, list[str]]]:
    return [
        ("missing", weights.missing),
        ("unexpected", weights.unexpected),
        ("of another shape", weights.mis_shaped),
        ("not of a floating-point format", weights.not_float),
        ("with NaN or infinity", weights.non_finite),
        ("all zero", weights.all_zero),
    ]


def _memory(path: Path, config: DragonflyConfig, form: str, found: Findings) -> None:
    found.facts["memory"] = memory_of(config, sum(file.stat().st_size for file in weight_files(path)), form)


def _processor(path: Path, config: DragonflyConfig, processor: Any, found: Findings) -> None:
    tokenizer, vocabulary = processor.tokenizer, config.get_text_config().vocab_size
    released = found.facts["configuration"]["format"] == "released"
    found.facts["tokenizer"] = {
        "tokens": len(tokenizer),
        "embeddings": vocabulary,
        "placeholder": f"{processor.image_token} = {processor.image_token_id}",
        "separator": f"{processor.separator_token} = {processor.separator_token_id}",
        "end of text": f"{tokenizer.eos_token} = {tokenizer.eos_token_id}",
    }
    for name in ("image_token_id", "separator_token_id"):
        if getattr(config, name) != getattr(processor, name):
            found.faults.append(
                f"tokenizer: config.json has {name} {getattr(config, name)}, the tokenizer {getattr(processor, name)}"
            )
    highest = max(tokenizer.get_vocab().values(), default=0)
    if highest >= vocabulary:
        found.faults.append(f"tokenizer: it has ids up to {highest}, the model {vocabulary} embeddings")
    if lost := lost_tokens(path, tokenizer):
        found.faults.append(f"tokenizer: tokenizer.json has lost {_some(lost)}; given new ids, they mean nothing to the model")
    if config.spec != processor.image_processor.spec:
        found.faults.append("processor: made for another encoder than the model; save both together")
    if not has_template(path) and not released:
        found.faults.append("template: no chat template in the directory (chat_template.jinja); copy it with the model")
    elif not has_template(path):
        found.notes.append("template: the released format holds none; the project's own is used")
    _template(processor, found)
    generation = _guarded(found, "generation", lambda: _end_ids(path))
    found.facts["generation"] = {"end ids in generation_config.json": generation}


def _template(processor: Any, found: Findings) -> None:
    """A conversation must show the user's words, the placeholder once, and control tokens that are tokens."""
    user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "UNMISTAKABLE"}]}
    text = processor.apply_chat_template([user], add_generation_prompt=True, tokenize=False)
    if "UNMISTAKABLE" not in text:
        found.faults.append("template: it leaves the user's words out")
    if not processor.block_first and text.count(processor.image_token) != 1:
        found.faults.append(f"template: {text.count(processor.image_token)} placeholders for one image")
    unknown = [mark for mark in dict.fromkeys(re.findall(r"<\|[^|<>]+\|>|<[a-z_/]+>", text)) if not _one_token(processor, mark)]
    if unknown:
        found.faults.append(f"template: it writes {_some(unknown)}, which the tokenizer does not know as one token")


def _one_token(processor: Any, mark: str) -> bool:
    return len(processor.tokenizer(mark, add_special_tokens=False)["input_ids"]) == 1


def _end_ids(path: Path) -> Any:
    return GenerationConfig.from_pretrained(path).eos_token_id if (path / "generation_config.json").is_file() else None


def _questions(model: str | None, loading: dict[str, Any], found: Findings) -> None:
    started = time.perf_counter()
    engine = load(model, **loading)
    weights = str(engine.model.dtype).removeprefix("torch.")
    found.facts["loaded"] = {
        "seconds": round(time.perf_counter() - started, 2),
        "device": str(engine.device),
        "computes in": weights,
        "answers end at": ", ".join(f"{engine.tokenizer.convert_ids_to_tokens(index)} = {index}" for index in engine.end_ids),
    }
    turn = _after_an_answer(engine)
    if turn is not None and turn not in engine.end_ids:
        token = engine.tokenizer.convert_ids_to_tokens(turn)
        found.faults.append(f"generation: the template ends an answer with {token} = {turn}, at which generation does not stop")
    for question, image in zip(QUESTIONS, (*_test_images(), None), strict=True):
        _guarded(found, "questions", lambda image=image, question=question: _ask(engine, image, question, found))


def _ask(engine: Engine, image: Image.Image | None, question: str, found: Findings) -> None:
    answer = engine.ask(image, question, max_new_tokens=MAX_NEW_TOKENS)
    tokens, seconds = len(answer.token_ids), answer.timings["total"]
    generating = answer.timings.get("generate", seconds)
    found.answers.append(
        {
            "question": question,
            "image": None if image is None else f"{image.width} x {image.height}",
            "answer": answer.text,
            "prompt_tokens": answer.prompt_tokens,
            "tokens": tokens,
            "ended": answer.finish == "stop",
            "seconds": round(seconds, 2),
            "tokens_per_second": round(tokens / generating, 1) if generating > 0 else None,
        }
    )
    if not math.isfinite(answer.confidence):
        found.faults.append(f"questions: the model's numbers are not finite at {question!r}; try --dtype float32")
    elif not answer.text.strip():
        found.notes.append(f"questions: an empty answer to {question!r}")


def _after_an_answer(engine: Engine) -> int | None:
    """The token that the template writes after an assistant's words."""
    turns: Any = [
        {"role": "user", "content": [{"type": "text", "text": "?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "UNMISTAKABLE"}]},
    ]
    rest = engine.processor.apply_chat_template(turns, tokenize=False).rpartition("UNMISTAKABLE")[2]
    ids = engine.tokenizer(rest, add_special_tokens=False)["input_ids"]
    return ids[0] if ids else None


def _test_images() -> tuple[Image.Image, Image.Image]:
    """A red disc and a blue square, and a wide page with a number."""
    shapes = Image.new("RGB", (640, 480), "white")
    pen = ImageDraw.Draw(shapes)
    pen.ellipse((80, 120, 300, 340), fill="red")
    pen.rectangle((380, 140, 580, 340), fill="blue")
    page = Image.new("RGB", (1000, 300), "white")
    ImageDraw.Draw(page).text((300, 60), "4711", fill="black", font_size=150)
    return shapes, page


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
