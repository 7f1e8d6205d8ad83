"""DINOv2's network: its size, and its position code."""

from __future__ import annotations

import numpy as np
import torch

from bench_fid.vit import VisionTransformer, position_code
from tests.support.formula import shapes


def test_the_whole_network_has_the_published_tensors() -> None:
    with torch.device("meta"):
        network = VisionTransformer()
    tensors = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert tensors == shapes("dinov2.npz", "full")
    assert sum(tensor.numel() for tensor in network.parameters()) == 304_368_640


def keys(t: float) -> float:
    """Keys' cubic (1981) with a = -0.75, torch's."""
    t = abs(t)
    if t <= 1:
        return 1.25 * t**3 - 2.25 * t**2 + 1
    return -0.75 * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def test_the_position_code_is_sampled_where_the_published_network_samples_it() -> None:
    p, height, width = 37, 16, 12
    code = torch.randn(1, 1 + p * p, 2, generator=torch.Generator().manual_seed(0))
    sampled = position_code(code, height, width)
    assert torch.equal(sampled[:, 0], code[:, 0])
    grid = code[0, 1:].reshape(p, p, 2).double()
    for row, column in ((0, 0), (7, 3), (15, 11)):
        # a step of p / (side + 0.1), not of p / side
        y, x = ((i + 0.5) * p / (n + 0.1) - 0.5 for i, n in ((row, height), (column, width)))
        total = torch.zeros(2, dtype=torch.float64)
        for i in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
            for j in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
                at = grid[min(max(i, 0), p - 1), min(max(j, 0), p - 1)]
                total += keys(y - i) * keys(x - j) * at
        # float32, sixteen terms of order one
        torch.testing.assert_close(sampled[0, 1 + row * width + column].double(), total, rtol=0, atol=1e-4)
    assert position_code(code, p, p) is code
