"""Time from the command to the first batch, beside that of ``import torch``; both in one run.

    python -m tests.benchmarks.startup results/reference

writes startup.csv: per command the median seconds of wall clock and of processor time, and both beyond
those of ``python -c 'import torch'``. Rounds alternate between the commands, so that the machine's noise
affects all of them; the differences are medians over the rounds. A run is stopped where its first batch would
begin: plugins are loaded, the run is planned and fingerprinted, and the checkpoint is on its device.
"""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ALLOWED = 1.0
"""Seconds beyond ``import torch`` that a command may take to its first batch."""

FIRST_BATCH = """
import os, sys
import bench.cli
from bench.engine.session import Session
Session.warm_up = lambda *_: os._exit(0)
bench.cli.main(sys.argv[1:])
"""
WHOLE = "import sys, bench.cli; bench.cli.main(sys.argv[1:])"
EXACT = "run --checkpoint gaussian-cifar10 --sde vp --predictor reverse_diffusion --corrector langevin"
NETWORK = "run --sde vp --predictor reverse_diffusion --corrector langevin"
COMMANDS = {
    "import torch": ("import torch", ""),
    "first batch, exact": (FIRST_BATCH, EXACT),
    "first batch, network": (FIRST_BATCH, NETWORK),
    "dry run": (WHOLE, f"{EXACT} --dry-run"),
    "--help": (WHOLE, "run --help"),
}


class Times(NamedTuple):
    """Seconds of a process: of wall clock, and of processor time in user and system mode."""

    wall: float
    cpu: float


def once(name: str) -> Times:
    """Run a command of `COMMANDS` in a new process, with results in a new folder."""
    code, words = COMMANDS[name]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code, *words.split()]
        before, start = os.times(), time.perf_counter()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr}")
    user, system = (after[i] - before[i] for i in (2, 3))
    return Times(wall, user + system)


def measure(rounds: int) -> list[dict[str, str]]:
    """A row per command: medians, and medians of the rounds' differences from ``import torch``."""
    for name in COMMANDS:  # byte code and file cache
        once(name)
    times = [{name: once(name) for name in COMMANDS} for _ in range(rounds)]
    rows = []
    for name in COMMANDS:
        row = {"command": name}
        for unit in Times._fields:
            seconds = [getattr(one[name], unit) for one in times]
            beyond = [getattr(one[name], unit) - getattr(one["import torch"], unit) for one in times]
            row[f"{unit}_s"] = f"{statistics.median(seconds):.2f}"
            row[f"{unit}_s_beyond_torch"] = f"{statistics.median(beyond):.2f}"
        rows.append(row)
    return rows


def write(folder: Path, rounds: int = 7) -> None:
    """Measure, print, and write ``folder / startup.csv``."""
    rows = measure(rounds)
    with (folder / "startup.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print((folder / "startup.csv").read_text())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
