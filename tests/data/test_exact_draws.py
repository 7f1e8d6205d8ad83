"""Draws of an exact checkpoint's own distribution as a source."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from bench import Card, registry_path
from bench.data.exact_draws import ExactDraws


def card(name: str) -> Card:
    return Card.read(registry_path("cards", f"{name}.toml"))


def test_draws_are_of_the_distribution_on_the_unit_range() -> None:
    """Each of eight modes has an eighth of the draws, with its mean and its deviation."""
    source = ExactDraws(card("eight-gaussians"), 1000)
    x = torch.cat(list(source)).double().numpy()
    assert (source.kind, source.n, source.shape, x.shape) == ("checkpoint", 10_000, (2,), (10_000, 2))
    points = 2 * x - 1
    angle = np.arange(8) * (np.pi / 4)
    centers = 0.75 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    mode = ((points[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
    counts = np.bincount(mode, minlength=8)
    # chi-square of 7 degrees of freedom is below 30.7 in all but 7e-5 of cases
    assert ((counts - 1250) ** 2 / 1250).sum() < 30.7
    rest = points - centers[mode]
    assert np.abs(rest.mean(axis=0)).max() < 5 * 0.0625 / 100
    # the deviation of a variance of n normal numbers is sqrt(2 / n) of it
    assert rest.var(axis=0) == pytest.approx(0.0625**2, rel=5 * np.sqrt(2 / 10_000))


def test_the_same_draws_come_in_batches_of_any_size_and_process() -> None:
    sources = [ExactDraws(card("two-moons"), batch, 1200) for batch in (7, 500, 5000)]
    content = [torch.cat(list(source)) for source in sources]
    assert [len(batch) for batch in sources[1]] == sources[1].sizes() == [500, 500, 200]
    assert all(torch.equal(one, content[0]) for one in content)
    assert len({source.sha256() for source in sources}) == 1
    copy = pickle.loads(pickle.dumps(sources[0]))
    assert copy.sha256() == sources[0].sha256()
    assert ExactDraws(card("spiral"), 500, 1200).sha256() != sources[0].sha256()


def test_images_of_the_dct_basis_are_pixels() -> None:
    """The mean image of CIFAR-10 is gray within a tenth; coefficients would not be."""
    x = next(iter(ExactDraws(card("gaussian-cifar10"), 250, 500)))
    assert x.shape == (250, 3, 32, 32)
    assert torch.allclose(x.mean(dim=(0, 2, 3)), torch.tensor([0.49, 0.48, 0.45]), atol=0.05)
