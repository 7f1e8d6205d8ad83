"""improved-diffusion's ``.pt``: a recorded network's outputs, and cards that don't fit it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import BenchError
from bench.checkpoints.cards import Card
from bench.checkpoints.networks.unet import PUBLISHED, UNet, UNetConfig
from bench_readers.improved_diffusion import ImprovedDiffusion, views
from bench_readers.layout import load
from tests.support.formula import RECORDING, parameter, recorded, relative, shapes

FILE = "improved_diffusion.npz"
SMALL: dict[str, Any] = {"width": 32, "multipliers": [1, 2], "attention": [16]}


def card(**network: Any) -> Card:
    report = {"architecture": "unet", "configuration": "iddpm", **SMALL, **network}
    return Card(
        **{"name": "small", "summary": "s", "licence": "l", "author": "a", "data": "d", "metric": "m"},
        **{
            "format": "improved_diffusion",
            "predicts": "noise",
            "labels": "index",
            "sde": "vp",
            "scales": 4000,
        },
        **{"shape": (3, 32, 32), "data_range": (-1, 1), "learned_variance": True, "network": report},
        files=[{"name": "small.pt"}],
    )


def weights(blocks: int) -> dict[str, Tensor]:
    report = shapes(FILE, f"{blocks}").items()
    return {name: parameter(k, name, shape) for k, (name, shape) in enumerate(report)}


@pytest.mark.parametrize("blocks", [1, 2])
def test_outputs_are_those_of_the_public_network(blocks: int, tmp_path: Path) -> None:
    torch.save(weights(blocks), tmp_path / "small.pt")
    network = ImprovedDiffusion().read(card(blocks=blocks), tmp_path, None).eval()
    report = {key: recorded(FILE)[f"{blocks}/{key}"] for key in ("label", "output")}
    label = torch.tensor(report["label"])
    x = torch.tensor(recorded(FILE)["x"][: len(label)]).float()
    with torch.no_grad():
        assert relative(network(x, label), report["output"]) < 1e-4
        assert relative(network(x[:1], label[:1]), report["output"][:1]) < 1e-4
        assert relative(network.double()(x.double(), label.double()), report["output"]) < RECORDING


@pytest.mark.parametrize("blocks", [1, 2])
def test_names_and_order_are_the_published_ones(blocks: int) -> None:
    network = UNet(UNetConfig.read(card(blocks=blocks).network))
    result = {name: tuple(view.shape) for name, view in views(network)}
    assert list(result.items()) == list(shapes(FILE, f"{blocks}").items())
    assert len(result) == len(list(network.parameters()))


def test_the_published_network_has_its_number_of_weights() -> None:
    with torch.device("meta"):
        network = UNet(PUBLISHED["iddpm"])
    # counted in the public UNetModel of the command that trained it
    assert sum(p.numel() for p in network.parameters()) == 52_546_438


@pytest.mark.parametrize(
    ("network", "report"),
    [
        ({"configuration": "ddpm"}, "has attention_up 'last'; improved-diffusion's have 'each'"),
        ({"even": False}, "has even False; improved-diffusion's have True"),
        ({"classes": 10}, "has classes 10; improved-diffusion's have 0"),
        ({"blocks": 2}, "of another network: it lacks 'input_blocks."),
        ({"width": 64}, "'time_embed.0.weight' has shape (128, 32), not (256, 64)"),
        ({"heads": 3}, "64 channels can't be split into 3 heads"),
        ({"depth": 3}, "unknown key 'depth' of a U-Net"),
    ],
)
def test_cards_of_other_networks(network: dict[str, Any], report: str, tmp_path: Path) -> None:
    torch.save(weights(1), tmp_path / "small.pt")
    with pytest.raises(BenchError) as caught:
        ImprovedDiffusion().read(card(**{"blocks": 1, **network}), tmp_path, None)
    assert report in str(caught.value)


@pytest.mark.parametrize(
    ("content", "report"),
    [
        ({"model": {"a": torch.zeros(1)}}, "it is not a bare state dict"),
        ([torch.zeros(1)], "it is not a bare state dict"),
        ({}, "it lacks 'time_embed.0.weight' and 127 more"),
    ],
)
def test_files_of_another_kind(content: Any, report: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "small.pt")
    with pytest.raises(BenchError, match=r"^its? ") as caught:
        ImprovedDiffusion().read(card(blocks=1), tmp_path, None)
    assert report in str(caught.value)


def test_heads_are_told_apart() -> None:
    """The recording would not agree with another order of heads, nor with another number of them."""
    arguments = recorded(FILE)
    x, label = torch.tensor(arguments["x"]).float(), torch.tensor(arguments["1/label"])
    config = dataclasses.replace(UNetConfig.read(card(blocks=1).network), heads=1)
    network = UNet(config).eval()
    load(views(network), weights(1))
    with torch.no_grad():
        assert relative(network(x, label), arguments["1/output"]) > 1e-3
