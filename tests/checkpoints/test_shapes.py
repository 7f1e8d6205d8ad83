"""Networks of points and of gray images run with every sampler that runs on color images."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bench
from bench import SDE, BenchError, Sampler
from bench.checkpoints.load import load_model
from bench.diffusion.levels import NoiseLevel
from bench.diffusion.noise import noise_streams
from bench.diffusion.prediction import Prediction
from tests.support.analytic import SDES, grid_of
from tests.support.plugins import installed

SHAPES = ((2,), (1, 28, 28))
COLOR = (3, 8, 8)


class Small(nn.Module):
    """Noise of N(0, 1) data, but for a small dependence between coordinates."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        count = math.prod(shape)
        generator = torch.Generator().manual_seed(0)
        self.mix = nn.Parameter(0.01 * torch.randn(count, count, generator=generator) / math.sqrt(count))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        factor = (0.9 + 1e-4 * label).view(-1, *[1] * (x.dim() - 1))
        return factor * x + (x.flatten(1) @ self.mix).view_as(x)


@functools.cache
def card(shape: tuple[int, ...]) -> bench.Card:
    return bench.network(Small(shape), predicts="noise", labels="999t", shape=shape)


def result(shape: tuple[int, ...], sampler: Sampler) -> str:
    """What comes of a run of three samples: the sort of the result, or the refusal."""
    model = load_model(card(shape), sampler.sde, torch.device("cpu"), installed())
    prior, noise, further = noise_streams(0, 0, "cpu")
    labels = sampler.labels() if sampler.solver is None else None
    p = Prediction(model, sampler.sde, labels=labels)
    try:
        with torch.no_grad():
            x = model.images(sampler.run(prior(torch.empty(3, *shape)), p, noise, further))
    except BenchError as error:
        return str(error)
    assert x.shape == (3, *shape)
    return f"{x.dtype}, {'finite' if bool(x.isfinite().all()) else 'not finite'}"


def samplers(sde: SDE) -> dict[str, Sampler]:
    """Every predictor, every corrector and every solver on an SDE."""
    registry = installed()
    parts: dict[str, dict[str, Any]] = {}
    for name in registry.names("predictors"):
        parts[name] = {"predictor": registry.build("predictors", name, {})}
    for name in registry.names("correctors"):
        predictor = registry.build("predictors", "euler_maruyama", {})
        corrector = registry.build("correctors", name, {})
        parts[f"corrector {name}"] = {"predictor": predictor, "corrector": corrector}
    for name in registry.names("solvers"):
        # families are other libraries'; vp_cosine is stiff at its end, and takes adaptive solvers seconds
        if "<" not in name and sde.name != "vp_cosine":
            quick = {"tol": 1e-2} if name.endswith("rk45") else {"steps": 4}
            known = {parameter.name for parameter in registry.get("solvers", name).thing.parameters()}
            values = {key: value for key, value in quick.items() if key in known}
            parts[f"solver {name}"] = {"solver": registry.build("solvers", name, values)}
    del parts["none"]  # no predictor
    grid = grid_of("polynomial")
    return {name: Sampler(sde, steps=3, grid=grid, **roles) for name, roles in parts.items()}


@pytest.mark.parametrize("law", SDES)
def test_every_sampler_runs_on_points_and_on_gray_images(law: str) -> None:
    """As on color images: where these are refused, the same line refuses the others."""
    sde: SDE = installed().build("sdes", law, {})
    results = {name: [result(s, one) for s in (COLOR, *SHAPES)] for name, one in samplers(sde).items()}
    assert {name: lines for name, lines in results.items() if len(set(lines)) > 1} == {}
    ran = [name for name, lines in results.items() if lines[0] == "torch.float32, finite"]
    assert len(ran) > 12


@pytest.mark.parametrize("shape", SHAPES)
def test_a_denoiser_of_edm_takes_any_shape(shape: tuple[int, ...]) -> None:
    """With F = 0 it is ``c_skip x``, whose score is that of N(0, sigma_data^2) data on [-1, 1]."""

    class Zero(nn.Module):
        def forward(self, x: Tensor, label: Tensor) -> Tensor:
            assert label.shape == (len(x),)
            return torch.zeros_like(x)

    network = bench.network(Zero(), predicts="edm", labels="edm", shape=shape, sigma_data=0.5)
    model = load_model(network, installed().build("sdes", "vp", {}), torch.device("cpu"), installed())
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    score = model.score(x, NoiseLevel(0.5, 0.6, 0.8))
    assert torch.allclose(score, -x / (0.36 * 0.25 + 0.64), rtol=1e-5, atol=1e-6)


def test_an_unknown_card_shape_is_one_line() -> None:
    with pytest.raises(BenchError, match="network network: shape") as caught:
        bench.network(Small((2,)), predicts="noise", labels="999t", shape=())
    assert "\n" not in str(caught.value)


def test_the_default_metric_follows_the_shape() -> None:
    assert card((2,)).metric == card((1, 28, 28)).metric == "sliced_wasserstein"
    assert bench.network(nn.Identity(), predicts="noise", labels="999t", shape=(3, 32, 32)).metric == (
        "fd_cifar10"
    )
