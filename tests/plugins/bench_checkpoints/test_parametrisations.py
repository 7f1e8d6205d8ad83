"""One network, written in every parametrisation and told time by every label, gives the same samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import SDE, BenchError, Card, Model, NoiseLevel, Prediction, Sampler
from bench.checkpoints.convention import NetworkModel
from bench.checkpoints.resolve import label_of, parametrisation_of
from tests.support.analytic import gaussian, grid_of, sde
from tests.support.plugins import installed

SHAPE = (3, 2, 2)
MEAN, VARIANCE = np.linspace(-0.5, 0.6, 12).reshape(SHAPE), np.geomspace(0.01, 0.3, 12).reshape(SHAPE)
FIELDS: dict[str, Any] = {
    "name": "made",
    "summary": "made up",
    "format": "edm",
    "shape": SHAPE,
    "data_range": (-1.0, 1.0),
    "files": [{"name": "none"}],
    "licence": "none",
    "author": "nobody",
    "data": "none",
    "metric": "fd_dct",
}
PARAMETRISATIONS: dict[str, dict[str, Any]] = {
    "noise": {},
    "score": {},
    "scaled_score": {},
    "denoised": {},
    "v": {},
    "velocity": {},
    "velocity to data": {"direction": "to_data"},
}
CHAIN = np.cumprod(np.sqrt(1 - np.linspace(1e-4, 0.02, 1000)))
"""alpha of the 1000 scales of VP."""


def scale_level(position: float) -> tuple[float, float]:
    alpha = math.exp(np.interp(position, np.arange(1000), np.log(CHAIN)))
    return alpha, math.sqrt(1 - alpha**2)


def time_of(law: SDE, ratio: float) -> float:
    """By bisection, as labels are inverted by nothing of the project's."""
    low, high = 0.0, law.end
    for _ in range(200):
        t = (low + high) / 2
        alpha, sigma = float(law.alpha(np.asarray(t))), float(law.sigma(np.asarray(t)))
        low, high = (t, high) if sigma < ratio * alpha else (low, t)
    return low


def of_time(law: SDE, t: float) -> tuple[float, float]:
    return float(law.alpha(np.asarray(t))), float(law.sigma(np.asarray(t)))


def slopes(name: str, t: float) -> tuple[float, float]:
    """The derivatives of alpha and sigma."""
    if name == "flow":
        return -1.0, 1.0
    if name == "flow_cosine":
        angle = math.pi / 2 * t
        return -math.pi / 2 * math.sin(angle), math.pi / 2 * math.cos(angle)
    assert name == "vp"
    alpha, beta = math.exp(-0.05 * t - 4.975 * t**2), 0.1 + 19.9 * t
    return -beta / 2 * alpha, beta / 2 * alpha**2 / math.sqrt(1 - alpha**2)


LABELS: dict[str, tuple[str, dict[str, Any], Callable[[SDE, float], float]]] = {
    "t": ("t", {"factor": 1000.0}, lambda _, number: number / 1000),
    "t from the noise": ("t", {"reverse": True}, lambda _, number: 1 - number),
    "999t": ("999t", {}, lambda _, number: number / 999),
    "sigma": ("sigma", {}, lambda law, number: time_of(law, number / math.sqrt(1 - number**2))),
    "log_snr": ("log_snr", {}, lambda law, number: time_of(law, math.exp(-number / 2))),
}
"""A label's name, its parameters, and the time that it stands for on VP."""


def network(predicts: str, law: SDE, level_of: Callable[[float], tuple[float, float, float]]) -> Any:
    """An exact Gaussian's network: (alpha, sigma, t) of a label, and the output by each definition."""

    def call(x: Tensor, label: Tensor) -> Tensor:
        alpha, sigma, t = level_of(float(label))
        mean, variance = torch.from_numpy(MEAN), torch.from_numpy(VARIANCE)
        score = (alpha * mean - x) / (alpha**2 * variance + sigma**2)
        noise = -sigma * score
        clean = mean + alpha * variance / (alpha**2 * variance + sigma**2) * (x - alpha * mean)
        if predicts.startswith("velocity"):
            alpha_slope, sigma_slope = slopes(law.name, t)
            velocity = alpha_slope * clean + sigma_slope * noise
            return -velocity if predicts == "velocity to data" else velocity
        return {
            "noise": noise,
            "score": score,
            "scaled_score": sigma * score,
            "denoised": clean,
            "v": alpha * noise - sigma * clean,
        }[predicts]

    return call


def model(predicts: str, label: str, own: SDE, run: SDE) -> NetworkModel:
    name, values, time = LABELS[label]
    card = Card(
        **FIELDS,
        sde=own.name,
        predicts=predicts.partition(" ")[0],
        labels=name,
        parameters={"parametrisation": PARAMETRISATIONS[predicts], "label": values},
    )

    def level_of(number: float) -> tuple[float, float, float]:
        t = time(own, number)
        return *of_time(own, t), t

    return network_model(card, network(predicts, own, level_of), own, run)


def network_model(card: Card, call: Any, own: SDE, run: SDE) -> NetworkModel:
    convention = parametrisation_of(card, installed()), label_of(card, installed())
    return NetworkModel(call, card, *convention, run, own, bf16=False, dtype=torch.float64)


def samples(subject: Model, run: SDE, predictor: str, **changes: Any) -> Tensor:
    sampler = Sampler(run, installed().build("predictors", predictor, {}), **{"steps": 5} | changes)
    prior = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = torch.Generator().manual_seed(1)

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=draws, dtype=x.dtype)

    with torch.no_grad():
        return sampler.run(prior, Prediction(subject, run), noise, noise)


@pytest.mark.parametrize("run", ["vp", "flow_cosine"])
@pytest.mark.parametrize("label", LABELS)
def test_the_samples_are_those_of_the_exact_score(label: str, run: str) -> None:
    """On its own SDE, VP, and on another; of samplers that ask for each of the four."""
    own, law = sde("vp"), sde(run)
    changes: dict[str, Any] = {"grid": grid_of("logsnr")}
    for predictor in ("ancestral", "dpmpp_2m", "ipndm", "euler"):
        expected = samples(gaussian(MEAN, VARIANCE), law, predictor, **changes)
        for predicts in PARAMETRISATIONS:
            if not law.ends_in_noise:
                result = samples(model(predicts, label, own, law), law, predictor, **changes)
                assert float((result - expected).abs().max()) < 1e-6, (predicts, predictor)
        if law.ends_in_noise:
            # the network, which knows no pure noise, answers for it at the noisiest level of its own SDE
            first, *rest = (
                samples(model(name, label, own, law), law, predictor) for name in PARAMETRISATIONS
            )
            for result in rest:
                assert float((result - first).abs().max()) < 1e-6, predictor


@pytest.mark.parametrize("law", ["flow", "flow_cosine"])
@pytest.mark.parametrize("predicts", ["denoised", "v", "velocity", "velocity to data"])
def test_from_pure_noise_on(predicts: str, law: str) -> None:
    own = sde(law)
    for predictor in ("euler", "dpmpp_2m", "ancestral"):
        expected = samples(gaussian(MEAN, VARIANCE), own, predictor)
        result = samples(model(predicts, "t from the noise", own, own), own, predictor)
        assert float((result - expected).abs().max()) < 1e-6


INDEX: dict[str, Callable[[float], float]] = {
    "index": lambda number: number,
    "time_index": lambda number: number,
    "index_down": lambda number: 999 - number,
}


@pytest.mark.parametrize("label", INDEX)
def test_networks_of_discrete_scales(label: str) -> None:
    """Off the published grid: the scaled score gives the noise's samples, as does the score where the label
    is that of an equal sigma / alpha; others are divided by the sigma of a scale next to it."""
    own = sde("vp")

    def at(predicts: str, grid: str) -> Tensor:
        card = Card(**FIELDS, sde="vp", predicts=predicts, labels=label, scales=1000)
        call = network(predicts, own, lambda number: (*scale_level(INDEX[label](number)), 0.0))
        return samples(network_model(card, call, own, own), own, "dpmpp_2m", grid=grid_of(grid))

    for grid in ("logsnr", "polynomial"):
        for predicts in ("scaled_score", *(["score"] if label == "index" else [])):
            assert float((at(predicts, grid) - at("noise", grid)).abs().max()) < 1e-6


def test_a_velocity_needs_slopes() -> None:
    subject = installed().build("parametrisations", "velocity", {})
    with pytest.raises(BenchError, match="discrete scales don't have: give labels of t"):
        subject.weights(NoiseLevel(0.5, 0.8, 0.6))
