"""Ray on one machine beside ``--workers``, in one run and in turns.

    python -m tests.benchmarks.executors results/reference

writes executors.csv. Two workers take batches of about a second. ``seconds_per_batch`` is the time between
the files of two batches, from the fifth to the last but one (two are under way at a time), so that the start
of the processes, Ray's above all, is apart. ``engine_share`` is the part of that time in which a worker
computes no batch. Ray must be installed.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

WORKERS = 2
RUN = (
    *("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", "--metric", "none", "--steps", "300"),
    *("--predictor", "reverse_diffusion", "--corrector", "langevin", "--workers", str(WORKERS)),
)
BATCH = 112
BATCHES = 40
EXECUTORS = {"workers": (), "ray": ("--executor", "ray")}
COLUMNS = (
    *("executor", "seconds_per_batch", "over_workers", "lowest", "highest"),
    *("start_seconds", "engine_share"),
)


class Times(NamedTuple):
    """Seconds of wall clock per batch, other seconds of a command, and the workers' time out of batches."""

    batch: float
    start: float
    engine_share: float


def once(options: tuple[str, ...]) -> Times:
    """Times of a command in a new results folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench", *RUN, *options, "--batch-size", str(BATCH)]
        command += ["--samples", str(BATCH * BATCHES), "--out", folder]
        begin = time.perf_counter()
        subprocess.run(command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
        whole = time.perf_counter() - begin
        written = sorted(path.stat().st_mtime for path in Path(folder).glob("samples/*/*.safetensors"))
        record = next(Path(folder).glob("records/*.json"))
        within = json.loads(record.read_text())["cost"]["seconds"] / BATCHES
    assert len(written) == BATCHES
    batch = (written[-2] - written[4]) / (BATCHES - 6)
    return Times(batch, whole - BATCHES * batch, 1 - within / (WORKERS * batch))


def measure(rounds: int) -> list[tuple[str, ...]]:
    """A row per executor: medians over the rounds; ratios are within a round, with their extremes."""
    times: dict[str, list[Times]] = {name: [] for name in EXECUTORS}
    for _ in range(rounds):
        for name, options in EXECUTORS.items():
            times[name].append(once(options))
    rows = []
    for name, all_times in times.items():
        ratios = [a.batch / b.batch for a, b in zip(all_times, times["workers"], strict=True)]
        batch, start, share = (statistics.median(one) for one in zip(*all_times, strict=True))
        spread = (statistics.median(ratios), min(ratios), max(ratios))
        numbers = (*(f"{ratio:.3f}" for ratio in spread), f"{start:.1f}", f"{share:.3f}")
        rows.append((name, f"{batch:.3f}", *numbers))
    return rows


def write(folder: Path, rounds: int = 7) -> None:
    """Measure, print, and write ``folder / executors.csv``."""
    rows = measure(rounds)
    with (folder / "executors.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    print((folder / "executors.csv").read_text())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
