"""The manifest: the one form in which the project stores samples. `manifest.json` + Parquet shards in a folder.

Promises that equal samples give equal bytes (same pyarrow), that a folder is complete or absent, and that a row is
read without reading its shard. Image paths are stored relative to the folder. Knows nothing of pixels or tokens.
"""

import io
import json
import os
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate, count, islice
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from dragonfly.files import atomic_directory, sha256, write_json
from dragonfly.imaging import INTENDED_USE, image_file, load_image

from .errors import BadSample
from .parquet import from_row, import_pyarrow, schema, to_table
from .sample import ImageRef, Sample, validate

VERSION = 1
NAME = "manifest.json"

_GROUP_ROWS = {"path": 128, "bytes": 32}  # rows decoded together: what one random access costs, in time and memory
_CACHED_GROUPS = 8


def write_manifest(
    samples: Iterable[Sample],
    directory: str | Path,
    *,
    rows_per_shard: int = 16384,
    store_images: Literal["path", "bytes"] = "path",
) -> Path:
    """Write `samples` to the new folder `directory` and return the path of its `manifest.json`.

    `path` keeps images where they are, named relative to `directory`; `bytes` copies their encoded bytes into the
    shards. Samples are taken one row group at a time, so an endless folder of images fits in memory. ValueError
    naming the sample when one is not valid, or when the images are bytes and `path` is asked for.
    """
    if rows_per_shard < 1:
        raise ValueError(f"rows_per_shard is {rows_per_shard}; give at least 1")
    if store_images not in _GROUP_ROWS:
        raise ValueError(f"store_images is {store_images!r}; accepted: {', '.join(_GROUP_ROWS)}")
    counts = _Counts()
    stored = (counts.add(_stored(sample, Path(directory), store_images)) for sample in samples)
    with atomic_directory(directory) as temporary:
        shards = list(_write_shards(stored, Path(temporary), rows_per_shard, _GROUP_ROWS[store_images]))
        if not shards:
            raise ValueError(f"no samples to write to {directory}; give at least one")
        write_json(Path(temporary) / NAME, {"version": VERSION, "shards": shards, **counts.as_dict()})
    return Path(directory) / NAME


class _Counts:
    """What the manifest says about its rows, gathered while they pass."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()

    def add(self, sample: Sample) -> Sample:
        answers = sum(message.role == "assistant" for message in sample.messages)
        self.totals.update(rows=1, images=len(sample.images), answers=answers)
        self.sources[sample.source] += 1
        self.licences[str(sample.meta.get("licence", "not stated"))] += 1
        return sample

    def as_dict(self) -> dict[str, Any]:
        counts = {**self.totals, "by_source": dict(sorted(self.sources.items()))}
        return {"counts": counts, "licences": dict(sorted(self.licences.items()))}


def _stored(sample: Sample, directory: Path, store_images: str) -> Sample:
    try:
        validate(sample)
        store = _with_bytes if store_images == "bytes" else _with_relative_path
        return replace(sample, images=tuple(store(image, directory) for image in sample.images))
    except (BadSample, OSError) as error:
        raise ValueError(f"sample {sample.id!r} cannot be written to {directory}: {error}") from None


def _with_bytes(image: ImageRef, _directory: Path) -> ImageRef:
    if image.path is None:
        return image
    if is_url(image.path):
        raise BadSample("remote-image", f"{image.path} would have to be fetched; download it first")
    try:
        # A shard is handed on: what is no image does not get into it, and of a scan its pixels without its header.
        loaded = load_image(image.path)
        if not image.path.lower().endswith(".pdf") and (loaded.view or INTENDED_USE in loaded.notes):
            return ImageRef(bytes=_png(loaded.image), group=image.group)
        data = Path(image_file(image.path)).read_bytes()
    except ValueError as error:
        raise BadSample("not-an-image", f"{image.path}: {error}") from None
    return ImageRef(bytes=data, group=image.group, view=loaded.view)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _with_relative_path(image: ImageRef, directory: Path) -> ImageRef:
    if image.path is None:
        raise BadSample("no-path", "an image is bytes; use store_images='bytes'")
    if is_url(image.path):
        return image
    return replace(image, path=Path(os.path.relpath(image.path, directory)).as_posix())


def is_url(path: str) -> bool:
    """Whether an `ImageRef.path` names something that is not in the file system."""
    return "://" in path


def _write_shards(samples: Iterator[Sample], folder: Path, rows_per_shard: int, group_rows: int) -> Iterator[dict[str, Any]]:
    pq = import_pyarrow().parquet
    group = list(islice(samples, min(group_rows, rows_per_shard)))
    for number in count():
        if not group:
            return
        path, rows = folder / f"shard-{number:05d}.parquet", 0
        with pq.ParquetWriter(path, schema(), compression="zstd") as writer:
            while group:
                writer.write_table(to_table(group))
                rows += len(group)
                group = list(islice(samples, min(group_rows, rows_per_shard - rows)))
        yield {"path": path.name, "rows": rows, "sha256": sha256(path)}
        group = list(islice(samples, min(group_rows, rows_per_shard)))


class Manifest:
    """A written manifest as a sequence of samples: `len`, `[i]`, iteration. Shards open when first touched.

    Safe to hand to data-loader workers: open files and cached rows are left behind when it is pickled.
    """

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.counts: dict[str, Any] = document.get("counts", {})
        self.licences: dict[str, int] = document.get("licences", {})
        self._shards: list[dict[str, Any]] = document["shards"]
        self._ends = list(accumulate(shard["rows"] for shard in self._shards))
        self._files: dict[int, tuple[Any, list[int]]] = {}
        self._groups: OrderedDict[tuple[int, int], list[dict[str, Any]]] = OrderedDict()

    @classmethod
    def open(cls, path: str | Path) -> "Manifest":
        """Open a folder or its `manifest.json`. ValueError when it is absent, of another version, or points outside."""
        path = Path(path)
        path = path / NAME if path.is_dir() else path
        if not path.is_file():
            raise ValueError(f"no {NAME} at {path}; give the folder of a written manifest")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            version, shards = document["version"], [(s["path"], s["rows"], s["sha256"]) for s in document["shards"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a manifest: {error!r}; write it again") from None
        if version != VERSION:
            raise ValueError(f"{path} has version {version!r}; this release reads version {VERSION}")
        for name, rows, _ in shards:
            if not isinstance(name, str) or Path(name).name != name or not isinstance(rows, int) or rows < 1:
                raise ValueError(f"{path} names the shard {name!r} with {rows!r} rows; accepted: a file beside it")
        return cls(path, document)

    @property
    def sha256(self) -> str:
        """Hash of `manifest.json`, which holds the shards' hashes, hence of all rows."""
        return sha256(self.path)

    def verify(self) -> None:
        """Read every shard; ValueError naming the first that is absent or not the one that was written."""
        for shard in self._shards:
            path = self.path.parent / shard["path"]
            if not path.is_file():
                raise ValueError(f"{path} is missing, {self.path} lists it; write the manifest again")
            if (found := sha256(path)) != shard["sha256"]:
                raise ValueError(f"{path} has sha256 {found}, {self.path} says {shard['sha256']}; write it again")

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of a manifest with {len(self)} rows")
        index %= len(self)
        shard = bisect_right(self._ends, index)
        row = index - (self._ends[shard - 1] if shard else 0)
        sample = from_row(self._row(shard, row))
        images = tuple(self._located(image) for image in sample.images)
        return replace(sample, images=images, place=(str(self.path.parent / self._shards[shard]["path"]), row))

    def _located(self, image: ImageRef) -> ImageRef:
        if image.path is None or is_url(image.path):
            return image
        return replace(image, path=os.path.normpath(self.path.parent / image.path))

    def _row(self, shard: int, row: int) -> dict[str, Any]:
        file, ends = self._file(shard)
        group = bisect_right(ends, row)
        key = (shard, group)
        if key not in self._groups:
            # One thread: pyarrow's pool does not survive the fork of a data-loader worker.
            self._groups[key] = file.read_row_group(group, use_threads=False).to_pylist()
            if len(self._groups) > _CACHED_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key][row - (ends[group - 1] if group else 0)]

    def _file(self, shard: int) -> tuple[Any, list[int]]:
        if shard not in self._files:
            path, rows = self.path.parent / self._shards[shard]["path"], self._shards[shard]["rows"]
            try:
                file = import_pyarrow().parquet.ParquetFile(path)
            except OSError as error:
                raise ValueError(f"{path} cannot be read: {error}; write the manifest again") from None
            groups = file.metadata.num_row_groups
            ends = list(accumulate(file.metadata.row_group(group).num_rows for group in range(groups)))
            if (ends[-1] if ends else 0) != rows:
                raise ValueError(f"{path} has {ends[-1] if ends else 0} rows, {self.path} says {rows}; write it again")
            self._files[shard] = file, ends
        return self._files[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}, "_groups": OrderedDict()}
