"""Peak memory of a batch, not of the process's whole life."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
import torch

from bench.engine import memory
from bench.engine.batch import run_batch
from bench.engine.memory import PeakMemory
from tests.support.plans import quick_spec

CPU = torch.device("cpu")
ONE, SLACK = 400_000_000, 100_000_000
"""Bytes of a large allocation, and how far the measure may be off: other threads, counters per core."""


def _fill(size: int) -> None:
    # pages of its own: malloc would first take what the process freed before, which is resident already
    pages = mmap.mmap(-1, size)
    for start in range(0, size, 2**20):
        pages.write(b"1" * min(2**20, size - start))
    pages.close()


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def test_the_peak_is_that_since_the_start_and_falls_again() -> None:
    """``ru_maxrss`` would keep the first, larger one."""
    before = _resident()
    first = PeakMemory(CPU)
    _fill(ONE)
    large = first.host()
    second = PeakMemory(CPU)
    _fill(ONE // 4)
    small = second.host()
    assert large is not None
    assert small is not None
    assert large == pytest.approx(before + ONE, abs=SLACK)
    assert small == pytest.approx(before + ONE // 4, abs=SLACK)
    assert first.gpu() is None


@pytest.mark.parametrize("gone", ["_RESET", "_STATUS"])
def test_where_the_system_does_not_tell_there_is_no_number(
    monkeypatch: pytest.MonkeyPatch, gone: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, gone, tmp_path / "none" / "such")
    assert PeakMemory(CPU).host() is None


def test_a_batch_has_its_peak() -> None:
    before = _resident()
    facts = run_batch(quick_spec(), 0).facts
    assert facts.peak_gpu_bytes is None
    assert facts.peak_host_bytes is not None
    assert before - SLACK < facts.peak_host_bytes < before + 10 * SLACK


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_gpu_s_peak_is_that_of_tensors() -> None:
    device = torch.device("cuda")
    peak = PeakMemory(device)
    before = torch.cuda.memory_allocated(device)
    torch.ones(ONE, dtype=torch.uint8, device=device)
    assert peak.gpu() == pytest.approx(before + ONE, abs=1 << 21)
    assert PeakMemory(device).gpu() == pytest.approx(before, abs=1 << 21)
