"""Bytes and floats."""

from __future__ import annotations

import numpy as np
import torch

from bench.data.pixels import as_floats, to_uint8


def test_uint8_rounds_and_clips() -> None:
    images = torch.tensor([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.2])
    assert to_uint8(images).tolist() == [0, 0, 0, 1, 255, 255]


def test_truncation_rounds_down() -> None:
    images = torch.tensor([-0.1, 0.4 / 255, 0.6 / 255, 254.9 / 255, 1.2])
    assert to_uint8(images, "truncate").tolist() == [0, 0, 0, 254, 255]


def test_bytes_become_channels_first_floats_and_come_back() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    floats = as_floats(images)
    assert floats.shape == (2, 3, 4, 5)
    assert floats.dtype == torch.float32
    for rounding in ("round", "truncate"):
        assert np.array_equal(to_uint8(floats, rounding).permute(0, 2, 3, 1).numpy(), images)
