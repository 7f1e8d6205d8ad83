"""The magnitude-preserving U-Net of EDM2 (Karras et al. 2024, configuration G)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bench.checkpoints.networks.config import MOST, Count, check_sizes, check_values, read_config
from bench.checkpoints.networks.layers import ClassEmbedding, Plain, Resampling
from bench.errors import BenchError

EPS = 1e-4
"""What is added to a root mean square before a division by it."""

SILU_SCALE = 0.596
"""Root mean square of silu(x) for x ~ N(0, 1) (eq. 81)."""

HEAD = 64
"""Channels of a head of the attention."""

BALANCE = 0.3
"""Weight t of a residual or attention branch in its sum (`mp_sum`)."""

MOST_ACTIVATION = 256.0
"""Bound of a block's outputs."""


@dataclasses.dataclass(frozen=True)
class EDM2Config:
    """Configuration of an `EDM2UNet`; `PUBLISHED` has the ones of ImageNet-64 by name.

    Args:
        size: Height and width of the images.
        channels: Channels of the images.
        width: Channels of the first level.
        multipliers: Channels of each level in units of ``width``; each level has half the size of the
            previous one.
        blocks: Residual blocks per level on the way down; one more on the way up.
        attention: Heights of the images on the levels that have attention.
        classes: Number of classes of a class-conditional network; 0 for none.

    Raises:
        BenchError: A value is out of range, or the values contradict each other.
    """

    size: Count = 64
    channels: Count = 3
    width: Count = 192
    multipliers: Annotated[tuple[Count, ...], Field(min_length=1, max_length=12)] = (1, 2, 3, 4)
    blocks: Annotated[int, Field(ge=1, le=64)] = 3
    attention: tuple[Count, ...] = (16, 8)
    classes: Annotated[int, Field(ge=0, le=MOST)] = 0

    def __post_init__(self) -> None:
        check_values(self)
        check_sizes(self.size, self.widths, self.blocks)
        for i, width in enumerate(self.widths):
            attends = self.size >> i in self.attention or i == len(self.multipliers) - 1
            if attends and width % HEAD:
                raise BenchError(f"{width} channels can't be split into heads of {HEAD}")

    @property
    def widths(self) -> list[int]:
        """Channels of each level."""
        return [self.width * times for times in self.multipliers]

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> EDM2Config:
        """Read the [network] table of a card of EDM2.

        Args:
            table: ``configuration`` names one of `PUBLISHED`, such as ``img64_s``; other keys override its
                values.

        Returns:
            The configuration; without ``configuration``, the keys' values and this class's defaults.

        Raises:
            BenchError: A key or a name is unknown, or a value is wrong.
        """
        return read_config(cls, table, PUBLISHED, "a network of EDM2")


PUBLISHED: dict[str, EDM2Config] = {
    f"img64_{name}": EDM2Config(width=width, classes=1000)
    for name, width in {"xs": 128, "s": 192, "m": 256, "l": 320, "xl": 384}.items()
}
"""The published networks of ImageNet-64, by size (Karras et al. 2024)."""


def mp_silu(x: Tensor) -> Tensor:
    """``silu(x) / 0.596`` (eq. 81)."""
    return F.silu(x) / SILU_SCALE


def mp_sum(a: Tensor, b: Tensor, t: float) -> Tensor:
    """``((1 - t) a + t b) / sqrt((1 - t)^2 + t^2)`` (eq. 88)."""
    result: Tensor = torch.lerp(a, b, t) / math.hypot(1 - t, t)
    return result


def mp_cat(a: Tensor, b: Tensor) -> Tensor:
    """Concatenation along the channels, both parts scaled to contribute alike (eq. 103, t = 0.5).

    Part a (B, N, H, W) is scaled by ``sqrt((N + M) / 2 N)``, part b (B, M, H, W) by ``sqrt((N + M) / 2 M)``.
    """
    n, m = a.shape[1], b.shape[1]
    return torch.cat([a * math.sqrt((n + m) / (2 * n)), b * math.sqrt((n + m) / (2 * m))], dim=1)


def pixel_norm(x: Tensor, dim: int = 1) -> Tensor:
    """``x / (1e-4 + rms(x))`` along one dimension; the root mean square is computed in float32."""
    width = x.shape[dim]
    dtype = torch.promote_types(x.dtype, torch.float32)
    norm: Tensor = torch.linalg.vector_norm(x, dim=dim, keepdim=True, dtype=dtype)
    return x / (norm / math.sqrt(width) + EPS).to(x.dtype)


class MPFourier(nn.Module):
    """Features ``sqrt(2) cos(w c + phi)`` of a number c, with frozen w and phi (eq. 75)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(2 * math.pi * torch.randn(width), requires_grad=False)
        self.phases = nn.Parameter(2 * math.pi * torch.rand(width), requires_grad=False)

    def forward(self, label: Tensor) -> Tensor:
        """label (B,) -> (B, width)."""
        return (label[:, None] * self.frequencies + self.phases).cos() * math.sqrt(2)


class MPBlock(nn.Module):
    """Residual block of EDM2, with self-attention or without (figure 21).

    ``encoder`` blocks project and normalize each pixel before the residual branch; ``decoder`` blocks project
    the shortcut after it.

    Args:
        c_in: Channels of the input (B, c_in, H, W).
        c_out: Channels of the output.
        c_emb: Width of the embedding.
        side: ``encoder`` or ``decoder``.
        way: Resampling of the input by two; None for none.
        attention: Whether self-attention follows.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        c_emb: int,
        *,
        side: Literal["encoder", "decoder"],
        way: Resampling | None = None,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.side = side
        self.resample = None if way is None else Plain(way)
        self.gain = nn.Parameter(torch.zeros([]))
        self.conv0 = nn.Conv2d(c_out if side == "encoder" else c_in, c_out, 3, padding=1, bias=False)
        self.embed = nn.Linear(c_emb, c_out, bias=False)
        self.conv1 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(c_in, c_out, 1, bias=False) if c_in != c_out else None
        self.heads = c_out // HEAD if attention else 0
        # rows of qkv: for each head and channel the query, the key and the value
        self.qkv = nn.Conv2d(c_out, 3 * c_out, 1, bias=False) if attention else None
        self.proj = nn.Conv2d(c_out, c_out, 1, bias=False) if attention else None

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Features (B, c_in, H, W) and activated embedding (B, c_emb) -> features (B, c_out, H', W')."""
        if self.resample is not None:
            x = self.resample(x)
        if self.side == "encoder":
            x = pixel_norm(x if self.skip is None else self.skip(x))
        scale = self.embed(emb) * self.gain + 1
        h = self.conv0(mp_silu(x)) * scale[:, :, None, None]
        h = self.conv1(mp_silu(h))
        if self.side == "decoder" and self.skip is not None:
            x = self.skip(x)
        x = mp_sum(x, h.to(x.dtype), BALANCE)
        if self.qkv is not None and self.proj is not None:
            x = mp_sum(x, self.proj(self._attend(self.qkv(x))).to(x.dtype), BALANCE)
        return x.clamp(-MOST_ACTIVATION, MOST_ACTIVATION)

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attention by cosines: queries, keys and values are normalized for each pixel and head."""
        b, c, height, width = qkv.shape
        parts = pixel_norm(qkv.reshape(b, self.heads, HEAD, 3, height * width), dim=2)
        q, k, v = parts.transpose(2, 4).unbind(3)
        y = F.scaled_dot_product_attention(q, k, v).transpose(2, 3)
        return y.reshape(b, c // 3, height, width).contiguous(memory_format=torch.channels_last)


class EDM2Level(nn.Module):
    """A level of an `EDM2UNet`: the block that resamples, if there is one, then the others."""

    def __init__(self) -> None:
        super().__init__()
        self.resample: MPBlock | None = None
        self.blocks = nn.ModuleList()


class EDM2UNet(nn.Module):
    """EDM2's U-Net, the F of EDM's preconditioning: ``network(x, label)``.

    It maps x (B, channels, size, size) and label ``ln(sigma) / 4`` (B,) or (1,) to the shape of x. A
    class-conditional one is called as ``network(x, label, classes)`` with classes (B,), integers; -1 stands
    for no class. Convolutions and matrices hold the weights that they apply; `normalize_weights` makes these
    of the trained ones.

    Args:
        config: The configuration.

    Source: Karras et al. (2024), "Analyzing and Improving the Training Dynamics of Diffusion Models",
    configuration G.
    """

    def __init__(self, config: EDM2Config) -> None:
        super().__init__()
        self.config = c = config
        widths, emb = c.widths, max(c.widths)

        def attends(i: int) -> bool:
            return c.size >> i in c.attention

        self.gain = nn.Parameter(torch.zeros([]))
        self.noise = MPFourier(widths[0])
        self.embed = nn.Linear(widths[0], emb, bias=False)
        self.classes: ClassEmbedding | None = None
        if c.classes:
            self.classes = ClassEmbedding(c.classes, emb, gain=c.classes**0.5, bias=False)
        self.stem = nn.Conv2d(c.channels + 1, widths[0], 3, padding=1, bias=False)

        self.down = nn.ModuleList()
        channels, skips = widths[0], [widths[0]]
        for i, width in enumerate(widths):
            level = EDM2Level()
            if i > 0:
                level.resample = MPBlock(channels, channels, emb, side="encoder", way="down")
                skips.append(channels)
            for _ in range(c.blocks):
                level.blocks.append(MPBlock(channels, width, emb, side="encoder", attention=attends(i)))
                channels = width
                skips.append(width)
            self.down.append(level)

        self.middle = nn.ModuleList(
            [
                MPBlock(channels, channels, emb, side="decoder", attention=True),
                MPBlock(channels, channels, emb, side="decoder"),
            ]
        )
        self.up = nn.ModuleList()
        for i, width in reversed(list(enumerate(widths))):
            level = EDM2Level()
            if i < len(widths) - 1:
                level.resample = MPBlock(channels, channels, emb, side="decoder", way="up")
            for _ in range(c.blocks + 1):
                block = MPBlock(channels + skips.pop(), width, emb, side="decoder", attention=attends(i))
                level.blocks.append(block)
                channels = width
            self.up.append(level)
        self.out = nn.Conv2d(channels, c.channels, 3, padding=1, bias=False)

    def normalize_weights(self) -> None:
        """Replace every trained weight w by ``w / ((1e-4 + rms(w)) sqrt(n))``, n numbers an output (eq. 47).

        ``rms`` is the root mean square of the n numbers of w that make one output.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                rows = layer.weight.data.flatten(1)
                rms = rows.square().mean(1, keepdim=True).sqrt()
                rows.div_((rms + EPS) * math.sqrt(rows.shape[1]))

    def _embedding(self, label: Tensor, classes: Tensor | None) -> Tensor:
        """The activated embedding (B, emb), or (1, emb), of label and classes."""
        emb: Tensor = self.embed(self.noise(label))
        if self.classes is not None:
            assert classes is not None
            of_class = self.classes(classes)
            emb = mp_sum(emb.to(of_class.dtype).expand_as(of_class), of_class, 0.5)
        return mp_silu(emb)

    def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
        emb = self._embedding(label, classes)
        h = self.stem(F.pad(x, (0, 0, 0, 0, 0, 1), value=1.0))
        skips = [h]
        for level in self.down:
            assert isinstance(level, EDM2Level)
            if level.resample is not None:
                h = level.resample(h, emb)
                skips.append(h)
            for block in level.blocks:
                h = block(h, emb)
                skips.append(h)
        for block in self.middle:
            h = block(h, emb)
        for level in self.up:
            assert isinstance(level, EDM2Level)
            if level.resample is not None:
                h = level.resample(h, emb)
            for block in level.blocks:
                h = block(mp_cat(h, skips.pop()), emb)
        y: Tensor = self.out(h) * self.gain
        return y
