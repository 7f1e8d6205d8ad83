"""Which device a run uses, and what kind it is."""

from __future__ import annotations

import pytest
import torch

from bench import BenchError
from bench.devices import (
    _kind,
    arithmetic,
    choose_device,
    choose_precision,
    device_kind,
    emulates_bf16,
    multiplies_bf16,
)

GPU = torch.cuda.is_available()


def test_auto_is_the_gpu_where_there_is_one() -> None:
    assert choose_device("auto").type == ("cuda" if GPU else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "unknown device 'gpu': take auto, cpu, cuda or cuda:N"),
        ("meta", "device 'meta' is not supported: take auto, cpu, cuda or cuda:N"),
    ],
)
def test_other_devices_are_refused_in_a_line(name: str, message: str) -> None:
    with pytest.raises(BenchError) as error:
        choose_device(name)
    assert str(error.value) == message


@pytest.mark.skipif(GPU, reason="this machine has a GPU")
def test_a_missing_gpu_is_refused_with_the_remedy() -> None:
    with pytest.raises(BenchError, match=r"^torch finds no GPU: take --device cpu$"):
        choose_device("cuda")


def test_more_gpus_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(BenchError, match=r"^there is no cuda:2: torch finds 2 GPU\(s\)$"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("variable", "value", "device"),
    [("LOCAL_RANK", "1", "cuda:1"), ("SLURM_LOCALID", "3", "cuda:1"), ("LOCAL_RANK", "odd", "cuda")],
)
def test_processes_of_torchrun_and_srun_take_their_own_gpus(
    variable: str, value: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv(variable, value)
    assert str(choose_device("auto")) == str(choose_device("cuda")) == device
    assert str(choose_device("cuda:0")) == "cuda:0"
    assert str(choose_device("cpu")) == "cpu"


def test_the_kind_of_a_cpu_is_its_instruction_set() -> None:
    assert device_kind("cpu") == f"cpu {torch.backends.cpu.get_cpu_capability()}"


@pytest.mark.parametrize(("capability", "emulated"), [("AVX2", True), ("AVX512", False)])
def test_bfloat16_without_avx512_is_emulated(
    monkeypatch: pytest.MonkeyPatch, capability: str, emulated: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    _kind.cache_clear()
    try:
        assert emulates_bf16("cpu") == emulated
    finally:
        _kind.cache_clear()


def switches() -> tuple[bool, bool]:
    """Whether torch multiplies and convolves in TensorFloat-32 on a GPU."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("tf32", [False, True])
def test_arithmetic_holds_in_its_block_alone(tf32: bool) -> None:
    before, within = switches(), []

    def fail() -> None:
        with arithmetic(torch.device("cuda"), tf32=tf32):
            within.append(switches())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert within == [(tf32, tf32)]
    assert switches() == before


def test_arithmetic_leaves_the_switches_for_a_cpu() -> None:
    before = switches()
    with arithmetic(torch.device("cpu"), tf32=not before[0]):
        assert switches() == before


@pytest.mark.parametrize(
    ("abilities", "multiplies"),
    [
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"amx_bf16": False, "avx512_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": False, "avx512_f": True}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_processors_that_multiply_bf16(
    abilities: dict[str, object], multiplies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities, raising=False)
    assert multiplies_bf16.__wrapped__("cpu") == multiplies


@pytest.mark.parametrize(("capability", "multiplies"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_that_multiply_bf16(
    capability: tuple[int, int], multiplies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert multiplies_bf16.__wrapped__("cuda:0") == multiplies


def test_torch_that_tells_no_abilities_stays_with_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not multiplies_bf16.__wrapped__("cpu")
    assert not multiplies_bf16("mps")


def test_precision_by_checkpoint_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for multiplies, network in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr("bench.devices.multiplies_bf16", lambda _, answer=multiplies: answer)
        assert choose_precision("auto", "cpu", exact=False) == network
        assert choose_precision("auto", "cpu", exact=True) == "fp32"
        assert choose_precision("fp32", "cpu", exact=False) == "fp32"
        assert choose_precision("bf16", "cpu", exact=True) == "bf16"
