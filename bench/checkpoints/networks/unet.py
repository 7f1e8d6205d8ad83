"""The U-Net of DDPM (Ho et al. 2020), DDPM++ and NCSN++ (Song et al. 2021, appendix H), improved DDPM
(Nichol & Dhariwal 2021), ADM (Dhariwal & Nichol 2021) and EDM (Karras et al. 2022): one network, of many
configurations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bench.checkpoints.networks.config import MOST, Count, check_sizes, check_values, read_config
from bench.checkpoints.networks.layers import (
    HALF,
    Attention,
    ClassEmbedding,
    ConvDown,
    ConvUp,
    Fir,
    FourierFeatures,
    GroupNorm,
    Plain,
    Positional,
    Resampling,
    ResidualBlock,
)
from bench.errors import BenchError


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """Configuration of a `UNet`; `read` knows the published ones by name.

    Args:
        size: Height and width of the images.
        channels: Channels of the images.
        outputs: Channels of the output.
        width: Channels of the first level.
        multipliers: Channels of each level in units of ``width``; each level has half the size of the
            previous one.
        blocks: Residual blocks per level on the way down; one more on the way up.
        attention: Heights of the images on the levels that have attention.
        attention_up: Whether, on the way up, attention follows the ``last`` block of a level or ``each``.
        heads: Number of heads of the attention.
        head_width: Channels of a head, in place of a number of heads; 0 for ``heads``.
        embedding: Embedding of the label: sinusoids, sines first (``positional``) or cosines first
            (``cosine_first``); random Fourier features of the label (``fourier``) or of its logarithm
            (``fourier_log``).
        group_size: Smallest number of channels in a group of the norms.
        most_groups: Greatest number of groups.
        eps: Epsilon of the norms.
        biggan: Whether residual blocks resample; otherwise a convolution does.
        fir: Whether resampling uses the FIR filter [1, 3, 3, 1].
        even: Whether the halving convolution is padded on all sides.
        modulate: Whether the embedding scales and shifts the features; otherwise it is added to them.
        project: Whether the shortcut of a residual block that resamples has a convolution even where the
            widths are equal.
        rescale: Whether sums are divided by sqrt(2).
        pyramid_in: The progressive input (Song et al. 2021, appendix H).
        pyramid_out: The progressive output, likewise.
        combine: Whether the progressive input is added to the features (``sum``) or concatenated (``cat``).
        classes: Number of classes of a class-conditional network; 0 for none.
        class_features: What the class is added to: the ``noise`` features of the label, or the ``embedding``
            that is made of them.
        centre: Whether the network takes images on [0, 1] and moves them to [-1, 1] first.

    Raises:
        BenchError: A value is out of range, or the values contradict each other.
    """

    size: Count = 32
    channels: Count = 3
    outputs: Count = 3
    width: Count = 128
    multipliers: Annotated[tuple[Count, ...], Field(min_length=1, max_length=12)] = (1, 2, 2, 2)
    blocks: Annotated[int, Field(ge=1, le=64)] = 2
    attention: tuple[Count, ...] = (16,)
    attention_up: Literal["last", "each"] = "last"
    heads: Count = 1
    head_width: Annotated[int, Field(ge=0, le=MOST)] = 0
    embedding: Literal["positional", "cosine_first", "fourier_log", "fourier"] = "positional"
    group_size: Count = 1
    most_groups: Count = 32
    eps: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    biggan: bool = False
    fir: bool = False
    even: bool = False
    modulate: bool = False
    project: bool = True
    rescale: bool = False
    pyramid_in: Literal["none", "skip", "residual"] = "none"
    pyramid_out: Literal["none", "skip", "residual"] = "none"
    combine: Literal["sum", "cat"] = "sum"
    classes: Annotated[int, Field(ge=0, le=MOST)] = 0
    class_features: Literal["noise", "embedding"] = "noise"
    centre: bool = False

    def __post_init__(self) -> None:
        check_values(self)
        widths = [self.width * times for times in self.multipliers]
        check_sizes(self.size, widths, self.blocks)
        for i, width in enumerate(widths):
            attends = self.size >> i in self.attention or i == len(widths) - 1
            if attends and width % (self.head_width or self.heads):
                parts = f"heads of {self.head_width}" if self.head_width else f"{self.heads} heads"
                raise BenchError(f"{width} channels can't be split into {parts}")

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> UNetConfig:
        """Read the [network] table of a card of a U-Net.

        Args:
            table: ``architecture`` is ``unet`` or absent; ``configuration`` names one of `PUBLISHED`; other
                keys override its values.

        Returns:
            The configuration; without ``configuration``, the keys' values and this class's defaults.

        Raises:
            BenchError: The architecture, a key or a name is unknown, or a value is wrong.
        """
        values = dict(table)
        architecture = values.pop("architecture", "unet")
        if architecture != "unet":
            raise BenchError(f"unknown architecture {architecture!r}: known is unet")
        return read_config(cls, values, PUBLISHED, "a U-Net")

    def groups(self, channels: int) -> int:
        """Number of groups of a norm.

        Args:
            channels: Channels of the norm.

        Returns:
            ``min(most_groups, channels // group_size)``.
        """
        return min(self.most_groups, channels // self.group_size)

    def heads_of(self, channels: int) -> int:
        """Number of heads of an attention.

        Args:
            channels: Channels of the attention.

        Returns:
            ``channels // head_width``, or ``heads`` where there is no width.
        """
        return channels // self.head_width if self.head_width else self.heads


_DDPMPP = UNetConfig(blocks=4, group_size=4, biggan=True, rescale=True)
_NCSNPP = dataclasses.replace(_DDPMPP, fir=True, pyramid_in="residual")

PUBLISHED: dict[str, UNetConfig] = {
    "ddpm": UNetConfig(),
    "ddpmpp": _DDPMPP,
    "ddpmpp_deep": dataclasses.replace(_DDPMPP, blocks=8),
    "ncsnpp": _NCSNPP,
    "ncsnpp_deep": dataclasses.replace(_NCSNPP, blocks=8),
    "ncsnpp_continuous": dataclasses.replace(_NCSNPP, embedding="fourier_log"),
    "ncsnpp_deep_continuous": dataclasses.replace(_NCSNPP, blocks=8, embedding="fourier_log"),
    "iddpm": UNetConfig(
        outputs=6,
        blocks=3,
        attention=(16, 8),
        attention_up="each",
        heads=4,
        embedding="cosine_first",
        eps=1e-5,
        even=True,
        modulate=True,
    ),
    "torchcfm": UNetConfig(attention_up="each", head_width=64, embedding="cosine_first", eps=1e-5, even=True),
    "edm_vp": dataclasses.replace(_DDPMPP, multipliers=(2, 2, 2)),
    "edm_ve": dataclasses.replace(_NCSNPP, multipliers=(2, 2, 2), embedding="fourier"),
    "edm_vp_64": dataclasses.replace(_DDPMPP, size=64),
    "edm_ve_64": dataclasses.replace(_NCSNPP, size=64, embedding="fourier"),
    "edm_adm_64": UNetConfig(
        size=64,
        width=192,
        multipliers=(1, 2, 3, 4),
        blocks=3,
        attention=(32, 16, 8),
        attention_up="each",
        head_width=64,
        embedding="cosine_first",
        group_size=4,
        eps=1e-5,
        biggan=True,
        modulate=True,
        project=False,
        classes=1000,
        class_features="embedding",
    ),
}
"""The published networks by architecture, for CIFAR-10 unless the name ends in the size of its images. The
card says the SDE, and whether time is continuous.

``ddpm`` serves VE, VP and sub-VP; ``ddpmpp`` VP and sub-VP; ``ncsnpp`` the discrete levels of VE and all of
VP and sub-VP; ``ncsnpp_continuous`` is for VE and takes the logarithm of sigma. Networks of VE take
``centre = true`` in their cards.
"""


class Down(nn.Module):
    """A level on the way down: its blocks, then the layers that halve the image and add the input pyramid."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.attention = nn.ModuleList()
        self.shrink: nn.Module | None = None
        self.pyramid: nn.Module | None = None


class Up(nn.Module):
    """A level on the way up: its blocks, the output pyramid's part, then the layer that doubles the image."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.attention = nn.ModuleList()
        self.pyramid_norm: nn.Module | None = None
        self.pyramid: nn.Module | None = None
        self.grow: nn.Module | None = None


class UNet(nn.Module):
    """The U-Net of DDPM, DDPM++, NCSN++, improved DDPM, ADM and EDM: ``network(x, label)``.

    It maps x (B, channels, size, size) and label (B,) or (1,) to (B, outputs, size, size). A checkpoint's
    card defines the meaning of label and output. A class-conditional one is called as ``network(x, label,
    classes)`` with classes (B,), integers; -1 stands for no class.

    Args:
        config: The configuration.

    Source: Ho et al. (2020); Song et al. (2021), appendix H; Nichol and Dhariwal (2021); Dhariwal and Nichol
    (2021); Karras et al. (2022).
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = c = config
        widths = [c.width * m for m in c.multipliers]
        emb = 4 * c.width
        gain = HALF if c.rescale else 1.0
        self.gain = gain

        def block(c_in: int, c_out: int, way: Resampling | None = None) -> ResidualBlock:
            resample = None if way is None else Fir(c_in, way) if c.fir else Plain(way)
            return ResidualBlock(
                c_in,
                c_out,
                emb,
                groups=(c.groups(c_in), c.groups(c_out)),
                eps=c.eps,
                gain=gain,
                modulate=c.modulate,
                resample=resample,
                project=c.project,
            )

        def attention(channels: int) -> Attention:
            heads = c.heads_of(channels)
            return Attention(channels, heads=heads, groups=c.groups(channels), eps=c.eps, gain=gain)

        self.noise: Positional | FourierFeatures
        if c.embedding in ("fourier", "fourier_log"):
            self.noise, features = FourierFeatures(c.width, log=c.embedding == "fourier_log"), 2 * c.width
        else:
            self.noise = Positional(c.width, cosine_first=c.embedding == "cosine_first")
            features = c.width
        self.embed0 = nn.Linear(features, emb)
        self.embed1 = nn.Linear(emb, emb)
        self.classes: ClassEmbedding | None = None
        if c.classes and c.class_features == "noise":
            self.classes = ClassEmbedding(c.classes, features, gain=c.classes**0.5, bias=True)
        elif c.classes:
            self.classes = ClassEmbedding(c.classes, emb, gain=1.0, bias=False)
        self.stem = nn.Conv2d(c.channels, c.width, 3, padding=1)

        self.down = nn.ModuleList()
        skips, channels, pyramid = [c.width], c.width, c.channels
        for i, width in enumerate(widths):
            down = Down()
            for _ in range(c.blocks):
                down.blocks.append(block(channels, width))
                channels = width
                if c.size >> i in c.attention:
                    down.attention.append(attention(channels))
                skips.append(channels)
            if i < len(widths) - 1:
                down.shrink = (
                    block(channels, channels, "down")
                    if c.biggan
                    else ConvDown(channels, channels, fir=c.fir, even=c.even)
                )
                if c.pyramid_in == "skip":
                    down.pyramid = nn.Conv2d(pyramid, channels, 1)
                    channels *= 2 if c.combine == "cat" else 1
                elif c.pyramid_in == "residual":
                    down.pyramid = ConvDown(pyramid, channels, fir=c.fir)
                    pyramid = channels
                skips.append(channels)
            self.down.append(down)
        self.pyramid_shrink = (
            (Fir(c.channels, "down") if c.fir else Plain("down")) if c.pyramid_in == "skip" else None
        )

        self.middle = nn.ModuleList([block(channels, channels), block(channels, channels)])
        self.middle_attention = attention(channels)

        self.up = nn.ModuleList()
        for i, width in reversed(list(enumerate(widths))):
            up = Up()
            for _ in range(c.blocks + 1):
                up.blocks.append(block(channels + skips.pop(), width))
                channels = width
                if c.size >> i in c.attention and c.attention_up == "each":
                    up.attention.append(attention(channels))
            if c.size >> i in c.attention and c.attention_up == "last":
                up.attention.append(attention(channels))
            lowest = i == len(widths) - 1
            if c.pyramid_out == "skip" or (c.pyramid_out == "residual" and lowest):
                out = c.outputs if c.pyramid_out == "skip" else channels
                up.pyramid_norm = GroupNorm(c.groups(channels), channels, eps=c.eps)
                up.pyramid = nn.Conv2d(channels, out, 3, padding=1)
                pyramid = out
            elif c.pyramid_out == "residual":
                up.pyramid = ConvUp(pyramid, channels, fir=c.fir)
                pyramid = channels
            if i > 0:
                up.grow = (
                    block(channels, channels, "up") if c.biggan else ConvUp(channels, channels, fir=c.fir)
                )
            self.up.append(up)
        self.pyramid_grow = (
            (Fir(c.outputs, "up") if c.fir else Plain("up")) if c.pyramid_out == "skip" else None
        )
        self.norm: GroupNorm | None = None
        self.out: nn.Conv2d | None = None
        if c.pyramid_out != "skip":
            self.norm = GroupNorm(c.groups(channels), channels, eps=c.eps)
            self.out = nn.Conv2d(channels, c.outputs, 3, padding=1)

    def _embedding(self, label: Tensor, classes: Tensor | None) -> Tensor:
        """The activated embedding (B, 4 width), or (1, 4 width), of label and classes."""
        features = self.noise(label)
        if self.classes is None:
            return F.silu(self.embed1(F.silu(self.embed0(features))))
        assert classes is not None
        if self.config.class_features == "noise":
            features = features + self.classes(classes)
            return F.silu(self.embed1(F.silu(self.embed0(features))))
        return F.silu(self.embed1(F.silu(self.embed0(features))) + self.classes(classes))

    def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
        c = self.config
        if c.centre:
            x = 2 * x - 1
        emb = self._embedding(label, classes)

        h, pyramid = self.stem(x), x
        skips = [h]
        for down in self.down:
            assert isinstance(down, Down)
            for j, block in enumerate(down.blocks):
                h = block(h, emb)
                if len(down.attention):
                    h = down.attention[j](h)
                skips.append(h)
            if down.shrink is None:
                continue
            h = down.shrink(h, emb) if c.biggan else down.shrink(h)
            if self.pyramid_shrink is not None and down.pyramid is not None:
                pyramid = self.pyramid_shrink(pyramid)
                fed = down.pyramid(pyramid)
                h = torch.cat([fed, h], dim=1) if c.combine == "cat" else fed + h
            elif down.pyramid is not None:
                h = pyramid = (down.pyramid(pyramid) + h) * self.gain
            skips.append(h)

        h = self.middle_attention(self.middle[0](h, emb))
        h = self.middle[1](h, emb)

        result: Tensor | None = None
        for up in self.up:
            assert isinstance(up, Up)
            for j, block in enumerate(up.blocks):
                h = block(torch.cat([h, skips.pop()], dim=1), emb)
                if c.attention_up == "each" and len(up.attention):
                    h = up.attention[j](h)
            if c.attention_up == "last" and len(up.attention):
                h = up.attention[0](h)
            if up.pyramid is not None:
                if up.pyramid_norm is not None:
                    part = up.pyramid(F.silu(up.pyramid_norm(h)))
                    if result is None:
                        result = part
                    else:
                        assert self.pyramid_grow is not None
                        result = self.pyramid_grow(result) + part
                else:
                    h = result = (up.pyramid(result) + h) * self.gain
            if up.grow is not None:
                h = up.grow(h, emb) if c.biggan else up.grow(h)
        if self.norm is None or self.out is None:
            assert result is not None
            return result
        y: Tensor = self.out(F.silu(self.norm(h)))
        return y
