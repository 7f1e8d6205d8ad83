"""Provenance of records: versions, commit, machine."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from bench.errors import printable
from bench.results.record import Provenance


@functools.cache
def provenance() -> Provenance:
    """Versions of bench and its libraries, the checkout's commit and whether it has changes, the machine.

    Cached: a process computes with the code that it loaded, so that later commits do not concern it.
    """
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain") if commit else None
    return Provenance(
        bench=metadata.version("sampler-bench"),
        torch=metadata.version("torch"),
        numpy=metadata.version("numpy"),
        python=platform.python_version(),
        platform=platform.platform(),
        processor=platform.machine(),
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        host=_host(),
        commit=commit,
        dirty=None if changes is None else bool(changes),
    )


def _cpu_model() -> str:
    """The processor as the system calls it, and its instructions that multiply bfloat16 numbers.

    Which of these it has decides how such products are rounded; the kind of a device does not tell.
    """
    lines: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            lines.setdefault(key.strip(), value.strip())
    flags = lines.get("flags", "").split()
    instructions = "".join(f" {name}" for name in ("avx512_bf16", "amx_bf16") if name in flags)
    return printable(lines.get("model name") or platform.processor()) + instructions


def _host() -> str:
    """A digest of the machine's name and number: the name itself stays here."""
    number = ""
    with suppress(OSError):
        number = Path("/etc/machine-id").read_text().strip()
    return hashlib.sha256(f"{platform.node()}\n{number}".encode(errors="replace")).hexdigest()[:8]


def _git(*arguments: str) -> str | None:
    """Output of a git command in the project's own checkout; None for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        process = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()
