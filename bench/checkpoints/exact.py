"""Exact checkpoints: the data distribution of a card, and the exact error of a sampler on it."""

from __future__ import annotations

from collections.abc import Callable

from bench.checkpoints.cards import Card
from bench.closed_form.mixture import Answer, Mixture, on_range
from bench.closed_form.moments import frechet, gaussian_moments, limit_moments
from bench.diffusion.sampler import Sampler
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.types import Array


def exact_fd_dct(card: Card, sampler: Sampler, component: int = 0) -> float | None:
    """The exact value of the metric ``fd_dct`` of a sampler on one Gaussian,

        sum_j (m_j - mu_j)^2 + (s_j - sd_j)^2

    over the DCT and color coefficients j of images on [0, 1]: a Fréchet distance without sampling noise. m
    and s are mean and standard deviation of the sampler's result, mu and sd those of the Gaussian.

    Args:
        card: An exact checkpoint.
        sampler: Any sampler; m and s follow by recursion over its steps.
        component: Index of the Gaussian in a mixture.

    Returns:
        The distance; None where theory does not give the sampler's moments, and for a checkpoint of another
        basis.

    Raises:
        BenchError: The checkpoint's file is missing or damaged.
    """
    return _distance(card, sampler, component, gaussian_moments)


def limit_fd_dct(card: Card, sampler: Sampler, component: int = 0) -> float | None:
    """What `exact_fd_dct` tends to as a solver's tolerance falls: the distance of the probability flow.

    At any other tolerance the solver's samples differ from it by more than sampling noise.

    Args:
        card: An exact checkpoint.
        sampler: Any sampler.
        component: Index of the Gaussian in a mixture.

    Returns:
        The limit; None for a sampler without one (it follows no flow, or its exact value is known), and for a
        checkpoint of another basis.

    Raises:
        BenchError: The checkpoint's file is missing or damaged.
    """
    return _distance(card, sampler, component, limit_moments)


def _distance(
    card: Card,
    sampler: Sampler,
    component: int,
    moments_of: Callable[[Sampler, Array, Array, Answer | None], tuple[Array, Array] | None],
) -> float | None:
    if card.basis != "dct":
        return None
    data, color = exact_data(card)
    low, high = sampler.sde.data_range
    if sampler.afs and (low, high) != (-1.0, 1.0):
        return None  # the first step moves the middle of the range, which is no number for all coefficients
    moved = on_range(data, (low, high), color)
    mean, variance = moved.mean[component], moved.variance[component]
    moments = moments_of(sampler, mean, variance, trained_answer(card, sampler.sde))
    if moments is None:
        return None
    return frechet(*moments, mean, variance) / (high - low) ** 2


def trained_answer(card: Card, sde: SDE) -> Answer | None:
    """How an exact checkpoint that was trained at discrete noise scales answers.

    Its score is that of a training without end: exact at each scale of the SDE's chain of ``card.scales``.
    It is called by the label of networks that were so trained (`Convention.answer`).

    Args:
        card: An exact checkpoint.
        sde: The SDE of the run, whose chain it was trained on.

    Returns:
        The level of the label and the factor, by the level asked for; None for a checkpoint without scales,
        which is exact everywhere.

    Raises:
        BenchError: No network was published that was trained at discrete scales of the SDE, or it has no
            chain of so few.
    """
    if card.scales is None:
        return None
    if sde.discrete_labels is None:
        raise BenchError(
            f"checkpoint {card.name} is trained at discrete noise scales, and {sde.name} has no networks of "
            "that kind: take --sde ve or vp, or an exact checkpoint without scales"
        )
    from bench.checkpoints.convention import Convention
    from bench.checkpoints.label import IndexDown, TimeIndex

    label = TimeIndex() if sde.discrete_labels == "time_index" else IndexDown()
    convention = Convention(label, sde, card.scales)
    try:
        convention.chain(card.scales)
    except BenchError as error:
        raise BenchError(
            f"checkpoint {card.name}: {sde.name} has no chain of {card.scales} noise scales: "
            "its card needs more of them"
        ) from error
    return convention.answer


def exact_data(card: Card) -> tuple[Mixture, Array | None]:
    """The data distribution of an exact checkpoint.

    Args:
        card: A card of format ``gaussian`` or ``mixture``.

    Returns:
        The mixture of items on the unit range, ``(x - low) / (high - low)`` by the card's data range; and
        None, or with the basis ``dct`` the rotation of color channels (C, C) of `to_dct`, in whose
        coordinates the mixture then is.

    Raises:
        BenchError: The checkpoint's file is missing, changed or damaged, or is not of the card's basis.
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
    if card.basis == "dct":
        shapes["colour"] = (card.shape[0], card.shape[0])
    elif "colour" in tensors:
        raise BenchError(
            f"checkpoint {card.name}: {path} has a tensor 'colour', which belongs to the DCT basis: "
            'its card needs basis = "dct"'
        )
    for name, shape in shapes.items():
        if name not in tensors or tensors[name].shape != shape:
            raise BenchError(f"checkpoint {card.name}: {path} has no tensor {name!r} of shape {shape}")
    if not (tensors["variance"] > 0).all() or not (tensors["weight"] > 0).all():
        raise BenchError(f"checkpoint {card.name}: {path} has weights or variances that are not positive")
    data = Mixture(tensors["weight"] / tensors["weight"].sum(), tensors["mean"], tensors["variance"])
    if card.basis == "dct":
        return data, tensors["colour"]
    low, high = card.data_range
    return data.mapped(1 / (high - low), -low / (high - low)), None


def dct_data(card: Card) -> tuple[Mixture, Array]:
    """As `exact_data`, of a checkpoint in the DCT basis.

    Args:
        card: A card of format ``gaussian`` or ``mixture``.

    Returns:
        The mixture of images on [0, 1], in the coordinates of `to_dct`, and the rotation of color channels
        (C, C) that these coordinates use.

    Raises:
        BenchError: The checkpoint's file is missing, changed or damaged, or it is of another basis.
    """
    data, color = exact_data(card)
    if color is None:
        raise BenchError(f"checkpoint {card.name} is not in the DCT basis: take one whose card says so")
    return data, color
