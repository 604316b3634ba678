"""What a data set is, as a value, and how its files become samples: find the files, read their rows, name each fault.

Every piece of a file gives one result, in order: a `Sample` whose images exist, or a `BadRow` with file, row and reason. The id
of a sample is its place (`file/row` or `file/row/piece`), hence unique; its `meta` states form, domain, modality and licence. No
image is opened and nothing is downloaded: the folder is the user's.
"""

import csv
import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

from dragonfly.data import BadRow, BadSample, ImageRef, Message, Part, Sample, validate
from dragonfly.data.readers.files import file_rows
from dragonfly.imaging import image_exists

from .access import Access

Outcome = Sample | BadRow
Piece = dict[str, Any] | BadSample
"""One of several samples that a row of a file holds, before it is converted."""

UNFINISHED = ".unfinished"
"""The name of a file that says that a folder is still being fetched."""

Form = Literal["label", "caption", "conversation", "qa"]


@dataclass(frozen=True)
class Source:
    """One data set in its published layout.

    `rows` yields a `Sample` or a `BadRow` per piece; call `read` instead. A sound row that the paper leaves out (another
    language, no findings, ungradable) is kept with its `meta["subset"]`, by which a mix excludes it.
    `files` are the files without which a folder is not the data set's: of each group of patterns one must be there. `held_out`
    yields the official test split from the same folder, for the step `leak`: None where the data set has none.
    `paper_rows` is the paper's number (arXiv 2406.00977, at `paper_place`), `published_rows` the data set's own, rounded
    where its page rounds; both are None where nobody says. Rows are what `read` yields. `questions` is the number of questions
    and answers in them, where the paper and the page count these. `not_in_paper_rows` are the subsets that `paper_rows`
    already leaves out. `images` is the number of different images, where published.
    """

    name: str
    title: str
    url: str
    licence: str
    layout: str
    access: Access
    files: tuple[tuple[str, ...], ...]
    rows: Callable[[Path], Iterator[Outcome]]
    domain: Literal["general", "biomedical"]
    modality: str
    form: Form
    paper_rows: int | None = None
    paper_place: str = ""
    not_in_paper_rows: tuple[str, ...] = ()
    published_rows: int | None = None
    published_place: str = ""
    questions: int | None = None
    images: int | None = None
    held_out: Callable[[Path], Iterator[Outcome]] | None = None

    def missing(self, folder: str | Path) -> tuple[str, ...]:
        """What of `files` is not in `folder`, a line each; () when all is there. Opens no file."""
        folder = Path(folder)
        if (folder / UNFINISHED).is_file():
            return ("the rest of a download that did not finish",)
        return tuple(" or ".join(group) for group in self.files if not any(next(folder.glob(pattern), None) for pattern in group))

    def read_held_out(self, folder: str | Path) -> Iterator[Outcome]:
        """Every piece of the official test split. ValueError when the data set has none, or the folder does not hold it."""
        if self.held_out is None:
            raise ValueError(f"{self.name} has no official test split of its own to compare with")
        if not Path(folder).is_dir():
            raise ValueError(f"{self.name}: no folder {folder}; its test split is compared with; get the data at {self.url}")
        return (row if isinstance(row, BadRow) else self._stamped(row) for row in self.held_out(Path(folder)))

    def read(self, folder: str | Path) -> Iterator[Outcome]:
        """Every piece of the data set in `folder`, in file order. ValueError at once when the folder is absent."""
        folder = Path(folder)
        if not folder.is_dir():
            raise ValueError(f"{self.name}: no folder {folder}; get the data at {self.url} and give its folder")
        return (row if isinstance(row, BadRow) else self._stamped(row) for row in self.rows(folder))

    def _stamped(self, sample: Sample) -> Sample:
        facts = {"form": self.form, "domain": self.domain, "modality": self.modality, "licence": self.licence}
        return replace(sample, id=f"{self.name}/{sample.id}", source=self.name, meta={**facts, **sample.meta})


def find_files(folder: Path, *patterns: str) -> list[Path]:
    """The files of `folder` that match, pattern by pattern. ValueError naming the patterns when there is none."""
    files = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()]
    if not files:
        raise ValueError(f"{folder} holds none of: {', '.join(patterns)}; give the folder that the data set unpacks to")
    return files


def table_rows(path: Path, *, delimiter: str = ",", fields: Sequence[str] | None = None) -> Iterator[Any]:
    """Rows of a .csv (or .csv.gz) with a heading, or of a tab- or space-separated list whose columns are `fields`.

    A row with too few or too many cells is a `BadSample`. Lists without a heading have no quoting. ValueError for a file that is
    not such a table.
    """
    quoting = csv.QUOTE_MINIMAL if fields is None else csv.QUOTE_NONE
    with _opened(path) as file:
        try:
            rows = csv.reader(file, delimiter=delimiter, quoting=quoting)
            names = list(fields) if fields is not None else next(rows, [])
            for cells in rows:
                if len(cells) != len(names):
                    yield BadSample("bad-columns", f"{len(cells)} cells; expected {', '.join(names)}")
                else:
                    yield dict(zip(names, cells, strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} cannot be read: {error}; fetch it again") from None


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def converted(
    files: Iterable[Path],
    folder: Path,
    to_sample: Callable[[dict[str, Any], Path], Sample],
    *,
    rows: Callable[[Path], Iterator[Any]] = file_rows,
    pieces: Callable[[dict[str, Any]], Iterable[Piece]] | None = None,
) -> Iterator[Outcome]:
    """Every row of `files` through `to_sample(row, file)`; `pieces` divides a row that holds several samples."""
    for file in files:
        stem = file.relative_to(folder).as_posix().removesuffix(".gz").rpartition(".")[0]
        for number, row in enumerate(rows(file)):
            place = (str(file), number)
            for part, piece in enumerate(_divided(row, pieces)):
                name = f"{stem}/{number}" if pieces is None else f"{stem}/{number}/{part}"
                yield _sample(piece, name, place, lambda row, file=file: to_sample(row, file))


def _divided(row: Any, pieces: Callable[[dict[str, Any]], Iterable[Piece]] | None) -> Iterable[Any]:
    if pieces is None or not isinstance(row, dict):
        return [row]
    try:
        return list(pieces(row)) or [BadSample("empty-row", "the row holds nothing to read")]
    except BadSample as error:
        return [error]


def _sample(piece: Any, name: str, place: tuple[str, int], to_sample: Callable[[dict[str, Any]], Sample]) -> Outcome:
    try:
        if isinstance(piece, BadSample):
            raise piece
        if not isinstance(piece, dict):
            raise BadSample("not-a-row", f"{type(piece).__name__}; each row is an object with named fields")
        sample = replace(to_sample(piece), id=name, place=place)
        _check(sample)
    except BadSample as error:
        return BadRow(*place, error.reason, error.detail)
    return sample


def _check(sample: Sample) -> None:
    if sample.messages:
        validate(sample)
    for image in sample.images:
        if image.path is not None and not image_exists(image.path):
            raise BadSample("missing-image", f"no file {image.path}")


def text(row: dict[str, Any], *keys: str) -> str:
    """The first of these fields that holds text, without spaces around. `BadSample` (missing-field) when none does."""
    for key in keys:
        value = row.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    raise BadSample("missing-field", f"no text in {' or '.join(keys)}; fields: {', '.join(map(str, row)) or 'none'}")


def captioned(caption: str, image: ImageRef, style: str, **meta: Any) -> Sample:
    """An image with its caption and no question yet; the step `instructions_from_captions` adds one, worded for `style`."""
    return Sample("", "", (image,), (), meta={"caption": caption, "style": style, **meta})


def labelled(label: int, image: ImageRef, label_set: str, **meta: Any) -> Sample:
    """An image with its label and no question yet; the step `questions_from_labels` adds one, for the labels of `label_set`."""
    return Sample("", "", (image,), (), meta={"label": label, "label_set": label_set, **meta})


def asked(question: str, answer: str, images: tuple[ImageRef, ...], **meta: Any) -> Sample:
    """One question and its answer; the images precede the question."""
    user = Message("user", (*(Part("image") for _ in images), Part("text", question)))
    return Sample("", "", images, (user, Message("assistant", (Part("text", answer),))), meta=meta)
