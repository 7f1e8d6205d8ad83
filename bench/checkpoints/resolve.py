"""The plugins that a card names: its reader and the SDE that its network was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.diffusion.levels import NoiseLevel
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.checkpoints.cards import Card
    from bench.checkpoints.label import Label
    from bench.checkpoints.parametrisation import Parametrisation
    from bench.checkpoints.readers import Reader
    from bench.diffusion.sde import SDE
    from bench.plugins.registry import Registry


@contextmanager
def naming(card: Card) -> Iterator[None]:
    """Put the checkpoint's name before the message of a `BenchError`."""
    try:
        yield
    except BenchError as error:
        raise BenchError(f"checkpoint {card.name}: {error}") from error


def reader_of(card: Card, registry: Registry) -> Reader:
    """The reader of the card's format; `BenchError` where there is none."""
    if card.exact:
        raise BenchError(f"checkpoint {card.name} is closed-form: its files belong beside its card")
    reader: Reader = registry.build("readers", card.format, card.parameters.get("reader", {}))
    if card.classes and not reader.class_conditional:
        raise BenchError(f"the format {card.format} has no class-conditional networks: leave out classes")
    return reader


def parametrisation_of(card: Card, registry: Registry) -> Parametrisation:
    """What the card's network answers with; `BenchError` where nothing has the name."""
    values = dict(card.parameters.get("parametrisation", {}))
    if card.predicts == "edm" and "sigma_data" in card.network:
        values.setdefault("sigma_data", card.network["sigma_data"])
    with naming(card):
        parametrisation: Parametrisation = registry.build("parametrisations", card.predicts or "", values)
    return parametrisation


def label_of(card: Card, registry: Registry) -> Label:
    """How the card's network is told its noise level; `BenchError` where nothing has the name."""
    from bench.checkpoints.label import IndexLabel

    with naming(card):
        label: Label = registry.build("labels", card.labels or "", card.parameters.get("label", {}))
        if isinstance(label, IndexLabel) and card.scales is None:
            raise BenchError(f"labels {label.name!r} need scales, the number of noise levels")
    if isinstance(label, IndexLabel):
        parametrisation = parametrisation_of(card, registry)
        with naming(card):
            # a level of discrete scales has no slopes: what needs them is refused before the run
            parametrisation.weights(NoiseLevel(0.5, 0.8, 0.6))
    return label


def own_sde(card: Card, registry: Registry) -> SDE | None:
    """The SDE that a card's network was trained on; None for a denoiser that serves every SDE."""
    if card.sde is None:
        return None
    with naming(card):
        sde: SDE = registry.build("sdes", card.sde, card.parameters.get("sde", {}))
    return sde


def is_native(card: Card, run: SDE, own: SDE) -> bool:
    """Whether a run's SDE is the one that a network was trained on; where sampling ends may differ."""

    def values(sde: SDE) -> dict[str, object]:
        return {k: v for k, v in sde.values().items() if k != "eps"}

    same = type(run) is type(own) and values(run) == values(own)
    return same and tuple(run.data_range) == tuple(card.data_range)


def follows_convention(card: Card, run: SDE, registry: Registry) -> bool:
    """Whether a run on this SDE follows the convention that the network was published with."""
    own = own_sde(card, registry)
    return own is not None and is_native(card, run, own)
