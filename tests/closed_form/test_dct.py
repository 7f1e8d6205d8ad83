"""The basis of 2-D DCT and a rotation of color is orthonormal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from bench.closed_form.dct import dct_matrix, from_dct, to_dct, white

RNG = np.random.default_rng(0)
COLOR = np.linalg.qr(RNG.normal(size=(3, 3)))[0]


@pytest.mark.parametrize("n", [1, 2, 7, 32])
def test_the_matrix_is_orthonormal(n: int) -> None:
    np.testing.assert_allclose(dct_matrix(n) @ dct_matrix(n).T, np.eye(n), atol=1e-14)


def test_coefficients_are_scipys_of_the_rotated_planes() -> None:
    images = RNG.normal(size=(2, 3, 4, 8))
    coefficients = to_dct(torch.from_numpy(images), COLOR).numpy()
    planes = np.einsum("dc,bchw->bdhw", COLOR, images)
    np.testing.assert_allclose(coefficients, dctn(planes, axes=(2, 3), norm="ortho"), atol=1e-12)


def test_both_ways_are_inverse_and_keep_lengths() -> None:
    images = torch.from_numpy(RNG.normal(size=(2, 3, 4, 8)))
    coefficients = to_dct(images, torch.from_numpy(COLOR))
    torch.testing.assert_close(from_dct(coefficients, COLOR), images)
    torch.testing.assert_close(coefficients.norm(), images.norm())


def test_a_state_of_float32_stays_float32() -> None:
    assert to_dct(torch.zeros(1, 3, 4, 4), COLOR).dtype == torch.float32


def test_white_is_the_image_of_ones() -> None:
    ones = to_dct(torch.ones(1, 3, 4, 8, dtype=torch.float64), COLOR)[0]
    np.testing.assert_allclose(white((3, 4, 8), COLOR), ones.numpy(), atol=1e-12)
