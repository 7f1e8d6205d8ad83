"""A card's convention is held to data: right cards pass, and planted mistakes are caught and named.

The networks know the truth: they are exact scores, told the noise level and answering in the convention of a
training.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import SDE, BenchError, Card, network
from bench.plan.sources import open_images
from bench.testing.checkpoints import ASTRAY, CheckpointCheck, Items, check_checkpoint, exact_error
from bench.testing.report import Finding
from tests.support.plugins import installed


@functools.cache
def card(name: str = "digits-tiny") -> Card:
    one: Card = installed().get("checkpoints", name).thing
    return one


def findings(of: Card, data: str | None = None) -> dict[str, Finding]:
    return {one.name: one for one in check_checkpoint(of, installed(), data)}


def failures(of: Card, data: str | None = None) -> set[str]:
    return {name for name, one in findings(of, data).items() if one.status == "fail"}


class Trained(nn.Module):
    """The exact answer of a Gaussian fitted to the digits, as a network told ``factor t`` on an SDE.

    ``E[x0 | x] = m + C alpha (alpha^2 C + sigma^2)^-1 (x - alpha m)`` on [-1, 1].

    Args:
        sde: Name of the SDE.
        factor: Factor of its label.
        answer: The output, from clean data, noise, alpha and sigma.
    """

    mean: Tensor
    variance: Tensor
    axes: Tensor

    def __init__(self, sde: str, factor: float, answer: Callable[..., Tensor]) -> None:
        super().__init__()
        x = torch.cat(list(open_images("digits", registry=installed()))).double().flatten(1) * 2 - 1
        self.register_buffer("mean", x.mean(0))
        variance, axes = torch.linalg.eigh((x - x.mean(0)).T.cov())
        self.register_buffer("variance", variance)
        self.register_buffer("axes", axes)
        self.sde: SDE = installed().build("sdes", sde, {})
        self.factor, self.answer = factor, answer

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        t = np.asarray(min(max(float(label[0]) / self.factor, 1e-4), 1.0))
        alpha, sigma = float(self.sde.alpha(t)), float(self.sde.sigma(t))
        gain = alpha * self.variance / (alpha**2 * self.variance + sigma**2)
        y = x.double().flatten(1) - alpha * self.mean
        clean = (self.mean + (y @ self.axes * gain) @ self.axes.T).view_as(x)
        return self.answer(clean, (x.double() - alpha * clean) / sigma, alpha, sigma).float()


def noise(_clean: Tensor, noise: Tensor, _alpha: float, _sigma: float) -> Tensor:
    return noise


def v(clean: Tensor, noise: Tensor, alpha: float, sigma: float) -> Tensor:
    return alpha * noise - sigma * clean


def to_data(clean: Tensor, noise: Tensor, _alpha: float, _sigma: float) -> Tensor:
    return clean - noise


@functools.cache
def trained(sde: str, factor: float, answer: Callable[..., Tensor]) -> Trained:
    return Trained(sde, factor, answer)


def in_memory(module: nn.Module, **convention: Any) -> Card:
    defaults: dict[str, Any] = {"predicts": "noise", "labels": "999t", "sde": "vp"}
    return network(module, shape=(1, 8, 8), dataset="digits", **(defaults | convention))


VP = functools.partial(trained, "vp", 999.0)
FLOW = functools.partial(trained, "flow", 1000.0)
BOTH = ((noise, "noise"), (v, "v"))
DIRECTION = {"label": {"factor": 1000.0}, "parametrisation": {"direction": "to_data"}}


@pytest.mark.parametrize("name", ["spiral", "two-moons", "digits-tiny"])
def test_the_carried_cards_pass(name: str) -> None:
    assert failures(card(name)) == set()


def test_an_exact_checkpoint_passes_on_the_data_that_it_was_fitted_to() -> None:
    assert failures(card("two-moons"), data="two_moons") == set()


@pytest.mark.parametrize(
    "right",
    [
        pytest.param(lambda: in_memory(VP(noise)), id="noise"),
        pytest.param(lambda: in_memory(VP(v), predicts="v"), id="v"),
        pytest.param(
            lambda: in_memory(
                FLOW(to_data), predicts="velocity", labels="t", sde="flow", parameters=DIRECTION
            ),
            id="velocity",
        ),
    ],
)
def test_right_conventions_pass(right: Callable[[], Card]) -> None:
    assert failures(right()) == set()


def test_the_error_is_that_of_the_network_whatever_its_convention() -> None:
    """A linear filter's own error is that of the best one for its data, but for the items that were drawn."""
    numbers = [
        findings(in_memory(VP(answer), predicts=name))["denoising error"].numbers for answer, name in BOTH
    ]
    assert numbers[0]["error"] == pytest.approx(numbers[1]["error"], rel=1e-4)
    assert numbers[0]["error"] == pytest.approx(numbers[0]["linear"], rel=0.05)


WRONG_SIGMA = {"network": card().network | {"sigma_data": 0.3}}


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        pytest.param(lambda: in_memory(VP(noise), labels="t"), "labels 999t", id="t for 999t"),
        pytest.param(lambda: in_memory(VP(noise), labels="log_snr"), "labels 999t", id="label"),
        pytest.param(lambda: in_memory(VP(noise), predicts="v"), "predicts noise", id="noise as v"),
        pytest.param(lambda: in_memory(VP(noise), predicts="scaled_score"), "predicts noise", id="sign"),
        pytest.param(lambda: in_memory(VP(v), predicts="denoised"), "predicts v", id="v as denoised"),
        pytest.param(lambda: in_memory(VP(noise), predicts="v", labels="sigma"), "", id="both"),
        pytest.param(lambda: in_memory(VP(noise), sde="subvp"), "", id="vp as subvp"),
        pytest.param(lambda: in_memory(VP(noise), sde="vp_cosine"), "sde vp", id="vp as vp_cosine"),
        pytest.param(lambda: in_memory(trained("subvp", 999.0, noise)), "sde subvp", id="subvp as vp"),
        pytest.param(lambda: in_memory(VP(noise), data_range=(0.0, 1.0)), "data_range [-1, 1]", id="range"),
        pytest.param(
            lambda: in_memory(
                FLOW(to_data), predicts="velocity", labels="t", sde="flow",
                parameters={"label": {"factor": 1000.0}},
            ),
            "direction = to_data",
            id="direction",
        ),
        pytest.param(
            lambda: in_memory(
                FLOW(to_data), predicts="velocity", labels="t", sde="flow",
                parameters={"parametrisation": {"direction": "to_data"}},
            ),
            "labels 999t",
            id="factor",
        ),
        pytest.param(
            lambda: card().model_copy(update={"data_range": (0.0, 1.0)}), "data_range [-1, 1]", id="edm range"
        ),
        pytest.param(
            lambda: card().model_copy(update={"predicts": "noise", "labels": "sigma", "sde": "vp"}),
            "predicts edm with labels edm",
            id="edm as noise",
        ),
        pytest.param(lambda: card().model_copy(update=WRONG_SIGMA), "", id="sigma_data"),
    ],
)  # fmt: skip
def test_a_wrong_convention_is_caught_and_the_right_one_named(wrong: Callable[[], Card], remedy: str) -> None:
    results = findings(wrong())
    assert "fail" in {one.status for one in results.values()}
    if remedy:
        assert results["convention"].status == "fail"
        assert remedy in results["convention"].measured


def test_another_shape_is_caught() -> None:
    results = findings(card().model_copy(update={"shape": (1, 16, 4)}))
    assert {name: one.status for name, one in results.items()} == {"data": "fail"}
    assert results["data"].measured == "digits has items of 1x8x8"


class Lazy(nn.Module):
    """Answers that there is no noise."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return torch.zeros_like(x)


def test_a_range_that_shows_at_large_noise_alone_is_caught() -> None:
    """``cifar10-tiny`` follows whatever range its state has, until nothing is left of it."""
    off = []
    for range_ in ((-1.0, 1.0), (0.0, 1.0)):
        of = card("cifar10-tiny").model_copy(update={"data_range": range_})
        case = CheckpointCheck(of, installed(), Items.read(of, "gaussian-cifar10", installed()).values[:4])
        (error,) = case.errors(of, [150.0], 4)
        off.append(abs(error.astray))
    assert off[0] < ASTRAY < off[1]


def test_a_network_that_learned_nothing_fails() -> None:
    assert {"denoising error"} <= failures(in_memory(Lazy()))


def test_an_exact_score_of_other_data_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws with deviations 3 % too large are off from the posterior variance that the score says."""
    from bench.closed_form.mixture import MixtureModel

    draw = MixtureModel.draw

    def wider(self: MixtureModel, count: int, noise: Any) -> Tensor:
        return draw(self, count, noise) * 1.03

    monkeypatch.setattr(MixtureModel, "draw", wider)
    assert [one.status for one in exact_error(card("gaussian-cifar10"), installed())] == ["fail"]


def test_scaling_alone_is_the_best_linear_filter_of_white_data() -> None:
    """Of independent coordinates of one variance all linear filters are scalings."""
    n, size = 4000, 4
    items = torch.randn(n, size, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.5
    case = CheckpointCheck(in_memory(Lazy()), installed(), items)
    assert case.variance == pytest.approx(0.01, rel=0.05)
    assert torch.allclose(case.axes, torch.ones(size, dtype=torch.float64), atol=0.15)
    assert float(case.axes.mean()) == pytest.approx(1, rel=1e-9)


def test_a_network_without_data_says_what_to_give() -> None:
    nameless = network(Lazy(), predicts="noise", labels="t", shape=(3,))
    with pytest.raises(BenchError, match="names no data set: give the data by --data SOURCE"):
        findings(nameless)
    elsewhere = network(Lazy(), predicts="noise", labels="t", shape=(3,), dataset="nothing")
    with pytest.raises(BenchError, match=r"network is held to data, nothing: .*; or give --data SOURCE$"):
        findings(elsewhere)
