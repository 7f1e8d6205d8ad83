"""Bits/dim against the recorded runs and closed forms; the spread of the estimate; what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from bench import Array, BenchError, Model, NoiseLevel, Prediction, Tensor
from bench.cli import main
from bench.diffusion.roles import velocity
from bench.testing import probe
from bench_tasks.likelihood import dequantised, estimated_flow, exact_flow, of_bytes
from tests.support.analytic import RECORDED, recorded, recorded_model, relative, tensor
from tests.support.checks import context, report
from tests.support.flows import draws, law, marginal_variances, pushed, task, thin, work
from tests.support.plugins import installed


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
    """What is compiled for a gradient is another program."""
    seen: list[bool] = []

    class Told(Counted):
        def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
            seen.append(x.requires_grad)
            return super().score(x, level)

    model = recorded_model()
    with torch.no_grad():
        task("likelihood").warm(work(law("vp"), Told(model), tensor("likelihood/vp/data")))
    assert seen == [True]


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_runs(name: str) -> None:
    """With the recorded probe, bits/dim and latents within 1e-3; calls within one step of the recorded."""
    chosen, model, x = law(name), Counted(recorded_model()), tensor(f"likelihood/{name}/data")
    epsilon = tensor(f"likelihood/{name}/epsilon")
    given = work(chosen, model, x, solver="scipy_rk45", noise=lambda _: lambda _: epsilon)
    with torch.no_grad():
        log_p, latent = task("likelihood").log_density(x, given)
        bits = task("likelihood").run(given)["bits_per_dim"]
    assert relative(latent, recorded()[f"likelihood/{name}/latent"]) < 1e-3
    # the recording takes every SDE's states for images on [-1, 1]
    assert (
        np.abs(-log_p.numpy() / (192 * math.log(2)) + 7 - recorded()[f"likelihood/{name}/bpd"]).max() < 1e-3
    )
    offset = 1 if name == "ve" else 0
    assert np.abs(bits.numpy() - offset - recorded()[f"likelihood/{name}/bpd"]).max() < 1e-3
    assert given.prediction.calls == model.calls
    assert abs(model.calls / 2 - recorded()[f"likelihood/{name}/nfe"]) <= 6


def closed_form(name: str, x: Array) -> Array:
    """Bits/dim of the thinned Gaussian's flow from the prior, per state x (n, ...) at eps."""
    chosen = law(name)
    _, v_low, v_high = marginal_variances(chosen)
    prior = stats.norm(0, chosen.prior_std).logpdf(pushed(chosen, x)).reshape(len(x), -1).sum(1)
    log_p = prior + 0.5 * np.log(v_high / v_low).sum()
    low, high = chosen.data_range
    found: Array = -log_p / (math.log(2) * v_low.size) + 8 - math.log2(high - low)
    return found


@pytest.mark.parametrize("name", RECORDED)
def test_exact_divergence_on_the_gaussian(name: str) -> None:
    """Within ten times the tolerance, relative to 1 + |y| as solvers keep it, and falling with it."""
    chosen = law(name)
    model = thin(chosen)
    x = draws(model, 16)
    truth, errors = closed_form(name, x.numpy()), []
    for tol in (1e-3, 1e-4, 1e-5, 1e-6):
        with torch.no_grad():
            left = task("likelihood", divergence="exact").run(work(chosen, model, x, tol))
        error = (left["bits_per_dim"].numpy() - truth) / (1 + np.abs(truth))
        errors.append(math.sqrt(np.mean(error**2)))
        assert errors[-1] < 10 * tol
        # the marginals' own densities, by which records know the truth, at the x(T) that the solver found
        assert np.abs(left["exact_bits_per_dim"].numpy() - truth).max() < 0.1 * tol
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 100


@pytest.mark.parametrize(("name", "gap"), [("ve", 0.1), ("vp", 1e-3)])
def test_which_density_the_closed_form_is(name: str, gap: float) -> None:
    """The marginal's at eps with the prior for the marginal at T; at 0 it is another, on VE by much."""
    chosen = law(name)
    x = draws(thin(chosen), 8).numpy()

    def bits(x: Array, mean: Array, variance: Array) -> Array:
        log_p = stats.norm(mean, np.sqrt(variance)).logpdf(x).reshape(8, -1).sum(1)
        found: Array = (
            -log_p / (192 * math.log(2)) + 8 - math.log2(chosen.data_range[1] - chosen.data_range[0])
        )
        return found

    truth, end = closed_form(name, x), pushed(chosen, x)
    low, high = (context().marginal(chosen, chosen.at(t)) for t in (chosen.eps, chosen.end))
    at_eps = (
        bits(x, *low) + bits(end, 0 * low[0], np.full_like(low[0], chosen.prior_std**2)) - bits(end, *high)
    )
    np.testing.assert_allclose(truth, at_eps, rtol=1e-9)
    at_0 = bits(x, *context().marginal(chosen, NoiseLevel(0.0, 1.0, 0.0)))
    assert np.abs(truth - at_0).mean() > gap


@pytest.mark.parametrize("probes", [1, 4])
def test_the_spread_of_the_estimate(probes: int) -> None:
    """Gaussian probes on a diagonal Jacobian: ``log p`` scatters by ``2 sum_i (int J_ii)^2 / probes``, with
    ``int J_ii = log(v_T / v_eps) / 2``; 400 images, and chi-squared's spread of a variance."""
    chosen, count = law("vp"), 400
    model = thin(chosen)
    x = draws(model, 1).expand(count, -1, -1, -1)
    _, v_low, v_high = marginal_variances(chosen)
    expected = 2 * ((0.5 * np.log(v_high / v_low)) ** 2).sum() / probes
    with torch.no_grad():
        log_p, _ = task("likelihood", probe="gaussian", probes=probes).log_density(
            x, work(chosen, model, x, 1e-3)
        )
    truth = (7 - closed_form("vp", x[:1].numpy())[0]) * 192 * math.log(2)
    assert abs(float(log_p.mean()) - truth) < 4 * math.sqrt(expected / count)
    # a sum of 192 squares is nearly normal: its kurtosis adds 12 / 192 to the 2 of a normal variance
    assert abs(float(log_p.var()) / expected - 1) < 4 * math.sqrt(2.1 / count)


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_estimates_on_a_mixture(kind: str) -> None:
    """At one state: unbiased, and with Hutchinson's variance, of the symmetric part S of the Jacobian
    ``2 |S|^2`` for Gaussian probes, without its diagonal for Rademacher's."""
    chosen, count, t = law("vp"), 1500, 0.05
    model = thin(chosen, probe.MIXTURE)
    x = draws(model, 1)
    score = Prediction(model, chosen)
    at = chosen.at(t)
    jacobian = torch.autograd.functional.jacobian(lambda x: velocity(x, t, chosen, model.score(x, at)), x)
    s = jacobian.reshape(192, 192)
    s = (s + s.T) / 2
    with torch.no_grad():
        exact = float(exact_flow(chosen, score)(t, x)[1])
    assert exact == pytest.approx(float(s.trace()), rel=1e-9)
    parts = s if kind == "gaussian" else s - s.diag().diag()
    variance = 2 * float((parts**2).sum())
    e = torch.randn(count, *probe.SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    e = e if kind == "gaussian" else e.sign()
    _, found = estimated_flow(chosen, score, [e])(t, x.expand(count, -1, -1, -1))
    assert abs(float(found.mean()) - exact) < 4 * math.sqrt(variance / count)
    # kurtosis unknown, at most that of one squared normal: 12
    assert abs(float(found.var()) / variance - 1) < 4 * math.sqrt(14 / count)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_products_with_a_network_s_jacobian(precision: Any) -> None:
    """Against central differences of the network along the probe, in its own arithmetic's accuracy."""
    from bench.checkpoints.load import load_model

    chosen = law("vp")
    card = installed().get("checkpoints", "cifar10-tiny").thing
    model = load_model(card, chosen, torch.device("cpu"), precision=precision)
    draw = torch.Generator().manual_seed(0)
    x, e = (torch.randn(2, 3, 32, 32, generator=draw) for _ in range(2))
    score, t = Prediction(model, chosen), 0.5
    with torch.no_grad():
        v, found = estimated_flow(chosen, score, [e])(t, x)
        assert torch.equal(v, velocity(x, t, chosen, score.score(x, t)))
        h = 1e-2 if precision == "fp32" else 0.3
        ahead, behind = (velocity(x + s * h * e, t, chosen, score.score(x + s * h * e, t)) for s in (1, -1))
        expected = ((ahead - behind) * e).flatten(1).sum(1) / (2 * h)
    scale = float(((ahead - behind).flatten(1).norm(dim=1) * e.flatten(1).norm(dim=1)).max()) / (2 * h)
    assert float((found - expected).abs().max()) < (1e-2 if precision == "fp32" else 5e-2) * scale


def test_bytes_are_dequantised_and_floats_are_not() -> None:
    chosen = law("vp")
    model = thin(chosen)
    k = torch.randint(0, 256, (4, *probe.SHAPE), generator=torch.Generator().manual_seed(0))
    images = k.float() / 255
    assert of_bytes(images)
    # a GPU multiplies by the reciprocal
    as_on_a_gpu = k * torch.tensor(1 / 255)
    assert not torch.equal(as_on_a_gpu, images)
    assert of_bytes(as_on_a_gpu)
    assert not of_bytes(model.images(draws(model, 4)))
    made = dequantised(images, work(chosen, model, images))
    u = made.double() * 256 - k
    assert stats.kstest(u.flatten().numpy(), stats.uniform.cdf).pvalue > 1e-3


Run = Callable[..., str]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``bench run --task likelihood`` in a folder; its output, or its only line of error."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("other.npz", rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8))
    np.savez("images.npz", rng.integers(100, 156, (4, 32, 32, 3), dtype=np.uint8))

    def call(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["run", "--task", "likelihood", "--samples", "4", "--device", "cpu", *arguments])
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        assert "Traceback" not in out + err
        if status == 2:
            assert len(err.splitlines()) == 1
            return err
        return out

    return call


def record() -> dict[str, Any]:
    (path,) = Path("results", "records").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_run_on_the_exact_checkpoint(bench: Run) -> None:
    bench(
        "--checkpoint",
        "gaussian-cifar10",
        "--tol",
        "1e-3",
        "-P",
        "task.divergence=exact",
        "--batch-size",
        "2",
    )
    found = record()
    reading = found["metrics"]["bits_per_dim"]
    assert reading["n"] == 4
    assert reading["error"] > 0
    assert abs(reading["value"] - reading["exact"]) < 10 * 1e-3 * (1 + reading["exact"])
    assert found["identity"]["sde"]["parameters"]["eps"] == 1e-5
    assert found["identity"]["data"] == {"kind": "draws"}
    assert "preview" not in found


def test_a_run_on_a_network(bench: Run) -> None:
    bench("--checkpoint", "cifar10-tiny", "--tol", "0.1", "--precision", "bf16", "--data", "images.npz")
    reading = record()["metrics"]["bits_per_dim"]
    # noise on 56 of 256 levels is no image: more bits than the log2 56 that it holds, on this network
    assert math.log2(56) < reading["value"] < 20
    assert "exact" not in reading


GAUSSIAN = ("--checkpoint", "gaussian-cifar10")
TINY = ("--checkpoint", "cifar10-tiny")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (TINY, "likelihood works on images: give --data"),
        ((*TINY, "--data", "other.npz"), "is of 3x16x16 images, cifar10-tiny takes 3x32x32"),
        ((*TINY, "--data", "images.npz", "--samples", "9"), "holds 4 images, 9 are asked for: --samples 4"),
        (
            (*GAUSSIAN, "--predictor", "ancestral"),
            "follows the probability flow: give --solver rk45, not ancest",
        ),
        ((*GAUSSIAN, "--solver", "sde_torchsde"), "give --solver rk45, not sde_torchsde"),
        (
            (*TINY, "--data", "images.npz", "-P", "task.divergence=exact"),
            "the divergence of cifar10-tiny's score is not known in closed form",
        ),
        ((*GAUSSIAN, "-P", "task.divergence=exact", "-P", "task.probes=2"), "takes no probes"),
        ((*GAUSSIAN, "-P", "task.dequantise=uniform"), "draws of an exact checkpoint are no 8-bit images"),
        ((*GAUSSIAN, "-P", "task.probes=0"), "likelihood.probes must be >= 1"),
        ((*GAUSSIAN, "--denoise", "tweedie"), "has no denoising step: leave out --denoise"),
        ((*GAUSSIAN, "--metric", "fd_dct"), "fd_dct reads images, which the task likelihood does not leave"),
    ],
)
def test_refused_in_a_line(bench: Run, arguments: tuple[str, ...], said: str) -> None:
    assert said in bench(*arguments, status=2)
    assert not Path("results").exists()


def test_bench_check_says_what_it_can_not_check() -> None:
    with pytest.raises(BenchError, match="bits_per_dim reads bits_per_dim of a task"):
        report("bits_per_dim")


def test_as_many_probes_as_asked_for() -> None:
    chosen = law("ve")
    model = thin(chosen)
    x = draws(model, 2)
    asked: list[Tensor] = []

    def noise(x: Tensor) -> Tensor:
        asked.append(torch.ones_like(x))
        return asked[-1]

    given = dataclasses.replace(work(chosen, model, x, 1e-2), noise=lambda _: noise)
    with torch.no_grad():
        task("likelihood", probes=3).log_density(x, given)
    assert len(asked) == 3


def test_exact_divergence_refuses_probes() -> None:
    with pytest.raises(BenchError, match="no probes"):
        task("likelihood", divergence="exact", probe="gaussian")
