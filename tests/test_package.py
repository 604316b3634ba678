"""What is installed: the lock holds all that CI installs, and the wheel is the package, its licences and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dragonfly.installation import BUNDLED

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "dragonfly"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODELS, REST = 19_000_000, 1_600_000  # bytes of the wheel: weights of the models in the package, compressed, and all else
TORCH = ("torch", "torchvision", "torchaudio")


def asked(lines: list[str]) -> Iterator[Requirement]:
    """These requirements, the project's own extras resolved."""
    for requirement in map(Requirement, lines):
        if requirement.name != PROJECT["name"]:
            yield requirement
        for extra in requirement.extras if requirement.name == PROJECT["name"] else ():
            yield from asked(PROJECT["optional-dependencies"][extra])


def test_the_lock_pins_all_that_ci_installs_within_what_is_allowed() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    assert all(pins.values()) and len(pins) == len(lines)
    assert not {name for name in pins if name in TORCH or name.startswith(("nvidia", "triton"))}
    wanted = {
        canonicalize_name(one.name): one.specifier for one in asked([*PROJECT["dependencies"], f"{PROJECT['name']}[dev,docs]"])
    }
    assert wanted.pop(canonicalize_name("torch"))
    assert [name for name, allowed in wanted.items() if name not in pins or pins[name] not in allowed] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        held = [f"dragonfly/assets/{name}/model.safetensors" for name in BUNDLED]
        weights = sum(archive.getinfo(name).compress_size for name in held)
    files = {file for file in SOURCE.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert names == {file.relative_to(SOURCE.parent).as_posix() for file in files}
    assert {"dragonfly/py.typed", *held} <= names
    assert weights < MODELS and wheel.stat().st_size - weights < REST


@pytest.mark.slow
def test_the_wheel_names_and_holds_every_licence(wheel: Path) -> None:
    licences = {file.relative_to(ROOT).as_posix() for file in [ROOT / "LICENSE", *SOURCE.rglob("LICENSE*")]}
    assert len(licences) == 3
    with zipfile.ZipFile(wheel) as archive:
        (place,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(place).decode("utf-8"))
        held = {name.partition(".dist-info/licenses/")[2] for name in archive.namelist()} - {""}
    assert metadata["License-Expression"] == "MIT AND Bitstream-Vera AND OFL-1.1-RFN"
    assert set(metadata.get_all("License-File", [])) == held == licences


@pytest.mark.slow
def test_the_wheel_answers_and_says_what_only_a_clone_has(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dragonfly", *words]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HF_HUB_OFFLINE": "1"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)

    answer = run("ask", str(ROOT / "examples" / "images" / "shapes.png"), "Read the value beside the blue diamond.")
    assert (answer.returncode, answer.stdout.splitlines()[0]) == (0, "83"), answer.stderr
    refused = run("ablate", "headline", "-o", "out")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: study 'headline' needs checkpoints/nano/pages") and refused.stderr.count("\n") == 1
