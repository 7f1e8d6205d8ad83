"""The layers of DDPM, DDPM++ and NCSN++: residual blocks, attention, resampling, noise embeddings.

Images are (B, C, H, W) and stay in the network's memory format. No layer makes a table or index per call.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HALF = math.sqrt(0.5)

Resampling = Literal["down", "up"]


def memory_format(
    device: torch.device | str, *, bf16: bool = False, compiled: bool = False
) -> torch.memory_format:
    """Memory format in which a network's weights and images are held.

    In channels-last memory, torch's group norm on the CPU takes the variance as ``E x^2 - (E x)^2``, which
    loses the digits of (mean / standard deviation)^2, in bfloat16 too (relative error 0.2 at 300). Contiguous
    memory loses those of mean / standard deviation. On a GPU its group norm copies channels-last images to
    contiguous ones and back, unless it is compiled.

    Args:
        device: Where the network computes.
        bf16: Whether it computes in bfloat16; in float32 otherwise.
        compiled: Whether it is compiled.

    Returns:
        Channels-last in bfloat16 on the CPU and compiled on a GPU, contiguous otherwise.
    """
    channels_last = bf16 if torch.device(device).type == "cpu" else compiled
    return torch.channels_last if channels_last else torch.contiguous_format


class GroupNorm(nn.GroupNorm):
    """Group normalization whose sums are float32 whatever the precision of ``x``."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32 or x.device.type == "cpu":
            return super().forward(x)  # the host's kernel already sums in float32
        y = F.group_norm(x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps)
        return y.to(x.dtype)


class Positional(nn.Module):
    """Sinusoids of the label: ``10000^(-i / (half - 1))`` for frequencies, sines first (Ho et al. 2020).

    ``cosine_first``: Nichol & Dhariwal's order, with ``10000^(-i / half)``.
    """

    def __init__(self, width: int, *, cosine_first: bool = False) -> None:
        super().__init__()
        half = width // 2
        self.cosine_first = cosine_first
        step = math.log(10000.0) / (half if cosine_first else half - 1)
        self.register_buffer(
            "frequencies", torch.exp(-step * torch.arange(half, dtype=torch.float32)), persistent=False
        )

    def forward(self, label: Tensor) -> Tensor:
        """label (B,) -> (B, width)."""
        phase = label[:, None] * self.get_buffer("frequencies")
        parts = (phase.cos(), phase.sin()) if self.cosine_first else (phase.sin(), phase.cos())
        return torch.cat(parts, dim=1)


class FourierFeatures(nn.Module):
    """Random Fourier features ``(sin(2 pi W l), cos(2 pi W l))`` of the label l or its logarithm, W frozen.

    Args:
        width: Number of frequencies W; there are twice as many features.
        log: Whether to use the label's logarithm.

    Source: Tancik et al. (2020); Song et al. (2021), appendix H.
    """

    def __init__(self, width: int, *, log: bool) -> None:
        super().__init__()
        self.log = log
        self.weight = nn.Parameter(torch.randn(width) * 16, requires_grad=False)

    def forward(self, label: Tensor) -> Tensor:
        """label (B,) -> (B, 2 width)."""
        level = label.log() if self.log else label
        phase = level[:, None] * self.weight * (2 * math.pi)
        return torch.cat([phase.sin(), phase.cos()], dim=1)


class ClassEmbedding(nn.Linear):
    """Embedding of a class k: column k of ``weight`` (features, classes) times a gain, plus ``bias``.

    That is the linear layer of the one-hot vector of k times the gain; of class -1, which stands for none, it
    is that of the zero vector.

    Args:
        classes: Number of classes K.
        features: Number of features.
        gain: Factor of the one-hot vector.
        bias: Whether there is a bias.
    """

    def __init__(self, classes: int, features: int, *, gain: float, bias: bool) -> None:
        super().__init__(classes, features, bias=bias)
        self.gain = gain

    def forward(self, classes: Tensor) -> Tensor:
        """classes (B,), integers from -1 to K - 1 -> (B, features)."""
        some = (classes >= 0).to(self.weight.dtype)[:, None]
        rows = self.weight.t()[classes.clamp(min=0)] * (some * self.gain)
        return rows if self.bias is None else rows + self.bias


class Fir(nn.Module):
    """Resampling by two with the filter [1, 3, 3, 1] per axis (Karras et al. 2020), zeros outside.

    ``margin`` leaves that many further pixels on every side, for a convolution that follows.
    """

    def __init__(self, channels: int, way: Resampling, margin: int = 0) -> None:
        super().__init__()
        self.way, self.margin = way, margin
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / (8 if way == "down" else 4)
        self.register_buffer(
            "taps", torch.outer(taps, taps).expand(channels, 1, 4, 4).contiguous(), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        taps = self.get_buffer("taps").to(x.dtype)
        if self.way == "down":
            return F.conv2d(x, taps, stride=2, padding=1 + self.margin, groups=x.shape[1])
        if x.device.type == "cpu" and x.dtype == torch.bfloat16:
            # the host has no kernel for this in bfloat16: in float32 it takes a fortieth of the time
            with torch.autocast("cpu", enabled=False):
                return self._up(x.float(), self.get_buffer("taps")).to(x.dtype)
        return self._up(x, taps)

    def _up(self, x: Tensor, taps: Tensor) -> Tensor:
        return F.conv_transpose2d(x, taps, stride=2, padding=1 - self.margin, groups=x.shape[1])


class Plain(nn.Module):
    """Resampling by two by the mean of four pixels, or by repeating one."""

    def __init__(self, way: Resampling) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if self.way == "down" else F.interpolate(x, scale_factor=2.0)


class ConvDown(nn.Module):
    """Halving by a strided 3x3 convolution, ``conv``: (B, c_in, H, W) -> (B, c_out, H/2, W/2).

    By default the input is padded on the right and below (Ho et al. 2020).

    Args:
        c_in: Channels of the input.
        c_out: Channels of the output.
        fir: Whether the filter [1, 3, 3, 1] comes first, without padding (Song et al. 2021).
        even: Whether all sides are padded (Nichol and Dhariwal 2021).
    """

    def __init__(self, c_in: int, c_out: int, *, fir: bool = False, even: bool = False) -> None:
        super().__init__()
        # FIR at full resolution leaves the pixels at the sides that the strided convolution needs
        self.fir = FirBlur(c_in) if fir else None
        self.even = even
        self.conv = nn.Conv2d(c_in, c_out, 3, stride=2, padding=1 if even else 0)

    def forward(self, x: Tensor) -> Tensor:
        if self.fir is not None:
            x = self.fir(x)
        elif not self.even:
            x = F.pad(x, (0, 1, 0, 1))
        y: Tensor = self.conv(x)
        return y


class FirBlur(nn.Module):
    """The filter [1, 3, 3, 1] at full resolution, (H, W) -> (H + 1, W + 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer(
            "taps", torch.outer(taps, taps).expand(channels, 1, 4, 4).contiguous(), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.get_buffer("taps").to(x.dtype), padding=2, groups=x.shape[1])


class ConvUp(nn.Module):
    """Doubling, then a 3x3 convolution, ``conv``: (B, c_in, H, W) -> (B, c_out, 2H, 2W).

    Args:
        c_in: Channels of the input.
        c_out: Channels of the output.
        fir: Whether the filter [1, 3, 3, 1] doubles the image; otherwise each pixel is repeated.
    """

    def __init__(self, c_in: int, c_out: int, *, fir: bool = False) -> None:
        super().__init__()
        self.grow = Fir(c_in, "up", margin=1) if fir else Plain("up")
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=0 if fir else 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(self.grow(x))
        return y


class Attention(nn.Module):
    """Self-attention over pixels: ``gain (x + proj(softmax(q k^T / sqrt(d)) v))``.

    Layers: ``norm``, then ``qkv`` (weight (3C, C): query, key and value of all heads, in this order),
    ``proj``.

    Args:
        channels: Channels C of the images (B, C, H, W).
        heads: Number of heads; each has d = C / heads channels.
        groups: Groups of the norm.
        eps: Epsilon of the norm.
        gain: Factor of the sum, 1 or sqrt(1/2).
    """

    def __init__(self, channels: int, *, heads: int, groups: int, eps: float, gain: float) -> None:
        super().__init__()
        self.heads, self.gain = heads, gain
        self.norm = GroupNorm(groups, channels, eps=eps)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        rows = self.norm(x).permute(0, 2, 3, 1).reshape(b, height * width, c)
        qkv = self.qkv(rows).view(b, height * width, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, height * width, c)
        a = self.proj(a).view(b, height, width, c).permute(0, 3, 1, 2)
        y: Tensor = x + a
        return y * self.gain if self.gain != 1 else y


class ResidualBlock(nn.Module):
    """Residual block: ``gain (skip(x) + conv1(silu(norm1(conv0(silu(norm0(x))) + embed(emb)))))``.

    Layers: ``norm0``, ``conv0``, ``embed``, ``norm1``, ``conv1``, and ``skip``, a 1x1 convolution of the
    shortcut or None.

    Args:
        c_in: Channels of the input (B, c_in, H, W).
        c_out: Channels of the output.
        c_emb: Width of the noise embedding.
        groups: Numbers of groups of the two norms.
        eps: Epsilon of the norms.
        gain: Factor of the sum, 1 or sqrt(1/2).
        modulate: Whether the embedding scales and shifts the output of ``norm1``; otherwise it is added to
            its input.
        resample: Layer that resamples both branches, as in BigGAN; None for none.
        project: Whether the shortcut of a block that resamples has a convolution even where the widths are
            equal.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        c_emb: int,
        *,
        groups: tuple[int, int],
        eps: float,
        gain: float,
        modulate: bool = False,
        resample: nn.Module | None = None,
        project: bool = True,
    ) -> None:
        super().__init__()
        self.gain, self.modulate = gain, modulate
        self.norm0 = GroupNorm(groups[0], c_in, eps=eps)
        self.conv0 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.embed = nn.Linear(c_emb, 2 * c_out if modulate else c_out)
        self.norm1 = GroupNorm(groups[1], c_out, eps=eps)
        self.conv1 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.resample = resample
        project = c_in != c_out or (project and resample is not None)
        self.skip = nn.Conv2d(c_in, c_out, 1) if project else None

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """The block's output.

        Args:
            x: Features (B, c_in, H, W).
            emb: Noise embedding (B, c_emb) or (1, c_emb), already activated.

        Returns:
            Features (B, c_out, H, W), of half or twice that size with ``resample``.
        """
        h = F.silu(self.norm0(x))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.conv0(h)
        shift = self.embed(emb)[:, :, None, None]
        if self.modulate:
            scale, shift = shift.chunk(2, dim=1)
            h = self.norm1(h) * (1 + scale) + shift
        else:
            h = self.norm1(h + shift)
        h = self.conv1(F.silu(h))
        x = h + (x if self.skip is None else self.skip(x))
        return x * self.gain if self.gain != 1 else x
