"""torchcfm's ``.pt``: recorded outputs, the package itself where it is installed, and files that don't fit.

The package asks for some eighty others, of which its network needs one (POT): ``.ci/run`` installs these two
and runs this file again.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import BenchError, Prediction
from bench.checkpoints.cards import Card
from bench.checkpoints.convention import NetworkModel
from bench.checkpoints.networks.unet import PUBLISHED, UNet, UNetConfig
from bench.checkpoints.resolve import label_of, parametrisation_of
from bench_readers.improved_diffusion import views
from bench_readers.torchcfm import TorchCFM
from tests.support.analytic import sde
from tests.support.formula import RECORDING, parameter, recorded, relative, shapes
from tests.support.plugins import installed

FILE = "torchcfm.npz"
SMALL: dict[str, dict[str, Any]] = {
    "32": {"width": 32, "multipliers": [1, 2], "blocks": 1, "head_width": 16},
    "28": {
        **{"size": 28, "channels": 1, "outputs": 1, "width": 32, "multipliers": [1, 2], "blocks": 1},
        **{"attention": [28], "heads": 4, "head_width": 0},
    },
}
"""Our configurations of the recorded networks. Of 28 pixels, a sixteenth is one: the first level attends."""
PACKAGE: dict[str, dict[str, Any]] = {
    "32": {"dim": (3, 32, 32), "num_channels": 32, "channel_mult": [1, 2], "num_head_channels": 16},
    "28": {"dim": (1, 28, 28), "num_channels": 32, "channel_mult": [1, 2]},
}
"""The same networks as the package makes them."""
EXAMPLE: dict[str, Any] = {"attention_resolutions": "16", "num_heads": 4, "dropout": 0.1}
"""What the authors' CIFAR-10 example gives all of its networks."""

HERE = importlib.util.find_spec("torchcfm") is not None
needed = pytest.mark.skipif(not HERE, reason="torchcfm is not installed; .ci/run installs it")


def card(**network: Any) -> Card:
    shipped = installed().get("checkpoints", "torchcfm-cifar10-icfm").thing
    table = {"architecture": "unet", "configuration": "torchcfm", **network}
    files = [{"name": "small.pt"}]
    changes = {"name": "small", "network": table, "files": files}
    return Card(**shipped.model_dump(by_alias=True) | changes)


def weights(name: str, shift: float = 0.0) -> dict[str, Tensor]:
    report = shapes(FILE, name).items()
    return {key: parameter(k, key, shape) + shift for k, (key, shape) in enumerate(report)}


def published(name: str, prefix: str = "") -> dict[str, Any]:
    """What a training writes; ``prefix`` is that of a network on several GPUs."""
    state = {prefix + key: tensor for key, tensor in weights(name).items()}
    last = {prefix + key: tensor for key, tensor in weights(name, 0.125).items()}
    scheduler = {"base_lrs": [2e-4], "last_epoch": 7, "lr_lambdas": [None]}
    optimizer = {"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"lr": 2e-4, "params": [0]}]}
    return {"net_model": last, "ema_model": state, "sched": scheduler, "optim": optimizer, "step": 400000}


@pytest.mark.parametrize(("name", "prefix"), [("32", ""), ("28", "module.")])
def test_outputs_are_those_of_the_public_network(name: str, prefix: str, tmp_path: Path) -> None:
    torch.save(published(name, prefix), tmp_path / "small.pt")
    network = TorchCFM().read(card(**SMALL[name]), tmp_path, None).eval()
    x, t = torch.tensor(recorded(FILE)[f"{name}/x"]).double(), torch.tensor(recorded(FILE)["t"]).double()
    output = recorded(FILE)[f"{name}/output"]
    with torch.no_grad():
        assert relative(network(x.float(), t.float()), output) < 1e-4
        network = network.double()
        assert relative(network(x, t), output) < RECORDING
        assert relative(network(x[1:], t[1:]), output[1:]) < RECORDING


def test_the_last_weights_on_demand(tmp_path: Path) -> None:
    torch.save(published("32"), tmp_path / "small.pt")
    average, last = (
        TorchCFM(weights=kind).read(card(**SMALL["32"]), tmp_path, None) for kind in ("ema", "raw")
    )
    for ours, theirs in zip(last.parameters(), average.parameters(), strict=True):
        assert torch.equal(ours, theirs + 0.125)


def test_names_and_order_are_the_published_ones() -> None:
    network = UNet(PUBLISHED["torchcfm"])
    result = {name: tuple(view.shape) for name, view in views(network)}
    assert list(result.items()) == list(shapes(FILE, "full").items())
    # as the cards have it, counted in the package's network of the authors' example
    assert sum(p.numel() for p in network.parameters()) == 35_746_307


@pytest.mark.parametrize("name", ["icfm", "otcfm", "fm"])
def test_the_cards_convention_is_the_authors(name: str) -> None:
    """On ``x(t') = (1 - t') x0 + t' x1`` from noise x0 to data x1 the network gives ``x1 - x0``, told t'.

    Both ways of the equation: with the two ends known, every prediction is known too.
    """
    shipped, law = installed().get("checkpoints", f"torchcfm-cifar10-{name}").thing, sde("flow")
    draws = torch.Generator().manual_seed(0)
    noise, data = (torch.randn(2, *shipped.shape, generator=draws, dtype=torch.float64) for _ in range(2))
    labels = []

    def network(x: Tensor, label: Tensor) -> Tensor:
        del x
        labels.append(float(label))
        return data - noise

    convention = parametrisation_of(shipped, installed()), label_of(shipped, installed())
    model = NetworkModel(network, shipped, *convention, law, law, bf16=False, dtype=torch.float64)
    prediction = Prediction(model, law)
    for time in (0.0, 0.25, 0.999):
        level = law.at(1 - time)
        x = (1 - time) * noise + time * data
        for result, expected in (
            (prediction.denoised(x, level), data),
            (prediction.velocity(x, level), noise - data),
            *([(prediction.noise(x, level), noise)] if time else []),
        ):
            assert float((result - expected).abs().max()) < 1e-12 / (1 - time)
    assert labels == pytest.approx([0.0] * 2 + [0.25] * 3 + [0.999] * 3, abs=1e-15)


@pytest.mark.parametrize(
    ("network", "report"),
    [
        ({"configuration": "ddpm"}, "has attention_up 'last'; torchcfm's have 'each'"),
        ({"configuration": "iddpm", **SMALL["32"]}, "has shape (32, 128), not (64, 128)"),
        ({"classes": 10}, "has classes 10; torchcfm's have 0"),
        ({**SMALL["32"], "blocks": 2}, "of another network: it lacks 'input_blocks."),
        ({**SMALL["32"], "head_width": 24}, "64 channels can't be split into heads of 24"),
    ],
)
def test_cards_of_other_networks(network: dict[str, Any], report: str, tmp_path: Path) -> None:
    torch.save(published("32"), tmp_path / "small.pt")
    with pytest.raises(BenchError) as caught:
        TorchCFM().read(card(**network), tmp_path, None)
    assert report in str(caught.value)


@pytest.mark.parametrize(
    ("content", "report"),
    [
        ([torch.zeros(1)], "it is not a checkpoint of torchcfm's: a dict with 'ema_model'"),
        ({"net_model": {}}, "it is not a checkpoint of torchcfm's: a dict with 'ema_model'"),
        ({"ema_model": {"a": 1}}, "its 'ema_model' is not a state dict: tensors by name"),
        ({"ema_model": {}}, "it lacks 'time_embed.0.weight' and 127 more"),
    ],
)
def test_files_of_another_kind(content: Any, report: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "small.pt")
    with pytest.raises(BenchError, match=r"^its? ") as caught:
        TorchCFM().read(card(**SMALL["32"]), tmp_path, None)
    assert report in str(caught.value)


def package(num_res_blocks: int, **arguments: Any) -> nn.Module:
    """A network of the package, in evaluation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # POT has invalid escapes in its texts
        from torchcfm.models.unet.unet import UNetModelWrapper

        network: nn.Module = UNetModelWrapper(num_res_blocks=num_res_blocks, **EXAMPLE | arguments)
    return network.eval().requires_grad_(False)


@needed
@pytest.mark.parametrize("name", PACKAGE)
def test_the_recording_is_the_packages(name: str) -> None:
    network = package(1, **PACKAGE[name])
    network.load_state_dict(weights(name))
    x, t = torch.tensor(recorded(FILE)[f"{name}/x"]).float(), torch.tensor(recorded(FILE)["t"])
    assert relative(network(t, x), recorded(FILE)[f"{name}/output"]) < 1e-4


@needed
def test_the_authors_network_in_full_size(tmp_path: Path) -> None:
    """With random weights, through a file and a card as published, within 1e-5 of the package."""
    theirs = package(2, dim=(3, 32, 32), num_channels=128, channel_mult=[1, 2, 2, 2], num_head_channels=64)
    draws = torch.Generator().manual_seed(0)
    for name, weight in theirs.named_parameters():
        norm = weight.dim() == 1 and name.endswith("weight")
        spread = 0.1 if weight.dim() == 1 else weight[0].numel() ** -0.5
        weight.copy_(spread * torch.randn(weight.shape, generator=draws) + norm)
    torch.save({"ema_model": theirs.state_dict()}, tmp_path / "small.pt")
    ours = TorchCFM().read(card(), tmp_path, None).eval()
    x, t = torch.randn(2, 3, 32, 32, generator=draws), torch.tensor([0.1, 0.8])
    with torch.no_grad():
        assert relative(ours(x, t), theirs(t, x).numpy()) < 1e-5


def test_the_configuration_is_the_examples() -> None:
    config = UNetConfig.read({"configuration": "torchcfm"})
    assert (config.width, config.multipliers, config.blocks, config.attention) == (
        128,
        (1, 2, 2, 2),
        2,
        (16,),
    )
    assert config.heads_of(256) == 4
