"""Where a record comes from: versions, commit, machine."""

from __future__ import annotations

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any


@functools.cache
def provenance() -> dict[str, Any]:
    """Version of bench and torch, commit of the checkout and whether it was dirty, machine."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain") if commit else None
    return {
        "bench": metadata.version("sampler-bench"),
        "torch": metadata.version("torch"),
        "numpy": metadata.version("numpy"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "commit": commit,
        "dirty": None if changes is None else bool(changes),
    }


def _git(*arguments: str) -> str | None:
    """A git command's output in the project's own checkout; None for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
