"""Float32 on the CPU is at most twice as far from float64 as the network called in contiguous memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bench
from bench import TinyUNet
from bench.checkpoints.convention import NetworkModel
from bench.checkpoints.load import load_model
from bench.checkpoints.networks.classifier import NoisyClassifier
from bench.checkpoints.networks.unet import UNet, UNetConfig
from tests.support.plugins import installed
from tests.support.uneven import make_uneven

CPU = torch.device("cpu")
VP = installed().build("sdes", "vp", {})
LEVEL = VP.at(0.5)


def image(seed: int = 0, size: int = 32) -> Tensor:
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(seed))


def error(y: Tensor, truth: Tensor) -> float:
    """Root of the mean square of the error, relative to the truth's."""
    return float((y.double() - truth).norm() / truth.norm())


def unet(configuration: str, **changes: Any) -> Callable[[], nn.Module]:
    table = {"configuration": configuration, "width": 32, "blocks": 1, "multipliers": (1, 2)}
    return lambda: UNet(UNetConfig.read(table | changes))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "tiny": TinyUNet,
    **{name: unet(name) for name in ("ddpm", "ddpmpp", "ncsnpp", "ncsnpp_continuous", "iddpm", "edm_vp")},
    "residual pyramid": unet("ncsnpp", pyramid_out="residual"),
    "wide": unet("ddpm", width=128),
}


class Normed(nn.Module):
    """A user's network whose activations are far from zero."""

    def __init__(self) -> None:
        super().__init__()
        self.rise, self.fall = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 3, 1)
        self.norm = nn.GroupNorm(4, 32)
        assert self.rise.bias is not None
        nn.init.constant_(self.rise.bias, 300.0)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        y: Tensor = self.fall(self.norm(self.rise(x)))
        return y


def check_score(network: nn.Module, held: torch.memory_format = torch.contiguous_format) -> None:
    """The score as a run computes it, of a network that its user holds in this memory."""
    network = network.eval().requires_grad_(False)
    x, label = image(), torch.full((4,), LEVEL.sigma)
    truth = copy.deepcopy(network).double()(x.double(), label.double())[:, :3]
    contiguous = network(x, label)[:, :3]
    checkpoint = bench.network(
        network.to(memory_format=held),
        predicts="noise",
        labels="sigma",
        shape=(3, 32, 32),
        learned_variance=network(x, label).shape[1] == 6,
    )
    score = load_model(checkpoint, VP, CPU, installed()).score(x.contiguous(memory_format=held), LEVEL)
    assert error(-LEVEL.sigma * score, truth) < 2 * error(contiguous, truth)


@pytest.mark.parametrize("name", NETWORKS)
def test_score(name: str) -> None:
    check_score(make_uneven(NETWORKS[name]()))


@pytest.mark.parametrize("held", [torch.contiguous_format, torch.channels_last])
def test_score_of_a_users_network(held: torch.memory_format) -> None:
    torch.manual_seed(0)
    check_score(Normed(), held)


def test_gradient_of_a_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of states in channels-last memory, as a network in bfloat16 leaves them."""
    classifier = make_uneven(NoisyClassifier())
    weights = classifier.state_dict()
    monkeypatch.setattr("bench.checkpoints.networks.classifier.load_file", lambda _: weights)
    x, labels = image(), torch.arange(4)

    def gradient(network: NoisyClassifier, x: Tensor) -> Tensor:
        z = (x / LEVEL.alpha).requires_grad_()
        sigma = torch.full((1,), LEVEL.sigma / LEVEL.alpha, dtype=x.dtype)
        chosen = network.logits(z, sigma).log_softmax(1).gather(1, labels[:, None]).sum()
        (by_z,) = torch.autograd.grad(chosen, z)
        result: Tensor = by_z / LEVEL.alpha
        return result

    truth = gradient(copy.deepcopy(classifier).double(), x.double())
    model = load_model(installed().get("checkpoints", "cifar10-tiny").thing, VP, CPU, installed())
    assert isinstance(model, NetworkModel)
    assert VP.data_range == (-1.0, 1.0)  # the classifier's own
    result = model.class_gradient(x.contiguous(memory_format=torch.channels_last), LEVEL, labels)
    assert error(result, truth) < 2 * error(gradient(classifier, x), truth)
