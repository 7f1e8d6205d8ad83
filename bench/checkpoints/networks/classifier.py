"""A classifier of noisy images, whose gradient guides class-conditional sampling."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from bench.checkpoints.cards import WeightsCard
from bench.checkpoints.networks.layers import memory_format
from bench.checkpoints.networks.tiny import TinyBlock
from bench.errors import BenchError
from bench.files import registry_path

CARD = registry_path("classifiers", "cifar10-noisy-classifier.toml")
"""The shipped classifier's card; its weights are beside it."""


class NoisyClassifier(nn.Module):
    """``p(y | x)`` of noisy images ``x = x0 + sigma noise``, x0 on [-1, 1] (Song et al. 2021, appendix I).

    Takes ``x / sqrt(sigma^2 + sigma_data^2)`` and ``ln(sigma) / 4``, as EDM's networks do (Karras et al.
    2022, Table 1): residual blocks at a half, a quarter and an eighth of the resolution, whose group norms
    are affine in an embedding of the noise level, then the mean over places and a linear layer. Smooth,
    so that ``d ln p(y | x) / dx`` is, too.

    Args:
        classes: Number of classes.
        image_channels: Channels C of the images.
        widths: Channels at the three resolutions.
        blocks: Residual blocks at each of them.
        embedding: Width of the embedding of the noise level.
        sigma_data: Standard deviation of the images.
    """

    def __init__(
        self,
        classes: int = 10,
        image_channels: int = 3,
        widths: tuple[int, int, int] = (64, 128, 192),
        blocks: tuple[int, int, int] = (1, 2, 1),
        embedding: int = 128,
        sigma_data: float = 0.5,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "classes": classes,
            "image_channels": image_channels,
            "widths": tuple(widths),
            "blocks": tuple(blocks),
            "embedding": embedding,
            "sigma_data": sigma_data,
        }
        self.sigma_data = sigma_data
        self.register_buffer(
            "frequencies", torch.exp(torch.linspace(0.0, math.log(30.0), 32)), persistent=False
        )
        self.embed = nn.Sequential(
            nn.Linear(64, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.entries, self.levels = nn.ModuleList(), nn.ModuleList()
        before = 4 * image_channels
        for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            self.entries.append(nn.Conv2d(before, width, 3, stride=1 if level == 0 else 2, padding=1))
            self.levels.append(nn.ModuleList(TinyBlock(width, width, embedding) for _ in range(count)))
            before = width
        self.norm = nn.GroupNorm(before // 16, before)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Compute `logits`."""
        sigma = sigma.to(x.dtype).expand(len(x))
        h = F.pixel_unshuffle(x * (sigma**2 + self.sigma_data**2).rsqrt()[:, None, None, None], 2)
        phase = sigma.log()[:, None] / 4 * self.get_buffer("frequencies").to(x.dtype)
        emb = self.embed(torch.cat([phase.sin(), phase.cos()], dim=1))
        for entry, level in zip(self.entries, self.levels, strict=True):
            h = entry(h)
            for block in level:  # type: ignore[attr-defined]
                h = block(h, emb)
        result: Tensor = self.head(F.silu(self.norm(h)).mean(dim=(2, 3)))
        return result

    def logits(self, x: Tensor, sigma: Tensor) -> Tensor:
        """``ln p(y | x)`` up to a constant per image; differentiable in ``x``.

        Args:
            x: Noisy images ``x0 + sigma noise`` (B, C, H, W), x0 on [-1, 1]. Of a state
                ``alpha x0 + sigma' noise`` give ``x / alpha`` and ``sigma' / alpha``.
            sigma: Noise levels (B,) or (1,), positive.

        Returns:
            Logits (B, classes).
        """
        result: Tensor = self(x, sigma)
        return result


def load_noisy_classifier(device: torch.device | str = "cpu", card: Path = CARD) -> NoisyClassifier:
    """Load the classifier of a card; size and hash of its weights are checked first.

    Args:
        device: Where it computes.
        card: Path of its `WeightsCard`.

    Returns:
        The classifier, in float32, in evaluation mode and in the device's `memory_format`.

    Raises:
        BenchError: A file is missing, damaged or of another network. The message is one line.
    """
    described = WeightsCard.read(card)
    path = described.weights()
    try:
        classifier = NoisyClassifier(**described.network)
        classifier.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise BenchError(f"{path} does not hold the network of {card.name}: {first}") from error
    return classifier.eval().requires_grad_(False).to(device).to(memory_format=memory_format(device))
