"""The layers of the published U-Nets, one by one."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from bench import Attention, ConvDown, ConvUp, FourierFeatures, ResidualBlock
from bench.checkpoints.networks.layers import Fir, Plain, Positional, memory_format


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_positional_embeddings_are_the_published_sinusoids() -> None:
    label = torch.tensor([3.0])
    (sines,) = Positional(8)(label)
    frequencies = [10000 ** (-i / 3) for i in range(4)]
    assert torch.allclose(sines[:4], torch.tensor([math.sin(3 * f) for f in frequencies]), atol=1e-6)
    assert torch.allclose(sines[4:], torch.tensor([math.cos(3 * f) for f in frequencies]), atol=1e-6)
    (cosines,) = Positional(8, cosine_first=True)(label)
    assert cosines[1] == pytest.approx(math.cos(3 * 10000 ** (-1 / 4)), abs=1e-6)


def test_fourier_features_are_of_the_label_or_its_logarithm() -> None:
    features, logarithmic = FourierFeatures(4, log=False), FourierFeatures(4, log=True)
    assert not features.weight.requires_grad
    logarithmic.weight.data = features.weight.data
    label = torch.tensor([0.1, 2.0])
    assert features(label).shape == (2, 8)
    assert torch.allclose(logarithmic(label), features(label.log()))


@pytest.mark.parametrize("way", ["up", "down"])
def test_resampling_keeps_the_mean(way: str) -> None:
    x = image(1, 3, 8, 8)
    assert torch.allclose(Plain(way)(x).mean(), x.mean(), atol=1e-6)  # type: ignore[arg-type]
    constant = torch.ones(1, 3, 8, 8)
    resampled = Fir(3, way)(constant)  # type: ignore[arg-type]
    assert resampled.shape[-1] == (16 if way == "up" else 4)
    assert torch.allclose(resampled[..., 1:-1, 1:-1], torch.ones(()))


@pytest.mark.parametrize("fir", [False, True])
def test_convolutions_halve_and_double(fir: bool) -> None:
    x = image(2, 3, 8, 8)
    assert ConvDown(3, 5, fir=fir)(x).shape == (2, 5, 4, 4)
    assert ConvUp(3, 5, fir=fir)(x).shape == (2, 5, 16, 16)
    assert ConvDown(3, 5, even=True)(x).shape == (2, 5, 4, 4)


def test_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    layer, x = Attention(8, heads=2, groups=2, eps=1e-6, gain=0.5), image(1, 8, 2, 2)
    rows = layer.norm(x)[0].flatten(1).t()
    parts = layer.qkv(rows).chunk(3, dim=1)
    heads = []
    for q, k, v in zip(*(part.split(4, dim=1) for part in parts), strict=True):
        heads.append((q @ k.t() / 2).softmax(1) @ v)
    expected = 0.5 * (x + layer.proj(torch.cat(heads, dim=1)).t().reshape(1, 8, 2, 2))
    assert torch.allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize("modulate", [False, True])
def test_a_residual_block_is_the_formula(modulate: bool) -> None:
    torch.manual_seed(0)
    block = ResidualBlock(4, 8, 6, groups=(2, 4), eps=1e-6, gain=0.5, modulate=modulate)
    x, emb = image(2, 4, 4, 4), image(2, 6)
    h = block.conv0(F.silu(block.norm0(x)))
    shift = block.embed(emb)[:, :, None, None]
    h = block.norm1(h) * (1 + shift[:, :8]) + shift[:, 8:] if modulate else block.norm1(h + shift)
    assert block.skip is not None
    expected = 0.5 * (block.conv1(F.silu(h)) + block.skip(x))
    assert torch.allclose(block(x, emb), expected, atol=1e-6)


def test_a_block_of_one_width_has_no_skip() -> None:
    assert ResidualBlock(4, 4, 6, groups=(2, 2), eps=1e-6, gain=1.0).skip is None


@pytest.mark.parametrize(
    ("device", "bf16", "compiled", "channels_last"),
    [
        ("cpu", False, True, False),
        ("cpu", True, False, True),
        ("cuda", True, False, False),
        ("cuda:1", False, True, True),
    ],
)
def test_channels_last_where_group_norm_takes_it(
    device: str, bf16: bool, compiled: bool, channels_last: bool
) -> None:
    expected = torch.channels_last if channels_last else torch.contiguous_format
    assert memory_format(device, bf16=bf16, compiled=compiled) == expected
