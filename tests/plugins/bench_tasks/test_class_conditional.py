"""Guidance by a classifier: exact on a mixture, where a class is a component."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from bench import SDE, Array, BatchContext, BenchError, Prediction, Sampler, limit_fd_dct
from bench.cache import cached_sha256
from bench.checkpoints.classes import classifier_path
from bench.checkpoints.load import load_model
from bench.checkpoints.networks.classifier import load_noisy_classifier
from bench.cli import main
from bench.closed_form.mixture import Mixture, MixtureModel
from bench.closed_form.moments import gaussian_moments
from bench.diffusion.noise import noise_stream
from bench.engine.batch import run_batch
from bench.engine.session import Session
from bench.files import REGISTRY
from bench.plan.contexts import MetricContexts
from bench.plan.planning import Planner
from bench.plan.settings import Settings
from bench.results.run_spec import RunSpec
from bench.testing.probe import MIXTURE
from bench_tasks.class_conditional import ClassConditional, Guided
from tests.support.analytic import RECORDED, grid_of, sde
from tests.support.checks import context
from tests.support.paths import ROOT
from tests.support.plugins import installed

P = 1e-4
REFERENCE = ROOT / "results" / "reference" / "conditional" / "gmm-cifar10-2000"
RUN = ("run", "--task", "class_conditional", "--sde", "vp", "--predictor", "ddim", "--samples", "4")
EXACT = ("--checkpoint", "gmm-cifar10")
BASE: dict[str, Any] = {
    "checkpoint": ["gmm-cifar10"],
    "predictor": ["reverse_diffusion"],
    "corrector": ["langevin"],
    "steps": 5,
    "grid": "polynomial",
    "samples": 4,
    "batch_size": 4,
    "device": "cpu",
    "metric": ["fd_dct"],
}


def plan(**settings: Any) -> RunSpec:
    """The run of `BASE` with other settings."""
    (run,) = Planner(MetricContexts(installed(), Path("results"))).runs(Settings(**BASE | settings))
    assert isinstance(run, RunSpec)
    return run


@functools.cache
def model(name: str) -> MixtureModel:
    """The mixture checkpoint thinned to 3 x 8 x 8 coefficients, in float64."""
    run = sde(name)
    data = context().truth(MIXTURE, run)
    return MixtureModel(data, "cpu", torch.float64, color=None, range_=run.data_range)


def component_score(data: Mixture, x: Array, level: tuple[float, float], labels: Array) -> Array:
    """``(alpha mean_k - x) / (alpha^2 variance_k + sigma^2)``."""
    alpha, sigma = level
    score: Array = (alpha * data.mean[labels] - x) / (alpha**2 * data.variance[labels] + sigma**2)
    return score


def states(run: SDE, t: float, count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """States of the mixture's marginal at t, and labels that are not their components."""
    at, generator = run.at(t), torch.Generator().manual_seed(4)
    clean = model(run.name).draw(count, noise_stream(0, 0, "data", "cpu"))
    z = torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
    return at.alpha * clean + at.sigma * z, torch.arange(count) % model(run.name).classes


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_the_guided_score_is_that_of_the_component(name: str, scale: float) -> None:
    """s + w (s_k - s) at every level of a run, s by autograd of the log-density; at w = 1 that is s_k."""
    run, exact = sde(name), model(name)
    for at in Sampler(run, steps=25, grid=grid_of("polynomial")).schedule():
        x, labels = states(run, at.t)
        p = Prediction(exact, run)
        guided = p.guided(Guided(exact, labels, scale)).score(x, at).numpy()
        own = component_score(exact.data, x.numpy(), (at.alpha, at.sigma), labels.numpy())
        y = x.clone().requires_grad_()
        (whole,) = torch.autograd.grad(exact.log_components(y, at).logsumexp(1).sum(), y)
        expected = whole.numpy() + scale * (own - whole.numpy())
        assert np.abs(guided - expected).max() < 1e-9 * np.abs(expected).max()
        if scale == 1:
            assert np.abs(guided - own).max() < 1e-9 * np.abs(own).max()
        assert p.calls == 1


def test_class_gradient_is_that_of_the_posterior() -> None:
    """``grad ln p(k | x)`` by autograd of the log-softmax; it sums to zero weighted by the posterior."""
    run, exact = sde("vp"), model("vp")
    at = run.at(0.6)
    x, labels = states(run, at.t)
    y = x.clone().requires_grad_()
    posterior = exact.log_components(y, at).log_softmax(1)
    (expected,) = torch.autograd.grad(posterior.gather(1, labels[:, None]).sum(), y)
    gradient = exact.class_gradient(x, at, labels)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    each = [exact.class_gradient(x, at, torch.full_like(labels, k)) for k in range(exact.classes)]
    mean = sum(posterior.exp()[:, k, None, None, None] * one for k, one in enumerate(each))
    assert isinstance(mean, torch.Tensor)
    assert mean.abs().max() < 1e-9 * max(one.abs().max() for one in each)


def sample_batch(task: ClassConditional, sampler: Sampler, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """States and labels of one batch on the thinned mixture."""
    exact = model(sampler.sde.name)
    noise = functools.cache(lambda role: noise_stream(5, 0, role, "cpu"))
    p = Prediction(exact, sampler.sde)

    def double(role: str) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: noise(role)(x.double())

    with torch.no_grad():
        outputs = task.run(BatchContext(sampler, p, torch.device("cpu"), size, 0, None, double))
    return exact.states(outputs["images"]), outputs["labels"]


@pytest.mark.parametrize(
    ("name", "plugins"),
    [
        ("vp", {"predictor": "ancestral"}),
        ("ve", {"predictor": "reverse_diffusion", "corrector": "annealed_langevin"}),
        ("subvp", {"predictor": "ddim"}),
        ("vp", {"predictor": "dpmpp_2m"}),
    ],
)
def test_moments_of_each_class_are_those_of_its_component(name: str, plugins: dict[str, str]) -> None:
    """At scale 1 a class's samples are normal, with the moments of the sampler on that one Gaussian by
    theory. Means and variances of all coefficients of all classes, Bonferroni."""
    parts = {role: installed().build(f"{role}s", plugin, {}) for role, plugin in plugins.items()}
    sampler = Sampler(sde(name), **parts, steps=40, grid=grid_of("polynomial"))
    exact = model(name)
    x, labels = sample_batch(ClassConditional(), sampler, 1000)
    bound = stats.norm.isf(P / (2 * 2 * exact.data.mean.size))
    for k in range(exact.classes):
        moments = gaussian_moments(sampler, exact.data.mean[k], exact.data.variance[k])
        assert moments is not None
        mean, variance = moments
        rows = x[labels == k].numpy()
        n = len(rows)
        assert n == 100
        assert (np.abs(rows.mean(0) - mean) / np.sqrt(variance / n)).max() < bound
        squares = ((rows - mean) ** 2).sum(0) / variance
        low, high = stats.chi2.ppf([P / (2 * exact.data.mean.size), 1 - P / (2 * exact.data.mean.size)], n)
        assert squares.min() > low
        assert squares.max() < high


def test_solver_is_guided_too() -> None:
    """``rk45`` follows the component's own flow, a map known in closed form, within its tolerance."""
    run, exact = sde("vp"), model("vp")
    low, high = run.at(run.eps), run.at(run.end)
    mean, variance = exact.data.mean[3], exact.data.variance[3]
    v = [at.alpha**2 * variance + at.sigma**2 for at in (low, high)]
    prior = noise_stream(5, 0, "prior", "cpu")(torch.empty(20, *exact.shape, dtype=torch.float64)).numpy()
    expected = low.alpha * mean + np.sqrt(v[0] / v[1]) * (prior - high.alpha * mean)
    errors = []
    for tol in (1e-3, 1e-6):
        solver = installed().build("solvers", "rk45", {"tol": tol})
        x, labels = sample_batch(ClassConditional(label=3), Sampler(run, solver=solver, denoise="none"), 20)
        assert labels.tolist() == [3] * 20
        errors.append(np.abs(x.numpy() - expected).max() / np.abs(expected).max())
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 100


def test_shares_of_the_requested_component() -> None:
    """Guided at scale 1, as many samples have the requested component as draws of the sampler's moments by
    theory.

    Unguided it is one in ten, whatever the weights: a sample's component is independent of its number, and
    the shares of the classes sum to one.
    """
    exact, count = model("vp"), 1000
    ancestral = installed().build("predictors", "ancestral", {})
    sampler = Sampler(sde("vp"), ancestral, steps=100, grid=grid_of("polynomial"))
    x, labels = sample_batch(ClassConditional(), sampler, count)
    hits = int((exact.component(x) == labels).sum())
    draws = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    for k in range(exact.classes):
        moments = gaussian_moments(sampler, exact.data.mean[k], exact.data.variance[k])
        assert moments is not None
        mean, variance = map(torch.from_numpy, moments)
        draws[labels == k] = draws[labels == k] * variance.sqrt() + mean
    of_draws = int((exact.component(draws) == labels).sum())
    assert stats.fisher_exact([[hits, count - hits], [of_draws, count - of_draws]]).pvalue > P
    assert hits > 0.9 * count
    x, labels = sample_batch(ClassConditional(scale=0.0), sampler, count)
    unguided = int((exact.component(x) == labels).sum())
    assert stats.binomtest(unguided, count, 1 / exact.classes).pvalue > P


def test_scale_0_is_generate_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the classifier is not evaluated."""

    def gradient(*_: object) -> None:
        raise AssertionError("the classifier is evaluated")

    monkeypatch.setattr(MixtureModel, "class_gradient", gradient)
    outputs = []
    for task, parameters in (("generate", {}), ("class_conditional", {"task": {"scale": 0}})):
        spec = plan(task=task, parameters=parameters)
        outputs.append(run_batch(spec, 0, Session(installed())).outputs)
    assert torch.equal(outputs[0]["images"], outputs[1]["images"])
    assert outputs[1]["labels"].tolist() == [0, 1, 2, 3]


def test_the_classifier_is_warmed_up_where_it_guides(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[int]] = []

    def gradient(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(arguments[-1].tolist())
        return torch.zeros_like(arguments[1])

    monkeypatch.setattr(MixtureModel, "class_gradient", gradient)
    vp = sde("vp")
    p = Prediction(model("vp"), vp)
    batch = BatchContext(
        Sampler(vp), p, torch.device("cpu"), 3, 6, None, lambda _: lambda x: x.double().zero_()
    )
    for scale in (0.0, 2.0):
        ClassConditional(scale=scale).warm(batch)
    assert calls == [[6, 7, 8]]


def test_the_exact_value_needs_one_noise_level() -> None:
    """None where score and gradient are taken at two levels."""
    for label_scales, known in ((None, True), (20, False)):
        spec = plan(
            task="class_conditional", corrector=["none"], steps=40, grid="uniform", label_scales=label_scales
        )
        assert bool(spec.task.exact(spec.card, spec.sampler)) is known


def test_a_solver_has_a_limit_in_place_of_an_exact_value() -> None:
    """At scale 1, the component's own flow: `limit_fd_dct`, the mean over the classes."""
    card = installed().get("checkpoints", "gmm-cifar10").thing
    solver = Sampler(sde("vp"), solver=installed().build("solvers", "rk45", {}), denoise="none")
    assert ClassConditional().exact(card, solver) == {}
    distances = [limit_fd_dct(card, solver, component=k) for k in range(10)]
    assert None not in distances
    mean = sum(distance or 0.0 for distance in distances) / 10
    assert ClassConditional().limit(card, solver) == {"fd_component": pytest.approx(mean, rel=1e-12)}
    assert ClassConditional(scale=2).limit(card, solver) == {}


def test_labels_continue_through_the_batches() -> None:
    spec, session = plan(task="class_conditional", samples=17, batch_size=7), Session(installed())
    labels = [run_batch(spec, index, session).outputs["labels"].tolist() for index, _ in spec.batches()]
    assert labels == [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9, 0, 1, 2, 3], [4, 5, 6]]


def test_the_measured_value_agrees_with_the_exact_one(tmp_path: Path) -> None:
    """``fd_component`` within four of its errors of the moments' recursion, through the command line."""
    out = tmp_path / "results"
    arguments = [*RUN, *EXACT, "--grid", "polynomial", "--steps", "20", "--samples", "1000", "--batch-size"]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "500", "--device", "cpu", "--out", str(out)])
    assert stopped.value.code == 0
    (path,) = (out / "records").glob("*.json")
    record = json.loads(path.read_text())
    result = record["metrics"]["fd_component"]
    assert abs(result["value"] - result["exact"]) < 4 * result["error"]
    share = record["metrics"]["component_share"]
    assert share["value"] > 0.5
    assert share["error"] == pytest.approx((share["value"] * (1 - share["value"]) / 1000) ** 0.5)
    assert (out / "images" / f"{record['fingerprint']}.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (*EXACT, "-P", "task.label=10"),
            "gmm-cifar10 has no class 10: class_conditional.label must be 0 to 9",
        ),
        ((*EXACT, "-P", "task.label=-1"), "class_conditional.label must be >= 0, not '-1'"),
        ((*EXACT, "-P", "task.label=cat"), "class_conditional.label must be int or all, not 'cat'"),
        ((*EXACT, "-P", "task.label=1.5"), "class_conditional.label must be int or all, not '1.5'"),
        ((*EXACT, "-P", "task.scale=-1"), "class_conditional.scale must be >= 0, not '-1'"),
        ((*EXACT, "-P", "task.scale=inf"), "class_conditional.scale must be >= 0, not 'inf'"),
        ((*EXACT, "-P", "task.guidance=2"), "class_conditional has no parameter 'guidance'"),
        ((*EXACT, "--data", "x.npz"), "the task class_conditional takes no images: leave out --data"),
        (EXACT, "fd_component needs 2 samples or more of each class: --samples 20 or more, not 4"),
        (
            ("--checkpoint", "gaussian-cifar10"),
            "checkpoint gaussian-cifar10 has no classifier to guide it to a",
        ),
    ],
)
def test_refused_in_one_line(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main([*RUN, *arguments])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("t", [0.1, 0.6])
def test_the_classifier_of_a_network_works_on_its_own_range(name: str, t: float) -> None:
    """Directional derivatives of ``ln p(y | x)``, the state moved to [-1, 1] by hand, in float64."""
    run = sde(name)
    card = installed().get("checkpoints", "cifar10-tiny").thing
    network = load_model(card, run, torch.device("cpu"), installed())
    assert network.classes == 10
    classifier = load_noisy_classifier(card=classifier_path(card)).double()
    generator = torch.Generator().manual_seed(6)
    at, (low, high) = run.at(t), run.data_range
    x0, z, way = torch.rand(3, 4, *card.shape, generator=generator, dtype=torch.float64)
    x = at.alpha * (low + (high - low) * x0) + at.sigma * z
    labels = torch.tensor([0, 3, 3, 9])

    def log_posterior(x: torch.Tensor) -> torch.Tensor:
        y = 2 * (x / at.alpha - low) / (high - low) - 1
        sigma = torch.tensor([2 * at.sigma / (high - low) / at.alpha], dtype=torch.float64)
        return classifier.logits(y, sigma).log_softmax(1)[range(4), labels]

    step = 1e-5
    with torch.no_grad():
        gradient = network.class_gradient(x.float(), at, labels)
        expected = (log_posterior(x + step * way) - log_posterior(x - step * way)) / (2 * step)
    along = (gradient.double() * way).flatten(1).sum(1)
    # float32: a derivative is a sum of 3072 terms
    error = 1e-5 * (gradient.double().abs() * way).flatten(1).sum(1)
    assert ((along - expected).abs() < error + 1e-6 * expected.abs()).all()
    assert gradient.dtype == torch.float32
    assert not gradient.requires_grad


def test_a_network_is_guided_from_the_command_line(tmp_path: Path) -> None:
    """Two samples of one class, both metrics; the classifier is in the fingerprint."""
    out = tmp_path / "results"
    arguments = [*RUN[:-1], "2", "--checkpoint", "cifar10-tiny", "--grid", "polynomial", "--steps", "3"]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "-P", "task.label=3", "-P", "task.scale=2", "--device", "cpu", "--out", str(out)])
    assert stopped.value.code == 0
    (path,) = (out / "records").glob("*.json")
    record = json.loads(path.read_text())
    assert set(record["metrics"]) == {"class_share", "fd_class"}
    assert record["metrics"]["fd_class"]["note"] == "fewer than 100 samples of a class"
    assert record["cost"]["nfe"] == 3
    weights = REGISTRY / "classifiers" / "cifar10-noisy-classifier.safetensors"
    assert record["identity"]["task"]["provenance"] == {weights.stem: cached_sha256(weights)}


def test_committed_table_agrees_with_theory() -> None:
    """On the mixture: values are within four errors of exact ones; unguided, the share is a tenth."""
    with (REFERENCE / "cells.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    exact = [row for row in rows if row["exact"]]
    unguided = [row for row in rows if row["metric"] == "component_share" and row["x"] == "0.0"]
    assert (len(rows), len(exact), len(unguided)) == (36, 3, 3)
    for row in exact:
        assert abs(float(row["value"]) - float(row["exact"])) < 4 * float(row["error"])
    for row in unguided:
        n = int(row["samples"])
        assert stats.binomtest(round(float(row["value"]) * n), n, 0.1).pvalue > P


@pytest.mark.parametrize("checkpoint", ["gmm-cifar10", "cifar10-tiny"])
def test_it_refuses_an_sde_that_ends_in_noise(checkpoint: str) -> None:
    with pytest.raises(BenchError, match="class_conditional guides the score, which has no limit"):
        plan(task="class_conditional", checkpoint=[checkpoint], sde=["flow"])
