"""Metrics of CIFAR-10's test images against its training images, which other values can be judged by.

    python registry/recipes/measure_cifar10.py --data cifar10_jpeg.npz

writes ``results/reference/cifar10-train-vs-test.csv``: metric, n of both sides, value, and its standard error
over samples where the metric has one. For pixels it takes the first 2,000 images of each side.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import FeatureMetric, MetricContext
from bench.metrics.reference import measure_features, write_statistics
from bench.plan.installed import installed_registry
from cifar10 import describe, load

FIGURES = Path(__file__).resolve().parents[2] / "results" / "reference"
SMALL = {"extractor": "cifar10-features"}
PIXELS = 2000
METRICS: list[tuple[str, dict[str, Any]]] = [
    ("fd_cifar10", {"bootstrap": 100}),
    ("fd_cifar10", {"extrapolate": True}),
    ("kid", SMALL),
    ("precision", SMALL),
    ("recall", SMALL),
    ("class_score", {}),
]


def table_rows(
    metrics: list[FeatureMetric], images: Tensor, against: int, context: MetricContext
) -> list[dict[str, Any]]:
    """Rows of the table: the metrics of images (n, 3, 32, 32) uint8, over one pass of the features."""
    states = [metric.start(context) for metric in metrics]
    for part in images.split(1000):
        floats = part.float() / 255
        for state in states:
            state.update(floats)
    rows = []
    for metric, state in zip(metrics, states, strict=True):
        result = state.compute()
        print(f"{metric.label}: {result}", flush=True)
        alone = metric.name == "class_score"
        rows.append(
            {
                "metric": metric.label,
                "n": result.n,
                "reference_n": "" if alone else result.details.get("reference_rows", against),
                "value": f"{result.value:.6g}",
                "error": "" if result.error is None else f"{result.error:.2g}",
            }
        )
    return rows


def pixel_rows(images: Tensor, train: Tensor, folder: Path, context: MetricContext) -> list[dict[str, Any]]:
    """Precision and recall of the pixels themselves."""
    batches = train[:PIXELS].float().div(255).split(500)
    statistics = measure_features(batches, context.extractor("pixels"), "round", context)
    write_statistics(folder / "train.npz", statistics)
    parameters = {"extractor": "pixels", "reference": str(folder / "train.npz")}
    names = ("precision", "recall")
    metrics = [context.registry.build("metrics", name, parameters) for name in names]
    rows = table_rows(metrics, images[:PIXELS], PIXELS, context)
    return [row | {"metric": f"{name}-pixels"} for name, row in zip(names, rows, strict=True)]


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    images, train = (load(args.data, split)[0] for split in ("test", "train"))
    context = MetricContext(installed_registry(), torch.device("cpu"))
    metrics = [context.registry.build("metrics", name, parameters) for name, parameters in METRICS]
    rows = table_rows(metrics, images, len(train), context)
    with tempfile.TemporaryDirectory() as folder:
        rows += pixel_rows(images, train, Path(folder), context)
    path = args.out / "cifar10-train-vs-test.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{path}, from {describe(args.data)}")


if __name__ == "__main__":
    main()
