"""Devices by their makers' published figures: memory, dense bfloat16 arithmetic, memory bandwidth. None of it was measured."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dragonfly.config import nearest

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclass(frozen=True)
class Device:
    """One device.

    Args:
        name: as `--device` takes it.
        memory: bytes, 10^9 to the GB; None where machines differ.
        flops: dense bfloat16 (float16 where it has none) multiply-adds per second, counted as 2; None where machines differ.
        bandwidth: bytes per second to its memory; None where machines differ.
        context: bytes that a process holds before any tensor: the driver's context and the libraries' work space, a round
            figure of ours.
        about: what the figures are of.
    """

    name: str
    memory: int | None
    flops: float | None
    bandwidth: float | None
    context: int = 800 * 10**6
    about: str = ""


def _gpu(name: str, memory: int, teraflops: float, bandwidth: float, about: str, context: int = 800 * 10**6) -> Device:
    return Device(name, memory * 10**9, teraflops * 1e12, bandwidth * 1e9, context, about)


_ALL = (
    _gpu("A100-40GB", 40, 312, 1555, "SXM; NVIDIA's data sheet"),
    _gpu("A100-80GB", 80, 312, 2039, "SXM; NVIDIA's data sheet"),
    _gpu("H100", 80, 989, 3350, "SXM; NVIDIA's data sheet, without sparsity"),
    _gpu("H200", 141, 989, 4800, "SXM; NVIDIA's data sheet, without sparsity"),
    _gpu("L4", 24, 121, 300, "NVIDIA's data sheet, without sparsity"),
    _gpu("L40S", 48, 362, 864, "NVIDIA's data sheet, without sparsity"),
    _gpu("RTX-4090", 24, 165, 1008, "NVIDIA's Ada white paper, float32 accumulation, without sparsity"),
    _gpu("RTX-3090", 24, 71, 936, "NVIDIA's GA102 white paper, float32 accumulation, without sparsity"),
    _gpu("T4", 16, 65, 320, "NVIDIA's data sheet; float16, it has no bfloat16"),
    _gpu("MI300X", 192, 1307, 5300, "AMD's data sheet, without sparsity"),
    _gpu("M1-Max", 64, 10.4, 400, "Apple's figures for float32, shared memory of the largest model", 0),
    _gpu("M2-Ultra", 192, 27.2, 800, "Apple's figures for float32, shared memory of the largest model", 0),
    Device("cpu", None, None, None, 0, "name its peak yourself"),
)
DEVICES: dict[str, Device] = {device.name: device for device in _ALL}


def get_device(name: str) -> Device:
    """The device of that name, in any case. ValueError with the nearest."""
    found = {known.lower(): device for known, device in DEVICES.items()}.get(name.lower())
    if found is None:
        raise ValueError(f"device: {nearest(name, DEVICES)}")
    return found


def parse_bytes(text: str) -> int:
    """`24GB` (10^9) or `24GiB` (2^30) -> bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*", text, re.IGNORECASE)
    if not match:
        raise ValueError(f"memory '{text}' is not a number with a unit, such as 24GB or 22.5GiB")
    return int(float(match[1]) * UNITS[match[2].upper()])
