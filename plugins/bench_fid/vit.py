"""DINOv2's network, a vision transformer, with the names of its published weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

PATCH = 14
"""Pixels per side of a patch."""
EPS = 1e-6
OFFSET = 0.1
"""The published network adds it to the number of patches per side when it resizes its position code."""


class VisionTransformer(nn.Module):
    """``h = (c, W p_1, ..., W p_n) + e``; ``depth`` blocks; ``LayerNorm(h)_0``, the class token.

    Patches p of 14x14 pixels, a position code e that is resized to their number, and blocks

        h <- h + g1 attention(LayerNorm(h)),    h <- h + g2 W2 gelu(W1 LayerNorm(h)).

    Images (B, 3, H, W), normalized, with sides that are multiples of 14 -> features (B, width).

    Args:
        width: Length of a token.
        depth: Number of blocks.
        heads: Heads of attention.
        side: Patches per side of the images that it was trained on, 518 pixels.

    Source: Dosovitskiy et al. (2021), eq. 1 to 4; layer scale g: Touvron et al. (2021), eq. 4; Oquab et al.
    (2023).
    """

    def __init__(self, width: int = 1024, depth: int = 24, heads: int = 16, side: int = 37) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side**2, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of training alone, but in the file
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, PATCH, stride=PATCH)})
        self.blocks = nn.ModuleList([_Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, width)."""
        patches = self.patch_embed["proj"](images)
        tokens = patches.flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        x = x + position_code(self.pos_embed, patches.shape[2], patches.shape[3])
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.norm(x[:, 0])
        return features


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        heads = scaled_dot_product_attention(q, k, v)
        mixed: Tensor = self.proj(heads.transpose(1, 2).reshape(b, n, d))
        return mixed


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = _Attention(width, heads)
        self.ls1 = _Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls2 = _Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1.gamma * self.attn(self.norm1(x))
        hidden = nn.functional.gelu(self.mlp["fc1"](self.norm2(x)))
        result: Tensor = x + self.ls2.gamma * self.mlp["fc2"](hidden)
        return result


def position_code(code: Tensor, height: int, width: int) -> Tensor:
    """The position code (1, 1 + p^2, d) of p x p patches for ``height`` x ``width``, class token unchanged.

    Bicubic, with the scale ``(height + 0.1) / p`` instead of ``height / p``, as in the published network: the
    offset moves the sampled points.
    """
    p, d = round((code.shape[1] - 1) ** 0.5), code.shape[2]
    if p == height == width:
        return code
    grid = code[:, 1:].reshape(1, p, p, d).permute(0, 3, 1, 2)
    scale = ((height + OFFSET) / p, (width + OFFSET) / p)
    grid = interpolate(grid, scale_factor=scale, mode="bicubic")
    return torch.cat([code[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
