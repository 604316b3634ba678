"""Files are whole or absent; headers name where a number came from."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from dragonfly import __version__, files
from dragonfly.files import (
    InUse,
    atomic_directory,
    atomic_write,
    check_suffix,
    first_bytes,
    json_line,
    lock,
    one_line,
    result_header,
    sha256,
    write_json,
    write_text,
)


def test_a_written_file_holds_the_text_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "notes.txt"
    write_text(target, "größer\nsecond\n")
    assert target.read_bytes() == "größer\nsecond\n".encode()
    assert list(target.parent.iterdir()) == [target]


def test_the_old_file_stays_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with atomic_write(target, "wb") as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


def test_a_failure_keeps_the_old_file_and_removes_the_temporary_one(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def interrupted() -> None:
        with atomic_write(target) as file:
            file.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "ours.txt", "x")
    (tmp_path / "plain.txt").write_text("x")
    assert (tmp_path / "ours.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot write .*: it is a folder; name a file"):
        write_text(tmp_path, "x")


def test_json_is_indented_keeps_letters_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1], "a": "é"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "b": [\n    1\n  ],\n  "a": "é"\n}\n'


def test_json_refuses_nan_and_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert (tmp_path / "a.json").read_text() == "1\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_line_of_json_can_always_be_written() -> None:
    assert json_line({"b": "é", "a": 1}) == '{"b": "é", "a": 1}\n'
    assert json_line({"b": "é", "a": 1}, sort_keys=True) == '{"a": 1, "b": "é"}\n'
    line = json_line({"half": "é\ud800"})
    assert json.loads(line.encode("utf-8")) == {"half": "é\ud800"}


def test_an_exception_in_one_line() -> None:
    assert one_line(ValueError("seen\n  this")) == "seen this"
    assert one_line(RuntimeError("seen")) == "RuntimeError: seen"
    assert one_line(MemoryError()) == "MemoryError"
    assert len(one_line(ValueError("x" * 9999))) == 500


def test_what_a_killed_process_left_of_a_folder_is_removed_and_a_living_one_is_named(tmp_path: Path) -> None:
    code = "import sys, time\nfrom dragonfly.files import atomic_directory\nwith atomic_directory(sys.argv[1]) as folder:\n"
    code += "    (folder / 'half').write_text('x'); print(folder, flush=True); time.sleep(60)"
    target = tmp_path / "set"
    with subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout
        leftover = Path(maker.stdout.readline().strip())
        assert f"{maker.pid}@{platform.node()}" in leftover.name
        with pytest.raises(InUse, match=f"set is in use by process {maker.pid} on "), atomic_directory(target):
            pytest.fail("two make one folder")
        maker.kill()
    elsewhere = leftover.with_name(leftover.name.replace(platform.node(), "another-machine"))
    elsewhere.mkdir()
    with atomic_directory(target) as folder:
        (folder / "whole").write_text("x")
    assert not leftover.exists() and elsewhere.exists()
    assert [file.name for file in target.iterdir()] == ["whole"]


def test_a_folder_has_the_usual_permissions_whatever_a_library_made(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        with atomic_directory(tmp_path / "a") as folder:
            (folder / "private").write_text("x")
            (folder / "private").chmod(0o600)
            (folder / "script").write_text("x")
            (folder / "script").chmod(0o755)
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "private").stat().st_mode & 0o777 == 0o664
    assert (tmp_path / "a" / "script").stat().st_mode & 0o777 == 0o755


def test_a_full_disk_is_named_whatever_a_library_makes_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(error: Exception) -> None:
        with atomic_directory(tmp_path / "a"):
            raise error

    with pytest.raises(RuntimeError, match="a fault"):
        failing(RuntimeError("a fault"))
    monkeypatch.setattr("dragonfly.files.shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="no space left on the disk") as caught:
        failing(RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos"))
    assert caught.value.errno == errno.ENOSPC
    assert not any(tmp_path.iterdir())


def _in_use(path: Path) -> str:
    with pytest.raises(InUse) as error, lock(path):
        pytest.fail("two hold one lock")
    return str(error.value)


def test_one_holds_a_lock_and_the_next_gets_it_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "study"
    with lock(folder):
        owner = f"process {os.getpid()} on {platform.node()}"
        assert _in_use(folder) == f"{folder} is in use by {owner}; wait for it to end, or choose another folder"
        assert owner in _in_use(folder)  # whoever did not get it leaves the owner's name alone
        with lock(tmp_path / "other"):
            pass
    with lock(folder):
        pass
    assert [path.name for path in folder.parent.iterdir()] == [".study.lock"]


def test_a_lock_is_free_after_a_failure_and_a_fault_in_the_block_is_not_taken_for_its_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine") as error, lock(tmp_path / "a"):
        raise ValueError("mine")
    assert not isinstance(error.value, InUse)
    with lock(tmp_path / "a"):
        pass


def test_a_killed_owners_lock_is_free_at_once(tmp_path: Path) -> None:
    code = "import sys, time\nfrom dragonfly.files import lock\nwith lock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        assert f"is in use by process {holder.pid} on {platform.node()}" in _in_use(tmp_path / "a")
        holder.kill()
        holder.wait()
        with lock(tmp_path / "a"):
            assert str(os.getpid()) in (tmp_path / ".a.owner").read_text()


def test_a_lock_is_waited_for_as_long_as_is_said(tmp_path: Path) -> None:
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with lock(tmp_path / "a"):
            held.set()
            leave.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    start = time.monotonic()
    with pytest.raises(InUse), lock(tmp_path / "a", wait=0.2):
        pytest.fail("two hold one lock")
    assert 0.2 <= time.monotonic() - start < 10
    threading.Timer(0.2, leave.set).start()
    with lock(tmp_path / "a", wait=-1):
        pass
    other.join()


def test_sha256_of_bytes_and_of_a_file_agree(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"dragonfly")
    expected = hashlib.sha256(b"dragonfly").hexdigest()
    assert sha256(b"dragonfly") == sha256(tmp_path / "a") == sha256(str(tmp_path / "a")) == expected


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_appears_whole(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "model"
    if exists:
        target.mkdir()
    with atomic_directory(target) as temporary:
        assert temporary.parent == tmp_path
        (temporary / "config.json").write_text("{}")
        assert not (target / "config.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in target.iterdir()] == ["config.json"]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> None:
        with atomic_directory(tmp_path / "model") as temporary:
            (temporary / "half").write_text("x")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        failing()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_content_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    with (
        pytest.raises(ValueError, match=r"it exists and is not empty; remove it or choose another name"),
        atomic_directory(tmp_path),
    ):
        pytest.fail("the block ran")
    with pytest.raises(ValueError, match="a file has that name"), atomic_directory(tmp_path / "keep.txt"):
        pytest.fail("the block ran")
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_a_result_header_names_date_commit_versions_and_hardware() -> None:
    header = result_header()
    assert list(header) == ["date", "commit", "dirty", "versions", "hardware"]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(header["date"])).total_seconds()) < 3600
    assert list(header["versions"]) == ["python", "dragonfly", "torch", "transformers", "pillow", "numpy"]
    assert header["versions"]["dragonfly"] == __version__
    assert header["versions"]["pillow"].split(".")[0].isdigit()
    assert list(header["hardware"]) == ["cpu", "cores", "memory_gib", "gpu"]
    assert header["hardware"]["cores"] >= 1
    assert json.loads(json.dumps(header)) == header


def _checkout(folder: Path, *, track: bool) -> Path:
    """A git repository holding a copy of files.py, tracked or not."""
    folder.mkdir()
    copy = folder / "files.py"
    copy.write_bytes(Path(files.__file__).read_bytes())
    (folder / "other.txt").write_text("x")
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "files.py" if track else "other.txt"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    return copy


def test_the_commit_is_that_of_the_checkout_that_tracks_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = _checkout(tmp_path / "ours", track=True)
    monkeypatch.setattr(files, "__file__", str(copy))
    clean = result_header()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    copy.write_text("changed")
    assert (result_header()["commit"], result_header()["dirty"]) == (clean["commit"], True)


def test_an_installed_copy_inside_another_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "__file__", str(_checkout(tmp_path / "theirs", track=False)))
    assert (result_header()["commit"], result_header()["dirty"]) == (None, None)


def test_files_and_its_header_load_neither_torch_nor_numpy() -> None:
    code = "import sys, dragonfly.files as f; f.result_header(); print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"


def test_a_page_is_not_written_over_another_kind_of_file(tmp_path: Path) -> None:
    check_suffix(tmp_path / "page.HTML", (".html", ".htm"))
    with pytest.raises(ValueError, match=r"cannot write this as '.*a.png'; use a name that ends in .html or .htm$"):
        check_suffix(tmp_path / "a.png", (".html", ".htm"))


def test_what_a_file_begins_with_is_read_of_regular_files_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcdef")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer for ever
    assert first_bytes(tmp_path / "a", 3) == b"abc"
    assert [first_bytes(place, 3) for place in (tmp_path, tmp_path / "pipe", tmp_path / "gone", "a\0b", "a" * 5000)] == [b""] * 5
