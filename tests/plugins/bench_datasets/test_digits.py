"""The digits that the project carries."""

from __future__ import annotations

import numpy as np
import torch

from bench.files import REGISTRY
from tests.support.images import opened


def test_both_splits_are_the_whole_file_in_order() -> None:
    train, test = opened("digits", batch=400), opened("digits-test")
    assert (train.name, train.n, test.n, train.shape) == ("digits-train", 1500, 297, (1, 8, 8))
    assert train.sha256() != test.sha256()
    with np.load(REGISTRY / "data" / "digits.npz") as arrays:
        expected = torch.from_numpy(arrays["images"][:, None]).float() / 16
    assert torch.equal(torch.cat([*train, *test]), expected)


def test_they_are_those_of_scikit_learn() -> None:
    """Facts of the UCI's test set: 1797 images, mean 4.884 of 16, white pixels at 16 and black ones at 0."""
    values = 16 * torch.cat([*opened("digits"), *opened("digits-test")]).double()
    assert (float(values.min()), float(values.max())) == (0, 16)
    assert torch.equal(values, values.round())
    assert abs(float(values.mean()) - 4.884) < 5e-4
