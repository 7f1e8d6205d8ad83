"""EDM-preconditioned networks (Karras et al. 2022) in safetensors, and conversion from EDM's pickles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import BenchError, Card, Reader, printable

if TYPE_CHECKING:
    from torch import nn

    from bench import SDE, ResidualBlock, UNet
    from bench_readers.layout import View

MOST_CHANNELS, MOST_BLOCKS = 512, 8
"""Bounds of the architecture ``tiny``, whose size a card alone decides."""

BLOCK = {
    "norm0": "norm0",
    "conv0": "conv0",
    "embed": "affine",
    "norm1": "norm1",
    "conv1": "conv1",
    "skip": "skip",
}


class EDM(Reader):
    """Safetensors with the project's own names; a card's ``architecture`` is ``unet`` or ``tiny``.

    The installation converts a ``.pkl`` of EDM's: it takes the tensors alone and runs nothing of the file.
    """

    name = "edm"

    def prepare(self, card: Card, folder: Path) -> None:
        source = folder / card.files[0].name
        if source.suffix != ".pkl":
            return
        from safetensors.torch import save_file

        from bench_readers.layout import load
        from bench_readers.pickles import persistent_tensors

        try:
            published, _ = persistent_tensors(source)
        except BenchError as error:
            raise BenchError(str(error).replace(str(source), source.name)) from error
        network: Any = build(card)
        filters = {k: t for k, t in published.items() if k.endswith(".resample_filter")}
        taps = 4 if network.config.fir else 2
        for name, tensor in filters.items():
            if tensor.shape != (1, 1, taps, taps):
                raise BenchError(f"{name!r} resamples by {tensor.shape[-1]} taps, not {taps}")
        # the embedding of the augmentation serves training alone
        load(views(network), published, known=[*filters, "model.map_augment.weight"])
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, weights(card, folder))
        source.unlink()

    def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
        del sde
        from bench_readers.files import safetensors_file
        from bench_readers.layout import load

        network = build(card)
        load(network.state_dict().items(), safetensors_file(weights(card, folder)))
        return network


def weights(card: Card, folder: Path) -> Path:
    """The safetensors file of a card."""
    return (folder / card.files[0].name).with_suffix(".safetensors")


def build(card: Card) -> nn.Module:
    """The card's network, untrained."""
    from bench import TinyUNet, UNet, UNetConfig

    values = {k: v for k, v in card.network.items() if k != "sigma_data"}
    architecture = values.pop("architecture", None)
    if architecture == "unet":
        return UNet(UNetConfig.read(values))
    if architecture != "tiny":
        raise BenchError(f"its card's [network] has architecture {architecture!r}, not 'unet' or 'tiny'")
    for key, value in values.items():
        most = MOST_BLOCKS if key == "blocks" else MOST_CHANNELS
        if type(value) is not int or not 1 <= value <= most:
            raise BenchError(
                f"its card's [network] has {printable(key, 40)} {printable(repr(value), 40)}: "
                f"an integer from 1 to {most} is meant"
            )
    try:
        return TinyUNet(**values)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise BenchError(f"its card's [network] does not fit: {error}") from error


def views(network: UNet) -> Iterator[View]:
    """Every parameter of ``network`` under its name in EDM's pickles."""
    from bench import FourierFeatures
    from bench_readers.layout import named

    model, size = "model", network.config.size
    if isinstance(network.noise, FourierFeatures):
        yield f"{model}.map_noise.freqs", network.noise.weight.detach()
    if network.classes is not None:
        yield from named(f"{model}.map_label", network.classes)
    yield from named(f"{model}.map_layer0", network.embed0)
    yield from named(f"{model}.map_layer1", network.embed1)
    yield from named(f"{model}.enc.{size}x{size}_conv", network.stem)
    for i, down in enumerate(network.down):
        here, below = size >> i, size >> (i + 1)
        prefix = f"{model}.enc.{here}x{here}"
        for j, layer in enumerate(down.blocks):  # type: ignore[arg-type]
            attention = down.attention[j] if len(down.attention) else None  # type: ignore[index,arg-type]
            yield from _block(f"{prefix}_block{j}", layer, attention)
        if down.shrink is not None:
            prefix = f"{model}.enc.{below}x{below}"
            yield from _block(f"{prefix}_down", down.shrink)  # type: ignore[arg-type]
            if down.pyramid is not None:
                yield from named(f"{prefix}_aux_residual", down.pyramid.conv)  # type: ignore[union-attr,arg-type]
    for i, up in reversed(list(enumerate(reversed(network.up)))):
        here, above = size >> i, size << 1 >> i
        prefix = f"{model}.dec.{here}x{here}"
        if i == len(network.up) - 1:
            yield from _block(f"{prefix}_in0", network.middle[0], network.middle_attention)  # type: ignore[arg-type]
            yield from _block(f"{prefix}_in1", network.middle[1])  # type: ignore[arg-type]
        last = len(up.blocks) - 1  # type: ignore[arg-type]
        for j, layer in enumerate(up.blocks):  # type: ignore[arg-type]
            attention = up.attention[0] if len(up.attention) and j == last else None  # type: ignore[index,arg-type]
            yield from _block(f"{prefix}_block{j}", layer, attention)
        if up.grow is not None:
            yield from _block(f"{model}.dec.{above}x{above}_up", up.grow)  # type: ignore[arg-type]
    assert network.norm is not None
    assert network.out is not None
    yield from named(f"{model}.dec.{size}x{size}_aux_norm", network.norm)
    yield from named(f"{model}.dec.{size}x{size}_aux_conv", network.out)


def _block(prefix: str, ours: ResidualBlock, attention: Any = None) -> Iterator[View]:
    from bench_readers.layout import Merged, block, named

    yield from block(prefix, ours, BLOCK)
    if attention is None:
        return
    yield from named(f"{prefix}.norm2", attention.norm)
    weight, bias = attention.qkv.weight.detach(), attention.qkv.bias.detach()
    # published channel by channel, with query, key and value of a channel side by side
    c = len(weight) // 3
    yield f"{prefix}.qkv.weight", Merged(weight.view(3, c, c, 1, 1).transpose(0, 1))
    yield f"{prefix}.qkv.bias", Merged(bias.view(3, c).t())
    yield f"{prefix}.proj.weight", attention.proj.weight.detach()[:, :, None, None]
    yield f"{prefix}.proj.bias", attention.proj.bias.detach()
