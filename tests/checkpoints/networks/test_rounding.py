"""Float32 in channels-last memory is at most twice as far from float64 as in contiguous memory.

What stands for contiguous memory is torch's own group norm on it, which is accurate.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import TinyUNet
from bench.checkpoints.networks.classifier import NoisyClassifier
from bench.checkpoints.networks.layers import Attention, GroupNorm, TwoPassGroupNorm
from bench.checkpoints.networks.unet import UNet, UNetConfig

NORMS = (TwoPassGroupNorm, GroupNorm)
SMALL = {"width": 32, "blocks": 1, "multipliers": (1, 2)}
RATIOS = (0, 30, 300)
"""Mean over standard deviation of the activations."""


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def error(y: Tensor, truth: Tensor) -> float:
    """Root of the mean square of the error, relative to the truth's."""
    return float((y.double() - truth).norm() / truth.norm())


def group_norm(norm_class: type[nn.GroupNorm], groups: int, channels: int) -> nn.GroupNorm:
    """A norm with weights and biases of either sign."""
    norm = norm_class(groups, channels, eps=1e-6)
    with torch.no_grad():
        for i, parameter in enumerate(norm.parameters()):
            parameter.copy_(noise(channels, seed=1 + i))
    return norm


@pytest.mark.parametrize("norm_class", NORMS)
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize(
    ("shape", "groups"),
    [((4, 64, 32, 32), 16), ((4, 128, 8, 8), 8), ((4, 32, 16, 16), 32), ((4, 64, 1, 1), 2)],
)
def test_group_norm(
    norm_class: type[TwoPassGroupNorm], ratio: int, shape: tuple[int, ...], groups: int
) -> None:
    norm, x = group_norm(norm_class, groups, shape[1]), noise(*shape) + ratio
    with torch.no_grad():
        truth = F.group_norm(x.double(), groups, norm.weight.double(), norm.bias.double(), norm.eps)
        contiguous = F.group_norm(x, groups, norm.weight, norm.bias, norm.eps)
        y = norm(channels_last(x))
        assert error(y, truth) < 2 * error(contiguous, truth)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert error(norm(x), truth) < 2 * error(contiguous, truth)
        assert error(copy.deepcopy(norm).double()(channels_last(x.double())), truth) < 1e-12


@pytest.mark.parametrize("ratio", RATIOS)
def test_group_norm_in_bfloat16(ratio: int) -> None:
    """Its sums are float32: the result errs as bfloat16's last digit, the norm of a rounded input aside."""
    norm = group_norm(GroupNorm, 16, 64)
    x = (3 * noise(2, 64, 32, 32) + ratio).bfloat16()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        y = norm(channels_last(x))
    truth = F.group_norm(x.double(), 16, norm.weight.double(), norm.bias.double(), norm.eps)
    assert y.dtype == torch.bfloat16
    assert error(y, truth.detach()) < 2**-9


@pytest.mark.parametrize("ratio", RATIOS)
def test_gradients_of_group_norm(ratio: int) -> None:
    """As a classifier's guidance takes them."""
    x, factor = noise(2, 64, 16, 16) + ratio, noise(2, 64, 16, 16, seed=9)

    def gradient(norm: nn.GroupNorm, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (result,) = torch.autograd.grad((norm(x) * factor.to(x.dtype)).sum(), x)
        return result

    truth = gradient(group_norm(nn.GroupNorm, 4, 64).double(), x.double())
    contiguous = gradient(group_norm(nn.GroupNorm, 4, 64), x)
    result = gradient(group_norm(TwoPassGroupNorm, 4, 64), channels_last(x))
    assert error(result, truth) < 2 * error(contiguous, truth)


def test_group_norm_of_other_shapes_and_without_weights() -> None:
    """Rows and signals go to torch's own, which has one kernel for them; a constant group becomes zero."""
    plain, norm = nn.GroupNorm(4, 8, affine=False), TwoPassGroupNorm(4, 8, affine=False)
    for shape in ((3, 8), (3, 8, 5), (3, 8, 4, 4), (0, 8, 4, 4)):
        torch.testing.assert_close(norm(noise(*shape)), plain(noise(*shape)))
    assert torch.equal(norm(torch.full((1, 8, 4, 4), 7.0)), torch.zeros(1, 8, 4, 4))


def test_compiled_group_norm() -> None:
    norm, x = group_norm(GroupNorm, 4, 16), noise(2, 16, 8, 8) + 300
    compiled = torch.compile(norm, fullgraph=True, dynamic=False)
    with torch.no_grad():
        truth = F.group_norm(x.double(), 4, norm.weight.double(), norm.bias.double(), norm.eps)
        contiguous = F.group_norm(x, 4, norm.weight, norm.bias, norm.eps)
        assert error(compiled(channels_last(x)), truth) < 2 * error(contiguous, truth)
    torch._dynamo.reset()


@pytest.mark.parametrize("ratio", RATIOS)
def test_softmax_of_attention(ratio: int) -> None:
    """Of logits whose mean over keys is that many of their standard deviations, against the plain formula."""
    torch.manual_seed(0)
    layer = Attention(16, heads=2, groups=4, eps=1e-6, gain=1.0).requires_grad_(False)
    layer.qkv.bias[16:32] = ratio / 3
    layer.qkv.bias[:16] = 1.0

    def formula(layer: Attention, x: Tensor) -> Tensor:
        norm = F.group_norm(x, 4, layer.norm.weight, layer.norm.bias, layer.norm.eps)
        rows = norm.flatten(2).transpose(1, 2)
        q, k, v = (part.unflatten(2, (2, 8)).transpose(1, 2) for part in layer.qkv(rows).chunk(3, dim=2))
        logits = q @ k.transpose(2, 3) / 8**0.5
        seen.append(float((logits.mean(3) / logits.std(3)).abs().median()))
        mixed = (logits.softmax(3) @ v).transpose(1, 2).flatten(2)
        y: Tensor = x + layer.proj(mixed).transpose(1, 2).reshape(x.shape)
        return y

    seen: list[float] = []
    x = noise(4, 16, 8, 8)
    truth = formula(copy.deepcopy(layer).double(), x.double())
    assert seen[0] > ratio / 2
    assert error(layer(channels_last(x)), truth) < 2 * error(formula(layer, x), truth)


@contextmanager
def torch_norms() -> Iterator[None]:
    """Networks with torch's group norm."""
    with mock.patch.object(TwoPassGroupNorm, "forward", nn.GroupNorm.forward):
        yield


def uneven(network: nn.Module) -> nn.Module:
    """A network whose channels differ in scale and have biases of several times their spread."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                scales = torch.randn(len(parameter), generator=generator).exp()
                values *= scales.view(-1, *[1] * (parameter.ndim - 1)) / parameter[0].numel() ** 0.5
            elif name.endswith("weight"):
                values = (values / 2).exp()
            parameter.copy_(values if parameter.ndim > 1 or name.endswith("weight") else 3 * values)
    return network.eval().requires_grad_(False)


def unet(configuration: str, **changes: Any) -> Callable[[], nn.Module]:
    return lambda: UNet(
        UNetConfig.read(
            {"configuration": configuration, "width": 32, "blocks": 1, "multipliers": (1, 2)} | changes
        )
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "tiny": TinyUNet,
    "noisy classifier": NoisyClassifier,
    **{name: unet(name) for name in ("ddpm", "ddpmpp", "ncsnpp", "ncsnpp_continuous", "iddpm", "edm_vp")},
    "residual pyramid": unet("ncsnpp", pyramid_out="residual"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    network = uneven(NETWORKS[name]())
    x, label = noise(4, 3, 32, 32), torch.full((4,), 0.5)
    with torch_norms():
        truth = copy.deepcopy(network).double()(x.double(), label.double())
        contiguous = network(x, label)
    y = network.to(memory_format=torch.channels_last)(channels_last(x), label)
    assert error(y, truth) < 2 * error(contiguous, truth)
