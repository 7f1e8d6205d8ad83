"""The residual MLP, against its formula in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import ResidualMLP
from bench.types import Array


def silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-x)))


def norm(x: Array, layer: Any) -> Array:
    """Layer norm by its formula, with torch's epsilon."""
    centered = x - x.mean(axis=1, keepdims=True)
    return affine(centered / np.sqrt((centered**2).mean(axis=1, keepdims=True) + 1e-5), layer)


def affine(x: Array, layer: Any) -> Array:
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    return np.asarray(x @ weight.T + bias if weight.ndim == 2 else x * weight + bias)


def draw_parameters(network: ResidualMLP) -> None:
    """Every parameter drawn, so that none of them is neutral."""
    generator = torch.Generator().manual_seed(0)
    for p in network.parameters():
        p.data = 0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2,), (3, 4)])
def test_it_is_its_formula(shape: tuple[int, ...]) -> None:
    network = ResidualMLP(int(np.prod(shape)), width=12, blocks=3).double()
    draw_parameters(network)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, *shape, generator=generator, dtype=torch.float64)
    noise = torch.linspace(-1.7, 1.2, 5, dtype=torch.float64)
    phase = noise.numpy()[:, None] * network.get_buffer("frequencies").numpy()
    assert phase[0, 0] == pytest.approx(-1.7)  # frequencies from 1 to 30
    assert phase[0, -1] == pytest.approx(-1.7 * 30, rel=1e-6)
    emb = silu(affine(np.concatenate([np.sin(phase), np.cos(phase)], axis=1), network.embed))
    h: Any = affine(x.numpy().reshape(5, -1), network.stem)
    block: Any
    for block in network.blocks:
        inner: Any = affine(norm(h, block.norm), block.inner)
        h = h + affine(silu(inner + affine(emb, block.label)), block.outer)
    expected = affine(norm(h, network.norm), network.out).reshape(5, *shape)
    np.testing.assert_allclose(network(x, noise).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_one_noise_label_serves_all_items() -> None:
    network = ResidualMLP(4, width=8, blocks=1)
    draw_parameters(network)
    x = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network(x, torch.tensor([0.4])), network(x, torch.full((3,), 0.4)))


def test_an_untrained_network_answers_with_its_last_bias() -> None:
    """Its blocks start as the identity, and the last weights at zero."""
    network = ResidualMLP(6, width=8, blocks=2)
    h = torch.randn(2, 8)
    with torch.no_grad():
        assert torch.equal(network.blocks[0](h, torch.randn(2, 8)), h)
        x = torch.randn(2, 2, 3)
        assert torch.equal(network(x, torch.zeros(2)).flatten(1), network.out.bias.expand(2, 6))


def test_its_configuration_builds_it_again() -> None:
    network = ResidualMLP(6, width=8, blocks=2)
    again = ResidualMLP(6, **network.config)
    shapes = {name: t.shape for name, t in network.state_dict().items()}
    assert {name: t.shape for name, t in again.state_dict().items()} == shapes
