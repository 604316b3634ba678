"""What this very installation holds: the models in the package, and the command that adds an extra here."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAME = "dragonfly-vlm"
BUNDLED = ("nano", "nano-scans")
"""The models in the package: the one that answers where none is named, and one for scanned pages."""


def bundled_model(name: str = BUNDLED[0]) -> Path:
    """The directory of a model in the package."""
    return Path(str(files("dragonfly") / "assets" / name))


def bundled_name(model: str | Path | None) -> str | None:
    """The model in the package that is meant: the first where none is named; None for every other model.

    What lies here under such a name is meant before it.
    """
    name = BUNDLED[0] if model is None else str(model)
    is_other = name not in BUNDLED or (model is not None and os.path.exists(name))  # noqa: PTH110 - Path.exists raises on long names
    return None if is_other else name


def install_advice(extra: str) -> str:
    """The command that installs an extra beside what is running: `pip install -e '/home/me/dragonfly[train]'`.

    PEP 610 says where a distribution comes from: a folder (editable or not), an archive, a repository, or, where it says
    nothing, an index. What has gone since is not named; then the extra's own packages are.
    """
    try:
        found = distribution(NAME)
    except PackageNotFoundError:
        folder = Path(__file__).parents[2]  # running from a source tree that is not installed
        if (folder / "pyproject.toml").is_file():
            return _install("-e", f"{folder}[{extra}]")
        return _install(f"{NAME}[{extra}]")
    record = json.loads(found.read_text("direct_url.json") or "{}")
    url, wanted = record.get("url"), f"{NAME}[{extra}]"
    if url is None:
        return _install(wanted)
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        if path.exists():
            is_editable = record.get("dir_info", {}).get("editable", False)
            return _install(*(["-e"] if is_editable else []), f"{path}[{extra}]")
        return _install(*_packages(found, extra))
    if "vcs_info" in record:
        source = record["vcs_info"]
        return _install(f"{wanted} @ {source['vcs']}+{url}@{source['commit_id']}")
    return _install(f"{wanted} @ {url}")


def _install(*words: str) -> str:
    """By the installer that reaches this Python."""
    beside, named = Path(sys.executable).parent, shutil.which("pip")
    if named is not None and Path(named).parent == beside:
        command = ["pip", "install"]
    elif importlib.util.find_spec("pip") is None and shutil.which("uv") is not None:
        command = ["uv", "pip", "install", "--python", sys.executable]
    else:
        command = [sys.executable, "-m", "pip", "install"]
    return " ".join([*map(shlex.quote, command), *map(shlex.quote, words)])


def _packages(found: Distribution, extra: str, seen: tuple[str, ...] = ()) -> list[str]:
    """The requirements that an extra adds, those of extras it stands on included, as its metadata writes them."""
    packages: list[str] = []
    for line in found.requires or ():
        requirement, _, marker = line.partition(";")
        if not re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", marker):
            continue
        own = re.fullmatch(rf"{NAME}\[(.+)\]", requirement.strip())
        if own is None:
            packages.append(requirement.strip())
        else:
            inner = [name for name in own[1].split(",") if name not in (extra, *seen)]
            packages += [one for name in inner for one in _packages(found, name, (*seen, extra))]
    return list(dict.fromkeys(packages))
