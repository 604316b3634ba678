# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""What of a model directory is checked before it answers: a damaged model must not answer wrongly in silence.

Cheap checks alone: sizes, small files' hashes, headers, and whether template and control tokens are there. `dragonfly doctor
--verify` reads everything.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import GenerationConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from dragonfly.models.chat_templates import default_of
from dragonfly.models.origin import ORIGIN, WEIGHTS, file_faults, read_origin
from dragonfly.models.released import is_released

logger = logging.getLogger(__name__)

BY_A_LENS = "what works with this one: dragonfly ask, serve, audit, eval --lens"
SMALL = 2**24  # bytes of a file that is hashed whenever its model is loaded
GENERATION = "generation_config.json"
# What a checkpoint's generation configuration may say about greedy answers, and between which bounds.
BOUNDS = {"repetition_penalty": (0.1, 10.0), "no_repeat_ngram_size": (0, 1000)}
IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
SAMPLING = ("do_sample", "temperature", "top_p", "top_k", "transformers_version", "_from_model_config")  # the caller's to say
HARMLESS = ("output_attentions", "output_hidden_states", "use_cache")  # what transformers writes without being asked


def weight_files(path: Path) -> list[Path]:
    return [file for file in sorted(path.iterdir()) if file.suffix in WEIGHTS]


def check_directory(path: Path, weights: bool) -> None:
    """Refuse what transformers would take for something else, or refuse in many lines."""
    config = read_json(path / "config.json")
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "dragonfly":
        also = "" if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES else f"; {BY_A_LENS}"
        raise ValueError(
            f"'{path}' holds a model of type {kind!r:.60}, not 'dragonfly'; name a Dragonfly model's directory{also}"
        )
    if not weights:
        return
    if not weight_files(path):
        raise ValueError(f"'{path}' has no weights ({' or '.join('*' + end for end in WEIGHTS)}); copy the model again")
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise ValueError(f"'{path}' has no tokenizer.json; copy it from the language model it was made of")
    if not is_released(config) and not has_template(path):
        raise ValueError(
            f"'{path}' has no chat template (chat_template.jinja), so how to ask it is not known; copy the model again"
        )
    for index in sorted(path.glob("*.index.json")):
        _check_index(index)


def check_record(path: Path) -> None:
    """Hold a directory's files to its `dragonfly.json`: all sizes, and the hashes of small files.

    A changed generation configuration is a note; so is a record that cannot be read, for the model may be sound.

    Raises:
        ValueError: naming what is not as it was saved.
    """
    try:
        record = read_origin(path)
    except ValueError as error:
        logger.warning("%s", error)
        return
    if record is None:
        return
    faults = file_faults(path, record, hash_below=SMALL)
    for note in [fault for fault in faults if fault.startswith(GENERATION)]:
        logger.warning("note: %s: %s", path.name, note)
    if real := [fault for fault in faults if not fault.startswith(GENERATION)]:
        more = f" and {len(real) - 1} more" if len(real) > 1 else ""
        raise ValueError(
            f"'{path}' is not as it was saved: {real[0]}{more}; copy the model again, or delete its {ORIGIN} if you changed it"
        )


def check_tokens(path: Path, config: PreTrainedConfig, processor: Any) -> None:
    """The tokenizer is the model's: its control tokens have ids of their own, and the model has embeddings for all.

    Raises:
        ValueError: naming what is lost.
    """
    tokenizer, vocabulary = processor.tokenizer, config.get_text_config().vocab_size
    if default_of(processor.chat_template) is None:
        raise ValueError(f"'{path}' has no default chat template; copy the model again")
    if lost := lost_tokens(path, tokenizer):
        raise ValueError(f"'{path}' has a tokenizer that has lost {', '.join(lost[:5])}; copy the model again")
    for name in ("image_token_id", "separator_token_id"):
        ours, theirs = getattr(config, name), getattr(processor, name)
        if ours is not None and ours != theirs:
            raise ValueError(f"'{path}' has {name} {ours} in its config.json and {theirs} in its tokenizer; copy the model again")
    highest = max(tokenizer.get_vocab().values(), default=0)
    if highest >= vocabulary:
        raise ValueError(f"'{path}' has a tokenizer with ids up to {highest} and {vocabulary} embeddings; copy the model again")


def bounded_generation(given: GenerationConfig) -> GenerationConfig:
    """A checkpoint's generation configuration as far as it is obeyed: ids, and what is in `BOUNDS`; what is not is told.

    How many tokens, beams and answers there are, and what is sampled, is the caller's to say.
    """
    said = given.to_diff_dict()
    kept = {name: said[name] for name in IDS if said.get(name) is not None}
    for name, (low, high) in BOUNDS.items():
        value = said.get(name)
        if isinstance(value, int | float) and low <= value <= high:
            kept[name] = value
    ignored = sorted(name for name in said if name not in kept and name not in (*IDS, *SAMPLING, *HARMLESS))
    if ignored:
        logger.warning("note: %s of the model's %s are not obeyed", ", ".join(ignored), GENERATION)
    return GenerationConfig(**kept)


def has_template(path: Path) -> bool:
    """Whether a directory has a chat template in any of the places where transformers looks for one."""
    places = [path / name for name in ("tokenizer_config.json", "processor_config.json", "chat_template.json")]
    written = any(file.is_file() and '"chat_template"' in file.read_text(encoding="utf-8") for file in places)
    return written or (path / "chat_template.jinja").is_file()


def lost_tokens(path: Path, tokenizer: Any) -> list[str]:
    """Special tokens that no file gives an id to: loading adds them anew, at the vocabulary's end."""
    if not (path / "tokenizer.json").is_file():
        return []
    whole = read_json(path / "tokenizer.json")
    rest = read_json(path / "tokenizer_config.json") if (path / "tokenizer_config.json").is_file() else {}
    listed = [*whole.get("added_tokens", ()), *rest.get("added_tokens_decoder", {}).values()]
    vocabulary = whole.get("model", {}).get("vocab", {})
    known = {one["content"] for one in listed} | (set(vocabulary) if isinstance(vocabulary, dict) else set())
    return [token for token in tokenizer.all_special_tokens if token not in known] if known else []


def read_json(file: Path) -> Any:
    """A JSON file of a model directory. ValueError in one line if it is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{file}' is not JSON ({error}); copy the model again") from None


def _check_index(index: Path) -> None:
    """Weights come from files of the directory itself."""
    document = read_json(index)
    named = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(named, dict):
        raise ValueError(f"'{index}' has no weight_map; copy the model again")
    for file in dict.fromkeys(named.values()):
        if not isinstance(file, str) or Path(file).name != file:
            raise ValueError(f"'{index}' names the weights {file!r:.80}, which is no file of its directory; copy the model again")
        if not (index.parent / file).is_file():
            raise ValueError(f"'{index.parent}' has no {file:.80}, which {index.name} names; copy the model again")


def check_formats(path: Path) -> None:
    """Integers are no weights: they would be read as numbers, and mean nothing. ValueError naming the first."""
    for file in weight_files(path):
        if file.suffix != ".safetensors":
            continue
        with safe_open(file, "pt") as opened:  # pyright: ignore[reportPrivateImportUsage]
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                kind = opened.get_slice(name).get_dtype()
                if not kind.startswith(("F", "BF")) and not name.endswith(("count", "position_ids", "num_batches_tracked")):
                    raise ValueError(
                        f"'{file}' holds {name} as {kind}, and weights are floating-point numbers; copy the model again"
                    )
