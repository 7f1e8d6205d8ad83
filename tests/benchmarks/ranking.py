"""Whether ``flow_error`` of 64 samples ranks samplers of few network calls alike from seed to seed.

    python -m tests.benchmarks.ranking results/reference [SEEDS]

runs the deterministic samplers of the suite ``fast`` on ``cifar10-tiny`` (VP) at 5, 10 and 20 network
calls, five seeds from 0 on, or as many as are given. Writes flow-error-ranking.csv, a row per sampler and
number of calls with its value at each seed, and flow-error-tau.csv: Kendall's tau of the rankings of each
pair of seeds, over all pairs of samplers and over those that differ by more than two standard errors of
their difference at both seeds. It resumes: runs are in results/ranking.
"""

from __future__ import annotations

import csv
import itertools
import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bench
from bench.reporting.ranking import kendall_tau

SEEDS, SAMPLES, CALLS = 5, 64, (5, 10, 20)
GRIDS = {
    "polynomial": ("ddim", "deis", "ipndm", "probability_flow"),
    "logsnr": ("dpmpp_2m", "dpmpp_3m", "unipc"),
}
HEUN_STEPS = {5: 3, 10: 5, 20: 10}
"""Steps of ``heun``, which takes two calls a step and one at the last."""
WORK = Path("results/ranking")


@dataclass(frozen=True)
class Value:
    """``flow_error`` of one sampler at one seed, its standard error over samples, and the fine solution's
    floor."""

    value: float
    error: float
    floor: float


Values = dict[tuple[str, int], dict[int, Value]]
"""By sampler and number of calls, then by seed."""


def settings() -> Iterator[tuple[int, str, Sequence[str], int]]:
    """(calls, grid, predictors, steps) of the samplers."""
    for calls in CALLS:
        for grid, predictors in GRIDS.items():
            yield calls, grid, predictors, calls
        yield calls, "polynomial", ("heun",), HEUN_STEPS[calls]


def run(seeds: int) -> Values:
    """The values of all samplers, seed by seed; what is recorded already is read."""
    values: Values = {}
    for seed in range(seeds):
        for calls, grid, predictors, steps in settings():
            results = bench.run(
                checkpoint="cifar10-tiny",
                sde="vp",
                predictor=predictors,
                grid=grid,
                steps=steps,
                metric="flow_error",
                samples=SAMPLES,
                batch_size=SAMPLES,
                seed=seed,
                repeats=1,
                profile="none",
                device="cpu",
                out=WORK,
            )
            for predictor, record in zip(predictors, results.records, strict=True):
                if record.status != "finished":
                    raise bench.BenchError(f"{record.label}: {record.reason}")
                result = record.metrics["flow_error"]
                assert result.error is not None
                assert result.floor is not None
                values.setdefault((predictor, calls), {})[seed] = Value(
                    result.value, result.error, result.floor
                )
                print(predictor, calls, seed, f"{result.value:.4g} ± {result.error:.2g}", flush=True)
    return values


def tau_of_seeds(values: Mapping[str, Mapping[int, Value]], a: int, b: int) -> tuple[float, float, int]:
    """Kendall's tau of the rankings at two seeds, that over resolved pairs alone, and their number.

    A pair of samplers is resolved where both seeds have it apart by more than two standard errors of the
    difference; samples of one seed start from the same noise, so that the error is an upper bound.
    """
    samplers = sorted(values)
    at = [[values[name][seed] for name in samplers] for seed in (a, b)]
    tau = kendall_tau(*(np.array([one.value for one in column]) for column in at))
    agree, resolved = 0, 0
    for i, j in itertools.combinations(range(len(samplers)), 2):
        signs = []
        for column in at:
            difference = column[i].value - column[j].value
            if abs(difference) > 2 * math.hypot(column[i].error, column[j].error):
                signs.append(math.copysign(1, difference))
        if len(signs) == 2:
            resolved += 1
            agree += int(signs[0] * signs[1])
    return tau, agree / resolved if resolved else math.nan, resolved


def write_values(path: Path, values: Values, seeds: int) -> None:
    """A row per number of calls and sampler, the best first."""
    ordered = sorted(values, key=lambda one: (one[1], mean(values[one])))
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        names = [f"{kind}_seed_{seed}" for seed in range(seeds) for kind in ("value", "error")]
        writer.writerow(["calls", "sampler", "mean", "sd_over_seeds", "floor", *names])
        for sampler, calls in ordered:
            by_seed = values[sampler, calls]
            sd = statistics.stdev(one.value for one in by_seed.values())
            floor = max(one.floor for one in by_seed.values())
            columns = [x for one in by_seed.values() for x in (one.value, one.error)]
            numbers = [f"{x:.4g}" for x in (mean(by_seed), sd, floor, *columns)]
            writer.writerow([calls, sampler, *numbers])


def mean(by_seed: Mapping[int, Value]) -> float:
    """The mean over seeds."""
    return statistics.fmean(one.value for one in by_seed.values())


def write_taus(path: Path, values: Values, seeds: int) -> None:
    """A row per number of calls and pair of seeds."""
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["calls", "seed_a", "seed_b", "tau", "tau_resolved", "resolved_pairs"])
        for calls in CALLS:
            here = {sampler: by_seed for (sampler, at), by_seed in values.items() if at == calls}
            for a, b in itertools.combinations(range(seeds), 2):
                tau, resolved, pairs = tau_of_seeds(here, a, b)
                writer.writerow([calls, a, b, f"{tau:.3f}", f"{resolved:.3f}", pairs])


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else SEEDS
    values = run(seeds)
    write_values(folder / "flow-error-ranking.csv", values, seeds)
    write_taus(folder / "flow-error-tau.csv", values, seeds)


if __name__ == "__main__":
    main()
