"""score_sde_pytorch's ``.pth``: ``model``, ``ema``, ``optimizer``, ``step`` (Song et al. 2021)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench import BenchError, Card, Reader, param

if TYPE_CHECKING:
    from torch import Tensor

    from bench import SDE, Attention, UNet
    from bench_readers.layout import View

BLOCK = {
    "norm0": "GroupNorm_0",
    "conv0": "Conv_0",
    "embed": "Dense_0",
    "norm1": "GroupNorm_1",
    "conv1": "Conv_1",
}


class ScoreSDE(Reader):
    """A ``.pth`` of score_sde_pytorch. Runs use the moving average, as the published figures do.

    The average is a list without names, in the order of the trainable parameters. It lacks the frozen Fourier
    weights, which come from ``model``.
    """

    name = "score_sde"

    weights: Literal["ema", "raw"] = param(
        default="ema", help="the moving average of the weights, or the last ones"
    )

    def read(self, card: Card, folder: Path, sde: SDE | None) -> UNet:
        from bench import UNet, UNetConfig
        from bench_readers.files import torch_file
        from bench_readers.layout import load, load_list

        model, average = _parts(torch_file(folder / card.files[0].name))
        network = UNet(UNetConfig.read(card.network))
        load(views(network), model, known=["sigmas"])
        _check_sigmas(card, sde, model.get("sigmas"))
        if self.weights == "ema":
            load_list(((n, v) for n, v in views(network) if n not in frozen(network)), average)
        return network

    def example(self, folder: Path) -> Card:
        import torch

        from bench import UNet, UNetConfig
        from bench_readers.example import SMALL_UNET, example_card, random_weights
        from bench_readers.layout import published

        table = {**SMALL_UNET, "configuration": "ddpm"}
        state = published(views(random_weights(UNet(UNetConfig.read(table)))))
        average = {"decay": 0.999, "num_updates": 1, "shadow_params": [t.clone() for t in state.values()]}
        content = {"model": state, "ema": average, "optimizer": {}, "step": 1}
        torch.save(content, folder / "example.pth")
        return example_card(self, ["example.pth"], network=table, predicts="noise", labels="999t")


def _check_sigmas(card: Card, sde: SDE | None, sigmas: Tensor | None) -> None:
    """The noise levels in the file of a VE network must be its card's."""
    import numpy as np

    if sigmas is None or sde is None or sde.name != "ve":
        return
    ends = sde.sigma(np.array([1.0, 0.0]))
    if sigmas.ndim != 1 or len(sigmas) > 1_000_000:
        raise BenchError(
            f"its noise levels have shape {tuple(sigmas.shape)}, not one dimension of a sensible length"
        )
    levels = sigmas.double().numpy()
    if len(levels) < 2 or not np.allclose(levels[[0, -1]], ends, rtol=1e-4):
        span = f"from {levels[0]:g} to {levels[-1]:g}" if len(levels) else "none"
        raise BenchError(f"its noise levels are {span}, its card's from {ends[0]:g} to {ends[1]:g}")
    if card.scales is not None and len(levels) != card.scales:
        raise BenchError(f"it has {len(levels)} noise levels, its card {card.scales}")


def frozen(network: UNet) -> set[str]:
    """Published names of the tensors that are not trained."""
    return {"all_modules.0.W"} if "fourier" in network.config.embedding else set()


def _parts(content: Any) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The tensors of a file by name, and the list of their moving averages."""
    from torch import Tensor

    keys = {"model", "ema"}
    if not isinstance(content, dict) or not keys <= content.keys():
        raise BenchError("it is not a score_sde_pytorch checkpoint: a dict with 'model' and 'ema'")
    model, ema = content["model"], content["ema"]
    average = ema.get("shadow_params") if isinstance(ema, dict) else None
    if not isinstance(model, dict) or not all(isinstance(t, Tensor) for t in model.values()):
        raise BenchError("its 'model' is not a dict of tensors")
    if not isinstance(average, list) or not all(isinstance(t, Tensor) for t in average):
        raise BenchError("its 'ema' has no list 'shadow_params'")
    return {str(name).removeprefix("module."): tensor for name, tensor in model.items()}, average


def views(network: UNet) -> Iterator[View]:
    """Every parameter of ``network`` under its published name, in the published order."""
    from bench import Attention, ConvDown, ConvUp, FourierFeatures, ResidualBlock
    from bench_readers.layout import block, named

    count = itertools.count()
    names = BLOCK | {"skip": "Conv_2" if network.config.biggan else "NIN_0"}

    def unit(layer: Any, suffix: str = "") -> Iterator[View]:
        prefix = f"all_modules.{next(count)}"
        if isinstance(layer, Attention):
            yield from _attention(prefix, layer)
        elif isinstance(layer, ResidualBlock):
            for name, view in block(prefix, layer, names):
                yield _nin(name, view) if ".NIN_0." in name else (name, view)
        elif isinstance(layer, ConvDown | ConvUp):
            yield from named(prefix + suffix, layer.conv)
        elif isinstance(layer, FourierFeatures):
            yield f"{prefix}.W", layer.weight.detach()
        else:
            yield from named(prefix + suffix, layer)

    conv = ".Conv2d_0" if network.config.fir else ".Conv_0"
    if isinstance(network.noise, FourierFeatures):
        yield from unit(network.noise)
    yield from unit(network.embed0)
    yield from unit(network.embed1)
    yield from unit(network.stem)
    for down in network.down:
        for j, layer in enumerate(down.blocks):  # type: ignore[arg-type]
            yield from unit(layer)
            if len(down.attention):  # type: ignore[arg-type]
                yield from unit(down.attention[j])  # type: ignore[index]
        if down.shrink is not None:
            yield from unit(down.shrink, conv)
        if down.pyramid is not None:
            yield from unit(down.pyramid, conv if network.config.pyramid_in == "residual" else ".Conv_0")
    yield from unit(network.middle[0])
    yield from unit(network.middle_attention)
    yield from unit(network.middle[1])
    for up in network.up:
        for layer in (*up.blocks, *up.attention):  # type: ignore[misc]
            yield from unit(layer)
        if up.pyramid_norm is not None:
            yield from unit(up.pyramid_norm)
        if up.pyramid is not None:
            yield from unit(up.pyramid, conv if up.pyramid_norm is None else "")
        if up.grow is not None:
            yield from unit(up.grow, conv)
    if network.norm is not None:
        yield from unit(network.norm)
        yield from unit(network.out)


def _nin(name: str, view: Any) -> View:
    """A 1x1 convolution, published as a matrix (in, out) ``W`` with bias ``b``."""
    stem, _, kind = name.rpartition(".")
    return (f"{stem}.W", view.flatten(1).t()) if kind == "weight" else (f"{stem}.b", view)


def _attention(prefix: str, ours: Attention) -> Iterator[View]:
    from bench_readers.layout import named, thirds

    yield from named(f"{prefix}.GroupNorm_0", ours.norm)
    layers = [*thirds(ours), (ours.proj.weight.detach(), ours.proj.bias.detach())]
    for i, (weight, bias) in enumerate(layers):
        yield f"{prefix}.NIN_{i}.W", weight.t()
        yield f"{prefix}.NIN_{i}.b", bias
