"""Fit the exact checkpoints ``gaussian-cifar10`` and ``gmm-cifar10``.

    python registry/recipes/fit_exact.py --data DATA

Images on [0, 1] are moved to the DCT and color-PCA basis (`bench.closed_form.dct`). The Gaussian has the mean
and variance of each of the 3072 coefficients. The mixture has 10 components: k-means on the 8x8 lowest
frequencies of each color plane, then a few rounds of expectation-maximization with diagonal covariances over
all coefficients. A component's variance is the fitted one plus a thousandth of the Gaussian's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from bench.closed_form.dct import to_dct
from bench.closed_form.mixture import Mixture, MixtureModel
from bench.types import Array
from cards import CARDS, write_card
from cifar10 import describe, load

COMPONENTS = 10
ROUNDS = 10
SCALES = 1000
TRAINED = f"The Gaussian of gaussian-cifar10; its score as trained at {SCALES} discrete noise scales"


def color_basis(images: torch.Tensor) -> Array:
    """Principal axes of color, rows by falling variance; each row's largest entry is positive."""
    mean = images.mean(dim=(0, 2, 3), keepdim=True, dtype=torch.float64)
    centered = (images - mean).transpose(0, 1).reshape(3, -1)
    _, vectors = np.linalg.eigh((centered @ centered.T / centered.shape[1]).numpy())
    axes = vectors.T[::-1]
    return np.ascontiguousarray(axes * np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])[:, None])


def fit_mixture(x: torch.Tensor, variance: Array, generator: torch.Generator) -> Mixture:
    """k-means on low frequencies, then expectation-maximization over all coefficients."""
    low = x[:, :, :8, :8].flatten(1)
    centers = low[torch.randperm(len(low), generator=generator)[:COMPONENTS]]
    for _ in range(30):
        nearest = torch.cdist(low, centers).argmin(1)
        centers = torch.stack([low[nearest == k].mean(0) for k in range(COMPONENTS)])
    share = torch.nn.functional.one_hot(nearest, COMPONENTS).double()
    flat = x.flatten(1)
    for _ in range(ROUNDS):
        weight = share.mean(0)
        mean = (share.T @ flat) / share.sum(0)[:, None]
        second = (share.T @ flat**2) / share.sum(0)[:, None]
        floor = 1e-3 * torch.from_numpy(variance).flatten()
        mixture = Mixture(
            weight.numpy(),
            mean.reshape(COMPONENTS, *x.shape[1:]).numpy(),
            (second - mean**2 + floor).reshape(COMPONENTS, *x.shape[1:]).numpy(),
        )
        model = MixtureModel(mixture, "cpu", torch.float64, color=None, range_=(0, 1))
        share = torch.nn.functional.one_hot(model.component(x), COMPONENTS).double()
    return mixture


def main() -> None:
    """Parse the command line, fit and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=CARDS)
    args = parser.parse_args()
    images = load(args.data, "train")[0].double() / 255
    color = color_basis(images)
    x = to_dct(images, color)
    common = {
        "shape": (3, 32, 32),
        "data_range": (0.0, 1.0),
        "basis": "dct",
        "licence": "MIT",
        "data": f"{describe(args.data)}; the 50,000 training images",
        "recipe": "registry/recipes/fit_exact.py",
        "author": "sampler-bench",
        "metric": "fd_dct",
    }
    gaussian = Mixture(np.ones(1), x.mean(0, keepdim=True).numpy(), x.var(0, keepdim=True).numpy())
    mixture = fit_mixture(x, gaussian.variance[0], torch.Generator().manual_seed(0))
    for name, kind, summary, data in (
        (
            "gaussian-cifar10",
            "gaussian",
            "Gaussian with CIFAR-10's mean and DCT variances; exact score",
            gaussian,
        ),
        ("gmm-cifar10", "mixture", f"{COMPONENTS} Gaussians fitted to CIFAR-10; exact score", mixture),
    ):
        tensors = {"weight": data.weight, "mean": data.mean, "variance": data.variance, "colour": color}
        head = {"name": name, "summary": summary, "format": kind}
        blobs = {k: torch.from_numpy(v).float() for k, v in tensors.items()}
        write_card(args.out, blobs, head | common)
        if kind == "gaussian":
            trained = {"name": f"{name}-{SCALES}", "summary": TRAINED, "scales": SCALES}
            write_card(args.out, blobs, head | trained | common, file=name)
        print(name, "weights", np.round(data.weight, 3), "variance", data.variance.min(), data.variance.max())


if __name__ == "__main__":
    main()
