"""A classifier of noisy images, whose gradient guides class-conditional sampling."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from bench.cache import check_file
from bench.checkpoints.networks.tiny import Block
from bench.errors import BenchError
from bench.files import REGISTRY

CARD = REGISTRY / "classifiers" / "cifar10-noisy-classifier.toml"
"""The shipped classifier's card; its weights lie beside it."""


class NoisyClassifier(nn.Module):
    """``p(y | x)`` of noisy images ``x = x0 + sigma noise``, x0 on [-1, 1] (Song et al. 2021, appendix I).

    Sees ``x / sqrt(sigma^2 + sigma_data^2)`` and ``ln(sigma) / 4``, as EDM's networks do (Karras et al. 2022,
    Table 1): residual blocks at a half, a quarter and an eighth of the resolution, whose group norms are
    affine in an embedding of the noise level, then the mean over places and a linear layer. Smooth (SiLU),
    so that ``d ln p(y | x) / dx`` is, too.
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
            self.levels.append(nn.ModuleList(Block(width, width, embedding) for _ in range(count)))
            before = width
        self.norm = nn.GroupNorm(before // 16, before)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """As `logits`."""
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
        """``ln p(y | x)`` but for a constant per image, (B, classes).

        ``x`` (B, 3, 32, 32) is ``x0 + sigma noise`` with x0 on [-1, 1]; ``sigma`` (B,) or a single value,
        positive. Differentiable in ``x``; of a state ``alpha x0 + sigma' noise`` give ``x / alpha`` and
        ``sigma' / alpha``.
        """
        result: Tensor = self(x, sigma)
        return result


def load_noisy_classifier(device: torch.device | str = "cpu", card: Path = CARD) -> NoisyClassifier:
    """The classifier of a card, in float32 on ``device``, size and hash of its weights checked first.

    `BenchError`, in one line, where a file is missing, damaged or of another network.
    """
    try:
        told = tomllib.loads(card.read_text())
        (file,) = told["files"]
        name, size, sha256, network = file["name"], file["bytes"], file["sha256"], told["network"]
    except OSError as error:
        raise BenchError(f"classifier card {card} is missing; restore it from the project") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise BenchError(
            f"classifier card {card} is damaged ({error}); restore it from the project"
        ) from error
    path = card.parent / str(name)
    check_file(path, size, sha256, card.stem, "restore it from the project")
    try:
        classifier = NoisyClassifier(**network)
        classifier.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise BenchError(f"{path} does not hold the network of {card.name}: {first}") from error
    return classifier.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
