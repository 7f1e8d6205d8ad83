"""A residual network of fully connected layers, for small items of any shape: that of ``digits-tiny``."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FREQUENCIES = 16
"""Number of frequencies of the noise label, from 1 to 30, each as sine and cosine."""


class MLPBlock(nn.Module):
    """Residual block: ``h + outer(silu(inner(norm(h)) + label(emb)))``. It starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.label = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        """Map ``h`` and ``emb``, both (B, width), to (B, width)."""
        y: Tensor = h + self.outer(F.silu(self.inner(self.norm(h)) + self.label(emb)))
        return y


class ResidualMLP(nn.Module):
    """Residual MLP on flattened items: the F of EDM's preconditioning.

    ``h = stem(x)``, then ``h <- h + outer(silu(inner(norm(h)) + label(e)))`` block by block, then
    ``F = out(norm(h))``, with ``e = silu(embed(sin(f_k noise), cos(f_k noise)))``. ``forward(x, noise)``
    takes items x (B, *shape) of unit variance and one noise label per item, noise (B,), and returns
    F (B, *shape) (Karras et al. 2022, eq. 7). At 8x8 pixels it is much faster than convolutions.

    Args:
        size: Number of values of one item: the product of its shape.
        width: Width of the layers.
        blocks: Number of residual blocks.
    """

    def __init__(self, size: int, width: int = 192, blocks: int = 4) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"width": width, "blocks": blocks}
        frequencies = torch.exp(torch.linspace(0.0, math.log(30.0), FREQUENCIES))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.embed = nn.Linear(2 * FREQUENCIES, width)
        self.stem = nn.Linear(size, width)
        self.blocks = nn.ModuleList([MLPBlock(width) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, size)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """F(x; noise).

        Args:
            x: Items (B, *shape) of unit variance.
            noise: Noise labels (B,), or (1,) for all items.

        Returns:
            F (B, *shape).
        """
        phase = noise[:, None] * self.get_buffer("frequencies").to(noise.dtype)
        emb = F.silu(self.embed(torch.cat([phase.sin(), phase.cos()], dim=1)))
        h = self.stem(x.flatten(1))
        for block in self.blocks:
            h = block(h, emb)
        y: Tensor = self.out(self.norm(h))
        return y.reshape(x.shape)
