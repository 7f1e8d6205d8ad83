"""improved-diffusion's ``.pt``: the bare state dict of its U-Net (Nichol & Dhariwal 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import Card, Reader

if TYPE_CHECKING:
    from bench import SDE, Attention, UNet
    from bench_readers.layout import View

BLOCK = {
    "norm0": "in_layers.0",
    "conv0": "in_layers.2",
    "embed": "emb_layers.1",
    "norm1": "out_layers.0",
    "conv1": "out_layers.3",
    "skip": "skip_connection",
}


class ImprovedDiffusion(Reader):
    """A ``.pt`` of improved-diffusion. The published ones hold the moving average of the weights."""

    name = "improved_diffusion"

    def read(self, card: Card, folder: Path, sde: SDE | None) -> UNet:
        del sde
        from bench import UNet, UNetConfig
        from bench_readers.files import torch_file
        from bench_readers.layout import check_fixed, load, tensors

        config = UNetConfig.read(card.network)
        check_fixed(config, "iddpm", "improved-diffusion's")
        network = UNet(config)
        load(views(network), tensors(torch_file(folder / card.files[0].name)))
        return network

    def example(self, folder: Path) -> Card:
        import torch

        from bench import UNet, UNetConfig
        from bench_readers.example import SMALL_UNET, example_card, random_weights
        from bench_readers.layout import published

        table = {**SMALL_UNET, "configuration": "iddpm"}
        network = random_weights(UNet(UNetConfig.read(table)))
        torch.save(published(views(network)), folder / "example.pt")
        facts = {"predicts": "noise", "labels": "index", "learned_variance": True, "scales": 1000}
        return example_card(self, ["example.pt"], network=table, **facts)


def views(network: UNet) -> Iterator[View]:
    """Every parameter of ``network`` under its published name, in the published order."""
    from bench_readers.layout import block, named

    def stage(prefix: str, *layers: Any) -> Iterator[View]:
        """The layers of one of the published network's blocks; None takes no number."""
        from bench import Attention, ConvDown, ConvUp, ResidualBlock

        for i, layer in enumerate(layer for layer in layers if layer is not None):
            if isinstance(layer, ResidualBlock):
                yield from block(f"{prefix}.{i}", layer, BLOCK)
            elif isinstance(layer, Attention):
                yield from _attention(f"{prefix}.{i}", layer)
            elif isinstance(layer, ConvDown):
                yield from named(f"{prefix}.{i}.op", layer.conv)
            elif isinstance(layer, ConvUp):
                yield from named(f"{prefix}.{i}.conv", layer.conv)
            else:
                yield from named(f"{prefix}.{i}", layer)

    yield from named("time_embed.0", network.embed0)
    yield from named("time_embed.2", network.embed1)
    inputs: list[tuple[Any, ...]] = [(network.stem,)]
    for down in network.down:
        inputs += _with_attention(down)
        if down.shrink is not None:
            inputs.append((down.shrink,))
    outputs: list[tuple[Any, ...]] = []
    for up in network.up:
        outputs += _with_attention(up)
        outputs[-1] = (*outputs[-1], up.grow)
    for i, layers in enumerate(inputs):
        yield from stage(f"input_blocks.{i}", *layers)
    yield from stage("middle_block", network.middle[0], network.middle_attention, network.middle[1])
    for i, layers in enumerate(outputs):
        yield from stage(f"output_blocks.{i}", *layers)
    assert network.norm is not None
    assert network.out is not None
    yield from named("out.0", network.norm)
    yield from named("out.2", network.out)


def _with_attention(level: Any) -> list[tuple[Any, ...]]:
    """A level's blocks, each with its attention or None."""
    attention = level.attention if len(level.attention) else [None] * len(level.blocks)
    return list(zip(level.blocks, attention, strict=True))


def _attention(prefix: str, ours: Attention) -> Iterator[View]:
    from bench_readers.layout import Merged, named

    yield from named(f"{prefix}.norm", ours.norm)
    weight, bias = ours.qkv.weight.detach(), ours.qkv.bias.detach()
    # published head by head, with query, key and value of a head one after the other
    c, heads = weight.shape[1], ours.heads
    split = (3, heads, c // heads)
    yield f"{prefix}.qkv.weight", Merged(weight.view(*split, c, 1).transpose(0, 1), 3)
    yield f"{prefix}.qkv.bias", Merged(bias.view(split).transpose(0, 1), 3)
    yield f"{prefix}.proj_out.weight", ours.proj.weight.detach()[:, :, None]
    yield f"{prefix}.proj_out.bias", ours.proj.bias.detach()
