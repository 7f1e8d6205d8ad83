"""This build against an older one, side by side in one run.

    git worktree add --detach OLD COMMIT
    python -m tests.benchmarks.against results/reference OLD tables
    python -m tests.benchmarks.against results/reference OLD suite
    python -m tests.benchmarks.against results/reference OLD memory

writes against-PART.csv in the folder. Commands run as a user starts them, in processes of their own and in
new results folders, and rounds alternate between the builds.

- ``tables``: `bench table nfe` on 1,000 records that each build writes of the same made-up values, and here
  on 10,000; in seconds of the processor, which other programs disturb less than those of the clock.
- ``suite``: table1 at a tenth of its steps on gaussian-cifar10, with its own 1024 samples and with 4096; here
  with two workers, and with one of one thread; the older build as it stands. ``batch_seconds`` are those
  within batches, of all workers together.
- ``memory``: peak memory of `bench run` on 10 to 10,000 batches of this build.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[2]
BENCH = "from bench.cli import main; main()"
FILL_OLD = """
import sys
from pathlib import Path
from bench.store import Store
from tests.made_up import fill, manifest
plan = manifest("nfe", seeds=int(sys.argv[1]) // 150 + 1)
plan["cells"] = plan["cells"][: int(sys.argv[1])]
fill(Store(Path("results")), plan)
"""
FILL = """
import sys
from pathlib import Path
from bench.results.store import Store
from tests.support.made_up import fill, suite_plan
plan = suite_plan("nfe", seeds=int(sys.argv[1]) // 150 + 1)
fill(Store(Path("results")), plan.model_copy(update={"cells": plan.cells[: int(sys.argv[1])]}))
"""
SUITE = "run --suite table1 --steps-scale 0.1 --checkpoint gaussian-cifar10 --device cpu"
MEMORY = (
    "run --checkpoint gaussian-cifar10 --sde vp --predictor ancestral --grid logsnr --steps 2 --metric none"
    " --device cpu --batch-size 1"
)
Row = dict[str, Any]


class Build:
    """A build of this project, by its folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder.absolute()

    def run(self, code: str, words: str, where: Path, threads: int | None = None) -> float:
        """Run Python code in a new process in a folder; its seconds of wall clock."""
        paths = [str(self.folder), str(self.folder / "plugins")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each run compiles all modules anew
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment.pop(name, None)
            if threads is not None:
                environment[name] = str(threads)
        begin = time.perf_counter()
        command = [sys.executable, "-c", code, *words.split()]
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise RuntimeError(f"{self.name}: {words}: {done.stderr[-2000:]}")
        return seconds


def tables(new: Build, old: Build, rounds: int = 5, count: int = 1000) -> list[Row]:
    """`bench table` on ``count`` records of either build, and on ten times as many of the new one."""
    cases = [(old, FILL_OLD, count), (new, FILL, count), (new, FILL, 10 * count)]
    with tempfile.TemporaryDirectory() as root:
        folders = []
        for i, (build, fill, records) in enumerate(cases):
            folders.append(Path(root) / str(i))
            folders[-1].mkdir()
            build.run(fill, str(records), folders[-1])
        times: list[list[float]] = [[] for _ in cases]
        for turn in range(rounds + 1):
            for (build, _, _), folder, seconds in zip(cases, folders, times, strict=True):
                before = _processor_seconds()
                build.run(BENCH, "table nfe", folder, 1)
                if turn:  # the first one fills the file cache and compiles byte code
                    seconds.append(_processor_seconds() - before)
    rows = []
    for (build, _, records), seconds in zip(cases, times, strict=True):
        ratio = statistics.median(a / b for a, b in zip(seconds, times[0], strict=True))
        row: Row = {"build": build.name, "records": records}
        row["processor_seconds"] = f"{statistics.median(seconds):.2f}"
        rows.append(row | {"of_old": f"{ratio:.2f}"})
    growth = statistics.median(a / b for a, b in zip(times[2], times[1], strict=True))
    return [row | {"ten_times_of_one": f"{growth:.2f}"} for row in rows]


def _processor_seconds() -> float:
    """Seconds of the processor that this process's finished children used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed_runs(cases: list[tuple[str, Build, str, int | None]], samples: int, rounds: int) -> list[Row]:
    """Commands in turn, each in a new results folder; how many times as fast as the first and the second."""
    times: list[list[float]] = [[] for _ in cases]
    facts: list[Row] = [{} for _ in cases]
    for _ in range(rounds):
        for i, (_, build, words, threads) in enumerate(cases):
            with tempfile.TemporaryDirectory() as folder:
                command = f"{words} --samples {samples}"
                times[i].append(build.run(BENCH, command, Path(folder), threads))
                facts[i] = batch_facts(Path(folder) / "results" / "records")
    rows = []
    for (name, *_), seconds, fact in zip(cases, times, facts, strict=True):
        row: Row = {"command": name, "samples": samples, "seconds": f"{statistics.median(seconds):.1f}"}
        for column, beside in (("times_first", times[0]), ("times_second", times[1])):
            faster = statistics.median(b / a for a, b in zip(seconds, beside, strict=True))
            row[column] = f"{faster:.2f}"
        rows.append(row | fact)
    return rows


def batch_facts(records: Path) -> Row:
    """The seconds within batches over all records, and the first metric's mean."""
    texts = [json.loads(path.read_text()) for path in records.glob("*.json")]
    known = [metric["value"] for one in texts for metric in list(one["metrics"].values())[:1]]
    seconds = sum((one.get("cost") or {}).get("seconds", 0.0) for one in texts)
    mean = f"{statistics.fmean(known):.4g}" if known else ""
    return {"runs": len(texts), "batch_seconds": f"{seconds:.1f}", "mean_metric": mean}


def suite(new: Build, old: Build, rounds: tuple[tuple[int, int], ...] = ((1024, 3), (4096, 1))) -> list[Row]:
    """The suite table1: the older build as it stands, one worker of one thread, two workers."""
    cases = [
        (f"{old.name}, as it stands", old, SUITE, None),
        (f"{new.name}, one worker of one thread", new, SUITE, 1),
        (f"{new.name}, two workers", new, f"{SUITE} --workers 2", None),
    ]
    return [row for samples, turns in rounds for row in timed_runs(cases, samples, turns)]


def memory(new: Build, _: Build, counts: tuple[int, ...] = (10, 100, 1000, 10_000)) -> list[Row]:
    """Peak memory of runs of ever more batches of one sample; of all processes so far, so in this order."""
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            seconds = new.run(BENCH, f"{MEMORY} --samples {count}", Path(folder), 1)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        per_batch = seconds / count * 1e3
        rows.append({"batches": count, "peak_mib": f"{peak:.0f}", "ms_per_batch": f"{per_batch:.2f}"})
    return rows


PARTS: dict[str, Callable[[Build, Build], list[Row]]] = {
    "tables": tables,
    "suite": suite,
    "memory": memory,
}


def write(folder: Path, part: str, rows: list[Row]) -> None:
    """Write ``folder / against-PART.csv`` and print it."""
    path = folder / f"against-{part}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(path.read_text())


def main() -> None:
    """Run the parts that the command line names."""
    folder, old, *parts = sys.argv[1:]
    for part in parts:
        write(Path(folder), part, PARTS[part](Build("new", HERE), Build("old", Path(old))))


if __name__ == "__main__":
    main()
