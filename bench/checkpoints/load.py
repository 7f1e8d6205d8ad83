"""From a card to a `Model` on a device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.checkpoints.cards import Card
from bench.checkpoints.classes import classifier_path
from bench.checkpoints.convention import NetworkModel
from bench.checkpoints.exact import exact_data, trained_answer
from bench.checkpoints.memory import MemoryCheckpoint
from bench.checkpoints.networks.classifier import load_noisy_classifier
from bench.checkpoints.networks.layers import memory_format
from bench.checkpoints.parts import InParts
from bench.checkpoints.resolve import label_of, naming, own_sde, parametrisation_of, reader_of
from bench.closed_form.mixture import MixtureModel, on_range
from bench.diffusion.model import Model
from bench.diffusion.sde import SDE
from bench.types import Precision

if TYPE_CHECKING:
    from bench.plugins.registry import Registry

COMPILATIONS = 256
"""Networks and sizes of batches that one process may compile."""


def read_network(card: Card, registry: Registry) -> nn.Module:
    """A checkpoint's network with its weights, on the host; the files' hashes are checked first.

    Of a network in memory, a copy: the caller may change it.
    """
    card.check()
    if isinstance(card, MemoryCheckpoint):
        return card.copy_of_network()
    own = own_sde(card, registry)
    with naming(card):
        return reader_of(card, registry).read(card, card.folder, own)


def load_model(
    card: Card,
    sde: SDE,
    device: torch.device,
    registry: Registry,
    *,
    precision: Precision = "fp32",
    compile: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Model:
    """Load a checkpoint for a run.

    Networks, those of users too, run in the `memory_format` of the device, the precision and compilation.
    ``bf16`` holds the weights of convolutions and matrices in bfloat16 and computes
    in it, except for norms and the first and last sums.

    Args:
        card: The checkpoint.
        sde: The SDE of the run.
        device: Where the model computes.
        registry: Where the card's reader and SDE are looked up.
        precision: What a network computes in; an exact score computes in ``dtype``.
        compile: Whether a network is compiled, for each size of batch. This raises torch's limit of
            compilations in the process to `COMPILATIONS`.
        dtype: Type of an exact score's states.

    Returns:
        The model.

    Raises:
        BenchError: The files are missing or damaged, or a plugin that the card names is.
    """
    if card.exact:
        data, colour = exact_data(card)
        moved = on_range(data, sde.data_range, colour)
        answer = trained_answer(card, sde)
        return MixtureModel(moved, device, dtype, color=colour, range_=sde.data_range, answer=answer)
    network = read_network(card, registry)
    parametrisation, label = parametrisation_of(card, registry), label_of(card, registry)
    bf16 = precision == "bf16"
    network = network.eval().requires_grad_(False).to(device)
    memory = memory_format(device, bf16=bf16, compiled=compile)
    network = network.to(memory_format=memory)
    if bf16:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.to(torch.bfloat16)
    call: Callable[..., Tensor] = _compiled(network) if compile else network
    call = InParts(call) if device.type == "cuda" else call
    guide = None if card.classifier is None else partial(load_noisy_classifier, device, classifier_path(card))
    own = own_sde(card, registry)
    return NetworkModel(
        call, card, parametrisation, label, sde, own, bf16=bf16, memory=memory, classifier=guide
    )


def _compiled(network: nn.Module) -> Callable[..., Tensor]:
    """``network``, compiled for each size of batch that it meets."""
    allow_compilations(COMPILATIONS)
    compiled: Callable[..., Tensor] = torch.compile(network, dynamic=False)
    return compiled


def allow_compilations(count: int) -> None:
    """Raise the number of times that torch may compile one function, for the whole process.

    Torch's own limit is 8; a further network or size of batch would run uncompiled, without a warning. The
    limit counts compilations alone and decides no numbers, so that nothing resets it.
    """
    import torch._dynamo.config as dynamo

    dynamo.recompile_limit = max(dynamo.recompile_limit, count)
