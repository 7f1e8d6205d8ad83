"""Networks on which rounding shows."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def make_uneven(network: Network) -> Network:
    """The network, its weights replaced by random ones.

    Channels differ in scale, and group norms meet means of many deviations: convolutions to features have
    biases near 300, and their outputs vary by about one.
    """
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in network.modules():
            for name, parameter in layer.named_parameters(recurse=False):
                values = torch.randn(parameter.shape, generator=generator)
                if parameter.ndim > 1:
                    scales = torch.randn(len(parameter), generator=generator).exp()
                    values *= scales.view(-1, *[1] * (parameter.ndim - 1)) / parameter[0].numel() ** 0.5
                elif name == "weight":
                    values = (values / 2).exp()
                elif isinstance(layer, nn.Conv2d) and layer.out_channels >= 32:  # not to images
                    values += 300
                parameter.copy_(values)
    return network.eval().requires_grad_(False)
