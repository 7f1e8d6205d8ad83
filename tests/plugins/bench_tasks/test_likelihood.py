"""Bits/dim against the recorded runs and closed forms; the spread of the estimate; refusals."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from bench import Array, BenchError, Model, NoiseLevel, Prediction, Tensor
from bench.testing.laws import SHAPE
from bench.testing.probe import MIXTURE
from bench_tasks.likelihood import are_bytes, dequantize, estimated_flow
from tests.support.analytic import RECORDED, recorded, recorded_model, relative, tensor
from tests.support.checks import report
from tests.support.flows import (
    build_task,
    draws,
    flow_batch,
    flow_sde,
    marginal,
    marginal_variances,
    pushed,
    thin_model,
)
from tests.support.plugins import installed
from tests.support.task_runs import TINY_RUN, RunTask, records

GAUSSIAN = ("--checkpoint", "gaussian-cifar10")


class Counted(Model):
    """A model that counts its calls."""

    def __init__(self, inner: Model) -> None:
        self.inner, self.shape, self.calls = inner, inner.shape, 0

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        self.calls += 1
        return self.inner.score(x, level)

    def images(self, x: Tensor) -> Tensor:
        return x

    def states(self, images: Tensor) -> Tensor:
        return images


def test_the_warm_up_differentiates() -> None:
    """A network compiled for gradients is another program."""
    differentiable: list[bool] = []

    class Differentiated(Counted):
        def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
            differentiable.append(x.requires_grad)
            return super().score(x, level)

    model = recorded_model()
    with torch.no_grad():
        build_task("likelihood").warm(
            flow_batch(flow_sde("vp"), Differentiated(model), tensor("likelihood/vp/data"))
        )
    assert differentiable == [True]


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_runs(name: str) -> None:
    """With the recorded probe, bits/dim and latents within 1e-3; calls within one step of the recorded."""
    sde, model, x = flow_sde(name), Counted(recorded_model()), tensor(f"likelihood/{name}/data")
    epsilon = tensor(f"likelihood/{name}/epsilon")
    batch = flow_batch(sde, model, x, solver="scipy_rk45", noise=lambda _: lambda _: epsilon)
    with torch.no_grad():
        log_p, latent = build_task("likelihood").log_density(x, batch)
        bits = build_task("likelihood").run(batch)["bits_per_dim"]
    assert relative(latent, recorded()[f"likelihood/{name}/latent"]) < 1e-3
    # the recording takes every SDE's states for images on [-1, 1]
    assert (
        np.abs(-log_p.numpy() / (192 * math.log(2)) + 7 - recorded()[f"likelihood/{name}/bpd"]).max() < 1e-3
    )
    offset = 1 if name == "ve" else 0
    assert np.abs(bits.numpy() - offset - recorded()[f"likelihood/{name}/bpd"]).max() < 1e-3
    assert batch.prediction.calls == model.calls
    assert abs(model.calls / 2 - recorded()[f"likelihood/{name}/nfe"]) <= 6


def closed_form(name: str, x: Array) -> Array:
    """Bits/dim of the thinned Gaussian's flow from the prior, per state x (n, ...) at eps."""
    sde = flow_sde(name)
    _, v_low, v_high = marginal_variances(sde)
    prior = stats.norm(0, sde.prior_std).logpdf(pushed(sde, x)).reshape(len(x), -1).sum(1)
    log_p = prior + 0.5 * np.log(v_high / v_low).sum()
    low, high = sde.data_range
    bits: Array = -log_p / (math.log(2) * v_low.size) + 8 - math.log2(high - low)
    return bits


@pytest.mark.parametrize("name", RECORDED)
def test_exact_divergence_on_the_gaussian(name: str) -> None:
    """Within ten times the tolerance, relative to 1 + |y| as solvers take it, and falling with it."""
    sde = flow_sde(name)
    model = thin_model(sde)
    x = draws(model, 16)
    truth, errors = closed_form(name, x.numpy()), []
    for tol in (1e-3, 1e-4, 1e-5, 1e-6):
        with torch.no_grad():
            outputs = build_task("likelihood", divergence="exact").run(flow_batch(sde, model, x, tol))
        error = (outputs["bits_per_dim"].numpy() - truth) / (1 + np.abs(truth))
        errors.append(math.sqrt(np.mean(error**2)))
        assert errors[-1] < 10 * tol
        # records take the limit from the marginals' densities at the solver's x(T)
        assert np.abs(outputs["limit_bits_per_dim"].numpy() - truth).max() < 0.1 * tol
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 100


@pytest.mark.parametrize(("name", "gap"), [("ve", 0.1), ("vp", 1e-3)])
def test_the_closed_form_is_the_density_at_eps(name: str, gap: float) -> None:
    """That of the marginal at eps, with the prior for the marginal at T. At 0 it differs, on VE by much."""
    sde = flow_sde(name)
    x = draws(thin_model(sde), 8).numpy()

    def bits_under(x: Array, mean: Array, variance: Array) -> Array:
        log_p = stats.norm(mean, np.sqrt(variance)).logpdf(x).reshape(8, -1).sum(1)
        bits: Array = -log_p / (192 * math.log(2)) + 8 - math.log2(sde.data_range[1] - sde.data_range[0])
        return bits

    truth, end = closed_form(name, x), pushed(sde, x)
    low, high = (marginal(sde, sde.at(t)) for t in (sde.eps, sde.end))
    at_eps = (
        bits_under(x, *low)
        + bits_under(end, 0 * low[0], np.full_like(low[0], sde.prior_std**2))
        - bits_under(end, *high)
    )
    np.testing.assert_allclose(truth, at_eps, rtol=1e-9)
    at_0 = bits_under(x, *marginal(sde, NoiseLevel(0.0, 1.0, 0.0)))
    assert np.abs(truth - at_0).mean() > gap


@pytest.mark.parametrize("probes", [1, 4])
def test_the_spread_of_the_estimate(probes: int) -> None:
    """Gaussian probes on a diagonal Jacobian: ``log p`` scatters by ``2 sum_i (int J_ii)^2 / probes``, with
    ``int J_ii = log(v_T / v_eps) / 2``; 400 images, and chi-squared's spread of a variance."""
    sde, count = flow_sde("vp"), 400
    model = thin_model(sde)
    x = draws(model, 1).expand(count, -1, -1, -1)
    _, v_low, v_high = marginal_variances(sde)
    expected = 2 * ((0.5 * np.log(v_high / v_low)) ** 2).sum() / probes
    with torch.no_grad():
        log_p, _ = build_task("likelihood", probe="gaussian", probes=probes).log_density(
            x, flow_batch(sde, model, x, 1e-3)
        )
    truth = (7 - closed_form("vp", x[:1].numpy())[0]) * 192 * math.log(2)
    assert abs(float(log_p.mean()) - truth) < 4 * math.sqrt(expected / count)
    # a sum of 192 squares is nearly normal: its kurtosis adds 12 / 192 to the 2 of a normal variance
    assert abs(float(log_p.var()) / expected - 1) < 4 * math.sqrt(2.1 / count)


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_estimates_on_a_mixture(kind: str) -> None:
    """At one state: unbiased, and with Hutchinson's variance, of the symmetric part S of the Jacobian
    ``2 |S|^2`` for Gaussian probes, without its diagonal for Rademacher's."""
    sde, count, t = flow_sde("vp"), 1500, 0.05
    model = thin_model(sde, MIXTURE)
    x = draws(model, 1)
    p = Prediction(model, sde)
    jacobian = torch.autograd.functional.jacobian(lambda x: p.velocity(x, t), x)
    s = jacobian.reshape(192, 192)
    s = (s + s.T) / 2
    with torch.no_grad():
        exact = float(p.velocity_and_divergence(x, t)[1])
    assert exact == pytest.approx(float(s.trace()), rel=1e-9)
    parts = s if kind == "gaussian" else s - s.diag().diag()
    variance = 2 * float((parts**2).sum())
    e = torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    e = e if kind == "gaussian" else e.sign()
    _, estimates = estimated_flow(p, [e])(t, x.expand(count, -1, -1, -1))
    assert abs(float(estimates.mean()) - exact) < 4 * math.sqrt(variance / count)
    # kurtosis unknown, at most that of one squared normal: 12
    assert abs(float(estimates.var()) / variance - 1) < 4 * math.sqrt(14 / count)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_products_with_the_jacobian_of_a_network(precision: Any) -> None:
    """Against central differences of the network along the probe, in its own arithmetic's accuracy."""
    from bench.checkpoints.load import load_model

    sde = flow_sde("vp")
    card = installed().get("checkpoints", "cifar10-tiny").thing
    model = load_model(card, sde, torch.device("cpu"), installed(), precision=precision)
    draw = torch.Generator().manual_seed(0)
    x, e = (torch.randn(2, 3, 32, 32, generator=draw) for _ in range(2))
    p, t = Prediction(model, sde), 0.5
    with torch.no_grad():
        v, products = estimated_flow(p, [e])(t, x)
        assert torch.equal(v, p.velocity(x, t))
        h = 1e-2 if precision == "fp32" else 0.3
        ahead, behind = (p.velocity(x + s * h * e, t) for s in (1, -1))
        expected = ((ahead - behind) * e).flatten(1).sum(1) / (2 * h)
    scale = float(((ahead - behind).flatten(1).norm(dim=1) * e.flatten(1).norm(dim=1)).max()) / (2 * h)
    assert float((products - expected).abs().max()) < (1e-2 if precision == "fp32" else 5e-2) * scale


def test_bytes_are_dequantized_and_floats_are_not() -> None:
    sde = flow_sde("vp")
    model = thin_model(sde)
    k = torch.randint(0, 256, (4, *SHAPE), generator=torch.Generator().manual_seed(0))
    images = k.float() / 255
    assert are_bytes(images)
    # a GPU multiplies by the reciprocal
    as_on_a_gpu = k * torch.tensor(1 / 255)
    assert not torch.equal(as_on_a_gpu, images)
    assert are_bytes(as_on_a_gpu)
    assert not are_bytes(model.images(draws(model, 4)))
    floats = dequantize(images, flow_batch(sde, model, images))
    u = floats.double() * 256 - k
    assert stats.kstest(u.flatten().numpy(), stats.uniform.cdf).pvalue > 1e-3


def test_a_run_on_the_exact_checkpoint(run_task: RunTask) -> None:
    arguments = ("--samples", "4", "--tol", "1e-3", "-P", "task.divergence=exact", "--batch-size", "2")
    run_task("likelihood", *GAUSSIAN, *arguments)
    record = records()["likelihood"]
    result = record["metrics"]["bits_per_dim"]
    assert result["n"] == 4
    assert result["error"] > 0
    assert abs(result["value"] - result["limit"]) < 10 * 1e-3 * (1 + result["limit"])
    assert "exact" not in result
    assert record["identity"]["sde"]["parameters"]["eps"] == 1e-5
    assert record["identity"]["data"]["kind"] == "draws"
    assert not record["preview"]


def test_a_run_on_a_network(run_task: RunTask) -> None:
    levels = np.random.default_rng(0).integers(100, 156, (4, 8, 8, 1), dtype=np.uint8)
    np.savez("narrow.npz", levels)
    arguments = ("--samples", "4", "--tol", "0.1", "--precision", "bf16", "--data", "narrow.npz")
    run_task("likelihood", "--checkpoint", "digits-tiny", *arguments)
    result = records()["likelihood"]["metrics"]["bits_per_dim"]
    # noise on 56 of 256 levels is no image: on this network it takes more bits than the log2 56 that it holds
    assert math.log2(56) < result["value"] < 20
    assert not {"exact", "limit"} & result.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (TINY_RUN, "likelihood works on images: give --data"),
        ((*TINY_RUN, "--data", "other.npz"), "is of 3x16x16 images, cifar10-tiny takes 3x32x32"),
        (
            (*TINY_RUN, "--data", "images.npz", "--samples", "9"),
            "holds 4 images, the run needs 9: --samples 4",
        ),
        (
            (*GAUSSIAN, "--predictor", "ancestral"),
            "follows the probability flow: give --solver rk45, not ancest",
        ),
        ((*GAUSSIAN, "--solver", "sde_torchsde"), "give --solver rk45, not sde_torchsde"),
        (
            (*TINY_RUN, "--data", "images.npz", "-P", "task.divergence=exact"),
            "the divergence of cifar10-tiny's score is not known in closed form",
        ),
        ((*GAUSSIAN, "-P", "task.divergence=exact", "-P", "task.probes=2"), "takes no probes"),
        ((*GAUSSIAN, "-P", "task.dequantize=uniform"), "draws of an exact checkpoint are no 8-bit images"),
        ((*GAUSSIAN, "-P", "task.probes=0"), "likelihood.probes must be >= 1"),
        ((*GAUSSIAN, "--denoise", "tweedie"), "has no denoising step: leave out --denoise"),
        ((*GAUSSIAN, "--metric", "fd_dct"), "fd_dct reads images, which the task likelihood does not return"),
    ],
)
def test_refused_in_one_line(run_task: RunTask, arguments: tuple[str, ...], message: str) -> None:
    assert message in run_task("likelihood", "--samples", "4", *arguments, status=2)


def test_its_metric_passes_bench_check() -> None:
    assert report("bits_per_dim").passed


def test_number_of_probes() -> None:
    sde = flow_sde("ve")
    model = thin_model(sde)
    x = draws(model, 2)
    probes: list[Tensor] = []

    def noise(x: Tensor) -> Tensor:
        probes.append(torch.ones_like(x))
        return probes[-1]

    batch = dataclasses.replace(flow_batch(sde, model, x, 1e-2), noise=lambda _: noise)
    with torch.no_grad():
        build_task("likelihood", probes=3).log_density(x, batch)
    assert len(probes) == 3


def test_exact_divergence_refuses_probes() -> None:
    with pytest.raises(BenchError, match="no probes"):
        build_task("likelihood", divergence="exact", probe="gaussian")
