"""Completions of small images: a thinned Gaussian, and batches of a task without the command line."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from bench import SDE, Array, BatchContext, Condition, Denoiser, Model, Prediction, Sampler, Task, Tensor
from bench.checkpoints.exact import dct_data
from bench.closed_form.mixture import Mixture, MixtureModel, on_range
from bench.diffusion.noise import noise_stream
from tests.support.analytic import grid_of, sde
from tests.support.plugins import installed

SDES = ("ve", "vp", "subvp")


@functools.cache
def thinned(side: int) -> tuple[Mixture, Array]:
    """`gaussian-cifar10`'s lowest ``side`` x ``side`` coefficients, and its colors; images on [0, 1].

    The colors are stored in float32: here they are the nearest matrix that is orthogonal to the last bit.
    """
    data, stored = dct_data(installed().get("checkpoints", "gaussian-cifar10").thing)
    basis, _, right = np.linalg.svd(stored)
    color = np.asarray(basis @ right)
    mean, variance = (a[:, :, :side, :side] for a in (data.mean, data.variance))
    # the mean gray of fewer pixels
    return Mixture(data.weight, mean * side / 32, variance * (side / 32) ** 2), color


def small_gaussian(run: SDE, side: int, dtype: torch.dtype = torch.float32) -> MixtureModel:
    """`thinned`, for a run on an SDE: its states are coefficients."""
    data, color = thinned(side)
    moved = on_range(data, run.data_range, color)
    return MixtureModel(moved, "cpu", dtype, color=color, range_=run.data_range)


class Nothing(Condition):
    """Does nothing: the inherited methods."""


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
    parameters: Mapping[str, Any] = MappingProxyType({}),
    *,
    steps: int,
) -> Sampler:
    """A predictor-corrector sampler by names; ``parameters`` are the corrector's."""
    registry = installed()
    return Sampler(
        sde=sde(name),
        predictor=registry.build("predictors", predictor, {}),
        corrector=registry.build("correctors", corrector, dict(parameters)),
        steps=steps,
        grid=grid_of("polynomial"),
    )


def completion_batch(
    sampler: Sampler, model: Model, originals: Tensor, each: int, seed: int = 0
) -> BatchContext:
    """One batch of ``each`` completions of every original (n, C, H, W)."""
    noise = functools.cache(lambda role: noise_stream(seed, 0, role, "cpu"))
    images = originals.repeat_interleave(each, dim=0)
    p = Prediction(model, sampler.sde)
    return BatchContext(sampler, p, torch.device("cpu"), len(images), 0, images, noise)


def build_task(name: str, **parameters: Any) -> Task:
    """A registered task."""
    task: Task = installed().build("tasks", name, parameters)
    return task


def known_values(outputs: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """The known decoupled channels of images (B, C, H, W), by a task's outputs: (B, k)."""
    decoupled = torch.einsum("bdc,bchw->bdhw", outputs["axes"].to(images.dtype), images)
    return decoupled[outputs["known"]].view(len(images), -1)


def uniform_images(rng: np.random.Generator, count: int, side: int) -> Tensor:
    """Images (count, 3, side, side), uniform on [0, 1]."""
    return torch.from_numpy(rng.random((count, 3, side, side))).float()
