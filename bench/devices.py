"""Devices: which one a run uses, and what kind it is."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    pass

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@functools.cache
def device_kind(device: str) -> str:
    """The kind of device, on which the same command gives the same bits."""
    import torch

    if device.startswith("cuda"):
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}" if device == "cpu" else device


def choose_device(wanted: str) -> torch.device:
    """``auto``: the GPU where there is one. `BenchError` where the wanted device is missing."""
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise BenchError(f"unknown device {wanted!r}: take auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BenchError("no GPU that torch can use was found: take --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BenchError(f"there is no {wanted}: torch finds {torch.cuda.device_count()} GPU(s)")
    if device.type not in ("cpu", "cuda"):
        raise BenchError(f"device {wanted!r} is not supported: take auto, cpu, cuda or cuda:N")
    return device
