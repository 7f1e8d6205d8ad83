"""Configurations of the U-Net and what they build."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench import BenchError, UNet, UNetConfig
from bench.checkpoints.networks.unet import PUBLISHED


def test_a_published_configuration_is_read_by_name_and_overridden() -> None:
    assert UNetConfig.read({"configuration": "ncsnpp"}) == PUBLISHED["ncsnpp"]
    config = UNetConfig.read({"architecture": "unet", "configuration": "iddpm", "multipliers": [1, 2]})
    assert config.multipliers == (1, 2)
    assert (config.heads, config.outputs) == (4, 6)
    assert UNetConfig.read({}) == UNetConfig()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"configuration": "ncsnp"}, "did you mean 'ncsnpp'"),
        ({"architecture": "vit"}, "unknown architecture 'vit'"),
        ({"with": 3}, "unknown key 'with'"),
        ({"eps": 2.0}, "eps: input should be less than 1, not 2.0"),
        ({"size": 12}, "can't be halved 3 times"),
        ({"width": 6, "multipliers": [1], "heads": 4}, "can't be split into 4 heads"),
    ],
)
def test_wrong_configurations_are_one_line(table: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError) as caught:
        UNetConfig.read(table)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_groups_of_norms_are_bounded() -> None:
    config = UNetConfig(group_size=4, most_groups=32)
    assert [config.groups(channels) for channels in (8, 64, 512)] == [2, 16, 32]


@pytest.mark.parametrize("pyramid", ["none", "skip", "residual"])
def test_every_pyramid_gives_outputs_of_the_images_size(pyramid: Any) -> None:
    torch.manual_seed(0)
    config = UNetConfig(
        size=8,
        outputs=6,
        width=8,
        multipliers=(1, 2),
        blocks=1,
        attention=(4,),
        group_size=4,
        biggan=True,
        pyramid_in=pyramid,
        pyramid_out=pyramid,
    )
    network = UNet(config).eval()
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        one, each = network(x, torch.tensor([3.0])), network(x, torch.tensor([3.0, 3.0]))
    assert one.shape == (2, 6, 8, 8)
    assert torch.allclose(one, each, atol=1e-5)
