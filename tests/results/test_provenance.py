"""Versions, commit and machine of a record."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from bench.results import provenance as module
from bench.results.provenance import provenance


def test_versions_are_those_of_the_installed_distributions() -> None:
    entries = provenance()
    assert (entries.bench, entries.torch, entries.numpy) == (
        metadata.version("sampler-bench"),
        metadata.version("torch"),
        metadata.version("numpy"),
    )
    assert entries.python == platform.python_version()
    assert provenance() is entries


def test_a_checkout_has_its_commit_and_whether_it_has_changes() -> None:
    root = Path(module.__file__).resolve().parents[2]
    process = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    commit = process.stdout.strip() if process.returncode == 0 else None
    provenance.cache_clear()
    assert provenance().commit == commit
    assert (provenance().dirty is None) == (commit is None)


@pytest.mark.parametrize("error", [OSError, subprocess.TimeoutExpired("git", 10)])
def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    provenance.cache_clear()
    entries = provenance()
    provenance.cache_clear()
    assert (entries.commit, entries.dirty) == (None, None)


def test_the_machine_is_told_apart_and_not_named() -> None:
    entries = provenance()
    assert entries.cpu
    assert entries.cores is not None
    assert 1 <= entries.cores <= (os.cpu_count() or 1)
    assert re.fullmatch("[0-9a-f]{8}", entries.host)
    assert platform.node() not in {entries.host, entries.cpu}
    provenance.cache_clear()
    assert provenance().host == entries.host


def test_another_machine_has_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    here = module._host()
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    assert module._host() != here
    assert "elsewhere" not in module._host()


def test_instructions_for_bfloat16_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def processor(flags: str) -> str:
        text = f"processor : 0\nmodel name : A\nflags : fpu {flags}\n\nprocessor : 1\nmodel name : B\n"
        monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
        return module._cpu_model()

    assert processor("avx512f") == "A"
    assert processor("avx512_bf16") == "A avx512_bf16"
    assert processor("amx_bf16 avx512_bf16") == "A avx512_bf16 amx_bf16"
