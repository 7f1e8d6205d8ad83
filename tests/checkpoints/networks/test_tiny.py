"""The small U-Net on space-to-depth images."""

from __future__ import annotations

import torch

from bench import TinyUNet
from bench.checkpoints.networks.tiny import TinyBlock


def test_an_untrained_network_answers_with_a_constant() -> None:
    """The weights of the last layer start at zero; its bias is left."""
    torch.manual_seed(0)
    network = TinyUNet(image_channels=1, width=16, width_low=64, width_middle=64, embedding=8)
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert network.out.bias is not None
        bias = network.out.bias.reshape(1, 1, 2, 2).tile(2, 1, 4, 4)  # one entry per place of the fold
        assert torch.equal(network(x, torch.zeros(2)), bias)


def test_its_configuration_builds_it_again() -> None:
    network = TinyUNet(image_channels=1, width=16, width_low=64, width_middle=64, blocks=2, embedding=8)
    again = TinyUNet(**network.config)
    shapes = {name: t.shape for name, t in network.state_dict().items()}
    assert {name: t.shape for name, t in again.state_dict().items()} == shapes


def test_a_block_starts_as_its_shortcut() -> None:
    torch.manual_seed(0)
    block = TinyBlock(64, 64, 8, attention=True)
    x, emb = torch.randn(2, 64, 4, 4), torch.randn(2, 8)
    with torch.no_grad():
        assert block.conv1.bias is not None
        assert block.proj.bias is not None
        biased = block.conv1.bias[None, :, None, None] + block.proj.bias[None, :, None, None]
        assert torch.allclose(block(x, emb), x + biased, atol=1e-6)
