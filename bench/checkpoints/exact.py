"""Exact checkpoints: closed-form scores from a card."""

from __future__ import annotations

from bench.checkpoints.cards import Card
from bench.closed_form.mixture import Mixture, on_range
from bench.closed_form.moments import frechet, gaussian_moments
from bench.diffusion.sampler import Sampler
from bench.errors import BenchError
from bench.types import Array


def exact_fd_dct(card: Card, sampler: Sampler) -> float | None:
    """The exact ``fd_dct`` of a sampler on a Gaussian checkpoint, for images on [0, 1].

    Args:
        card: A checkpoint of format ``gaussian``.
        sampler: The sampler.

    Returns:
        The distance; None where no closed form is known. Of an adaptive solver, its limit
        (`gaussian_moments`).
    """
    data, colour = mixture(card)
    low, high = sampler.sde.data_range
    moved = on_range(data, (low, high), colour)
    moments = gaussian_moments(sampler, moved.mean[0], moved.variance[0])
    if moments is None:
        return None
    return frechet(*moments, moved.mean[0], moved.variance[0]) / (high - low) ** 2


def mixture(card: Card) -> tuple[Mixture, Array]:
    """The data distribution of an exact checkpoint.

    Args:
        card: A checkpoint of format ``gaussian`` or ``mixture``.

    Returns:
        The mixture on [0, 1], in the DCT and color basis, and the color rotation (C, C).

    Raises:
        BenchError: The file is missing, damaged, or of another shape than the card's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card.check()
    path = card.folder / card.files[0].name
    try:
        tensors = {name: t.double().numpy() for name, t in load_file(path).items()}
    except SafetensorError as error:
        raise BenchError(f"checkpoint {card.name}: {path} is not a safetensors file: {error}") from error
    count = len(tensors.get("weight", ()))
    shapes = {"weight": (count,), "mean": (count, *card.shape), "variance": (count, *card.shape)}
    shapes["colour"] = (card.shape[0], card.shape[0])
    for name, shape in shapes.items():
        if name not in tensors or tensors[name].shape != shape:
            raise BenchError(f"checkpoint {card.name}: {path} has no tensor {name!r} of shape {shape}")
    if not (tensors["variance"] > 0).all() or not (tensors["weight"] > 0).all():
        raise BenchError(f"checkpoint {card.name}: {path} has weights or variances that are not positive")
    weight = tensors["weight"] / tensors["weight"].sum()
    return Mixture(weight, tensors["mean"], tensors["variance"]), tensors["colour"]
