"""The toys' exact checkpoints: the data sets' distributions, and samplers against their probability flow."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy.integrate import solve_ivp

import bench
from bench import SDE, Array, Card, Metric, MetricContext, MetricResult, MetricState, Sampler, registry_path
from bench.checkpoints.load import load_model
from bench.data.dataset import Toy
from bench.data.exact_draws import ExactDraws
from bench.diffusion.noise import noise_streams
from bench.diffusion.prediction import Prediction
from bench.events import silent
from tests.support.paths import ROOT
from tests.support.plugins import hooks, installed
from tests.support.runs import registry_with

TOYS = ("eight_gaussians", "two_moons", "checkerboard", "spiral", "swiss_roll")
ANGLES = np.arange(8) * (np.pi / 4)
CENTERS = 0.75 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
DEVIATION = 0.0625


def card(toy: str) -> Card:
    return Card.read(registry_path("cards", f"{toy.replace('_', '-')}.toml"))


def draws(toy: str) -> tuple[Array, Array]:
    """20,000 draws of the data set and of its checkpoint, in the data's own coordinates."""
    data: Toy = installed().build("datasets", toy, {})
    truth = data.draw(20_000, np.random.default_rng(99))
    own = torch.cat(list(ExactDraws(card(toy), 5000, 20_000))).double().numpy()
    return truth, 2 * own - 1


@pytest.mark.parametrize("toy", TOYS)
def test_draws_have_the_moments_of_the_data_set(toy: str) -> None:
    """Within five standard errors of both and of the 10,000 draws that the mixture was fitted to: a mean that
    is off by 0.04 would be seen in each of them."""
    truth, own = draws(toy)
    share = np.sqrt(1 / 20_000 + 1 / 20_000 + 1 / 10_000)
    assert np.abs(own.mean(axis=0) - truth.mean(axis=0)).max() < 5 * share * truth.std(axis=0).max() < 0.05
    a, b = ((x - x.mean(axis=0)) ** 2 for x in (own, truth))
    off = np.abs(a.mean(axis=0) - b.mean(axis=0))
    assert (off < 5 * share * b.std(axis=0) + 1e-5).all()


@pytest.mark.parametrize("toy", TOYS)
def test_draws_are_where_the_data_are(toy: str) -> None:
    """By the shares of squares of side 1/4: as far from the data set's as other draws of it, and 4 % more."""
    truth, own = draws(toy)
    data: Toy = installed().build("datasets", toy, {})
    again = data.draw(20_000, np.random.default_rng(100))
    edges = np.arange(-1.5, 1.51, 0.25)
    shares = [np.histogram2d(x[:, 0], x[:, 1], bins=(edges, edges))[0] / len(x) for x in (truth, own, again)]
    distances = [0.5 * np.abs(one - shares[0]).sum() for one in shares[1:]]
    assert distances[0] < distances[1] + 0.04
    assert distances[1] < 0.05


def test_the_recipe_makes_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "registry" / "recipes"))
    recipe = importlib.import_module("fit_toys")
    toy, count = recipe.FITTED[0]
    fitted = recipe.fit_mixture(toy.draw(recipe.DRAWS, np.random.default_rng(0)), count)
    for name, mixture in (("eight-gaussians", recipe.exact()), ("two-moons", fitted)):
        tensors = load_file(registry_path("cards", f"{name}.safetensors"))
        for key in ("weight", "mean", "variance"):
            assert np.allclose(tensors[key], getattr(mixture, key), rtol=1e-6, atol=1e-9)


def squared(t: float) -> float:
    """The integral of beta from 0 to t."""
    return 0.1 * t + 0.5 * 19.9 * t**2


Law = Callable[[float], tuple[float, float, float, float]]
"""alpha, sigma, drift and squared diffusion at t."""


def ve(t: float) -> tuple[float, float, float, float]:
    sigma = 0.01 * 5000.0**t
    return 1.0, sigma, 0.0, 2 * sigma**2 * np.log(5000.0)


def vp(t: float) -> tuple[float, float, float, float]:
    beta, decay = 0.1 + 19.9 * t, np.exp(-squared(t))
    return np.sqrt(decay), np.sqrt(1 - decay), -beta / 2, beta


def subvp(t: float) -> tuple[float, float, float, float]:
    beta, decay = 0.1 + 19.9 * t, np.exp(-squared(t))
    return np.sqrt(decay), 1 - decay, -beta / 2, beta * (1 - decay**2)


@pytest.mark.parametrize(("law", "low", "high"), [(ve, 0.0, 1.0), (vp, -1.0, 1.0), (subvp, -1.0, 1.0)])
def test_a_fine_solver_follows_the_flow_of_eight_gaussians(law: Law, low: float, high: float) -> None:
    """rk45 at tolerance 1e-6 ends where another solver of the flow, written out here, does at 1e-10; and each
    mode gets its eighth of the samples, by chi-square (7 degrees of freedom, exceeded in 7e-5 of cases)."""
    sde: SDE = installed().build("sdes", law.__name__, {})
    assert tuple(sde.data_range) == (low, high)
    gain = (high - low) / 2
    centers = (CENTERS + 1) * gain + low

    def velocity(t: float, flat: Array) -> Array:
        alpha, sigma, drift, diffusion2 = law(t)
        x = flat.reshape(-1, 2)
        variance = (alpha * gain * DEVIATION) ** 2 + sigma**2
        away = alpha * centers - x[:, None]
        log = -0.5 * (away**2).sum(axis=2) / variance
        share = np.exp(log - log.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        score = (share[:, :, None] * away).sum(axis=1) / variance
        return np.asarray(drift * x - 0.5 * diffusion2 * score).ravel()

    model = load_model(card("eight_gaussians"), sde, torch.device("cpu"), installed(), dtype=torch.float64)
    prior, noise, further = noise_streams(5, 0, "cpu")
    z = prior(torch.empty(1000, 2, dtype=torch.float64))
    sampler = Sampler(sde, solver=installed().build("solvers", "rk45", {"tol": 1e-6}))
    with torch.no_grad():
        x = sampler.run(z.clone(), Prediction(model, sde), noise, further).numpy()
    few = 50
    start = (sde.prior_std * z[:few].numpy()).ravel()
    solved = solve_ivp(velocity, (sde.end, sde.eps), start, method="DOP853", rtol=1e-10, atol=1e-10)
    distance = x[:few] - solved.y[:, -1].reshape(-1, 2)
    assert np.sqrt((distance**2).sum(axis=1).mean()) < 1e-4 * gain
    counts = np.bincount(((x[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1), minlength=8)
    assert ((counts - 125) ** 2 / 125).sum() < 30.7


class FarthestState(MetricState):
    """The largest coordinate."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def update(self, images: torch.Tensor) -> None:
        assert images.shape[1:] == (2,)
        self.values += images.abs().amax(dim=1).tolist()

    def compute(self) -> MetricResult:
        return MetricResult(max(self.values), len(self.values))


class Farthest(Metric):
    """The largest coordinate of any sample on the unit range."""

    name = "farthest"

    def start(self, context: MetricContext) -> MetricState:
        return FarthestState()


def test_a_toy_goes_from_its_name_to_a_record_with_a_scatter_plot(tmp_path: Path) -> None:
    toy = card("two_moons").model_copy(update={"name": "moons", "metric": "farthest"})
    registry = registry_with(hooks("metrics", Farthest))
    registry.load(hooks("checkpoints", toy), "plugins-of-test", "1")
    (record,) = bench.run(
        checkpoint="moons",
        sde="vp",
        predictor="ddim",
        steps=20,
        samples=300,
        batch_size=200,
        device="cpu",
        out=tmp_path,
        registry=registry,
        emit=silent,
    )
    assert record.status == "finished"
    value = record.metrics["farthest"].value
    assert value is not None
    assert 0.85 < value < 1.0  # the moons end at 3/4 of [-1, 1], 7/8 of the unit range
    assert Path(record.preview).read_bytes().startswith(b"\x89PNG")
    (export,) = bench.export(record.fingerprint, tmp_path / "points.npz", out=tmp_path)
    assert (export.n, export.shape) == (300, (2,))
