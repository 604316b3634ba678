# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A model directory on the Hugging Face hub, with a card made from its record. Nothing that is not the model's goes up.

Promises that a directory which is not as its record says is refused before anything is sent, and that files arrive in one commit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragonfly.files import ORIGIN
from dragonfly.inference.integrity import check_directory
from dragonfly.inference.loading import describe
from dragonfly.models.origin import file_faults, model_files, read_origin

CARD = "README.md"
MOST_SCORES = 20


def push(
    directory: str | Path, repo: str, *, public: bool = False, licence: str | None = None, message: str | None = None
) -> str:
    """Upload a model and return its address. The token is `HF_TOKEN` or that of `hf auth login`; `HF_ENDPOINT` names another hub.

    Args:
        directory: a model directory; a README.md in it is the card, else one is made.
        repo: `owner/name`; made where it is not there yet.
        public: a new repository is private without it; one that is there stays as it is.
        licence: a word of the hub for the card, such as `mit`.
        message: of the commit.

    Raises:
        ValueError: in one line, if the directory is damaged or the hub refuses.
    """
    folder = Path(directory)
    files = checked_files(folder)
    owner, slash, name = repo.partition("/")
    if not (owner and slash and name) or "/" in name:
        raise ValueError(f"'{repo}' names no repository; write owner/name")
    from huggingface_hub import CommitOperationAdd, HfApi

    card = card_of(folder, repo, licence)
    parts = [CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file) for file in files]
    parts.append(CommitOperationAdd(path_in_repo=CARD, path_or_fileobj=card.encode()))
    api = HfApi()
    try:
        api.create_repo(repo, private=not public, exist_ok=True)
        api.create_commit(repo, parts, commit_message=message or "Upload a Dragonfly model")
    except Exception as error:  # the hub's, its transport's, and those of a token that is not there: all are the user's to mend
        told = [str(one) or type(one).__name__ for one in (error, error.__cause__) if one is not None]
        reason = " ".join(": ".join(told).split())
        raise ValueError(f"cannot push to '{repo}': {reason:.300}; is HF_TOKEN a token that may write there?") from None
    return f"{api.endpoint}/{repo}"


def checked_files(folder: Path) -> list[Path]:
    """What goes up, besides the card. ValueError where the directory is no model, or not as its record says."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"'{folder}' is no model directory: it has no config.json")
    check_directory(folder, True)
    record = read_origin(folder)
    if record is not None and (faults := file_faults(folder, record, hash_below=math.inf)):
        raise ValueError(f"'{folder}' is not as its record says: {'; '.join(faults)}; see `dragonfly doctor --verify`")
    return [*model_files(folder), *([folder / ORIGIN] if record is not None else [])]


def card_of(folder: Path, repo: str, licence: str | None = None) -> str:
    """The model card: the directory's own README.md, or one made from configuration and record."""
    if (folder / CARD).is_file():
        return (folder / CARD).read_text(encoding="utf-8")
    facts = describe(folder)
    record: dict[str, Any] = facts["origin"] or {}
    head = ["---", "library_name: dragonfly-vlm", "pipeline_tag: image-text-to-text", "tags: [dragonfly, multi-resolution]"]
    head += [f"license: {json.dumps(licence)}"] if licence else []
    sections = [_parts(facts), _making(record), _scores(record), _use(repo), _limits(licence)]
    return "\n".join([*head, "---", "", f"# {_word(repo.partition('/')[2])}", "", *(line for part in sections for line in part)])


def _parts(facts: Mapping[str, Any]) -> list[str]:
    count = facts["parameters"]
    rows = {
        "vision tower": f"{_word(facts['vision_tower'])}, {count['vision_tower']:,} parameters",
        "language model": f"{_word(facts['language_model'])}, {count['language_model']:,} parameters",
        "preset": _word(facts["preset"]),
        "sub-images": f"{facts['sub_images']['resolution']} px, {facts['sub_images']['kept']} kept of a square image",
        "tokens per image": f"{facts['tokens_per_image']:,}",
        "selection": _word((facts["selection"] or {}).get("policy", "keeps all")),
        "weights": f"{_word(facts['dtype'])}, {facts['weights_mib']:,} MiB",
    }
    opening = "A [Dragonfly](https://arxiv.org/abs/2406.00977) model: it looks at an image at several resolutions at once."
    return [opening, "", "| part | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items()), ""]


def _making(record: Mapping[str, Any]) -> list[str]:
    """What the record tells of recipe, beginning, data and software; nothing where it tells nothing."""
    begun = record.get("init_from") or {}
    lines = {
        "recipe": record.get("recipe"),
        "begun from": ", ".join(f"{key} {value}" for key, value in begun.items()) if isinstance(begun, dict) else None,
        "converted from": record.get("source"),
        "data": ", ".join(f"{name} (sha256 {str(value)[:12]})" for name, value in (record.get("data") or {}).items()),
        "written by": f"dragonfly {record['version']}" if "version" in record else None,
        "commit": f"{record['commit']}{' with changes' if record.get('dirty') else ''}" if record.get("commit") else None,
        "date": record.get("date"),
    }
    told = [f"- {name}: {_word(value)}" for name, value in lines.items() if value]
    return ["## How it was made", "", *told, ""] if told else []


def _scores(record: Mapping[str, Any]) -> list[str]:
    best = record.get("best")
    if not isinstance(best, dict):
        return []
    scores = list((best.get("scores") or {}).items())[:MOST_SCORES]
    table = [f"| {_word(step)} | {float(value):.4f} |" for step, value in scores]
    metric = f", {_word(best['metric'])}" if best.get("metric") else ""
    line = f"Chosen by {_word(best.get('task'))}{metric}: step {_word(best.get('step'))}, {float(best.get('score', 0)):.4f}."
    warning = "The score chose the checkpoint, so it is no measurement on questions that the choice never saw."
    return ["## Scores", "", line, warning, "", "| step | score |", "| --- | --- |", *table, ""]


def _use(repo: str) -> list[str]:
    shell = ["```bash", f'dragonfly ask image.png "What is shown?" --model {repo}', f"dragonfly doctor {repo}", "```"]
    python = ["```python", "import dragonfly", "", f'engine = dragonfly.load("{repo}")']
    asked = ['print(engine.ask("image.png", "What is shown?").text)', "```"]
    return ["## How to use it", "", "It needs the package `dragonfly-vlm`.", "", *shell, "", *python, *asked, ""]


def _limits(licence: str | None) -> list[str]:
    stated = (
        f"Licence: {_word(licence)}." if licence else "No licence is stated here; those of tower, language model and data apply."
    )
    return ["## Limits", "", stated, "Nothing here is a medical device: an answer is a suggestion to check, never a finding.", ""]


def _word(value: Any) -> str:
    """A value of a record as a word of Markdown: one line, and none of it markup."""
    return "`" + " ".join(str(value).split()).replace("`", "'").replace("|", "/") + "`"
