"""Files that are whole or absent, folders that one process uses at a time, and the header of every result file.

Promises: a reader never sees a half-written file or folder, because each is made under a temporary name beside its
target, flushed to the disk and renamed; a failure removes the temporary name and leaves the old target as it was.
Parent folders are created. Does not know what is in the files. Loads neither torch nor numpy.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, Literal

ORIGIN = "dragonfly.json"
"""A model directory's record of how it was made."""


def _temporary_sibling(path: Path) -> Path:
    # Not tempfile: mkstemp and mkdtemp make private files (0600), and results should get the usual permissions.
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


@contextmanager
def atomic_write(path: str | Path, mode: Literal["w", "wb"] = "w") -> Generator[IO[Any]]:
    """Yield an open file that becomes `path` when the block ends well, and leaves no trace when it does not.

    Text is UTF-8 with `\\n` line ends. Parent folders are created. Raises ValueError if `path` is a folder; faults of
    the file system (no space, no permission) stay OSError.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(path)
    encoding, newline = ("utf-8", "\n") if mode == "w" else (None, None)
    try:
        with temporary.open(mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_suffix(path: str | Path, suffixes: Sequence[str]) -> None:
    """ValueError where a file to be written is named as another kind: a slip must not overwrite an image or a data file."""
    if Path(path).suffix.lower() not in suffixes:
        raise ValueError(f"cannot write this as '{path}'; use a name that ends in {' or '.join(suffixes)}")


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text)


def write_json(path: str | Path, obj: Any) -> None:
    """Write `obj` as JSON (two spaces, trailing newline), whole or not at all.

    Raises ValueError on NaN and infinity, which JSON cannot hold: write None instead.
    """
    write_text(path, json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def json_line(obj: Any, *, sort_keys: bool = False) -> str:
    """`obj` as one line of a JSONL file, its line end included. Letters stay as they are, unless one is half a surrogate pair."""
    line = json.dumps(obj, ensure_ascii=False, sort_keys=sort_keys)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        line = json.dumps(obj, sort_keys=sort_keys)
    return line + "\n"


@contextmanager
def atomic_directory(path: str | Path) -> Generator[Path]:
    """Yield a new folder beside `path` that becomes `path` when the block ends well, and is removed when it does not.

    The temporary name tells the process and its machine. What a process that is gone left behind is removed; while another
    process makes the same folder, `InUse` is raised. ValueError, before anything is written, if `path` exists and is not an empty
    folder.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"cannot write the folder {path}: a file has that name; choose another name")
    if path.is_dir() and any(path.iterdir()):
        raise ValueError(f"cannot write the folder {path}: it exists and is not empty; remove it or choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}@{platform.node()}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    _own_temporaries.add(temporary)
    try:
        with full_disk_named(temporary):
            yield temporary
        usual_permissions(temporary)
        if path.is_dir():
            path.rmdir()  # only succeeds while still empty; some systems do not rename onto an empty folder
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        _own_temporaries.discard(temporary)


@contextmanager
def full_disk_named(folder: Path) -> Generator[None]:
    """While writing into `folder`: a fault that comes of a full disk is an OSError that says so, whatever a library says."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError | ValueError) or shutil.disk_usage(folder).free > _ROOM:
            raise
        raise OSError(errno.ENOSPC, "no space left on the disk", str(folder)) from error


def usual_permissions(folder: Path) -> None:
    """Give every file in `folder` the permissions of a new file; safetensors and tempfile make theirs for the owner alone."""
    mask = os.umask(0)  # there is no other way to read it, and it is set for an instant
    os.umask(mask)
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.stat().st_mode & 0o777 == 0o600:
            file.chmod(0o666 & ~mask)


_ROOM = 4 * 2**20  # bytes that may be left where the next block did not fit

_own_temporaries: set[Path] = set()
"""Folders that threads of this process are making."""


def _sweep(path: Path) -> None:
    """Remove half-made folders for `path` whose process is gone. Those of other machines are left: nobody here can tell."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*@*.tmp"):
        owner = re.fullmatch(r"(\d+)@(.+)", leftover.name.removeprefix(f".{path.name}.").removesuffix(".tmp").rpartition(".")[0])
        if owner is None or owner[2] != platform.node():
            continue
        if leftover in _own_temporaries or (int(owner[1]) != os.getpid() and _alive(int(owner[1]))):
            raise InUse(f"{path} is in use by process {owner[1]} on {owner[2]}; wait for it to end, or choose another name")
        shutil.rmtree(leftover, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def one_line(error: BaseException, limit: int = 500) -> str:
    """An exception as one line of at most `limit` characters; of what is not the user's mistake, its kind is named too."""
    text = " ".join(str(error).split())
    known = isinstance(error, ValueError | OSError) and text
    line = text if known else f"{type(error).__name__}: {text}".removesuffix(": ")
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


class InUse(ValueError):
    """Another process holds the lock; the message names the folder, the process and its machine."""


@contextmanager
def lock(path: str | Path, *, wait: float = 0) -> Generator[None]:
    """Hold `path`, a file or folder that need not exist, for this process until the block ends.

    `wait` is how many seconds to wait for another holder; a negative number waits for ever. Raises `InUse` when they are over.
    The lock is the operating system's, on the file `.NAME.lock` beside `path`, so that of a process that was killed is free at
    once. That file stays: to remove it would part those who wait for it. `.NAME.owner` names the holder and goes with the lock.
    Holders are other processes, other threads, or an outer block of the same thread.
    """
    import filelock

    path = Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would lock what a link points at, in another folder
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = path.with_name(f".{path.name}.owner")
    held = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        held.acquire(timeout=wait)
    except filelock.Timeout:
        raise InUse(f"{path} is in use by {_owner_in(owner)}; wait for it to end, or choose another folder") from None
    try:
        write_text(owner, f"process {os.getpid()} on {platform.node()}\n")
        yield
    finally:
        owner.unlink(missing_ok=True)
        held.release()


def _owner_in(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip() or "another process"
    except OSError:  # it has the lock and has not written its name yet
        return "another process"


def sha256(source: str | Path | bytes) -> str:
    """The SHA-256 of bytes, or of the file at a path, as 64 hexadecimal digits. A `str` is a path."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with Path(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_bytes(path: str | Path, count: int) -> bytes:
    """What a file begins with; nothing for what is no regular file, which may never answer, or cannot be read."""
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises on some names
        return b""
    try:
        with Path(path).open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def result_header() -> dict[str, Any]:
    """What every committed result file starts with: date (UTC), commit, dirty, versions and hardware.

    `commit` and `dirty` are None when the package does not run from a git checkout that tracks it. The GPU is named
    only if torch is loaded already: a header must not cost seconds.
    """
    commit, dirty = _commit()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "dirty": dirty,
        "versions": _versions(),
        "hardware": _hardware(),
    }


def _commit() -> tuple[str | None, bool | None]:
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()

    try:
        # An installed copy may lie inside somebody else's repository; only a tracked file makes the commit ours.
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _versions() -> dict[str, str | None]:
    from dragonfly import __version__

    versions: dict[str, str | None] = {"python": platform.python_version(), "dragonfly": __version__}
    for name in ("torch", "transformers", "pillow", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def _hardware() -> dict[str, Any]:
    return {"cpu": _cpu(), "cores": os.cpu_count(), "memory_gib": _memory_gib(), "gpu": _gpu()}


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _gpu() -> str | None:
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())
