"""What bfloat16 does to the metric on ``cifar10-tiny``, beside the spread over seeds.

    python -m tests.benchmarks.precision results/reference

runs the same samples (seeds 0 to 4, from the same noise) in float32 and in bfloat16 and writes bf16.csv: one
row per seed, and the paired difference's mean beside the standard deviation over seeds. It resumes.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from bench.cli import main

SEEDS, SAMPLES, STEPS = 5, 1000, 50
WORK = Path("results/precision")


def run(precision: str) -> dict[int, dict[str, Any]]:
    """The records of one precision, by seed."""
    out = WORK / precision
    command = f"run --checkpoint cifar10-tiny --sde vp --predictor ancestral --steps {STEPS} --batch-size 50"
    command += f" --samples {SAMPLES} --repeats {SEEDS} --precision {precision} --out {out}"
    try:
        main(command.split())
    except SystemExit as stopped:
        if stopped.code:
            raise
    records = [json.loads(path.read_text()) for path in sorted((out / "records").glob("*.json"))]
    return {record["identity"]["seed"]: record for record in records}


def write(folder: Path) -> None:
    """Run what is missing, then write ``folder / bf16.csv``."""
    result = {precision: run(precision) for precision in ("fp32", "bf16")}
    rows = []
    for seed in range(SEEDS):
        full, half = (result[p][seed]["metrics"]["fd_cifar10"]["value"] for p in ("fp32", "bf16"))
        rows.append([str(seed), full, half, half - full])
    columns = list(zip(*rows, strict=True))[1:]
    mean, sd = ([f(column) for column in columns] for f in (statistics.fmean, statistics.stdev))
    with (folder / "bf16.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["seed", "fd_cifar10_fp32", "fd_cifar10_bf16", "difference"])
        for label, *values in [*rows, ["mean", *mean], ["sd over seeds", *sd]]:
            writer.writerow([label, *(f"{value:.4f}" for value in values)])
    print((folder / "bf16.csv").read_text())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
