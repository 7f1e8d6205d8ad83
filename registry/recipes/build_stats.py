"""Reference statistics that come with the project: features of CIFAR-10's training images.

    python registry/recipes/build_stats.py --data cifar10_jpeg.npz

writes ``registry/stats/cifar10-train_cifar10-features.npz`` (`bench.reference`), 10,000 rows among it.
"""

from __future__ import annotations

import argparse
from importlib import metadata
from pathlib import Path

import torch

from bench import reference
from bench.features import find_extractor
from cifar10 import describe, load

STATS = Path(__file__).resolve().parent.parent / "stats"


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=STATS)
    args = parser.parse_args()
    images, _ = load(args.data, "train")
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


if __name__ == "__main__":
    main()
