"""Exact checkpoints: closed-form scores from a card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.closed_form.moments import frechet, gaussian_moments
from bench.diffusion.sampler import Sampler
from bench.types import Array

if TYPE_CHECKING:
    from bench.checkpoints.cards import Card


from bench.checkpoints.cards import Card
from bench.closed_form.mixture import Mixture, on_range
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.types import Array


def exact_fd_dct(card: Card, sampler: Sampler) -> float | None:
    """What ``fd_dct`` is in truth for ``sampler`` on a Gaussian checkpoint: images on [0, 1].

    None where theory does not know it; of an adaptive solver, its limit (`gaussian_moments`).
    """

    data, colour = mixture(card)
    low, high = sampler.sde.data_range
    moved = on_range(data, (low, high), colour)
    found = gaussian_moments(sampler, moved.mean[0], moved.variance[0])
    if found is None:
        return None
    return frechet(*found, moved.mean[0], moved.variance[0]) / (high - low) ** 2


def mixture(card: Card) -> tuple[Mixture, Array]:
    """Data distribution on [0, 1] and colour rotation of an exact checkpoint."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card.check()
    path = card.folder / card.files[0].name
    try:
        found = {name: t.double().numpy() for name, t in load_file(path).items()}
    except SafetensorError as error:
        raise BenchError(f"checkpoint {card.name}: {path} is not a safetensors file: {error}") from error
    count = len(found.get("weight", ()))
    shapes = {"weight": (count,), "mean": (count, *card.shape), "variance": (count, *card.shape)}
    shapes["colour"] = (card.shape[0], card.shape[0])
    for name, shape in shapes.items():
        if name not in found or found[name].shape != shape:
            raise BenchError(f"checkpoint {card.name}: {path} has no tensor {name!r} of shape {shape}")
    if not (found["variance"] > 0).all() or not (found["weight"] > 0).all():
        raise BenchError(f"checkpoint {card.name}: {path} has weights or variances that are not positive")
    return Mixture(found["weight"] / found["weight"].sum(), found["mean"], found["variance"]), found["colour"]
