"""From a card to a `Model` on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.checkpoints.cards import Card
from bench.checkpoints.convention import NetworkModel, is_native
from bench.checkpoints.exact import exact_data
from bench.checkpoints.networks.classifier import load_noisy_classifier
from bench.checkpoints.networks.edm import EDMDenoiser
from bench.closed_form.mixture import MixtureModel, on_range
from bench.diffusion.model import Model
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.files import REGISTRY
from bench.plugins.registry import registry
from bench.types import Precision

if TYPE_CHECKING:
    pass


COMPILATIONS = 256
"""Networks and sizes of batches that one process may compile."""


def read_network(card: Card) -> nn.Module:
    """A card's network with its weights, hashes checked first."""
    card.check()
    with _of(card):
        reader = registry().build("readers", card.format, card.parameters.get("reader", {}))
        found: nn.Module = reader.read(card, card.folder)
    return found


@contextmanager
def _of(card: Card) -> Iterator[None]:
    """Mistakes are told with the checkpoint's name."""
    try:
        yield
    except BenchError as error:
        raise BenchError(f"checkpoint {card.name}: {error}") from error


def own_sde(card: Card) -> SDE | None:
    """The SDE that a card's network was trained on."""
    if card.sde is None:
        return None
    with _of(card):
        found: SDE = registry().build("sdes", card.sde, card.parameters.get("sde", {}))
    return found


def follows_convention(card: Card, run: SDE) -> bool:
    """Whether a run on this SDE follows the convention that the network was published with."""
    own = own_sde(card)
    return own is not None and is_native(card, run, own)


def load_model(
    card: Card,
    sde: SDE,
    device: torch.device,
    *,
    precision: Precision = "fp32",
    compile: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Model:
    """The checkpoint on ``device``, for a run on ``sde``; ``dtype`` is the state's.

    Networks run in channels-last memory; ``bf16`` holds the weights of convolutions and matrices in
    bfloat16 and computes in it, but for norms and the first and last sums.
    """
    if card.exact:
        data, colour = exact_data(card)
        moved = on_range(data, sde.data_range, colour)
        return MixtureModel(moved, device, dtype, colour=colour, range_=sde.data_range)
    network = read_network(card)
    if card.predicts == "edm":
        network = EDMDenoiser(network, float(card.network.get("sigma_data", 0.5)))
    network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
    if precision == "bf16":
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.to(torch.bfloat16)
    call = _compiled(network) if compile else network
    guide = None if card.classifier is None else partial(load_noisy_classifier, device, classifier_path(card))
    return NetworkModel(call, card, sde, own_sde(card), bf16=precision == "bf16", classifier=guide)


def classifier_path(card: Card) -> Path:
    """The card of the noisy classifier that guides a checkpoint's runs; `BenchError` without one."""
    if card.classifier is None:
        raise BenchError(f"checkpoint {card.name} has no classifier")
    return REGISTRY / "classifiers" / f"{card.classifier}.toml"


def _compiled(network: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """``network``, compiled for each size of batch that it meets."""
    import torch._dynamo.config as dynamo

    # a run may meet more networks and sizes than torch's 8, past which it goes on uncompiled
    dynamo.recompile_limit = max(dynamo.recompile_limit, COMPILATIONS)
    found: Callable[[Tensor, Tensor], Tensor] = torch.compile(network, dynamic=False)
    return found
