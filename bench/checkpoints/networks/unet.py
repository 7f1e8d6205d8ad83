"""The U-Net of DDPM (Ho et al. 2020), DDPM++ and NCSN++ (Song et al. 2021, appendix H), improved DDPM
(Nichol & Dhariwal 2021) and EDM (Karras et al. 2022): one network, of many configurations."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_type_hints

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from bench.checkpoints.networks.layers import (
    HALF,
    Attention,
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
from bench.errors import BenchError, did_you_mean, first_problem

MOST, MOST_PARAMETERS = 8192, 4_000_000_000
"""Bounds on sizes and channels, and on the parameters of a network; only damaged files exceed them."""

Count = Annotated[int, Field(ge=1, le=MOST)]


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
        rescale: Whether sums are divided by sqrt(2).
        pyramid_in: The progressive input (Song et al. 2021, appendix H).
        pyramid_out: The progressive output, likewise.
        combine: Whether the progressive input is added to the features (``sum``) or concatenated (``cat``).
        classes: Number of classes of a class-conditional network; 0 for none.
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
    embedding: Literal["positional", "cosine_first", "fourier_log", "fourier"] = "positional"
    group_size: Count = 1
    most_groups: Count = 32
    eps: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    biggan: bool = False
    fir: bool = False
    even: bool = False
    modulate: bool = False
    rescale: bool = False
    pyramid_in: Literal["none", "skip", "residual"] = "none"
    pyramid_out: Literal["none", "skip", "residual"] = "none"
    combine: Literal["sum", "cat"] = "sum"
    classes: Annotated[int, Field(ge=0, le=MOST)] = 0
    centre: bool = False

    def __post_init__(self) -> None:
        for name, adapter in _adapters().items():
            value = getattr(self, name)
            try:
                adapter.validate_python(value, strict=True)
            except ValidationError as error:
                raise BenchError(first_problem(error, name)) from error
        smallest = self.size >> (len(self.multipliers) - 1)
        if smallest < 1 or smallest << (len(self.multipliers) - 1) != self.size:
            raise BenchError(f"a size of {self.size} can't be halved {len(self.multipliers) - 1} times")
        if self.width * max(self.multipliers) > MOST:
            raise BenchError(f"{self.width * max(self.multipliers)} channels are more than {MOST}")
        for i, times in enumerate(self.multipliers):
            attends = self.size >> i in self.attention or i == len(self.multipliers) - 1
            if attends and self.width * times % self.heads:
                raise BenchError(f"{self.width * times} channels can't be split into {self.heads} heads")
        # at least two 3x3 convolutions per block
        count = sum(18 * self.blocks * (self.width * times) ** 2 for times in self.multipliers)
        if count > MOST_PARAMETERS:
            raise BenchError(f"a network of over {count:.0e} parameters is more than {MOST_PARAMETERS:.0e}")

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> UNetConfig:
        """Read the [network] table of a card.

        Args:
            table: ``configuration`` names a published configuration; other keys override its values.

        Returns:
            The configuration.

        Raises:
            BenchError: A key or a name is unknown, or a value is wrong.
        """
        values = dict(table)
        architecture = values.pop("architecture", "unet")
        if architecture != "unet":
            raise BenchError(f"unknown architecture {architecture!r}: known is unet")
        base = values.pop("configuration", None)
        if base is not None and (not isinstance(base, str) or base not in PUBLISHED):
            raise BenchError(f"unknown configuration {base!r}{did_you_mean(str(base), PUBLISHED)}")
        known = {field.name for field in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                raise BenchError(f"unknown key {key!r} of a U-Net{did_you_mean(key, known)}")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return dataclasses.replace(PUBLISHED[base] if base else cls(), **values)

    def groups(self, channels: int) -> int:
        """Number of groups of a norm.

        Args:
            channels: Channels of the norm.

        Returns:
            ``min(most_groups, channels // group_size)``.
        """
        return min(self.most_groups, channels // self.group_size)


@functools.cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(UNetConfig, include_extras=True)
    return {field.name: TypeAdapter(hints[field.name]) for field in dataclasses.fields(UNetConfig)}


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
    "edm_vp": dataclasses.replace(_DDPMPP, multipliers=(2, 2, 2)),
    "edm_ve": dataclasses.replace(_NCSNPP, multipliers=(2, 2, 2), embedding="fourier"),
}
"""The published CIFAR-10 networks by architecture; the card says the SDE, and whether time is continuous.

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
    """The U-Net of DDPM, DDPM++, NCSN++, improved DDPM and EDM: ``network(x, label)``.

    It maps x (B, channels, size, size) and label (B,) or (1,) to (B, outputs, size, size). A checkpoint's
    card defines the meaning of label and output.

    Args:
        config: The configuration.

    Source: Ho et al. (2020); Song et al. (2021), appendix H; Nichol and Dhariwal (2021); Karras et al.
    (2022).
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
            )

        def attention(channels: int) -> Attention:
            return Attention(channels, heads=c.heads, groups=c.groups(channels), eps=c.eps, gain=gain)

        self.noise: Positional | FourierFeatures
        if c.embedding in ("fourier", "fourier_log"):
            self.noise, features = FourierFeatures(c.width, log=c.embedding == "fourier_log"), 2 * c.width
        else:
            self.noise = Positional(c.width, cosine_first=c.embedding == "cosine_first")
            features = c.width
        self.embed0 = nn.Linear(features, emb)
        self.embed1 = nn.Linear(emb, emb)
        self.classes = nn.Linear(c.classes, features) if c.classes else None
        if c.classes:
            self.register_buffer("one_hot", torch.eye(c.classes) * c.classes**0.5, persistent=False)
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

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        c = self.config
        if c.centre:
            x = 2 * x - 1
        features = self.noise(label)
        if self.classes is not None:
            # the classes take turns along the batch
            turns = -(-len(x) // c.classes)
            features = features + self.classes(self.get_buffer("one_hot").repeat(turns, 1)[: len(x)])
        emb = F.silu(self.embed1(F.silu(self.embed0(features))))

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
