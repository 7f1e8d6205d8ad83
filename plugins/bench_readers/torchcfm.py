"""torchcfm's ``.pt``: ``ema_model``, ``net_model``, ``optim``, ``sched``, ``step`` (Tong et al. 2024)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench import BenchError, Card, Reader, param

if TYPE_CHECKING:
    from torch import Tensor

    from bench import SDE, UNet

KEYS = {"ema": "ema_model", "raw": "net_model"}


class TorchCFM(Reader):
    """A ``.pt`` of torchcfm's CIFAR-10 example: the package's `UNetModelWrapper`, without classes.

    The network answers with ``E[x1 - x0 | x]`` at the time t that runs from noise x0 to data x1. In a card
    that is ``predicts = "velocity"`` with ``direction = "to_data"``, and ``labels = "t"`` with ``reverse =
    true``, on the SDE ``flow``. ``attention`` is the heights that attend: of images of 28 pixels the
    package's ``attention_resolutions="16"`` is 28, since it divides as integers.
    """

    name = "torchcfm"

    weights: Literal["ema", "raw"] = param(
        default="ema", help="the moving average of the weights, or the last ones"
    )

    def read(self, card: Card, folder: Path, sde: SDE | None) -> UNet:
        del sde
        from bench import UNet, UNetConfig
        from bench_readers.files import torch_file
        from bench_readers.improved_diffusion import views
        from bench_readers.layout import check_fixed, load

        config = UNetConfig.read(card.network)
        check_fixed(config, "torchcfm", "torchcfm's")
        network = UNet(config)
        load(views(network), _tensors(torch_file(folder / card.files[0].name), KEYS[self.weights]))
        return network

    def example(self, folder: Path) -> Card:
        import torch

        from bench import UNet, UNetConfig
        from bench_readers.example import SMALL_UNET, example_card, random_weights
        from bench_readers.improved_diffusion import views
        from bench_readers.layout import published

        table = {**SMALL_UNET, "configuration": "torchcfm", "head_width": 16}
        state = published(views(random_weights(UNet(UNetConfig.read(table)))))
        torch.save({KEYS[self.weights]: state, "step": 0}, folder / "example.pt")
        facts = {"predicts": "velocity", "labels": "t", "sde": "flow"}
        return example_card(self, ["example.pt"], network=table, **facts)


def _tensors(content: Any, key: str) -> dict[str, Tensor]:
    """The state dict under ``key``; that of a network that was trained on several GPUs without its prefix."""
    from bench_readers.layout import tensors

    if not isinstance(content, dict) or key not in content:
        raise BenchError(f"it is not a checkpoint of torchcfm's: a dict with {key!r}")
    try:
        state = tensors(content[key])
    except BenchError as error:
        raise BenchError(f"its {key!r} is not a state dict: tensors by name") from error
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}
