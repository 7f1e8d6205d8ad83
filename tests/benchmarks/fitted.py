"""What fitted time grids are worth: error against the probability flow at 5 and 6 network calls.

    python -m tests.benchmarks.fitted results/reference/fitted

Fits ``gits``, with both of its errors, and ``learned_times`` to ``cifar10-tiny`` for DDIM and DPM-Solver++ 2M
on the samples of seed 1000, and measures ``flow_error`` on those of seed 0 beside grids that are not fitted.
``polynomial, N of N + 1`` has the first N times of the polynomial grid of N + 1, which spends no call at eps.
Writes fitted.csv, and the artifacts beside it. Runs are kept in the results folder: a second command goes on
where the first ended.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import bench
from bench.plan.settings import settings
from bench.plugins.registry import Registry
from tests.support.plugins import installed

CALLS = (5, 6)
PREDICTORS = ("ddim", "dpmpp_2m")
UNFITTED = ("polynomial", "logsnr", "time_uniform")
SHORT = "polynomial, N of N + 1"
FITTED: dict[str, dict[str, object]] = {
    "gits": {},
    "gits, deviation": {"error": "deviation"},
    "learned_times": {"iterations": 3, "nodes": 25},
}
"""Parameters by label, of which the first word is the grid's name."""
COLUMNS = ("checkpoint", "predictor", "nfe", "grid", "flow_error", "error", "floor", "fit_nfe", "fit_seconds")


def short_polynomial(checkpoint: str, registry: Registry, steps: int) -> list[float]:
    """The first N of the N + 1 times of the polynomial grid."""
    card: bench.Card = registry.get("checkpoints", checkpoint).thing
    sde: bench.SDE = registry.build("sdes", card.sde or "vp", card.parameters.get("sde", {}))
    grid: bench.Grid = registry.build("grids", "polynomial", {})
    return [float(t) for t in grid.times(sde, steps + 1)[:-1]]


def fitted_rows(
    folder: Path,
    checkpoint: str = "cifar10-tiny",
    *,
    samples: int = 32,
    fit_samples: int = 8,
    tol: float = 1e-4,
    out: str | Path | None = None,
) -> list[dict[str, object]]:
    """A row for each predictor, number of calls and grid.

    Args:
        folder: Where the artifacts go.
        checkpoint: Name of the checkpoint.
        samples: Samples of a run.
        fit_samples: Samples of a fit.
        tol: Tolerance of the flow's solution.
        out: Results folder; None for that of bench.toml.
    """
    registry = installed()
    rows: list[dict[str, object]] = []
    for predictor in PREDICTORS:
        for nfe in CALLS:
            grids: dict[str, tuple[str, dict[str, object]]] = {name: (name, {}) for name in UNFITTED}
            short = short_polynomial(checkpoint, registry, nfe)
            grids[SHORT] = "sigmas", {"levels": short, "variable": "t"}
            for label, own in FITTED.items():
                name, *variant = label.split(", ")
                # gits does not depend on the sampler
                parts = [name, *variant, *([] if name == "gits" else [predictor]), str(nfe)]
                file = folder / f"{'-'.join(parts)}.json"
                bench.fit(
                    name,
                    file,
                    checkpoint=checkpoint,
                    predictor=PREDICTORS[0] if name == "gits" else predictor,
                    nfe=nfe,
                    samples=fit_samples,
                    parameters={"grid": own},
                )
                grids[label] = name, {"artifact": str(file)}
            for label, (grid, parameters) in grids.items():
                results = bench.run(
                    checkpoint=checkpoint,
                    predictor=predictor,
                    grid=grid,
                    steps=nfe,
                    samples=samples,
                    seed=0,
                    metric="flow_error",
                    parameters={"grid": parameters, "metric": {"tol": tol}},
                    profile="none",
                    out=out or settings({})[0].out,
                )
                (record,) = results.records
                (metric,) = record.metrics.values()
                fit = record.fit
                numbers = (metric.value, metric.error, metric.floor)
                rows.append(
                    dict(zip(COLUMNS[:4], (checkpoint, predictor, nfe, label), strict=True))
                    | {name: _digits(one) for name, one in zip(COLUMNS[4:7], numbers, strict=True)}
                    | {"fit_nfe": fit and int(fit.nfe), "fit_seconds": fit and round(fit.seconds, 1)}
                )
                print(json.dumps(rows[-1]), flush=True)
                write(folder, rows)
    return rows


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def write(folder: Path, rows: list[dict[str, object]]) -> None:
    """Write fitted.csv."""
    with (folder / "fitted.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    fitted_rows(target)
