"""Several processes on one machine: `torchrun -m dragonfly train` on a small recipe."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from dragonfly.config import dump
from tests.training import small


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def launched(folder: Path, name: str, processes: int = 2, **changes: Any) -> subprocess.CompletedProcess[str]:
    """The finished command, whatever came of it."""
    recipe = small.recipe(folder, output=str(folder / name), **changes)
    (folder / f"{name}.yaml").write_text(dump(recipe))
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", f"--master-port={free_port()}"]
    command += ["-m", "dragonfly", "train", str(folder / f"{name}.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DRAGONFLY_DEBUG": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=550, check=False)


def torchrun(folder: Path, name: str, processes: int = 2, **changes: Any) -> Path:
    """The model directory that the command wrote."""
    done = launched(folder, name, processes, **changes)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / name
