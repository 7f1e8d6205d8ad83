"""What metrics say of CIFAR-10's test images against its training images: figures to read others by.

    python registry/recipes/measure_cifar10.py --data cifar10_jpeg.npz

writes ``results/reference/cifar10-train-vs-test.csv``: metric, n of both sides, value, and its standard error
over samples where the metric has one. Of pixels, the first 2,000 images of each side.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import FeatureMetric
from bench.metrics import reference
from bench.metrics.features import find_extractor
from bench.plugins.registry import registry
from cifar10 import describe, load

CPU = torch.device("cpu")
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


def read(metrics: list[FeatureMetric], images: Tensor, against: int) -> list[dict[str, Any]]:
    """Rows of the table: the metrics of images (n, 3, 32, 32) uint8, over one pass of the features."""
    begun = [metric.start(CPU) for metric in metrics]
    for part in images.split(1000):
        floats = part.float() / 255
        for measured in begun:
            measured.update(floats)
    rows = []
    for metric, measured in zip(metrics, begun, strict=True):
        found = measured.compute()
        print(f"{metric.label}: {found}", flush=True)
        alone = metric.name == "class_score"
        rows.append(
            {
                "metric": metric.label,
                "n": found.n,
                "reference_n": "" if alone else found.details.get("reference_rows", against),
                "value": f"{found.value:.6g}",
                "error": "" if found.error is None else f"{found.error:.2g}",
            }
        )
    return rows


def pixels(images: Tensor, train: Tensor, folder: Path) -> list[dict[str, Any]]:
    """Precision and recall of the pixels themselves."""
    batches = train[:PIXELS].float().div(255).split(500)
    found = reference.measure(batches, find_extractor("pixels"), CPU, "round", {})
    reference.write(folder / "train.npz", found)
    given = {"extractor": "pixels", "reference": str(folder / "train.npz")}
    names = ("precision", "recall")
    rows = read([registry().build("metrics", name, given) for name in names], images[:PIXELS], PIXELS)
    return [row | {"metric": f"{name}-pixels"} for name, row in zip(names, rows, strict=True)]


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    images, train = (load(args.data, split)[0] for split in ("test", "train"))
    rows = read([registry().build("metrics", name, given) for name, given in METRICS], images, len(train))
    with tempfile.TemporaryDirectory() as folder:
        rows += pixels(images, train, Path(folder))
    path = args.out / "cifar10-train-vs-test.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{path}, from {describe(args.data)}")


if __name__ == "__main__":
    main()
