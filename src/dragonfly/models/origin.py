"""`dragonfly.json`: how a model directory was made, and the size and hash of each of its files. Read and written here alone.

Its `schema` numbers the meaning of its keys. A record of an older schema is upgraded in memory when it is read, never on the
disk; one of a newer schema is refused in a line that names the version that wrote it. docs/models.md tells of keys and rule.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from dragonfly import __version__
from dragonfly.files import ORIGIN, sha256, write_json
from dragonfly.models.remote_code import SHIM

SCHEMA = 2
"""1: no `schema`, no `files`, some older words. 2: both, and today's words."""

WEIGHTS = (".safetensors", ".bin")
DESCRIPTIONS = (".json", ".jinja", ".model", ".txt")
OF_THE_RUN = {ORIGIN, "run.json", "best.json"}  # about the model, no part of it

Record = dict[str, Any]


def model_files(folder: Path) -> list[Path]:
    """What loading may read of a model directory, in order; a run's checkpoints and logs beside it are no part of the model."""
    kinds = (*WEIGHTS, *DESCRIPTIONS)
    found = (
        file for file in folder.iterdir() if (file.suffix in kinds or file.name == SHIM.name) and file.name not in OF_THE_RUN
    )
    return sorted(file for file in found if file.is_file() and not file.name.startswith("."))


def write_origin(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a finished model directory, with schema, version and all files. The last step of a save."""
    _write(folder, record, {file.name: _entry(file) for file in model_files(folder)})


def read_origin(folder: Path) -> Record | None:
    """The record of a model directory in today's schema; None where there is none.

    Raises:
        ValueError: if it is damaged, or of a newer schema.
    """
    path = folder / ORIGIN
    if not path.is_file():
        return None
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is not JSON ({error}); copy the model again") from None
    record = cast(Record, found if isinstance(found, dict) else {"schema": None})
    schema = record.get("schema", 1)
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ValueError(f"'{path}' is no record of a model (schema {schema!r}); copy the model again, or delete the file")
    if schema > SCHEMA:
        raise ValueError(
            f"'{path}' has schema {schema}, written by dragonfly {record.get('version', 'of an unknown version')}; this is "
            f"dragonfly {__version__}, which reads up to {SCHEMA}: upgrade dragonfly-vlm"
        )
    for upgrade in UPGRADES[schema - 1 :]:
        record = upgrade(record)
    if not isinstance(record.get("files"), dict):
        raise ValueError(f"'{path}' has files that are no table; copy the model again")
    return record


@contextmanager
def kept_true(directory: str | Path, kinds: Sequence[str] = (*WEIGHTS, *DESCRIPTIONS), writes: bool = True) -> Generator[None]:
    """While files of `kinds` are saved into a directory that has a record: it is read first, and names the new files after.

    A directory without a record gets none: whoever finishes a model writes it. `writes`: False on all processes but one.
    """
    record = read_origin(Path(directory)) if writes else None
    yield
    if record is not None:
        files = {file.name: file for file in model_files(Path(directory))}
        kept = {name: entry for name, entry in record["files"].items() if name in files}
        made = {name: _entry(file) for name, file in files.items() if file.suffix in kinds or name == SHIM.name}
        _write(Path(directory), record, dict(sorted({**kept, **made}.items())))


def file_faults(folder: Path, record: Record, *, hash_below: float) -> list[str]:
    """What of a directory is not as its record says, a sentence each: missing, another size, other bytes.

    Only files of less than `hash_below` bytes are read.
    """
    faults: list[str] = []
    files: dict[str, Any] = record["files"]
    for name, found in files.items():
        file = folder / name
        entry = cast(Record, found if isinstance(found, dict) else {})
        if Path(name).name != name:
            faults.append(f"{ORIGIN} names {name!r}, which is no file of a model directory")
        elif not file.is_file():
            faults.append(f"{name} is missing")
        elif file.stat().st_size != entry.get("size"):
            faults.append(f"{name} has {file.stat().st_size:,} bytes, {ORIGIN} says {entry.get('size')!r}")
        elif file.stat().st_size < hash_below and sha256(file) != entry.get("sha256"):
            faults.append(f"{name} has other bytes than {ORIGIN} says (sha256 differs)")
    return faults


def _write(folder: Path, record: Mapping[str, Any], files: Record) -> None:
    own = {"schema": SCHEMA, "version": __version__}
    rest = {key: value for key, value in record.items() if key not in (*own, "files")}
    write_json(folder / ORIGIN, {**own, **rest, "files": files})


def _entry(file: Path) -> Record:
    return {"size": file.stat().st_size, "sha256": sha256(file)}


def _from_1(record: Record) -> Record:
    """Before schema 2, files were not listed, and the query projection was called the question map, images pictures."""
    renamed = {"question_map": "query_projection", "pictures": "images"}

    def walk(value: Any, inside: str = "") -> Any:
        if isinstance(value, list):
            return [walk(item) for item in cast(list[Any], value)]
        if not isinstance(value, dict):
            return value
        named = cast(Record, value)
        keep = inside in ("data", "init_from")  # names that people gave
        return {key if keep else renamed.get(key, key): walk(item, key) for key, item in named.items()}

    return {**walk(record), "schema": 2, "files": {}}


UPGRADES = (_from_1,)
"""The step from schema n to n + 1, at index n - 1."""
