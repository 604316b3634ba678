"""The advice to install an extra is what works here, wherever this distribution comes from."""

from __future__ import annotations

import json
import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from dragonfly import installation
from dragonfly.installation import BUNDLED, bundled_model, bundled_name, install_advice

SOURCE = Path(__file__).parents[1] / "src" / "dragonfly"
REQUIRES = [
    "torch>=2.6",
    'accelerate<2,>=1.10; extra == "train"',
    'peft; extra == "train"',
    'dragonfly-vlm[train]; extra == "cluster"',
    'deepspeed>=0.18; extra == "cluster"',
]


def test_a_model_in_the_package_is_meant_by_its_name_unless_something_here_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [bundled_name(model) for model in (None, *BUNDLED)] == ["nano", "nano", "nano-scans"]
    assert bundled_name("owner/nano") is None and bundled_name("x" * 5000) is None
    assert all((bundled_model(name) / "model.safetensors").is_file() for name in BUNDLED)
    (tmp_path / "nano").mkdir()
    assert bundled_name("nano") is None and bundled_name(None) == "nano"


def from_where(monkeypatch: pytest.MonkeyPatch, record: dict[str, Any] | None) -> list[str]:
    """The words after `install` under a PEP 610 record."""

    class Found:
        requires = REQUIRES

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return None if record is None else json.dumps(record)

    monkeypatch.setattr(installation, "distribution", lambda name: Found())
    words = shlex.split(install_advice("cluster"))
    return words[words.index("install") + 1 :]


def test_a_checkout_is_installed_again_from_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "my checkout"
    folder.mkdir()
    record = {"url": folder.as_uri(), "dir_info": {"editable": True}}
    assert from_where(monkeypatch, record) == ["-e", f"{folder}[cluster]"]
    assert from_where(monkeypatch, {**record, "dir_info": {}}) == [f"{folder}[cluster]"]


def test_a_wheel_is_named_while_it_is_there_and_else_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "dragonfly_vlm-0.1.0-py3-none-any.whl"
    wheel.touch()
    record = {"url": wheel.as_uri(), "archive_info": {}}
    assert from_where(monkeypatch, record) == [f"{wheel}[cluster]"]
    wheel.unlink()
    assert from_where(monkeypatch, record) == ["accelerate<2,>=1.10", "peft", "deepspeed>=0.18"]


def test_an_index_a_repository_and_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_where(monkeypatch, None) == ["dragonfly-vlm[cluster]"]
    git = {"url": "https://host/dragonfly", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    assert from_where(monkeypatch, git) == ["dragonfly-vlm[cluster] @ git+https://host/dragonfly@abc"]
    address = {"url": "https://host/d.whl", "archive_info": {}}
    assert from_where(monkeypatch, address) == ["dragonfly-vlm[cluster] @ https://host/d.whl"]


def test_a_source_tree_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "distribution", absent)
    assert shlex.split(install_advice("train"))[-2:] == ["-e", f"{SOURCE.parents[1]}[train]"]


@pytest.mark.parametrize("place", ["beside", "elsewhere", "none"])
def test_the_installer_is_the_one_that_reaches_this_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    paths = {"beside": str(Path(sys.executable).parent / "pip"), "elsewhere": "/usr/bin/pip", "none": None}
    has_pip = place != "none"
    monkeypatch.setattr(installation.shutil, "which", lambda name: paths[place] if name == "pip" else "/bin/uv")
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: object() if has_pip else None)
    expected = {
        "beside": ["pip", "install"],
        "elsewhere": [sys.executable, "-m", "pip", "install"],
        "none": ["uv", "pip", "install", "--python", sys.executable],
    }
    words = shlex.split(install_advice("train"))
    assert words[: len(expected[place])] == expected[place]


def test_nobody_else_writes_the_advice() -> None:
    """Every extra that an error names comes from the one function, and exists."""
    extras = set(re.findall(r"^(\w+) = \[", (SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    for file in SOURCE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "install 'dragonfly-vlm[" not in text, file
        assert set(re.findall(r"install_advice\(['\"](\w+)['\"]\)", text)) <= extras, file
