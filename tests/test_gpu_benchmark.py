"""benchmarks/gpu.py, which no GPU has run yet: every case with narrow models, and what must hold before a device is lent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu  # noqa: E402  # pyright: ignore[reportMissingImports]
import peers  # noqa: E402  # pyright: ignore[reportMissingImports]
from gpu_parts.bench import FULL, TINY, Bench, published_peak  # noqa: E402  # pyright: ignore[reportMissingImports]
from gpu_parts.training import TRAINED  # noqa: E402  # pyright: ignore[reportMissingImports]


def test_a_case_that_fails_is_recorded_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large() -> Any:
        raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB")

    def cases(bench: Any) -> Any:
        yield "one", too_large
        yield "two", lambda: {"seconds": 1.0}
        raise ValueError("a model that does not fit")

    kept: list[list[str]] = []
    monkeypatch.setitem(gpu.PARTS, "matmul", (60, cases))
    rows: dict[str, Any] = {}

    def keep(found: dict[str, Any]) -> None:
        kept.append(list(found))
        rows.update(found)

    gpu.measure(Bench(TINY), "matmul", keep)
    assert kept == [["one"], ["one", "two"], ["one", "two", "models"]]  # a stop at any moment loses one case
    assert rows["one"] == {"failed": "out of memory"}
    assert rows["two"] == {"seconds": 1.0}
    assert rows["models"] == {"failed": "a model that does not fit"}


def test_what_has_not_begun_in_time_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu.PARTS, "matmul", (-1, lambda bench: iter([("one", lambda: pytest.fail("it ran"))])))
    rows: dict[str, Any] = {}
    gpu.measure(Bench(TINY), "matmul", rows.update)
    assert "skipped" in rows["one"]["failed"]


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA L40", None),  # neither L4 nor L40S
    ],
)
def test_a_device_is_known_by_its_drivers_name(name: str, device: float | None) -> None:
    assert published_peak(name) == device


def test_full_size_models_are_made_on_the_device_alone() -> None:
    """On the meta device: what would be made on the CPU, and stop the first step, shows; and the sizes are those of the names."""
    bench = Bench(FULL)
    bench.device = torch.device("meta")
    for preset, language, billions in (("v1", "8B", 8.1), ("v2", "8B", 8.3), ("v1", "3B", 3.3)):
        model = bench.model(preset, language, torch.bfloat16)
        there = [*model.named_parameters(), *model.named_buffers()]
        assert {name for name, tensor in there if tensor.device.type != "meta"} == set()
        assert {tensor.dtype for _, tensor in model.named_parameters()} == {torch.bfloat16}
        count = sum(tensor.numel() for tensor in model.parameters())
        assert count == pytest.approx(billions * 1e9, rel=0.02)
        assert count == sum(FULL.model_size(preset, language).elements.values())


def test_peers_at_full_size_are_made_on_the_device_alone() -> None:
    sizes = peers.Sizes(FULL.language["8B"], peers.TOWER, "meta", torch.bfloat16)
    for name, system in peers.systems([], sizes=sizes).items():
        there = [*system.model.named_parameters(), *system.model.named_buffers()]
        assert {f"{name}: {one}" for one, tensor in there if tensor.device.type != "meta"} == set()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    output = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--output", str(output)])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2
    assert "sees no GPU" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.slow
def test_every_part_runs_with_narrow_models(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--tiny", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(output.read_text())
    cases = {part: result["parts"][part]["cases"] for part in gpu.PARTS}
    assert [(part, name, row) for part, rows in cases.items() for name, row in rows.items() if "failed" in row] == []
    assert set(cases["training"]) == set(TRAINED)
    assert {row["tokens_per_row"] for name, row in cases["training"].items() if "v1" in name} == {867 + 237}
    assert all(row["of_matmul"] > 0 for row in cases["training"].values())
    assert set(cases["peers"]["1 images"]["seconds"]) >= {"v1", "LLaVA-NeXT", "Idefics3", "Qwen2.5-VL"}
