"""What a data set is, as a value: where it comes from, on which terms, how it is laid out on disk, how it is read.

Promises that every sample read through a `Source` says in its `meta` which form it has (label, caption, conversation,
question, text), its domain, modality and licence. Opens no image and downloads nothing: the folder is the user's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dragonfly.data import BadRow, Sample

Row = Sample | BadRow
Form = Literal["label", "caption", "conversation", "qa"]


@dataclass(frozen=True)
class Source:
    """One data set in its published layout.

    `rows` yields a `Sample` or a `BadRow` per piece; call `read` instead. A sound row that the paper leaves out (another
    language, no findings, ungradable) is not dropped but carries `meta["subset"]`, for a mix to exclude by name.
    `paper_rows` is the paper's number (arXiv 2406.00977, at `paper_place`), `published_rows` the data set's own, rounded
    where its page rounds; both are None where nobody says. `not_in_paper_rows` are the subsets that `paper_rows` already
    leaves out. `images` is the number of different images, where published.
    """

    name: str
    title: str
    url: str
    licence: str
    layout: str
    rows: Callable[[Path], Iterator[Row]]
    domain: Literal["general", "biomedical"]
    modality: str
    form: Form
    paper_rows: int | None = None
    paper_place: str = ""
    not_in_paper_rows: tuple[str, ...] = ()
    published_rows: int | None = None
    published_place: str = ""
    images: int | None = None

    def read(self, folder: str | Path) -> Iterator[Row]:
        """Every piece of the data set in `folder`, in file order. ValueError at once when the folder is absent."""
        folder = Path(folder)
        if not folder.is_dir():
            raise ValueError(f"{self.name}: no folder {folder}; get the data at {self.url} and give its folder")
        return (row if isinstance(row, BadRow) else self._stamped(row) for row in self.rows(folder))

    def _stamped(self, sample: Sample) -> Sample:
        told = {"form": self.form, "domain": self.domain, "modality": self.modality, "licence": self.licence}
        return replace(sample, id=f"{self.name}/{sample.id}", source=self.name, meta={**told, **sample.meta})
