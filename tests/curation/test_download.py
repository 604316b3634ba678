"""`dragonfly curate MIX --download` against a stand-in hub: what is open arrives and is read, and a broken download goes on."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dragonfly.curation.download import _base, _unpack
from dragonfly.curation.sources import SOURCES
from dragonfly.data import Sample

from .hub import Hub, running
from .sources.layouts import LAYOUTS


def curate(folder: Path, hub: Hub, *args: str) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it: the hub's client reads its address when it is imported."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "dragonfly", "curate", *args]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


def published(folder: Path) -> dict[str, bytes]:
    """LLaVA-Pretrain as the hub has it: its list, its images in one archive, and files that nobody reads."""
    LAYOUTS["llava-pretrain"](folder)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for image in sorted((folder / "images").rglob("*.jpg")):
            zipped.write(image, image.relative_to(folder / "images").as_posix())
    text = (folder / "blip_laion_cc_sbu_558k.json").read_bytes()
    return {
        "blip_laion_cc_sbu_558k.json": text + b" " * 12_000_000,
        "images.zip": archive.getvalue(),
        "blip_laion_cc_sbu_558k_meta.json": b"[]",
        "README.md": b"# LLaVA-Pretrain",
    }


@pytest.mark.slow
def test_what_is_open_is_fetched_resumed_after_a_break_and_read(tmp_path: Path) -> None:
    with running() as hub:
        hub.files["liuhaotian/LLaVA-Pretrain"] = published(tmp_path / "made")
        folder = tmp_path / "data/llava-pretrain"
        listed = "blip_laion_cc_sbu_558k.json"
        hub.breaks[listed] = [1000] * 20  # more often than the client tries
        broken = curate(tmp_path, hub, "pretrain", "--download")
        assert broken.returncode == 2, broken.stderr
        told = broken.stderr.splitlines()[-1]
        assert told.startswith("error: llava-pretrain: the hub did not give liuhaotian/LLaVA-Pretrain (")
        assert told.endswith("the files that are whole stay in data/llava-pretrain: run the same command again")
        assert SOURCES["llava-pretrain"].missing(folder) == ("the rest of a download that did not finish",)
        assert not (folder / listed).exists()
        hub.breaks[listed] = [11_000_000]  # the client keeps 10 MiB at a time
        hub.sent.clear()
        whole = curate(tmp_path, hub, "pretrain", "--download")
        assert whole.returncode == 0, whole.stderr
        # The rest from where it broke off; the archive, which was whole, not again; and nothing that nobody reads.
        assert hub.sent == [(listed, None), (listed, f"bytes={10 * 1024**2}-")]
        assert SOURCES["llava-pretrain"].missing(folder) == ()
        rows = [row for row in SOURCES["llava-pretrain"].read(folder) if isinstance(row, Sample)]
        assert len(rows) == 3 and rows[0].images[0].path == str(folder / "images/00000/00000.jpg")
        hub.sent.clear()
        assert "llava-pretrain: there (data/llava-pretrain)" in curate(tmp_path, hub, "pretrain", "--download").stderr
        assert hub.sent == []


@pytest.mark.slow
def test_what_is_not_open_is_named_with_where_to_ask_and_excluded_sub_sets_stay_away(tmp_path: Path) -> None:
    LAYOUTS["cauldron"](tmp_path / "made")
    parts = {path.relative_to(tmp_path / "made").as_posix(): path.read_bytes() for path in (tmp_path / "made").rglob("*.parquet")}
    parts["websight/train-00000-of-00001.parquet"] = b"not to be fetched"
    with running() as hub:
        hub.files["HuggingFaceM4/the_cauldron"] = parts
        for name in ("sharegpt4v", "allava", "openhermes", "mathinstruct"):
            LAYOUTS[name](tmp_path / "data" / name)
        done = curate(tmp_path, hub, "general", "--download")
    assert done.returncode == 0, done.stderr
    applied = "svit: skipped; access is gated: apply at https://huggingface.co/datasets/BAAI/SVIT, where its terms are accepted"
    assert applied in done.stderr
    assert "data/benchmarks: skipped; it is not one of ours: no file or folder data/benchmarks" in done.stderr
    fetched = {
        path.relative_to(tmp_path / "data/cauldron").as_posix() for path in (tmp_path / "data/cauldron").glob("*/*.parquet")
    }
    assert fetched == {"ai2d/train-00000-of-00001-abc.parquet"}


@pytest.mark.parametrize(
    ("names", "base"),
    [
        (["00000/1.jpg", "00001/2.jpg"], "allava_laion/images"),
        (["images/1.jpg", "images/2.jpg"], "allava_laion"),
        (["allava_laion/images/1.jpg"], "."),
        (["images/1.jpg", "2.jpg"], "allava_laion/images"),
    ],
)
def test_an_archive_is_unpacked_to_where_the_reader_looks(names: list[str], base: str) -> None:
    from pathlib import PurePosixPath

    target = PurePosixPath("allava_laion/images")
    assert str(_base([PurePosixPath(name).parts for name in names], target)) == base


@pytest.mark.parametrize("name", ["../outside.jpg", "/outside.jpg", "images/../../outside.jpg"])
def test_an_archive_that_points_outside_is_refused(name: str, tmp_path: Path) -> None:
    from pathlib import PurePosixPath

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr(name, b"x")
    with pytest.raises(ValueError, match="which points outside; it is not unpacked"):
        _unpack(tmp_path / "a.zip", tmp_path / "in", PurePosixPath("images"))
    (tmp_path / "b.zip").write_bytes(b"PK half")
    with pytest.raises(ValueError, match="is not a whole zip file"):
        _unpack(tmp_path / "b.zip", tmp_path / "in", PurePosixPath("images"))
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".zip"] == []
