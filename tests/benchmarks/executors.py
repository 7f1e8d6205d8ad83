"""Ray on one machine beside ``--workers``, in one run and in turns.

    python -m tests.benchmarks.executors results/reference

writes executors.csv. Two workers take batches of about a second; a command is run with few batches and with
many, and a batch's seconds are the difference over the difference of their numbers, so that the start of
the processes, Ray's above all, is apart. Ray must be installed.
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

RUN = (
    *("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", "--metric", "none", "--steps", "300"),
    *("--predictor", "reverse_diffusion", "--corrector", "langevin", "--workers", "2"),
)
BATCH = 32
FEW, MANY = 8, 48
EXECUTORS = {"workers": (), "ray": ("--executor", "ray")}
COLUMNS = ("executor", "seconds_per_batch", "over_workers", "start_seconds")


def seconds(options: tuple[str, ...], batches: int) -> float:
    """Seconds of wall clock of a command of so many batches in a new results folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench", *RUN, *options, "--batch-size", str(BATCH)]
        command += ["--samples", str(BATCH * batches), "--out", folder]
        begin = time.perf_counter()
        subprocess.run(command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
        return time.perf_counter() - begin


def measure(rounds: int) -> list[tuple[str, str, str, str]]:
    """A row per executor: medians over the rounds; the ratios are those within a round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in EXECUTORS}
    for _ in range(rounds):
        for name, options in EXECUTORS.items():
            few, many = seconds(options, FEW), seconds(options, MANY)
            batch = (many - few) / (MANY - FEW)
            times[name].append((batch, few - FEW * batch))
    rows = []
    for name, pairs in times.items():
        ratio = statistics.median(a[0] / b[0] for a, b in zip(pairs, times["workers"], strict=True))
        batch, start = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
        rows.append((name, f"{batch:.3f}", f"{ratio:.3f}", f"{start:.1f}"))
    return rows


def write(folder: Path, rounds: int = 3) -> None:
    """Measure, print, and write ``folder / executors.csv``."""
    rows = measure(rounds)
    with (folder / "executors.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    print((folder / "executors.csv").read_text())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
