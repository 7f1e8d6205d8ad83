"""Completions of small images: a thinned Gaussian, and batches of a task without the command line."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from bench import SDE, Array, BatchContext, Condition, Denoiser, Model, Prediction, Sampler, Task, Tensor
from bench.checkpoints.exact import exact_data
from bench.closed_form.mixture import Mixture, MixtureModel, on_range
from bench.diffusion.noise import noise_stream
from tests.support.analytic import sde
from tests.support.plugins import installed

SDES = ("ve", "vp", "subvp")


@functools.cache
def thinned(side: int) -> tuple[Mixture, Array]:
    """`gaussian-cifar10`'s lowest ``side`` x ``side`` coefficients, and its colours; images on [0, 1].

    The colours are stored in float32: here the nearest matrix that is orthogonal to the last bit.
    """
    data, stored = exact_data(installed().get("checkpoints", "gaussian-cifar10").thing)
    left, _, right = np.linalg.svd(stored)
    colour = np.asarray(left @ right)
    mean, variance = (a[:, :, :side, :side] for a in (data.mean, data.variance))
    # the mean grey of fewer pixels
    return Mixture(data.weight, mean * side / 32, variance * (side / 32) ** 2), colour


def small_gaussian(run: SDE, side: int, dtype: torch.dtype = torch.float32) -> MixtureModel:
    """`thinned`, for a run on an SDE: its states are coefficients."""
    data, colour = thinned(side)
    moved = on_range(data, run.data_range, colour)
    return MixtureModel(moved, "cpu", dtype, color=colour, range_=run.data_range)


class Shrinking(Denoiser):
    """A denoiser of white N(0.5, 0.25^2) images on [0, 1]: its states are pixels."""

    def __init__(self, run: SDE, side: int) -> None:
        super().__init__((3, side, side), (0.0, 1.0), run.data_range)

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        return (x - 0.5) * (0.25**2 / (0.25**2 + sigma**2)) + 0.5


def pc(
    name: str,
    predictor: str = "reverse_diffusion",
    corrector: str = "none",
    given: Mapping[str, Any] = MappingProxyType({}),
    *,
    steps: int,
) -> Sampler:
    """A predictor-corrector sampler by names; ``given`` are the corrector's parameters."""
    found = installed()
    return Sampler(
        sde=sde(name),
        predictor=found.build("predictors", predictor, {}),
        corrector=found.build("correctors", corrector, dict(given)),
        steps=steps,
        grid="polynomial",
    )


def work(sampler: Sampler, model: Model, originals: Tensor, each: int, seed: int = 0) -> BatchContext:
    """One batch of ``each`` completions of every original."""
    noise = functools.cache(lambda role: noise_stream(seed, 0, role, "cpu"))
    images = originals.repeat_interleave(each, dim=0)
    return BatchContext(
        sampler, Prediction(model, sampler.sde), torch.device("cpu"), len(images), 0, images, noise
    )


def task(name: str, **given: Any) -> Task:
    """A registered task."""
    made: Task = installed().build("tasks", name, given)
    return made


def decoupled(left: dict[str, Tensor], images: Tensor) -> Tensor:
    """What is known of images (B, C, H, W) that a task left, one row each: (B, k)."""
    turned = torch.einsum("bdc,bchw->bdhw", left["axes"].to(images.dtype), images)
    return turned[left["known"]].view(len(images), -1)


class Nothing(Condition):
    """Does nothing: the inherited methods."""


def pixels(rng: np.random.Generator, count: int, side: int) -> Tensor:
    """Images (count, 3, side, side) on [0, 1], evenly spread."""
    return torch.from_numpy(rng.random((count, 3, side, side))).float()
