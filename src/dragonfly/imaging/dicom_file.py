# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""DICOM bytes become a data set of pydicom's (extra `medical`), within bounds, or one line that quotes nothing of the file.

Headers name patients, and pydicom's messages may quote them: what it raises is told by its kind alone. How much there is to parse
is bounded by the number of reads, so a small file of millions of elements cannot hold a core.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, BinaryIO

from dragonfly.imaging.decode import quiet
from dragonfly.imaging.policy import ImageError, ImagePolicy
from dragonfly.installation import install_advice

MAX_READS = 200_000
"""Reads of a header; an enhanced image of 500 frames takes some 60,000, and this many about a second."""

_PREAMBLE = 128
_ROOT = b"1.2.840.10008."  # of DICOM's own identifiers
_DEFLATED = "1.2.840.10008.1.2.1.99"
_DIRECTORY = "1.2.840.10008.1.3.10"
_FIRST_SOUGHT = 4096


def is_dicom(start: bytes) -> bool:
    """Whether bytes begin as a DICOM file does: with a preamble, or without one where that is sure.

    Sure is: a first element of group 2 or 8 in its usual form, and one of DICOM's own identifiers soon after.
    """
    if start[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return start[_PREAMBLE + 4 : _PREAMBLE + 6] in (b"", b"\x02\0", b"\x08\0")
    if _ROOT not in start[:_FIRST_SOUGHT]:
        return False
    is_explicit = start[4:6].isalpha() and start[4:6].isupper()
    is_implicit = start[6:8] == b"\0\0" and start[4:6] != b"\0\0"
    return start[:2] in (b"\x02\0", b"\x08\0") and start[3:4] in (b"\0", b"\1") and (is_explicit or is_implicit)


@contextmanager
def guarded(what: str = "a damaged or truncated DICOM file") -> Generator[None]:
    """Whatever pydicom and its decoders raise comes out as one line, "is `what` (kind of fault)"; no warnings."""
    try:
        with quiet():
            yield
    except ImageError:
        raise
    except ImportError:
        raise ImageError(
            f"is DICOM, which pydicom reads, and a part of it is not installed: {install_advice('medical')}"
        ) from None
    except MemoryError:
        raise ImageError("needs more memory than this process may use; make it smaller") from None
    except Exception as error:  # their words may quote the header
        raise ImageError(f"is {what} ({type(error).__name__}); copy or export it again") from None


def read_header(file: BinaryIO, tags: list[str] | None = None) -> Any:
    """A data set without its pixels, of a file that is open; only the elements named by `tags`, if any are. Raises ImageError."""
    options: dict[str, Any] = {} if tags is None else {"specific_tags": tags}
    return _read(file, stop_before_pixels=True, **options)


def read_dataset(data: bytes, policy: ImagePolicy) -> Any:
    """The whole data set, with a transfer syntax. Raises ImageError."""
    dataset = _read(io.BytesIO(data), policy=policy)
    with guarded():
        from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

        if not getattr(dataset, "file_meta", None):
            from pydicom.dataset import FileMetaDataset

            dataset.file_meta = FileMetaDataset()
        if not dataset.file_meta.get("TransferSyntaxUID"):  # what it was read as
            implicit, little = dataset.original_encoding
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = syntax
        if str(dataset.file_meta.get("MediaStorageSOPClassUID", "")) == _DIRECTORY:
            raise ImageError("is a DICOMDIR, an index of other files; name it by its path, or name one of the files")
    return dataset


def is_directory(dataset: Any) -> bool:
    """Whether a header is that of a DICOMDIR."""
    return str(getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID", "")) == _DIRECTORY


def _read(file: BinaryIO, policy: ImagePolicy | None = None, **options: Any) -> Any:
    try:
        import pydicom
    except ImportError:
        raise ImageError(f"is DICOM, which pydicom reads, and it is not installed: {install_advice('medical')}") from None
    with guarded():
        start = file.read(_FIRST_SOUGHT)
        file.seek(0)
        if _DEFLATED.encode() in start[:_FIRST_SOUGHT]:
            return _inflated(file, policy or ImagePolicy())
        return pydicom.dcmread(_Counted(file), force=True, **options)


class _Counted:
    """A file that is read a bounded number of times."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.left = file, MAX_READS

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise ImageError(f"is DICOM of more than {MAX_READS:,} elements; export it again without its private ones")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        """It is its owner's."""


def _at_once(*_: object) -> bool:
    return True


def _inflated(file: BinaryIO, policy: ImagePolicy) -> Any:
    """A deflated data set (PS3.5 A.5), no larger than an image file may be: pydicom would inflate whatever comes."""
    from pydicom.filereader import read_dataset, read_partial
    from pydicom.uid import ExplicitVRLittleEndian

    head = read_partial(_Counted(file), stop_when=_at_once, force=True)  # pyright: ignore[reportArgumentType]
    if str(head.file_meta.get("TransferSyntaxUID", "")) != _DEFLATED:
        file.seek(0)
        import pydicom

        return pydicom.dcmread(_Counted(file), force=True)
    file.seek(_PREAMBLE + 4)
    length = int(head.file_meta.FileMetaInformationGroupLength)
    file.seek(_PREAMBLE + 4 + 12 + length)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflate.decompress(file.read(policy.max_bytes), policy.max_bytes)
    if inflate.unconsumed_tail:
        raise ImageError(f"inflates to more than {policy.max_bytes:,} bytes; make it smaller")
    dataset = read_dataset(_Counted(io.BytesIO(data)), is_implicit_VR=False, is_little_endian=True)  # pyright: ignore[reportArgumentType]
    from pydicom.dataset import FileDataset

    whole = FileDataset("", dataset, file_meta=head.file_meta, is_implicit_VR=False, is_little_endian=True)
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return whole
