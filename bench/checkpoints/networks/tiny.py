"""A small U-Net on space-to-depth input: the network of ``cifar10-tiny``.

Every (C, H, W) image is first folded to (4C, H/2, W/2): no convolution runs at full resolution, so that a CPU
has time for more channels. It has few passes over memory: shortcuts are added without a factor, and scale and
shift are one pass.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TinyBlock(nn.Module):
    """Residual block: ``x + conv(silu(norm(conv(silu(norm(x)))) * (1 + scale) + shift))``.

    Scale and shift are affine in the noise embedding; a 1x1 convolution adapts the shortcut where
    the widths differ, and single-head-of-64 self-attention may follow.
    """

    def __init__(self, c_in: int, c_out: int, c_emb: int, *, attention: bool = False) -> None:
        super().__init__()
        self.norm0 = nn.GroupNorm(c_in // 16, c_in)
        self.conv0 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.affine = nn.Linear(c_emb, 2 * c_out)
        self.norm1 = nn.GroupNorm(c_out // 16, c_out)
        self.conv1 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        nn.init.zeros_(self.conv1.weight)
        self.heads = c_out // 64 if attention else 0
        if attention:
            self.norm2 = nn.GroupNorm(c_out // 16, c_out)
            self.qkv = nn.Conv2d(c_out, 3 * c_out, 1)
            self.proj = nn.Conv2d(c_out, c_out, 1)
            nn.init.zeros_(self.proj.weight)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``x`` of shape (B, c_in, H, W) and ``emb`` of shape (B, c_emb) to (B, c_out, H, W)."""
        h = self.conv0(F.silu(self.norm0(x)))
        scale, shift = self.affine(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(torch.addcmul(shift, self.norm1(h), 1 + scale)))
        x = self.skip(x) + h
        if self.heads:
            b, c, height, width = x.shape
            q, k, v = (
                self.qkv(self.norm2(x))
                .reshape(b, 3, self.heads, c // self.heads, -1)
                .transpose(3, 4)
                .unbind(1)
            )
            a = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(b, c, height, width)
            x = x + self.proj(a)
        return x


class TinyUNet(nn.Module):
    """U-Net over space-to-depth images with two halvings: the F of EDM's preconditioning.

    Self-attention is in the first middle block and in the first block after them. ``forward(x, noise)`` takes
    images x (B, C, H, W) of unit variance and one noise label per image, noise (B,), and returns F of the
    shape of x (Karras et al. 2022, eq. 7).

    Args:
        image_channels: Channels C of the images.
        width: Channels at half the resolution.
        width_low: Channels at a quarter of the resolution.
        width_middle: Channels at an eighth of the resolution, where the two middle blocks are.
        blocks: Residual blocks at half and at a quarter of the resolution on the way down; on the way up one
            more.
        embedding: Width of the embedding of the noise level.
    """

    def __init__(
        self,
        image_channels: int = 3,
        width: int = 64,
        width_low: int = 128,
        width_middle: int = 256,
        blocks: int = 1,
        embedding: int = 256,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "image_channels": image_channels,
            "width": width,
            "width_low": width_low,
            "width_middle": width_middle,
            "blocks": blocks,
            "embedding": embedding,
        }
        w, v, m, e = width, width_low, width_middle, embedding
        self.register_buffer(
            "frequencies", torch.exp(torch.linspace(0.0, math.log(30.0), 32)), persistent=False
        )
        self.embed = nn.Sequential(nn.Linear(64, e), nn.SiLU(), nn.Linear(e, e), nn.SiLU())
        self.stem = nn.Conv2d(4 * image_channels, w, 3, padding=1)
        self.down = nn.ModuleList([TinyBlock(w, w, e) for _ in range(blocks)])
        self.shrink = nn.Conv2d(w, v, 3, stride=2, padding=1)
        self.low_down = nn.ModuleList([TinyBlock(v, v, e) for _ in range(blocks)])
        self.shrink_low = nn.Conv2d(v, m, 3, stride=2, padding=1)
        self.middle = nn.ModuleList([TinyBlock(m, m, e, attention=True), TinyBlock(m, m, e)])
        self.grow_low = nn.Conv2d(m, 4 * v, 1)
        self.low_up = nn.ModuleList([TinyBlock(2 * v, v, e, attention=k == 0) for k in range(blocks + 1)])
        self.grow = nn.Conv2d(v, 4 * w, 1)
        self.up = nn.ModuleList([TinyBlock(2 * w, w, e) for _ in range(blocks + 1)])
        self.norm = nn.GroupNorm(w // 16, w)
        self.out = nn.Conv2d(w, 4 * image_channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """F(x; noise).

        Args:
            x: Images (B, C, H, W) of unit variance; H and W are multiples of eight.
            noise: Noise labels (B,).

        Returns:
            F (B, C, H, W).
        """
        phase = noise[:, None] * self.get_buffer("frequencies").to(noise.dtype)
        emb = self.embed(torch.cat([phase.sin(), phase.cos()], dim=1))
        h = self.stem(F.pixel_unshuffle(x, 2))
        skips = [h]
        for block in self.down:
            h = block(h, emb)
            skips.append(h)
        h = self.shrink(h)
        low_skips = [h]
        for block in self.low_down:
            h = block(h, emb)
            low_skips.append(h)
        h = self.shrink_low(h)
        for block in self.middle:
            h = block(h, emb)
        h = F.pixel_shuffle(self.grow_low(h), 2)
        for block in self.low_up:
            h = block(torch.cat([h, low_skips.pop()], dim=1), emb)
        h = F.pixel_shuffle(self.grow(h), 2)
        for block in self.up:
            h = block(torch.cat([h, skips.pop()], dim=1), emb)
        return F.pixel_shuffle(self.out(F.silu(self.norm(h))), 2)
