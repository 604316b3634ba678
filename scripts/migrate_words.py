"""Bring model directories and result files made before the words of docs/architecture.md to these words.

    python scripts/migrate_words.py DIRECTORY_OR_JSON...

Tensors change their names and not a bit of what they hold: the script compares both before it writes. Numbers in result files
stay as they are; keys, and the names of options in them, change.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dragonfly.files import write_json, write_text

TENSORS = {"question_map": "query_projection", "shared_mean": "mean_embedding", "said": "class_sums"}
FILES = {"reader.safetensors": "ocr_head.safetensors", "reader.json": "ocr_head.json"}
KEYS = {
    "floor": "min_per_region",
    "remainder": "pooled_remainder",
    "released_pictures": "released_images",
    "picture": "image",
    "pictures": "images",
    "no_picture": "blind",
    "shuffled_picture": "shuffled_image",
    "no picture": "blind",
    "arm": "variant",
    "arms": "variants",
    "conclusions": "validity",
    "headlines": "conclusions",
    "shared_mean": "mean_embedding",
    "marks": "text_annotations",
    "tokens_per_picture": "tokens_per_image",
    "pictures_like_another": "images_like_another",
    "hashing_pictures_per_s": "hashing_images_per_s",
    "evaluation_pictures": "evaluation_images",
    "question_map": "query_projection",
    "pack": "group_questions",
    "alone": "shared_prefix",
    "gates": "metric_thresholds",
    "reading": "patch_ocr",
}
LANGUAGE = ("gold", "answer", "answers", "said", "right", "token_ids", "versions", "hardware", "sha256")
"""Keys whose values are data, kept to the letter. A question with an answer beside it is data too."""
WORDS = (
    (r"\bfloor-(?=\d)", "min-per-region-"),
    (r"\bremainder-(?=\d)", "pooled-remainder-"),
    (r"^floor$", "min-per-region"),
    (r"^remainder$", "pooled-remainder"),
    (r"\bquestion_map\b", "query_projection"),
    (r"(?<![A-Za-z])arm(s?)(?![a-z])", r"variant\1"),
    (r"Picture", "Image"),
    (r"picture", "image"),
    (r"\b([Aa]) image", r"\1n image"),
    (r"\bbeyond chance\b", "statistically significant"),
    (r"shared mean", "mean embedding"),
    (r"No headline for", "No conclusion on"),
    (r"\bno headline\b", "no conclusion"),
)


def words(text: str) -> str:
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return text


def migrated(value: Any, key: str = "") -> Any:
    """A JSON value with its keys and words renamed."""
    if isinstance(value, dict):
        data = "question" in value and ("gold" in value or "answer" in value)
        return {
            KEYS.get(name, words(name)): item if name in LANGUAGE or (data and name == "question") else migrated(item, name)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [migrated(item, key) for item in value]
    return words(value) if isinstance(value, str) else value


def migrate_json(path: Path) -> None:
    write_json(path, migrated(json.loads(path.read_text(encoding="utf-8"))))


def migrate_tensors(path: Path) -> None:
    """Rename tensors; every one is compared with what it was."""
    with safe_open(str(path), "pt") as file:
        old, metadata = {str(name): file.get_tensor(name) for name in list(file.keys())}, file.metadata()
    new = {".".join(TENSORS.get(part, part) for part in name.split(".")): tensor for name, tensor in old.items()}
    if len(new) != len(old):
        raise ValueError(f"{path}: two tensors would get one name")
    target = path.with_name(FILES.get(path.name, path.name))
    temporary = path.with_name(f".{path.name}.tmp")
    save_file(new, str(temporary), metadata=metadata)
    with safe_open(str(temporary), "pt") as file:
        for (_, before), name in zip(old.items(), new, strict=True):
            if not torch.equal(before.contiguous().view(torch.uint8), file.get_tensor(name).contiguous().view(torch.uint8)):
                raise ValueError(f"{path}: {name} is not what it was")
    temporary.replace(target)
    if target != path:
        path.unlink()


def migrate_recipe(path: Path) -> None:
    """A run's recipe.yaml, line by line: keys, and values that name an option."""
    renamed = {**KEYS, "pointing": "attention_supervision", "picture": "picture", "pictures": "pictures"}
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"(\s*(?:- )?)([a-z_]+):(.*)", line)
        if found:
            value = found[3].replace("scope: picture", "scope: image")
            value = " image" if found[2] == "scope" and value == " picture" else value
            value = " patch_ocr" if found[2] == "objective" and value == " read" else value
            renamed_line = f"{found[1]}{renamed.get(found[2], found[2])}:{value}"
        lines.append((renamed_line if found else line).replace("- question_map", "- query_projection"))
    write_text(path, "\n".join(lines) + "\n")


def migrate_directory(folder: Path) -> None:
    for file in sorted(folder.iterdir()):
        if file.suffix == ".safetensors":
            migrate_tensors(file)
        elif file.name in ("config.json", "processor_config.json"):
            migrate_json(file)
        elif file.name == "recipe.yaml":
            migrate_recipe(file)
        elif file.name in FILES:
            file.rename(file.with_name(FILES[file.name]))


def main(names: list[str]) -> None:
    for path in map(Path, names):
        migrate_directory(path) if path.is_dir() else migrate_json(path)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
