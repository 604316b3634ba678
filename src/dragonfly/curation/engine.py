"""The one module that uses Daft: work spread over part files, and the relational queries that need all rows at once.

Results do not depend on the number of workers: part files are mapped one to one, and ranks depend on values. The same calls run
on this machine's cores or, after `start(ray=...)`, on a Ray cluster, whose machines must see the same folders and have this
package. Telemetry is off.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.installation import install_advice

from .hashing import SHINGLE_WORDS, Indices, Numbers, draws

# Read by Daft when it is imported.
os.environ.update(DAFT_ANALYTICS_ENABLED="0", DO_NOT_TRACK="1", DAFT_PROGRESS_BAR="0")


_RUNNER: list[str] = []  # the runner of this process, once it is chosen: Daft does not change it later


def import_daft() -> Any:
    """The daft module; ValueError in one line where it is absent."""
    try:
        import daft
        import daft.functions
    except ImportError:
        raise ValueError(f"daft is not installed, and curation needs it; install it with: {install_advice('curate')}") from None
    return daft


def start(ray: str | None = None) -> None:
    """Choose where the work runs, once per process: this machine, or the Ray cluster at an address (`auto`, host:port).

    Work that begins without this call runs on this machine.
    """
    if ray is None:
        _running()
        return
    daft = import_daft()
    try:
        import ray as cluster
    except ImportError:
        raise ValueError(f"ray is not installed, and --ray needs it; install it with: {install_advice('ray')}") from None
    try:
        cluster.init(address=ray, ignore_reinit_error=True, log_to_driver=False)
        daft.set_runner_ray(noop_if_initialized=True)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"no Ray cluster at {ray!r}: {reason}; start one with `ray start --head`, or leave out --ray") from None
    _RUNNER.append("ray")


def _running() -> Any:
    """The daft module with a runner set; otherwise Daft looks for a Ray cluster, and imports all of ray for that."""
    daft = import_daft()
    if not _RUNNER:
        daft.set_runner_native()
        _RUNNER.append("native")
    return daft


def map_files(function: Callable[[str], Any], names: Sequence[str], workers: int | None = None) -> list[Any]:
    """`function(name)` for every name, in their order; its results must be JSON-able.

    `workers` is the number of shares that the names are divided into (each core takes one after the other); None: one name each.
    On this machine workers are threads: decoding and hashing images release Python's lock, reading text holds it.
    """
    if not names:
        return []
    daft = _running()
    share = 1 if workers is None else -(-len(names) // workers)

    @daft.func.batch(return_dtype=daft.DataType.string(), batch_size=share)
    def mapped(series: Any) -> list[str]:
        return [json.dumps([name, function(name)]) for name in series.to_pylist()]

    frame = daft.from_pydict({"name": list(names)})
    if _RUNNER == ["ray"]:  # the native runner deals out batches by itself
        frame = frame.into_partitions(min(workers or len(names), len(names)))
    results = frame.select(mapped(daft.col("name")).alias("result")).to_pydict()["result"]
    by_name = dict(json.loads(result) for result in results)
    return [by_name[name] for name in names]


def first_of_each(parts: Sequence[Path], by: Sequence[str], most: int, draw: tuple[int, str] | None = None) -> Indices:
    """The `row` of the first `most` rows of every group of equal `by` columns, sorted.

    First means the lowest row, or with `draw` = (seed, purpose) the lowest number drawn from the row's `key`.
    """
    daft = _running()
    frame = _frame(parts).select("row", *by, *(["key"] if draw and "key" not in by else []))
    order = ["row"]
    if draw:

        @daft.func.batch(return_dtype=daft.DataType.uint64())
        def drawn(keys: Any) -> Any:
            return draws(keys.to_arrow().to_numpy(zero_copy_only=False), *draw)

        frame, order = frame.with_column("draw", drawn(daft.col("key"))), ["draw", "row"]
    window = daft.Window().partition_by(*by).order_by(*order)
    ranked = frame.with_column("place", daft.functions.row_number().over(window))
    return _sorted_rows(ranked.where(daft.col("place") <= most).select("row"))


def shared_buckets(
    parts: Sequence[Path], scope: str, text: Callable[[Any], list[str]], column: str, bands: int, rows: int, seed: int
) -> list[list[int]]:
    """Rows whose texts may resemble each other: lists of two or more rows, in order, that share a band of their MinHash.

    `text` turns a batch of `column` (an Arrow array) into normalised texts; only rows with equal `scope` meet. A band is `rows`
    of the `bands` x `rows` minima over the text's shingles.
    """
    daft = _running()
    col = daft.col

    @daft.func.batch(return_dtype=daft.DataType.string())
    def texts(series: Any) -> list[str]:
        return text(series.to_arrow())

    @daft.func.batch(return_dtype=daft.DataType.list(daft.DataType.uint64()))
    def banded(series: Any) -> Any:
        return _bands(np.asarray(series.to_arrow().flatten()), bands, rows).tolist()

    minima = daft.functions.minhash(
        texts(col(column)), num_hashes=bands * rows, ngram_size=SHINGLE_WORDS, seed=seed, hash_function="xxhash"
    )
    frame = _frame(parts).select("row", scope, banded(minima).alias("band")).explode("band")
    grouped = frame.groupby(scope, "band").agg(col("row").list_agg().alias("rows"), col("row").count().alias("count"))
    found = grouped.where(col("count") > 1).select("rows").to_pydict()["rows"]
    return sorted(sorted(bucket) for bucket in found)


def _bands(minima: Any, bands: int, rows: int) -> Numbers:
    """(texts, bands) numbers, each from one band's minima and the band's place."""
    grid = minima.astype(np.uint64).reshape(-1, bands, rows)
    mixed = draws(np.arange(bands), 0, "band")[None, :].repeat(len(grid), axis=0)
    for row in range(rows):
        mixed = draws(mixed ^ grid[:, :, row], row, "band")
    return mixed


def _frame(parts: Sequence[Path]) -> Any:
    return _running().read_parquet([str(part) for part in parts])


def _sorted_rows(frame: Any) -> Indices:
    return np.sort(frame.to_arrow()["row"].to_numpy().astype(np.int64))
