"""Data sets of the `datasets` library: what `save_to_disk` wrote, those of the hub, and their rows with images left encoded.

The library comes with the `train` extra and is imported when one of these is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote the folder."""
    names = {file.name for file in folder.iterdir()}
    return "dataset_dict.json" in names or {"dataset_info.json", "state.json"} <= names


def is_hub_name(name: str) -> bool:
    """Whether a text can name a data set of the hub: OWNER/NAME, which is no file here."""
    return _HUB_NAME.fullmatch(name) is not None


def saved(folder: Path, split: str | None) -> Any:
    """One split of what `save_to_disk` wrote. ValueError naming the splits where it is not clear which."""
    library = import_datasets()
    try:
        found = library.load_from_disk(str(folder))
    except Exception as error:  # Arrow's own classes among others
        raise ValueError(f"{folder} is not readable as a saved data set: {_line(error)}; save it again") from None
    return _one_split(found, str(folder), split) if isinstance(found, Mapping) else found


def from_hub(name: str, split: str | None) -> Any:
    """One split of a data set of the hub, from its cache where it is there. ValueError with the hub's reason in one line."""
    library = import_datasets()
    try:
        found = library.load_dataset(name)
    except Exception as error:  # offline, unknown, gated, in need of a configuration: classes of three libraries
        raise ValueError(
            f"no file or folder {name}, and the Hugging Face hub gives no data set of that name ({_line(error)}); give the path "
            "of a file or folder, or a name that the hub has"
        ) from None
    return _one_split(found, name, split)


def import_datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise ValueError(
            "the datasets library is not installed, and data sets of the Hugging Face hub and of save_to_disk need it; "
            "install the extra `train`"
        ) from None
    return datasets


def undecoded(dataset: Any) -> Iterable[Any]:
    """A data set with its images left as encoded bytes, which keeps them exact and cheap to carry, and class numbers as names."""
    features = getattr(dataset, "features", None)
    if not features:
        return dataset
    from datasets import ClassLabel, Image, List

    names: dict[str, list[str]] = {}
    for column, feature in features.items():
        if isinstance(feature, Image):
            dataset = dataset.cast_column(column, Image(decode=False))
        elif isinstance(feature, List) and isinstance(feature.feature, Image):
            dataset = dataset.cast_column(column, List(Image(decode=False)))
        elif isinstance(feature, ClassLabel):
            names[column] = list(feature.names)
    return dataset if not names else _Named(dataset, names)


class _Named:
    """The rows of a data set with the numbers of its class labels as their names (-1, which says that there is none, as None)."""

    def __init__(self, dataset: Any, names: dict[str, list[str]]) -> None:
        self.dataset, self.names = dataset, names
        self.column_names, self.class_columns = list(dataset.features), tuple(names)

    def __iter__(self) -> Any:
        for row in self.dataset:
            labels = {column: row[column] for column in self.names}
            yield {**row, **{key: None if value in (None, -1) else self.names[key][value] for key, value in labels.items()}}


def _one_split(found: Mapping[str, Any], name: str, split: str | None) -> Any:
    splits = list(found)
    if split is None and len(splits) > 1:
        raise ValueError(f"{name} has the splits {', '.join(splits)}; name one: {name}:{splits[0]}")
    if split is not None and split not in found:
        raise ValueError(f"{name} has no split {split!r}; name one that it has: {', '.join(f'{name}:{one}' for one in splits)}")
    return found[split or splits[0]]


def _line(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.160}" or type(error).__name__
