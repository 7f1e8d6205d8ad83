"""Make the exact checkpoints of the toy data sets: closed-form scores of mixtures of Gaussians in the plane.

    python registry/recipes/fit_toys.py

``eight-gaussians`` is its data set's own distribution. The others are mixtures with diagonal covariances,
fitted to draws of their data set by expectation-maximization in float64, from the centers of k-means. A
fitted mixture has the mean and, but for the least variance that is added, the variances of these draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from bench.closed_form.mixture import Mixture
from bench.data.dataset import Toy
from bench.types import Array
from bench_datasets.toys import Checkerboard, EightGaussians, Spiral, SwissRoll, TwoMoons
from cards import CARDS, write_card

DRAWS = 10_000
FITTED: tuple[tuple[Toy, int], ...] = (
    (TwoMoons(), 64),
    (Checkerboard(), 96),
    (Spiral(), 96),
    (SwissRoll(), 96),
)
"""Data sets and numbers of components."""
K_MEANS, ROUNDS = 10, 30
LEAST = 1e-5
"""Added to every variance, so that no component is a point."""


def exact() -> Mixture:
    """The mixture of `EightGaussians`."""
    angle = np.arange(8) * (np.pi / 4)
    mean = EightGaussians.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Mixture(np.full(8, 1 / 8), mean, np.full((8, 2), EightGaussians.std**2))


def fit_mixture(x: Array, count: int) -> Mixture:
    """k-means, then expectation-maximization, both from the first ``count`` of the points x (n, D)."""
    centers = x[:count]
    for _ in range(K_MEANS):
        nearest = ((centers**2).sum(axis=1) - 2 * x @ centers.T).argmin(axis=1)
        centers = np.stack([x[nearest == k].mean(axis=0) for k in range(count)])
    share = np.eye(count)[nearest]
    squares = x**2
    for _ in range(ROUNDS):
        total = share.sum(axis=0)[:, None]
        mean = share.T @ x / total
        variance = share.T @ squares / total - mean**2 + LEAST
        # ln (weight_k N(x; mean_k, variance_k)), but for what all components have in common
        log = np.log(total[:, 0]) - 0.5 * (np.log(variance) + mean**2 / variance).sum(axis=1)
        log = log + x @ (mean / variance).T - 0.5 * squares @ (1 / variance).T
        share = np.exp(log - log.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
    return Mixture(total[:, 0] / len(x), mean, variance)


def write(folder: Path, toy: Toy, mixture: Mixture) -> None:
    """Write the checkpoint of a toy: its name with hyphens."""
    own = isinstance(toy, EightGaussians)
    count, spaced = len(mixture.weight), toy.name.replace("_", " ")
    card = {
        "name": toy.name.replace("_", "-"),
        "summary": f"{count} Gaussians in the plane, "
        + ("the data set's own; exact score" if own else f"fitted to {spaced}; exact score"),
        "format": "mixture",
        "shape": toy.shape,
        "data_range": toy.data_range,
        "basis": "data",
        "licence": "MIT",
        "data": f"the distribution of {toy.name}" if own else f"{DRAWS} draws of {toy.name}",
        "recipe": "registry/recipes/fit_toys.py",
        "author": "sampler-bench",
        "metric": "sliced_wasserstein",
    }
    tensors = {"weight": mixture.weight, "mean": mixture.mean, "variance": mixture.variance}
    write_card(folder, {name: torch.from_numpy(array) for name, array in tensors.items()}, card)


def main() -> None:
    """Parse the command line, fit and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=CARDS)
    args = parser.parse_args()
    write(args.out, EightGaussians(), exact())
    for toy, count in FITTED:
        write(args.out, toy, fit_mixture(toy.draw(DRAWS, np.random.default_rng(0)), count))


if __name__ == "__main__":
    main()
