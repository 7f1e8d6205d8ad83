"""Features, moments and distance against clean-fid's ``compute_fid``, and moments at full size.

    python -m tests.benchmarks.fid results/reference
    python -m tests.benchmarks.fid results/reference 10000
    OMP_NUM_THREADS=1 python -m tests.benchmarks.fid --distances results/reference

The first two time both on the same two folders of PNGs (2,000 images each unless said otherwise), mode
``clean``, the same network (random weights: `tests.inception_stand_in`), cores and number of workers, and
write fid-speed.csv; stream 50,000 rows of 2048 features in batches of two sizes and orders, and 1,000,
and write fid-moments.csv: how far their moments are from two passes of numpy, and the most memory a
process had. The third times the distance alone, against clean-fid's by scipy's matrix square root, for
covariances of full rank and of less, and writes fid-distance.csv. Its seconds are the process's own, of
one thread, so that other work on the machine does not tell.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import Array, Reference
from bench.metrics.frechet import frechet_distance
from bench.metrics.moments import Moments
from bench.metrics.reference import measure_features
from tests.metrics.test_moments import features
from tests.support.images import opened
from tests.support.inception_stand_in import (
    clean_fid_features,
    clean_fid_network,
    pictures,
    save_png,
    save_torchscript,
)
from tests.support.metrics import extractor_of, metric_context

CASES = {
    "full rank": (5000, 4.0),
    "full rank, variances over 8 decades": (5000, 8.0),
    "fewer samples than features": (1000, 4.0),
}
"""Covariances: samples that they are of, and decades that the features' variances span."""

CPU = torch.device("cpu")
CORES = len(os.sched_getaffinity(0))
WIDTH = 2048


class Clock:
    """Calls a function and adds up the seconds it takes."""

    def __init__(self, function: Callable[..., Any], now: Callable[[], float] = time.perf_counter) -> None:
        self.function, self.now, self.seconds = function, now, 0.0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        begun = self.now()
        try:
            return self.function(*arguments, **named)
        finally:
            self.seconds += self.now() - begun


def clean_fids(one: Path, two: Path, network: Any) -> tuple[float, float, float]:
    """clean-fid's value, and its seconds until the moments are there and for the distance."""
    from cleanfid import fid

    distance, whole = Clock(fid.frechet_distance), Clock(fid.compute_fid)
    fid.frechet_distance = distance
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = whole(
                str(one),
                str(two),
                mode="clean",
                custom_feat_extractor=network,
                device=CPU,
                num_workers=CORES,
                verbose=False,
            )
    finally:
        fid.frechet_distance = distance.function
    return float(value), whole.seconds - distance.seconds, distance.seconds


def ours(one: Path, two: Path) -> tuple[float, float, float]:
    """As `clean_fids`."""

    def moments(folder: Path) -> Reference:
        return measure_features(opened(folder), extractor, "round", metric_context())

    extractor = extractor_of("inception", mode="clean")
    features, distance = Clock(moments), Clock(frechet_distance)
    first, second = features(one), features(two)
    value = distance(first.mean, first.covariance, second.mean, second.covariance)
    return float(value), features.seconds, distance.seconds


def speed(folder: Path, n: int) -> None:
    """Write ``folder / fid-speed.csv``."""
    torch.set_num_threads(1)  # beside as many workers as cores: both are slower on more
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["BENCH_CACHE"] = name
        save_torchscript(root / "inception")
        one, two = (save_png(pictures(n, seed=s), root / f"{s}") for s in (1, 2))
        few = save_png(pictures(64, seed=1), root / "few")
        network = clean_fid_network(root / "inception", "clean")
        theirs = clean_fid_features(few, network, "clean")
        mine = extractor_of("inception", mode="clean").load(CPU)(pictures(64, seed=1)).rows.numpy()
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
        value, *seconds = ours(one, two)
        value_, *seconds_ = clean_fids(one, two, network)
    assert abs(value - value_) < 1e-4 * value_
    rows = [
        ("features and moments", seconds[0], seconds_[0]),
        ("distance", seconds[1], seconds_[1]),
        ("all", sum(seconds), sum(seconds_)),
    ]
    with (folder / "fid-speed.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["part", "images_per_set", "cores", "seconds", "clean_fid_seconds", "ratio", "value"])
        for part, a, b in rows:
            of = f"{value:.6f} and {value_:.6f}" if part == "all" else ""
            writer.writerow([part, n, CORES, f"{a:.2f}", f"{b:.2f}", f"{b / a:.2f}", of])
    print((folder / "fid-speed.csv").read_text())


def distances(folder: Path, width: int = WIDTH) -> None:
    """Write ``folder / fid-distance.csv``."""
    from cleanfid import fid

    with (folder / "fid-distance.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["covariances", "features", "seconds", "clean_fid_seconds", "ratio", "relative_difference"]
        )
        for case, (n, decades) in CASES.items():
            n = n * width // WIDTH
            sides = [features(n, width, seed, decades) * (1 + 0.2 * seed) for seed in (0, 1)]
            (m, c), (m_, c_) = [(x.mean(axis=0), np.cov(x.T)) for x in sides]
            mine, theirs = (Clock(f, time.process_time) for f in (frechet_distance, fid.frechet_distance))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value, value_ = float(mine(m, c, m_, c_)), float(theirs(m, c, m_, c_))
            ratio = theirs.seconds / max(mine.seconds, 1e-9)
            seconds = [f"{x:.2f}" for x in (mine.seconds, theirs.seconds, ratio)]
            writer.writerow([case, width, *seconds, f"{abs(value / value_ - 1):.1e}"])
            file.flush()
    print((folder / "fid-distance.csv").read_text())


def blocks(n: int, batch: int, backwards: bool) -> Iterator[Array]:
    """Rows as of Inception, positive and correlated, the same whatever the batches: made 1,000 at a time."""
    mean = np.abs(np.random.default_rng(0).normal(size=WIDTH))
    places = range(0, n, 1000)
    for first in reversed(places) if backwards else places:
        rows = np.random.default_rng(first + 1).normal(size=(1000, WIDTH))
        rows[:, 1:] += 0.7 * rows[:, :-1]
        rows *= 10 ** (-2 * np.arange(WIDTH) / WIDTH)
        rows += mean
        yield from np.array_split(rows, 1000 // batch)


def two_passes(n: int) -> tuple[Array, Array]:
    """Mean, then covariance about it."""
    mean = sum(block.sum(axis=0) for block in blocks(n, 1000, False)) / n
    scatter: Array = np.zeros((WIDTH, WIDTH))
    for block in blocks(n, 1000, False):
        scatter += (block - mean).T @ (block - mean)
    return np.asarray(mean), scatter / (n - 1)


def streamed(n: int, batch: int, backwards: bool) -> tuple[Array, Array, float]:
    """Mean, covariance, and the seconds that the moments took."""
    moments = Moments()
    add = Clock(moments.add)
    for block in blocks(n, batch, backwards):
        add(block)
    return moments.mean, moments.covariance(), add.seconds


def peak(n: int) -> float:
    """Most megabytes that a process had that streamed ``n`` rows."""
    command = [sys.executable, "-m", "tests.benchmarks.fid", "--peak", str(n)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


def moments(folder: Path, n: int) -> None:
    """Write ``folder / fid-moments.csv``."""
    mean, covariance = two_passes(n)
    sd = np.sqrt(np.diag(covariance))
    with (folder / "fid-moments.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rows", "features", "batch", "order", "mean_off", "covariance_off", "seconds"])
        for batch, backwards in ((500, False), (50, True)):
            mean_, covariance_, seconds = streamed(n, batch, backwards)
            off = np.abs(mean_ / mean - 1).max(), np.abs((covariance_ - covariance) / np.outer(sd, sd)).max()
            assert max(off) < 1e-10
            order = "backwards" if backwards else "forwards"
            offsets = [f"{x:.1e}" for x in off]
            writer.writerow([n, WIDTH, batch, order, *offsets, f"{seconds:.1f}"])
        writer.writerow(["rows", "features", "batch", "", "", "", "peak_mb"])
        for count in (1000, n):
            writer.writerow([count, WIDTH, 500, "", "", "", f"{peak(count):.0f}"])
    print((folder / "fid-moments.csv").read_text())


if __name__ == "__main__":
    if sys.argv[1] == "--peak":
        streamed(int(sys.argv[2]), 500, False)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    elif sys.argv[1] == "--distances":
        distances(Path(sys.argv[2]))
    else:
        moments(Path(sys.argv[1]), 50_000)
        speed(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
