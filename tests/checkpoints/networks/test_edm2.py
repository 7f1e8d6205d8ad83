"""EDM2's network: magnitudes that its layers preserve, and how it is run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bench import BenchError, EDM2Config, EDM2UNet
from bench.checkpoints.networks.edm2 import mp_cat, mp_silu, mp_sum, pixel_norm

SMALL: dict[str, Any] = {"size": 16, "width": 64, "multipliers": (1, 2), "blocks": 1, "attention": (8,)}


def network(**changes: Any) -> EDM2UNet:
    torch.manual_seed(3)
    result = EDM2UNet(EDM2Config(**SMALL | {"classes": 5} | changes))
    with torch.no_grad():
        for parameter in result.parameters():
            parameter.copy_(torch.randn_like(parameter))
    result.normalize_weights()
    return result.eval().requires_grad_(False)


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def test_sums_concatenations_and_activations_preserve_magnitude() -> None:
    """Of independent standard normal numbers; 10^6 of them tell the root mean square to 1e-3."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(1, width, 250, 1000, generator=generator) for width in (4, 12))
    assert rms(mp_silu(a)) == pytest.approx(1, abs=3e-3)
    assert rms(mp_sum(a, b[:, :4], 0.3)) == pytest.approx(1, abs=3e-3)
    both = mp_cat(a, b)
    assert rms(both) == pytest.approx(1, abs=3e-3)
    # both parts contribute alike, whatever their widths
    assert float(both[:, :4].square().sum() / both[:, 4:].square().sum()) == pytest.approx(1, abs=1e-2)
    # (1e-4 + rms) in place of rms: off by 1e-4 of itself
    assert pixel_norm(3 * a).square().mean(1).sqrt().mean().item() == pytest.approx(1, abs=2e-4)


def test_normalized_weights_have_unit_length() -> None:
    instance = network()
    for layer in instance.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            lengths = layer.weight.flatten(1).norm(dim=1)
            torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=1e-3, atol=0)


def test_one_label_stands_for_the_batch_and_each_image_is_of_its_own_class() -> None:
    instance = network()
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).repeat(4, 1, 1, 1)
    classes = torch.tensor([1, 3, -1, 1])
    y = instance(x, torch.tensor([0.5]), classes)
    torch.testing.assert_close(instance(x, torch.full((4,), 0.5), classes), y, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y[3], y[0], rtol=1e-4, atol=1e-5)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert float((y[i] - y[j]).abs().max()) > 1e-3


def test_unconditional() -> None:
    instance = network(classes=0)
    assert instance(torch.zeros(2, 3, 16, 16), torch.tensor([0.5])).shape == (2, 3, 16, 16)


def test_traced_whole() -> None:
    instance = network()
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    arguments = (x.contiguous(memory_format=torch.channels_last), torch.tensor([3.0]), torch.tensor([1, -1]))
    whole = torch.compile(instance, fullgraph=True, dynamic=False, backend="eager")
    torch.testing.assert_close(whole(*arguments), instance(*arguments), rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()


def test_bfloat16_stays_near() -> None:
    """As a run computes in it: weights of convolutions and matrices too."""
    full, half = network(), network()
    for layer in half.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.to(torch.bfloat16)
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    arguments = (x, torch.tensor([0.2]), torch.tensor([1, 4]))
    with torch.autocast("cpu", torch.bfloat16):
        y = half(*arguments)
    expected = full(*arguments)
    assert not torch.equal(y.float(), expected)
    # bf16 keeps 8 bits: 2^-8 a layer, some thirty layers adding up as their root
    assert float((y - expected).norm() / expected.norm()) < 30**0.5 * 2**-8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 80}, "160 channels can't be split into heads of 64"),
        ({"size": 7}, "can't be halved"),
        ({"classes": -1}, "classes: "),
    ],
)
def test_wrong_configurations_are_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        EDM2Config(**SMALL | values)
