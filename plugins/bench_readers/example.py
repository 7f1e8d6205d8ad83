"""What the readers' examples share: a card without facts, a small network, random weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from bench import Card, Reader

SMALL_UNET: dict[str, Any] = {
    **{"architecture": "unet", "size": 16, "width": 32, "multipliers": [1, 2], "blocks": 1},
    "attention": [8],
}
"""The [network] table of a small U-Net but for its configuration."""

_Network = TypeVar("_Network", bound=nn.Module)


def example_card(reader: Reader, files: Sequence[str], **facts: Any) -> Card:
    """The card of an example: of VP and images of 3x16x16 unless ``facts`` say otherwise."""
    texts = dict.fromkeys(("summary", "licence", "author", "data"), "example")
    values: dict[str, Any] = {
        **{"name": "example", "format": reader.name, "shape": (3, 16, 16), "data_range": (-1.0, 1.0)},
        **{"metric": "fd", "sde": None if facts.get("predicts") == "edm" else "vp"},
        "files": [{"name": name} for name in files],
    }
    return Card(**texts | values | facts)


def random_weights(network: _Network) -> _Network:
    """The network with each parameter drawn anew, so that none is 0 and its values stay of one size."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network
