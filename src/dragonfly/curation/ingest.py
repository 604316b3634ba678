"""Sources become the first table: their rows in reading order, joined with the facts of each image, which is opened once.

A row that could not be read is listed with its reason; subsets that the mix excludes are counted; images that came inside a file
are written into `store` once each, named by their content. Decoding is spread over workers.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from dragonfly.data import BadRow, ImageRef, Sample
from dragonfly.data.parquet import import_pyarrow
from dragonfly.files import json_line, sha256
from dragonfly.imaging import View, join_view

from .engine import map_files
from .hashing import number
from .image_hashes import Facts, describe
from .table import PART_ROWS, Table, image_columns, replaced, rows_of, write_part

FACTS = "images.parquet"
FAULTS = "faults.jsonl"

_IMAGES_AT_ONCE = 256
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp"}

T = TypeVar("T")
Streams = Iterable[tuple[str, Iterable[Sample | BadRow]]]


def read_table(
    streams: Streams,
    target: Path,
    store: Path,
    workers: int | None = None,
    excluded: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Table, dict[str, Any]]:
    """Write the rows of all (origin, samples) to the folder `target`; return the table and its counts, as a step does.

    `excluded` holds, for an origin, the values of `meta["subset"]` to leave out. ValueError when no row is left.
    """
    raw = target / "raw"
    raw.mkdir(parents=True)
    intake = _Intake(store, excluded or {})
    first = 0
    for place, chunk in enumerate(_chunks(intake.rows(streams), PART_ROWS)):
        origins, samples = zip(*chunk, strict=True)
        write_part(rows_of(samples, first, origins), raw / f"part-{place:05d}.parquet")
        first += len(chunk)
    if not first:
        seen = ", ".join(f"{reason} {number}" for reason, number in intake.dropped.items()) or "none at all"
        raise ValueError(f"the sources gave no usable rows ({seen}); see their paths")
    write_faults(target, intake.faults)
    write_facts(sorted(intake.paths), target / FACTS, workers)
    names = [str(part) for part in sorted(raw.iterdir())]
    map_files(partial(_joined_part, target=str(target)), names, workers)
    shutil.rmtree(raw)
    dropped, questions = dict(intake.dropped), dict(intake.questions)
    counts = {"in": first + sum(dropped.values()), "out": first, "dropped": dropped, "questions": questions}
    return Table(target, target / FACTS), counts


class _Intake:
    """Counts rows while they are read: excluded subsets, faults, the paths of all images, and questions by origin.

    A caption or label without a conversation yet is one question.
    """

    def __init__(self, store: Path, excluded: Mapping[str, Sequence[str]]) -> None:
        self.store, self.excluded = store, excluded
        self.paths: set[str] = set()
        self.faults: list[dict[str, Any]] = []
        self.dropped: Counter[str] = Counter()
        self.questions: Counter[str] = Counter()

    def rows(self, streams: Streams) -> Iterator[tuple[str, Sample]]:
        for origin, samples in streams:
            left_out = set(self.excluded.get(origin, ()))
            for sample in samples:
                if isinstance(sample, BadRow):
                    self._fault(origin, sample)
                elif (subset := sample.meta.get("subset")) in left_out:
                    self.dropped[f"excluded: {origin} {subset}"] += 1
                else:
                    images = tuple(_outside(image, self.store) for image in sample.images)
                    self.paths.update(str(image.path) for image in images)
                    self.questions[origin] += sum(message.role == "assistant" for message in sample.messages) or 1
                    yield origin, replace(sample, images=images)

    def _fault(self, origin: str, bad: BadRow) -> None:
        self.dropped[bad.reason] += 1
        place = {"source": origin, "file": bad.file, "row": bad.row}
        self.faults.append({**place, "reason": bad.reason, "detail": bad.detail})


def write_facts(paths: Iterable[str], target: Path, workers: int | None = None) -> None:
    """Open every image and write its `Facts` to one Parquet file, in the order of the paths."""
    pa = import_pyarrow()
    listed = list(paths)
    chunks = [json.dumps(chunk) for chunk in _chunks(listed, _IMAGES_AT_ONCE)]
    described = [facts for chunk in map_files(_described, chunks, workers) for facts in chunk]
    kinds = {"key": pa.uint64(), "looks": pa.uint64(), "mirrored": pa.uint64(), "height": pa.int64(), "width": pa.int64()}
    columns: dict[str, Any] = {"path": pa.array(listed, pa.string())}
    for place, field in enumerate(fields(Facts)):
        columns[field.name] = pa.array([facts[place] for facts in described], kinds.get(field.name, pa.string()))
    write_part(pa.table(columns), target)


def write_faults(folder: Path, faults: list[dict[str, Any]]) -> None:
    """Write the dropped rows and their reasons to faults.jsonl, one JSON object a line; no file where none was dropped."""
    if faults:
        lines = "".join(map(json_line, faults))
        (folder / FAULTS).write_text(lines, encoding="utf-8")


def _outside(image: ImageRef, store: Path) -> ImageRef:
    """The image as a path: absolute for a file, and for bytes a new file in `store` named by their hash."""
    if image.path is not None:
        return image if "://" in image.path else replace(image, path=str(Path(image.path).absolute()))
    data = image.bytes or b""
    digest = sha256(data)
    suffix = next((suffix for magic, suffix in _SUFFIXES.items() if data.startswith(magic)), ".bin")
    path = store / digest[:2] / f"{digest}{suffix}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(data)
        temporary.replace(path)
    return ImageRef(path=join_view(str(path.absolute()), image.seen or View()), group=image.group)


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _described(chunk: str) -> list[tuple[Any, ...]]:
    return [astuple(describe(path)) for path in json.loads(chunk)]


def _joined_part(name: str, target: str) -> int:
    """One raw part with its images' keys and faults, written under the same name into `target`."""
    table = import_pyarrow().parquet.read_table(name, use_threads=False)
    known = _known(str(Path(target) / FACTS))
    keys, faults = [], []
    for images in table["images"].to_pylist():
        found = [known[image["path"]] for image in images]
        keys.append([key or number("unusable", image["path"]) for (key, _), image in zip(found, images, strict=True)])
        faults.append(next((fault for _, fault in found if fault), None))
    columns = {**image_columns(keys), "fault": import_pyarrow().array(faults, import_pyarrow().string())}
    write_part(replaced(table, columns), Path(target) / Path(name).name)
    return table.num_rows


@lru_cache(maxsize=1)
def _known(facts: str) -> dict[str, tuple[int, str | None]]:
    table = import_pyarrow().parquet.read_table(facts, columns=["path", "key", "fault"], use_threads=False)
    paths, keys, faults = (table[name].to_pylist() for name in ("path", "key", "fault"))
    return dict(zip(paths, zip(keys, faults, strict=True), strict=True))
