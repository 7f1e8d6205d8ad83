"""EDM's preconditioning."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.checkpoints.networks.edm import EDMDenoiser


class Recorder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        self.calls.append((x, noise))
        return torch.ones_like(x)


@pytest.mark.parametrize("shape", [(3, 4, 4), (2,)])
def test_the_network_takes_unit_variance_and_a_quarter_of_the_logarithm(shape: tuple[int, ...]) -> None:
    network = Recorder()
    sigma = torch.tensor([0.1, 10.0])
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    denoised = EDMDenoiser(network, 0.5)(x, sigma)
    ((inner, noise),) = network.calls
    sigma = sigma.reshape(2, *[1] * len(shape))
    total = sigma**2 + 0.25
    assert torch.allclose(inner, x / total.sqrt())
    assert torch.allclose(noise, sigma.flatten().log() / 4)
    # c_skip x + c_out F with F = 1
    c_out = sigma * 0.5 / total.sqrt()
    assert torch.allclose(denoised, 0.25 / total * x + c_out)
