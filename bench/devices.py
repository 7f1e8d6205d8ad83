"""Devices: the choice of one, its kind, and the precision of its arithmetic."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    import torch

    from bench.types import Precision, PrecisionChoice


def device_kind(device: str) -> str:
    """The kind of a device, on which the same command gives the same bits.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        ``cuda NAME`` or ``cpu AVX2``, by the names that torch has for them.
    """
    return _kind(device)


@functools.cache
def _kind(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}" if device == "cpu" else device


def emulates_bf16(device: str) -> bool:
    """Whether a device computes in bfloat16 by way of float32, as an x86 processor without AVX-512 does."""
    return device_kind(device) == "cpu AVX2"


@functools.cache
def multiplies_bf16(device: str) -> bool:
    """Whether a device has instructions that multiply bfloat16 numbers.

    These are GPUs of compute capability 8 or more, and processors with AMX or AVX512-BF16.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device != "cpu":
        return False
    # torch before 2.11 has no such function: the precision then stays fp32
    abilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16"))


def choose_precision(choice: PrecisionChoice, device: str, *, exact: bool) -> Precision:
    """The precision of a run, decided from the command, the checkpoint and the device alone.

    Args:
        choice: What the user asks for.
        device: The run's device.
        exact: Whether the checkpoint is exact, which no network computes.

    Returns:
        The choice; for ``auto``, bf16 for a network on a device that multiplies bfloat16, otherwise fp32.
    """
    if choice != "auto":
        return choice
    return "bf16" if not exact and multiplies_bf16(device) else "fp32"


@contextmanager
def arithmetic(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """On a GPU, compute in TensorFloat-32 or in full float32 within a block.

    torch has these switches per process only; the block restores them.
    """
    import torch

    if device.type != "cuda":
        yield
        return
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = tf32
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def place_of_process(*names: str) -> int | None:
    """This process's number among those that torchrun or srun started; None outside of them.

    Args:
        names: Variables that hold it: ``RANK`` and ``SLURM_PROCID`` among all processes, ``LOCAL_RANK`` and
            ``SLURM_LOCALID`` among those of the machine. The first that is set counts.
    """
    for name in names:
        value = os.environ.get(name, "")
        if value.isascii() and value.isdigit():
            return int(value[:9])
    return None


def choose_device(name: str) -> torch.device:
    """The device called ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    A process that torchrun or srun started takes the GPU of its number on the machine for ``cuda``.

    Raises:
        BenchError: There is no such device, or bench does not support it.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    local = place_of_process("LOCAL_RANK", "SLURM_LOCALID")
    if name == "cuda" and local is not None and torch.cuda.device_count() > 1:
        name = f"cuda:{local % torch.cuda.device_count()}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BenchError(f"unknown device {name!r}: take auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BenchError("torch finds no GPU: take --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BenchError(f"there is no {name}: torch finds {torch.cuda.device_count()} GPU(s)")
    if device.type not in ("cpu", "cuda"):
        raise BenchError(f"device {name!r} is not supported: take auto, cpu, cuda or cuda:N")
    return device
