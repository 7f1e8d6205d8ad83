"""Reference statistics that come with the project: features of CIFAR-10's training images.

    python registry/recipes/build_stats.py --data cifar10_jpeg.npz

writes ``registry/stats/cifar10-train_cifar10-features.npz`` (`bench.metrics.reference`), 10,000 rows among it, and
``cifar10-train-by-class_cifar10-features.npz``, each class's mean and variance per feature (of ``fd_class``).
"""

from __future__ import annotations

import argparse
import json
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from bench.metrics import reference
from bench.metrics.features import find_extractor
from cifar10 import describe, load

STATS = Path(__file__).resolve().parent.parent / "stats"


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=STATS)
    args = parser.parse_args()
    images, labels = load(args.data, "train")
    extractor = find_extractor("cifar10-features")
    card = {
        "dataset": "cifar10-train",
        "images": describe(args.data),
        "decoder": f"Pillow {metadata.version('pillow')}",
        "recipe": "registry/recipes/build_stats.py",
    }
    batches = (part.float() / 255 for part in images.split(1000))
    found = reference.measure(batches, extractor, torch.device("cpu"), "round", card)
    path = args.out / f"cifar10-train_{extractor.label}.npz"
    reference.write(path, found)
    print(f"{path}: {path.stat().st_size} bytes, n = {found.card['n']}")
    extract = extractor.load(torch.device("cpu"))
    rows = torch.cat([extract(part).rows for part in images.split(1000)]).double()
    classes = [rows[labels == k].numpy() for k in range(10)]
    path = args.out / f"cifar10-train-by-class_{extractor.label}.npz"
    np.savez_compressed(
        path,
        mean=np.stack([one.mean(axis=0) for one in classes]),
        variance=np.stack([one.var(axis=0, ddof=1) for one in classes]),
        card=json.dumps(card | {"n": [len(one) for one in classes], "extractor": extractor.provenance()}),
    )
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
