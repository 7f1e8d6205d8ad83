"""The classifier whose penultimate features ``fd_cifar10`` compares."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _conv(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.body(x)
        return result


class Cifar10Features(nn.Module):
    """Small residual classifier: (B, 3, 32, 32) uint8 images -> (B, 64) features -> (B, 10) logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(3, 32),
            _conv(32, 64, stride=2),
            _Residual(64),
            _conv(64, 128, stride=2),
            _Residual(128),
            _Residual(128),
        )
        self.project = nn.Linear(128, 64)
        self.head = nn.Linear(64, 10)

    def features(self, images: Tensor) -> Tensor:
        """Penultimate activations (B, 64), not rectified."""
        x = (images.float() - 120.0) / 64.0
        x = self.body(x.contiguous(memory_format=torch.channels_last))
        features: Tensor = self.project(x.mean(dim=(2, 3)))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 10)."""
        logits: Tensor = self.head(F.relu(self.features(images)))
        return logits
