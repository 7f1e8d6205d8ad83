"""EDM-preconditioned networks (Karras et al. 2022) in safetensors, and conversion from EDM's pickles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import BenchError, Card, Reader, printable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench import SDE, EDM2UNet, MPBlock, ResidualBlock, UNet
    from bench_readers.layout import View

MOST_CHANNELS, MOST_BLOCKS = 512, 8
"""Bounds of the architectures ``tiny`` and ``mlp``, whose size a card alone decides."""

MOST_VALUES = 65536
"""Bound of the values of one item that ``mlp`` takes."""

BLOCK = {
    "norm0": "norm0",
    "conv0": "conv0",
    "embed": "affine",
    "norm1": "norm1",
    "conv1": "conv1",
    "skip": "skip",
}

MP_BLOCK = {
    "conv0": "conv_res0",
    "embed": "emb_linear",
    "conv1": "conv_res1",
    "skip": "conv_skip",
    "qkv": "attn_qkv",
    "proj": "attn_proj",
}


class EDM(Reader):
    """Safetensors with the project's own names; a card's ``architecture`` is ``unet``, ``edm2``, ``tiny`` or
    ``mlp``.

    The installation converts a ``.pkl`` of EDM's or EDM2's: it takes the tensors alone and runs nothing of
    the file. EDM2's weights are normalized then.
    """

    name = "edm"
    class_conditional = True

    def prepare(self, card: Card, folder: Path) -> None:
        source = folder / card.files[0].name
        if source.suffix != ".pkl":
            return
        from safetensors.torch import save_file

        from bench import EDM2UNet
        from bench_readers.layout import load
        from bench_readers.pickles import persistent_tensors

        try:
            published, _ = persistent_tensors(source)
        except BenchError as error:
            raise BenchError(str(error).replace(str(source), source.name)) from error
        network: Any = build(card)
        if isinstance(network, EDM2UNet):
            # the estimate of the loss serves training alone
            estimate = [name for name in published if name.startswith("logvar_")]
            load(edm2_views(network), published, known=estimate)
            network.normalize_weights()
        else:
            # the embedding of the augmentation serves training alone
            load(views(network), published, known=[*filters(network, published), "model.map_augment.weight"])
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

    def example(self, folder: Path) -> Card:
        from safetensors.torch import save_file

        from bench_readers.example import example_card, random_weights

        table = {"architecture": "tiny", "width": 16, "width_low": 32, "width_middle": 32, "embedding": 32}
        card = example_card(self, ["example.safetensors"], network=table, predicts="edm", labels="edm")
        save_file(random_weights(build(card)).state_dict(), weights(card, folder))
        return card


def weights(card: Card, folder: Path) -> Path:
    """The safetensors file of a card."""
    return (folder / card.files[0].name).with_suffix(".safetensors")


def filters(network: UNet, published: Mapping[str, Tensor]) -> list[str]:
    """The names of the resampling filters; `BenchError` where one is of another length than the network's."""
    taps = 4 if network.config.fir else 2
    names = [name for name in published if name.endswith(".resample_filter")]
    for name in names:
        if published[name].shape != (1, 1, taps, taps):
            raise BenchError(f"{name!r} resamples by {published[name].shape[-1]} taps, not {taps}")
    return names


def build(card: Card) -> nn.Module:
    """The card's network, untrained."""
    from bench import EDM2Config, EDM2UNet, ResidualMLP, TinyUNet, UNet, UNetConfig

    values = {k: v for k, v in card.network.items() if k != "sigma_data"}
    architecture = values.pop("architecture", None)
    if architecture not in ("unet", "edm2", "tiny", "mlp"):
        raise BenchError(
            f"its card's [network] has architecture {architecture!r}, not 'unet', 'edm2', 'tiny' or 'mlp'"
        )
    if "classes" in values:
        raise BenchError("classes belong at the top of its card, not in [network]")
    if architecture == "unet":
        return UNet(UNetConfig.read(values | {"classes": card.classes}))
    if architecture == "edm2":
        return EDM2UNet(EDM2Config.read(values | {"classes": card.classes}))
    if card.classes:
        raise BenchError(f"a network of architecture {architecture!r} can't be class-conditional")
    for key, value in values.items():
        most = MOST_BLOCKS if key == "blocks" else MOST_CHANNELS
        if type(value) is not int or not 1 <= value <= most:
            raise BenchError(
                f"its card's [network] has {printable(key, 40)} {printable(repr(value), 40)}: "
                f"an integer from 1 to {most} is meant"
            )
    size = math.prod(card.shape)
    if architecture == "mlp" and size > MOST_VALUES:
        raise BenchError(f"a network of architecture 'mlp' takes up to {MOST_VALUES} values, not {size}")
    try:
        return TinyUNet(**values) if architecture == "tiny" else ResidualMLP(size, **values)
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
        # attention after each block, after the last, or after none
        rest = [None] * (len(up.blocks) - len(up.attention))  # type: ignore[arg-type]
        attentions = [*rest, *up.attention]  # type: ignore[misc]
        for j, (layer, attention) in enumerate(zip(up.blocks, attentions, strict=True)):  # type: ignore[arg-type]
            yield from _block(f"{prefix}_block{j}", layer, attention)
        if up.grow is not None:
            yield from _block(f"{model}.dec.{above}x{above}_up", up.grow)  # type: ignore[arg-type]
    assert network.norm is not None
    assert network.out is not None
    adm = network.config.class_features == "embedding"
    end = f"{model}.out" if adm else f"{model}.dec.{size}x{size}_aux"
    yield from named(f"{end}_norm", network.norm)
    yield from named(f"{end}_conv", network.out)


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


def edm2_views(network: EDM2UNet) -> Iterator[View]:
    """Every parameter of ``network`` under its name in EDM2's pickles."""
    from bench_readers.layout import named

    model, size, levels = "unet", network.config.size, len(network.down)
    yield f"{model}.out_gain", network.gain.detach()
    yield f"{model}.emb_fourier.freqs", network.noise.frequencies.detach()
    yield f"{model}.emb_fourier.phases", network.noise.phases.detach()
    yield from named(f"{model}.emb_noise", network.embed)
    if network.classes is not None:
        yield from named(f"{model}.emb_label", network.classes)
    yield from named(f"{model}.enc.{size}x{size}_conv", network.stem)
    for i, level in enumerate(network.down):
        yield from _level(f"{model}.enc.{size >> i}x{size >> i}", level, "down")
    low = size >> (levels - 1)
    for j, layer in enumerate(network.middle):
        yield from _mp_block(f"{model}.dec.{low}x{low}_in{j}", layer)  # type: ignore[arg-type]
    for i, level in enumerate(network.up):
        yield from _level(f"{model}.dec.{low << i}x{low << i}", level, "up")
    yield from named(f"{model}.out_conv", network.out)


def _level(prefix: str, level: Any, way: str) -> Iterator[View]:
    if level.resample is not None:
        yield from _mp_block(f"{prefix}_{way}", level.resample)
    for j, layer in enumerate(level.blocks):
        yield from _mp_block(f"{prefix}_block{j}", layer)


def _mp_block(prefix: str, ours: MPBlock) -> Iterator[View]:
    from bench_readers.layout import named

    yield f"{prefix}.emb_gain", ours.gain.detach()
    for own, published in MP_BLOCK.items():
        layer = getattr(ours, own)
        if layer is not None:
            yield from named(f"{prefix}.{published}", layer)
