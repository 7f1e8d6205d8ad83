"""Reference statistics that ship with the project: features of CIFAR-10's training images.

    python registry/recipes/build_stats.py --data cifar10_jpeg.npz

writes ``registry/stats/cifar10-train_cifar10-features.npz`` (`bench.metrics.reference`) with 10,000 rows, and
``cifar10-train-by-class_cifar10-features.npz``, mean and variance per feature and class (for ``fd_class``).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from bench import MetricContext
from bench.metrics.reference import measure_features, write_statistics
from bench.plan.installed import installed_registry
from bench.types import JSONObject
from cifar10 import describe, load

STATS = Path(__file__).resolve().parent.parent / "stats"


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=STATS)
    args = parser.parse_args()
    images, labels = load(args.data, "train")
    context = MetricContext(installed_registry(), torch.device("cpu"))
    extractor = context.extractor("cifar10-features")
    card: JSONObject = {
        "dataset": "cifar10-train",
        "images": describe(args.data),
        "decoder": f"Pillow {metadata.version('pillow')}",
        "recipe": "registry/recipes/build_stats.py",
    }
    batches = (part.float() / 255 for part in images.split(1000))
    statistics = measure_features(batches, extractor, "round", context)
    statistics = dataclasses.replace(statistics, card=card | statistics.card)
    path = args.out / f"cifar10-train_{extractor.label}.npz"
    write_statistics(path, statistics)
    print(f"{path}: {path.stat().st_size} bytes, n = {statistics.card['n']}")
    extract = extractor.load(context.device)
    rows = torch.cat([extract(part).rows for part in images.split(1000)]).double()
    by_class = [rows[labels == k].numpy() for k in range(10)]
    path = args.out / f"cifar10-train-by-class_{extractor.label}.npz"
    np.savez_compressed(
        path,
        mean=np.stack([part.mean(axis=0) for part in by_class]),
        variance=np.stack([part.var(axis=0, ddof=1) for part in by_class]),
        card=json.dumps(card | {"n": [len(part) for part in by_class], "extractor": extractor.provenance()}),
    )
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
