"""A basis that nearly diagonalizes small images: a rotation of color, then the DCT-II of each plane.

Both are orthonormal, so that standard normal noise stays standard normal and whole runs can stay in the
basis.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.types import Array

if TYPE_CHECKING:
    from torch import Tensor


@cache
def dct_matrix(n: int) -> Array:
    """Orthonormal DCT-II, (n, n): row k is ``sqrt(2/n) cos(pi (j + 1/2) k / n)``, row 0 over sqrt(2)."""
    j = np.arange(n)
    matrix = math.sqrt(2 / n) * np.cos(np.pi * (j + 0.5) * j[:, None] / n)
    matrix[0] /= math.sqrt(2)
    return np.asarray(matrix, dtype=np.float64)


@cache
def _dct(n: int, device: Any, dtype: Any) -> Tensor:
    """`dct_matrix` on a device, cached: the host waits for each copy."""
    import torch

    return torch.from_numpy(dct_matrix(n)).to(device, dtype)


def to_dct(images: Tensor, color: Array | Tensor) -> Tensor:
    """DCT and color coefficients ``D_H (R x) D_W^T`` of images x; orthonormal, and linear in x.

    Args:
        images: Tensor (B, C, H, W).
        color: R (C, C), an orthogonal rotation of the color channels.

    Returns:
        Coefficients (B, C, H, W); [:, :, 0, 0] is each plane's mean times sqrt(H W).
    """
    return _apply(images, color, transpose=False)


def from_dct(coefficients: Tensor, color: Array | Tensor) -> Tensor:
    """Images ``R^T (D_H^T c D_W)`` of DCT and color coefficients c: the inverse of `to_dct`.

    Args:
        coefficients: Tensor (B, C, H, W).
        color: R (C, C), as for `to_dct`.

    Returns:
        Images (B, C, H, W).
    """
    return _apply(coefficients, color, transpose=True)


def _apply(x: Tensor, color: Array | Tensor, *, transpose: bool) -> Tensor:
    import torch

    matrices = (
        torch.as_tensor(color).to(x.device, x.dtype),
        _dct(x.shape[2], x.device, x.dtype),
        _dct(x.shape[3], x.device, x.dtype),
    )
    c, rows, columns = (m.T if transpose else m for m in matrices)
    planes = torch.einsum("dc,bchw->bdhw", c, x)
    return rows @ planes @ columns.T


def white(shape: tuple[int, ...], color: Array) -> Array:
    """Coefficients (C, H, W) of the image that is one everywhere: zero but for the DC of each plane."""
    ones = np.zeros(shape)
    ones[:, 0, 0] = color.sum(axis=1) * math.sqrt(shape[1] * shape[2])
    return ones
