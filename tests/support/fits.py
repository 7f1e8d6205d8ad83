"""Fits for tests: a plugin that counts, its artifact, and the work of a fit on closed-form data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch

import bench
from bench import (
    Artifact,
    Fit,
    FitFacts,
    Fittable,
    FitWork,
    Grid,
    LinearPredictor,
    Noise,
    Prediction,
    Predictor,
    Sampler,
    Solver,
    Step,
    Tensor,
    param,
)
from bench.types import JSONObject
from tests.support.analytic import grid_of, sde
from tests.support.authors import mixture


class Marks(Fittable, Grid):
    """A grid of times t = T, share T, share^2 T, ..., after a fit of two parts that it keeps."""

    name = "marks"

    share: float = param(default=0.5, help="ratio of times", above=0, high=0.9)

    def fit(self, work: FitWork) -> Mapping[str, object]:
        sums = [] if work.state is None else list(work.state["sums"])  # type: ignore[arg-type]
        for part in range(len(sums), 2):
            work.advance(part, 2)
            if part == 1 and STOPS:
                STOPS.pop()
                raise KeyboardInterrupt
            law = work.sampler.sde
            x = work.prior(0) * law.prior_std
            sums.append(float(work.prediction(0).denoised(x, law.at(law.end)).sum()))
            work.save({"sums": sums})
        end, steps = work.sampler.sde.end, work.sampler.steps
        return {"times": [end * self.share**i for i in range(steps)], "sums": sums}

    def times(self, sde: bench.SDE, steps: int) -> bench.Array:
        return torch.tensor(self.fit_values()["times"], dtype=torch.float64).numpy()


class Learner(Fittable, LinearPredictor):
    """DDIM's step, with a factor that a fit finds."""

    name = "learner"
    uses_chain = False

    def fit(self, work: FitWork) -> dict[str, object]:
        return {"factor": 1.0}

    def coefficients(self, step: Step) -> tuple[float, float, float]:
        factor = float(self.fit_values()["factor"])  # type: ignore[arg-type]
        return factor * step.alpha_next / step.alpha, 0.0, 0.0


class Jump(Fittable, Solver):
    """One step from T to the data that the network expects there, times a factor that is fitted."""

    name = "jump"

    @property
    def ends_clean(self) -> bool:
        return True

    def fit(self, work: FitWork) -> dict[str, object]:
        law = work.sampler.sde
        work.prediction(0).denoised(work.prior(0) * law.prior_std, law.at(law.end))
        return {"factor": 1.0}

    def nfe(self) -> int:
        return 1

    def solve(self, x: Tensor, sde: bench.SDE, p: Prediction, noise: Noise) -> Tensor:
        factor = float(self.fit_values()["factor"])  # type: ignore[arg-type]
        return p.denoised(x, sde.at(sde.end)).mul(factor)


STOPS: list[bool] = []
"""An entry for each fit of `Marks` that Ctrl-C stops after its first part."""


def facts(**changes: object) -> FitFacts:
    """What the artifact of `Marks` holds, for DDIM with 3 steps on ``gaussian-cifar10``."""
    fields: JSONObject = {
        "role": "grid",
        "plugin": "marks",
        "parameters": {"share": 0.5},
        "checkpoint": "gaussian-cifar10",
        "checkpoint_sha256": "",
        "convention": "exact",
        "sde": "vp",
        "sde_parameters": sde("vp").values(),
        "sampler": "ddim",
        "sampler_parameters": {"eta": 0.0},
        "steps": 3,
        "nfe": 3,
        "seed": 1000,
        "samples": 2,
        "batch_size": 2,
        "fit_nfe": 4.0,
        "fit_seconds": 1.5,
        "values": {"times": [1.0, 0.5, 0.25]},
    }
    return FitFacts.model_validate(fields | changes)


def artifact(**changes: object) -> Artifact:
    """The artifact of `facts`."""
    return Artifact(facts(**changes).content())


def fit_marks(to: Path | str, **changes: object) -> Fit:
    """`Marks`, fitted for DDIM with 3 steps on ``gaussian-cifar10``."""
    settings: dict[str, object] = {"checkpoint": "gaussian-cifar10", "sde": "vp", "steps": 3, "samples": 2}
    return bench.fit(Marks(), to, **(settings | changes))  # type: ignore[arg-type]


def plane_work(predictor: Predictor, steps: int, samples: int = 16, seed: int = 1) -> FitWork:
    """The work of a fit on a mixture of three Gaussians in the plane, in float64, on VP."""
    law = sde("vp")
    generator = torch.Generator().manual_seed(seed)
    prior = torch.randn(samples, 2, generator=generator, dtype=torch.float64)

    def priors(index: int) -> Tensor:
        return prior[index * 8 : (index + 1) * 8].clone()

    return FitWork(
        sampler=Sampler(law, predictor, steps=steps, grid=grid_of("time_uniform")),
        sizes=(8,) * (samples // 8),
        prior=priors,
        prediction=lambda _: Prediction(mixture(), law),
        advance=lambda *_: None,
    )


def with_grid(sampler: Sampler, grid: Grid) -> Sampler:
    """The sampler on another grid."""
    return dataclasses.replace(sampler, grid=grid)
