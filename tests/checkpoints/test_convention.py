"""Labels and scalings of published networks: what they take, and the score that their output gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import SDE, BenchError, Card, NoiseLevel, Prediction, Sampler
from bench.checkpoints.convention import Convention, NetworkModel
from bench.checkpoints.exact import trained_answer
from bench.checkpoints.resolve import label_of, parametrisation_of
from bench.closed_form.mixture import Answer, Mixture, MixtureModel
from bench.closed_form.moments import moments
from bench.diffusion.counting import counted_evaluations
from bench.diffusion.grid import schedule_of
from bench.diffusion.noise import noise_streams
from tests.support.analytic import gaussian, grid_of, sde
from tests.support.plugins import installed

SHAPE = (3, 4, 4)
FIELDS: dict[str, Any] = {
    "name": "made",
    "summary": "made up",
    "format": "edm",
    "shape": SHAPE,
    "files": [{"name": "none"}],
    "licence": "none",
    "author": "nobody",
    "data": "none",
    "metric": "fd_dct",
}
KINDS: dict[str, dict[str, Any]] = {
    "ve": {"sde": "ve", "labels": "sigma", "predicts": "scaled_score"},
    "ve, score": {"sde": "ve", "labels": "sigma", "predicts": "score"},
    "vp": {"sde": "vp", "labels": "999t", "predicts": "noise"},
    "subvp": {"sde": "subvp", "labels": "999t", "predicts": "noise"},
    "ve, discrete": {"sde": "ve", "labels": "index_down", "predicts": "scaled_score", "scales": 1000},
    "vp, discrete": {"sde": "vp", "labels": "time_index", "predicts": "noise", "scales": 1000},
    "ddpm": {"sde": "vp", "labels": "index", "predicts": "noise", "scales": 1000},
    "cosine": {
        "sde": "vp_cosine",
        "labels": "index",
        "predicts": "noise",
        "scales": 4000,
        "learned_variance": True,
    },
}


def card(kind: str) -> Card:
    ve = KINDS[kind]["sde"] == "ve"
    return Card(**FIELDS, **KINDS[kind], data_range=(0.0, 1.0) if ve else (-1.0, 1.0))


def model(kind: str, run: SDE, network: Callable[[Tensor, Tensor], Tensor]) -> NetworkModel:
    subject = card(kind)
    assert subject.sde is not None
    parametrisation, label = parametrisation_of(subject, installed()), label_of(subject, installed())
    return NetworkModel(network, subject, parametrisation, label, run, sde(subject.sde), bf16=False)


def convention(kind: str) -> Convention:
    subject = card(kind)
    return Convention(label_of(subject, installed()), sde(subject.sde or ""), subject.scales)


class Recorder:
    """A network that notes its labels and answers ones."""

    def __init__(self, outputs: int = 3) -> None:
        self.labels: list[float] = []
        self.outputs = outputs

    def __call__(self, x: Tensor, label: Tensor) -> Tensor:
        self.labels.append(float(label))
        return torch.ones(len(x), self.outputs, *x.shape[2:])


def labels_of(kind: str, steps: int, label_scales: int | None = None, grid: Any = "uniform") -> list[float]:
    """The labels of a whole run, from the first step on."""
    subject = card(kind)
    assert subject.sde is not None
    recorder = Recorder(6 if subject.learned_variance else 3)
    sampler = Sampler(
        sde(subject.sde),
        installed().build("predictors", "reverse_diffusion", {}),
        steps=steps,
        label_scales=label_scales,
        grid=grid_of(grid),
    )
    score = Prediction(model(kind, sampler.sde, recorder), sampler.sde, labels=sampler.labels())
    prior, noise, _ = noise_streams(0, 0, "cpu")
    sampler.run(prior(torch.empty(1, *SHAPE)), score, noise, noise)
    return recorder.labels


def test_continuous_labels() -> None:
    t = np.linspace(1, 1e-3, 40)
    np.testing.assert_allclose(labels_of("vp", 40), 999 * t, rtol=1e-6)
    np.testing.assert_allclose(labels_of("subvp", 40), 999 * t, rtol=1e-6)
    t = np.linspace(1, 1e-5, 40)
    np.testing.assert_allclose(labels_of("ve", 40), 0.01 * 5000**t, rtol=1e-6)


def test_discrete_labels_at_the_trained_scales() -> None:
    """P1000: integers, from the largest noise on; VE counts it as zero; score_sde's VP is asked t (N - 1)."""
    np.testing.assert_array_equal(labels_of("ddpm", 1000), np.arange(1000)[::-1])
    np.testing.assert_allclose(labels_of("vp, discrete", 1000), 0.999 * np.arange(1, 1001)[::-1], rtol=1e-6)
    np.testing.assert_array_equal(labels_of("ve, discrete", 1000), np.arange(1000))
    np.testing.assert_allclose(labels_of("cosine", 4000), np.arange(4000)[::-1] / 4)


def test_discrete_vp_labels_at_twice_as_many_scales() -> None:
    """t (N - 1) of the 2 N times; by rounding, of every second one of the N."""
    t = np.linspace(1, 1e-3, 2000)
    np.testing.assert_allclose(labels_of("vp, discrete", 2000), 999 * t, rtol=1e-6)
    i = np.arange(2000)[::-1] // 2
    np.testing.assert_allclose(labels_of("vp, discrete", 2000, label_scales=1000), 0.999 * (i + 1), rtol=1e-6)


@pytest.mark.parametrize("kind", ["ddpm", "ve, discrete"])
def test_discrete_labels_at_twice_as_many_scales(kind: str) -> None:
    """P2000: i/2 by linear interpolation (Table 1), floor(i/2) by rounding (Table 4)."""
    i = np.arange(2000) if kind.startswith("ve") else np.arange(2000)[::-1]
    np.testing.assert_array_equal(labels_of(kind, 2000), i / 2)
    np.testing.assert_array_equal(labels_of(kind, 2000, label_scales=1000), i // 2)


def test_discrete_labels_at_twice_the_cosine_scales() -> None:
    i = np.arange(8000)[::-1]
    np.testing.assert_allclose(labels_of("cosine", 8000), i / 2 / 4, rtol=1e-6)
    np.testing.assert_allclose(labels_of("cosine", 8000, label_scales=4000), i // 2 / 4, rtol=1e-6)


def test_strided_subsequences() -> None:
    """``steps`` of 4000 scales: evenly spread and rounded, the first and the last among them; beta anew."""
    steps_of_chain = [round(k * 3999 / 249) for k in range(250)]
    np.testing.assert_allclose(labels_of("cosine", 250)[::-1], [k / 4 for k in steps_of_chain])
    f = [math.cos((t / 4000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(4001)]
    products = np.cumprod([1 - min(1 - f[t + 1] / f[t], 0.999) for t in range(4000)])[steps_of_chain]
    betas = 1 - products / np.concatenate([[1.0], products[:-1]])
    plan = schedule_of(sde("vp_cosine"), 250)[::-1]
    np.testing.assert_allclose([s.g**2 for s in plan], betas, rtol=1e-9)
    np.testing.assert_allclose([s.a**2 for s in plan], 1 - betas, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose([s.ancestral_alpha**2 for s in plan], products, rtol=1e-9)


def test_halved_betas() -> None:
    """P2000 on VP: the chain of half the betas, and its sigma divides the network's answer."""
    betas = np.linspace(0.1 / 2000, 20 / 2000, 2000)
    plan = schedule_of(sde("vp"), 2000)[::-1]
    np.testing.assert_allclose([s.g**2 for s in plan], betas, rtol=1e-12)
    sigma = np.sqrt(1 - np.cumprod(1 - betas))
    for kind in ("vp, discrete", "ddpm"):
        subject = model(kind, sde("vp"), Recorder())
        for i in (0, 1, 1000, 1999):
            result = subject.score(torch.zeros(1, *SHAPE), plan[i])
            np.testing.assert_allclose(result.numpy(), -1 / sigma[i], rtol=1e-6)


def test_off_the_grid_discrete_labels_are_the_published_ones() -> None:
    """t (N - 1) with the trained sigma just below (VP); the nearest scale (VE)."""
    trained = np.sqrt(1 - np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))
    sigmas = np.geomspace(50, 0.01, 1000)
    for t in (0.0123, 0.5, 0.98765):
        recorder = Recorder()
        result = model("vp, discrete", sde("vp"), recorder).score(torch.zeros(1, *SHAPE), sde("vp").at(t))
        np.testing.assert_allclose(result.numpy(), -1 / trained[int(999 * t)], rtol=1e-5)
        result = model("ve, discrete", sde("ve"), recorder).score(torch.zeros(1, *SHAPE), sde("ve").at(t))
        np.testing.assert_allclose(result.numpy(), 1 / sigmas[round(999 * (1 - t))], rtol=1e-5)
        np.testing.assert_allclose(recorder.labels, [999 * t, round(999 * (1 - t))], rtol=1e-6)


@pytest.mark.parametrize(("steps", "grid"), [(12, "logsnr"), (30, "polynomial"), (100, "uniform")])
def test_other_grids_ask_ddpm_at_equal_noise(steps: int, grid: Any) -> None:
    """DDPM's networks know no t: of a level between two scales, the label has its sigma / alpha."""
    square = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    levels = schedule_of(sde("vp"), steps, grid_of(grid))
    labels = labels_of("ddpm", steps, grid=grid)
    for level, label in zip(levels, labels, strict=True):
        alpha = math.exp(np.interp(label, np.arange(1000), np.log(square) / 2))
        ratio = max(level.sigma / level.alpha, math.sqrt(1 / square[0] - 1))
        assert math.sqrt(1 / alpha**2 - 1) == pytest.approx(ratio, rel=1e-4)  # labels are float32


MU, VARIANCE = 0.3, 0.04
"""Mean and variance of every pixel, on [-1, 1]."""


GRIDS: list[tuple[int, int | None, str]] = [
    (1000, None, "uniform"),
    (2000, None, "uniform"),
    (2000, 1000, "uniform"),
    (300, None, "uniform"),
    (40, None, "polynomial"),
]


def exact(kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The network that a training without end would give on Gaussian data, in the card's convention."""
    subject = card(kind)
    law = sde(subject.sde or "")
    mu, variance = (MU, VARIANCE) if subject.data_range[0] == -1 else ((MU + 1) / 2, VARIANCE / 4)
    count = subject.scales or 1
    a = law.chain(np.linspace(law.eps, 1, count), count)[0] if subject.discrete else np.ones(1)

    def network(x: Tensor, label: Tensor) -> Tensor:
        number = float(label)
        if subject.labels == "999t":
            level = law.at(number / 999)
            alpha, sigma = level.alpha, level.sigma
        elif subject.labels == "sigma":
            alpha, sigma = 1.0, number
        elif subject.labels == "index_down":
            alpha, sigma = 1.0, 0.01 * 5000 ** (1 - number / 999)
        else:
            at = number * count / 1000
            alpha = float(np.exp(np.interp(at, np.arange(count), np.log(np.cumprod(a)))))
            sigma = math.sqrt(1 - alpha**2)
        score = (alpha * mu - x) / (alpha**2 * variance + sigma**2)
        answer = {"noise": -sigma * score, "scaled_score": sigma * score, "score": score}[
            subject.predicts or ""
        ]
        return torch.cat([answer, torch.zeros_like(answer)], dim=1) if subject.learned_variance else answer

    return network


@pytest.mark.parametrize("run", ["ve", "vp", "subvp"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_network_serves_every_sde(kind: str, run: str) -> None:
    """On exact networks the score of any SDE is the Gaussian's; a discrete one is asked between scales."""
    labels = card(kind).labels
    law = sde(run)
    subject = model(kind, law, exact(kind))
    assert subject.native == (run == KINDS[kind]["sde"])
    low, high = law.data_range
    half = (high - low) / 2
    mu, variance = low + (MU + 1) * half, VARIANCE * half**2
    draws = torch.Generator().manual_seed(0)
    for t in (0.05, 0.3, 0.6, 0.9):
        level = law.at(t)
        v = level.alpha**2 * variance + level.sigma**2
        x = level.alpha * mu + math.sqrt(v) * torch.randn(4, *SHAPE, generator=draws, dtype=torch.float64)
        expected = (level.alpha * mu - x) / v
        error = float((subject.score(x, level) - expected).abs().max() / expected.abs().max())
        # these are divided by the sigma of a scale next to t: it is off by up to a scale's share, 2 %
        rounded = subject.native and labels in ("time_index", "index_down")
        assert error < (2e-2 if rounded else 1e-4)


def answer(kind: str) -> Answer:
    """The level at which the exact network of a discrete kind answers, and the factor of its score."""
    own = convention(kind)

    def of(level: NoiseLevel) -> tuple[NoiseLevel, float]:
        return own.answer(level) if own.published(level) else (level, 1.0)

    return of


@pytest.mark.parametrize("kind", [kind for kind in KINDS if card(kind).discrete])
def test_a_label_stands_for_the_level_that_it_is_asked_at(kind: str) -> None:
    """Between scales and at them; what `nearest` asks for at a ratio is trained at that ratio."""
    own = convention(kind)
    for t in (0.004, 0.3, 0.77, 0.999):
        level = own.sde.at(t)
        trained = own.level_of(own.nearest(level.sigma / level.alpha)[0])
        assert trained.sigma / trained.alpha == pytest.approx(level.sigma / level.alpha, rel=1e-9)


@pytest.mark.parametrize(("steps", "label_scales", "grid"), GRIDS)
@pytest.mark.parametrize("kind", ["vp, discrete", "ve, discrete"])
def test_an_exact_checkpoint_of_discrete_scales_answers_as_such_a_network(
    kind: str, steps: int, label_scales: int | None, grid: str
) -> None:
    """The same score of an ideal network behind its card and of `trained_answer`, at every level of a run."""
    law = sde(card(kind).sde or "")
    low, high = law.data_range
    mean, variance = np.full(SHAPE, low + (MU + 1) / 2 * (high - low)), np.full(SHAPE, VARIANCE)
    variance = variance * ((high - low) / 2) ** 2
    shipped = installed().get("checkpoints", "gaussian-cifar10-1000").thing
    ideal = MixtureModel(
        Mixture(np.ones(1), mean[None], variance[None]),
        "cpu",
        torch.float64,
        color=None,
        range_=law.data_range,
        answer=trained_answer(shipped, law),
    )
    sampler = Sampler(law, steps=steps, label_scales=label_scales, grid=grid_of(grid))
    network = Prediction(model(kind, law, exact(kind)), law, labels=sampler.labels())
    closed = Prediction(ideal, law, labels=sampler.labels())
    draws = torch.Generator().manual_seed(0)
    for step in sampler.schedule()[:: steps // 9]:
        spread = math.sqrt(step.alpha**2 * float(variance.max()) + step.sigma**2)
        x = step.alpha * float(mean.max()) + spread * torch.randn(2, *SHAPE, generator=draws)
        expected = closed.score(x.double(), step)
        error = (network.score(x.double(), step) - expected).abs().max() / expected.abs().max()
        assert float(error) < 1e-4  # the network is called in float32


@pytest.mark.parametrize(
    ("kind", "steps"), [("vp, discrete", 1000), ("ve, discrete", 1000), ("ddpm", 1000), ("cosine", 100)]
)
def test_native_runs_of_exact_discrete_networks(kind: str, steps: int) -> None:
    """A whole ancestral run comes out where the closed form of a score of such a training does."""
    subject = card(kind)
    law = sde(subject.sde or "")
    sampler = Sampler(law, installed().build("predictors", "ancestral", {}), steps=steps)
    prior, noise, _ = noise_streams(0, 0, "cpu")
    score = Prediction(model(kind, law, exact(kind)), law)
    x = sampler.run(prior(torch.empty(64, *SHAPE)), score, noise, noise)
    images = score.model.images(x).double().numpy()
    low, high = law.data_range
    data = np.array([low + (MU + 1) / 2 * (high - low)]), np.array([VARIANCE * ((high - low) / 2) ** 2])
    (mean,), (variance,) = moments(sampler, *data, answer(kind))
    sd, n = math.sqrt(variance) / (high - low), images.size
    assert abs(images.mean() - (mean - low) / (high - low)) < 4 * sd / math.sqrt(n)
    assert abs(images.std() / sd - 1) < 4 / math.sqrt(2 * n)


def test_learned_variance_and_clipping() -> None:
    """One ancestral step on a strided chain, as improved DDPM's paper writes it (eq. 13 to 16)."""
    law = sde("vp_cosine")
    plan = schedule_of(law, 50)
    draws = torch.Generator().manual_seed(1)
    eps, v = (torch.randn(2, *SHAPE, generator=draws, dtype=torch.float64) for _ in range(2))
    z = torch.randn(2, *SHAPE, generator=draws, dtype=torch.float64)

    score = Prediction(model("cosine", law, lambda *_: torch.cat([eps, v], dim=1)), law)
    x = torch.randn(2, *SHAPE, generator=draws, dtype=torch.float64)
    before = x.clone()
    for at in (0, 1, 25, 48):
        scale, below = plan[at], plan[at + 1]
        ab, ab_below = scale.alpha**2, below.alpha**2
        beta = 1 - ab / ab_below
        tilde = (1 - ab_below) / (1 - ab) * beta
        for clip in (False, True):
            clean = (x - math.sqrt(1 - ab) * eps) / math.sqrt(ab)
            clean = clean.clamp(-1, 1) if clip else clean
            mean = math.sqrt(ab_below) * beta / (1 - ab) * clean
            mean = mean + math.sqrt(1 - beta) * (1 - ab_below) / (1 - ab) * x
            part = (v + 1) / 2
            log = part * math.log(beta) + (1 - part) * math.log(tilde)
            chosen = installed().build("predictors", "ancestral", {"variance": "learned", "clip": clip})
            result = chosen.resolve(law).step(x, scale, score, lambda _: z.clone(), None)
            # x and the noise nearly cancel where alpha is small
            size = float(mean.abs().max())
            torch.testing.assert_close(result.mean, mean, rtol=0, atol=1e-9 * max(size, 1 / math.sqrt(ab)))
            expected = mean + (0.5 * log).exp() * z
            torch.testing.assert_close(result.x, expected, rtol=0, atol=1e-9 * max(size, 1 / math.sqrt(ab)))
    assert torch.equal(x, before)
    last = installed().build("predictors", "ancestral", {"variance": "learned"})
    update = last.resolve(law).step(x, plan[-1], score, lambda _: z.clone(), None)
    assert torch.equal(update.x, update.mean)  # no noise on clean data
    assert score.calls == 9


@pytest.mark.parametrize("variance", ["posterior", "forward"])
def test_clipping_far_away_changes_nothing(variance: str) -> None:
    """Where no predicted image leaves the range, the clipped step is the linear one."""
    law = sde("vp")
    mu, lam = np.full(SHAPE, 0.5), np.full(SHAPE, 1e-3)  # in the middle of the model's range
    score = Prediction(gaussian(mu, lam), law)
    for scale in schedule_of(law, 100)[::9]:
        x = torch.full((2, *SHAPE), 0.1, dtype=torch.float64)
        plain, clipped = (
            installed()
            .build("predictors", "ancestral", {"variance": variance, "clip": clip})
            .step(x, scale, score, torch.ones_like, None)
            for clip in (False, True)
        )
        torch.testing.assert_close(clipped.mean, plain.mean, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(clipped.x, plain.x, rtol=1e-9, atol=1e-12)


def test_no_learned_variance() -> None:
    law = sde("vp")
    score = Prediction(model("vp", law, exact("vp")), law)
    with pytest.raises(BenchError, match="no learned variance"):
        score.score_and_variance(torch.zeros(1, *SHAPE), 0.5)


class Affine:
    """A network whose answers differ by state, label and class; it counts its calls."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, x: Tensor, label: Tensor, *classes: Tensor) -> Tensor:
        self.shapes.append((len(x), len(label)))
        shift = label / 1000 + sum((one.to(x.dtype) for one in classes), torch.zeros(()))
        y = 0.5 * x.tanh() + shift.view(-1, 1, 1, 1)
        return torch.cat([y, -y], dim=1) if self.outputs == 6 else y

    outputs = 3


@pytest.mark.parametrize("run", ["vp", "flow"])
@pytest.mark.parametrize("kind", ["vp", "ve", "ddpm", "vp, discrete", "cosine"])
def test_states_at_several_levels_are_one_call_of_the_network(kind: str, run: str) -> None:
    """Each row is what it is at its own level, by the published convention (vp, vp, discrete) or another."""
    network = Affine()
    network.outputs = 6 if kind == "cosine" else 3
    p = Prediction(model(kind, sde(run), network), sde(run))
    x = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(1))
    times = torch.tensor([0.8, 0.25, 0.8, 0.55])
    for ask in (Prediction.score, Prediction.denoised, Prediction.noise, Prediction.velocity):
        network.shapes.clear()
        with counted_evaluations() as evaluations:
            answers = ask(p, x, times)
        assert (network.shapes, evaluations.count) == ([(4, 4)], 4)
        each = [ask(p, x[i : i + 1], float(times[i])) for i in range(4)]
        torch.testing.assert_close(answers, torch.cat(each), rtol=1e-5, atol=1e-5)


def test_classes_go_with_their_rows() -> None:
    subject = card("vp").model_copy(update={"classes": 5})
    network = Affine()
    parametrisation, label = parametrisation_of(subject, installed()), label_of(subject, installed())
    loaded = NetworkModel(network, subject, parametrisation, label, sde("vp"), sde("vp"), bf16=False)
    p = Prediction(loaded.of_classes(torch.tensor([0, 1, 2, 4])), sde("vp"))
    x = torch.zeros(4, *SHAPE)
    rows = torch.tensor([3, 1, 3])
    answers = p.of_rows(rows).noise(x[rows], torch.tensor([0.5, 0.2, 0.3]))
    assert network.shapes == [(3, 3)]
    expected = torch.tensor([0.4995 + 4, 0.1998 + 1, 0.2997 + 4]).view(-1, 1, 1, 1).expand(3, *SHAPE)
    torch.testing.assert_close(answers, expected, rtol=1e-5, atol=1e-5)
