"""Bytes and floats: images as tensors on [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


Bytes = NDArray[np.uint8]
"""A NumPy array of uint8."""


def as_floats(images: Bytes) -> Tensor:
    """Bytes (B, H, W, C) -> float32 (B, C, H, W), k as k / 255 rounded to the nearest."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float().div_(255)


def to_uint8(images: Tensor, rounding: Literal["round", "truncate"] = "round") -> Tensor:
    """Images on [0, 1] -> uint8: clipped, times 255, rounded or truncated.

    A byte k that comes as float32(k / 255) becomes k by either rounding: 255 float32(k / 255), in float32,
    is k for all 256 bytes.
    """
    import torch

    scaled = images.clamp(0, 1).mul(255)
    return (scaled.round() if rounding == "round" else scaled).to(torch.uint8)
