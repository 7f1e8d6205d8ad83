"""What rounding to 8 bits, against cutting off, does to the metrics.

    python -m tests.benchmarks.rounding results/reference

takes fd_cifar10 of the same continuous samples both ways and writes rounding.csv: 2,000 exact draws of each
closed-form checkpoint (no sampler, five seeds), and 256 samples of ``cifar10-tiny`` (ancestral, 50 polynomial
steps, bfloat16, one seed), with the paired difference; fd_dct reads the samples as they are, and has one
value. The sampling resumes.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.checkpoints.exact import exact_data
from bench.checkpoints.load import load_model
from bench.cli import main
from tests.support.metrics import metric_context
from tests.support.plugins import installed

SEEDS, SAMPLES = 5, 2000
TINY = "--checkpoint cifar10-tiny --predictor ancestral --grid polynomial --steps 50 --precision bf16"
TINY += " --samples 256 --batch-size 32"
WORK = Path("results/rounding")
CPU = torch.device("cpu")
Row = tuple[str, int, str, float, float]


def draws(checkpoint: str, seed: int) -> Tensor:
    """Samples of a closed-form checkpoint itself (n, 3, 32, 32), on [0, 1], not clipped."""
    card = installed().get("checkpoints", checkpoint).thing
    model = load_model(card, installed().build("sdes", "ve", {}), CPU, installed())
    data, _ = exact_data(card)
    rng = np.random.default_rng(seed)
    k = rng.choice(len(data.weight), size=SAMPLES, p=data.weight)
    x = data.mean[k] + np.sqrt(data.variance[k]) * rng.normal(size=(SAMPLES, *model.shape))
    return model.images(torch.from_numpy(x).float())


def value(metric: str, images: Tensor, rounding: Literal["round", "truncate"] | None = None) -> float:
    """The metric of the images."""
    parameters = {} if rounding is None else {"rounding": rounding}
    measured = installed().build("metrics", metric, parameters).start(metric_context())
    for part in images.split(500):
        measured.update(part)
    return float(measured.compute().value)


def exact(checkpoint: str) -> list[Row]:
    """Both ways of rounding, for every seed."""
    rows = []
    for seed in range(SEEDS):
        images = draws(checkpoint, seed)
        both = value("fd_cifar10", images, "round"), value("fd_cifar10", images, "truncate")
        rows.append((checkpoint, SAMPLES, str(seed), *both))
    return rows


def tiny() -> list[Row]:
    """Both ways of rounding, of samples of the network."""
    measure = f"measure --metric fd_cifar10 -P metric.rounding=truncate --out {WORK}"
    for command in (f"run {TINY} --metric fd_cifar10 --out {WORK}", measure):
        try:
            main(command.split())
        except SystemExit as stopped:
            if stopped.code:
                raise
    (path,) = (WORK / "records").glob("*.json")
    metrics = json.loads(path.read_text())["metrics"]
    both = (metrics[name]["value"] for name in ("fd_cifar10", "fd_cifar10-truncate"))
    return [("cifar10-tiny", 256, "0", *both)]


def write(folder: Path) -> None:
    """Measure and write ``folder / rounding.csv``."""
    lines: list[list[str]] = []
    for rows in (exact("gaussian-cifar10"), exact("gmm-cifar10"), tiny()):
        lines += [[name, str(n), seed, *_texts(a, b, b - a)] for name, n, seed, a, b in rows]
        if len(rows) > 1:
            columns = list(zip(*((a, b, b - a) for *_, a, b in rows), strict=True))
            for label, f in (("mean", statistics.fmean), ("sd over seeds", statistics.stdev)):
                lines.append([*lines[-1][:2], label, *_texts(*(f(column) for column in columns))])
    path = folder / "rounding.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["samples_of", "n", "seed", "fd_cifar10_round", "fd_cifar10_truncate", "difference"])
        writer.writerows(lines)
    print(path.read_text())
    same = draws("gaussian-cifar10", 0)
    print(f"fd_dct does not round: {value('fd_dct', same):.4f}")


def _texts(*numbers: float) -> list[str]:
    return [f"{number:.5g}" for number in numbers]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
