"""The task guided: a network guided by another one, or by itself without a class."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import bench
from bench import SDE, BatchContext, BenchError, Card, Denoiser, Model, Prediction, Tensor
from bench.checkpoints.load import load_model
from bench.diffusion.counting import count_evaluations, counted_evaluations
from bench.plan.declarations import planned_nfe
from bench_tasks.guided import Guidance
from tests.support.completions import build_task, completion_batch, pc, small_gaussian
from tests.support.plugins import installed

CPU = torch.device("cpu")
STEPS = 12


class White(Denoiser):
    """A denoiser of white N(mean, deviation^2) images on [-1, 1]."""

    def __init__(self, run: SDE, mean: float, deviation: float) -> None:
        super().__init__((3, 4, 4), (-1.0, 1.0), run.data_range)
        self.mean, self.variance = mean, deviation**2

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        count_evaluations(len(x))
        return (x - self.mean) * (self.variance / (self.variance + sigma**2)) + self.mean


class Extrapolated(Denoiser):
    """``D_g + scale (D - D_g)`` for low < sigma <= high, D elsewhere."""

    def __init__(self, run: SDE, one: White, guide: White, scale: float, low: float, high: float) -> None:
        super().__init__((3, 4, 4), (-1.0, 1.0), run.data_range)
        self.one, self.guide, self.scale, self.low, self.high = one, guide, scale, low, high

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        denoised = self.one.denoise(x, sigma)
        if not self.low < sigma <= self.high:
            return denoised
        reference = self.guide.denoise(x, sigma)
        return reference + self.scale * (denoised - reference)


def batch_of(name: str, model: Any, other: Any = None) -> BatchContext:
    """A batch of four samples by Heun's method on the SDE of that name; models are made for it."""
    sampler = pc(name, "heun", steps=STEPS)
    batch = completion_batch(sampler, model(sampler.sde), torch.zeros(4, 3, 4, 4), 1)
    return dataclasses.replace(batch, images=None, load=lambda _: other(sampler.sde))


def run(task: Any, batch: BatchContext) -> Tensor:
    with torch.no_grad():
        images: Tensor = task.run(batch)["images"]
    return images


def counted_run(task: Any, batch: BatchContext) -> tuple[Tensor, float]:
    """The images, and the network calls per sample."""
    with counted_evaluations() as evaluations:
        images = run(task, batch)
    return images, evaluations.count / batch.size


@pytest.mark.parametrize(("low", "high"), [(0.0, 1e6), (0.3, 5.0)])
@pytest.mark.parametrize("name", ["ve", "vp", "flow"])
def test_the_guided_denoiser_is_the_extrapolated_one(name: str, low: float, high: float) -> None:
    """On [0, 1] (ve) and [-1, 1] (vp, flow): the interval is of images on [-1, 1].

    Its default holds flow's start too, where alpha = 0.
    """

    def one(sde: SDE) -> White:
        return White(sde, 0.2, 0.5)

    def guide(sde: SDE) -> White:
        return White(sde, -0.1, 0.8)

    def whole(sde: SDE) -> Extrapolated:
        return Extrapolated(sde, one(sde), guide(sde), 1.7, low, high)

    task = build_task("guided", guide="other", scale=1.7, low=low, high=high)
    batch, plain = batch_of(name, one, guide), batch_of(name, whole)
    images, guided_calls = counted_run(task, batch)
    torch.testing.assert_close(images, run(build_task("generate"), plain), rtol=1e-4, atol=1e-4)
    unguided, calls = counted_run(build_task("generate"), batch_of(name, one))
    assert float((images - unguided).abs().max()) > 1e-2
    if high == 1e6:
        assert guided_calls == 2 * calls == planned_nfe(task, batch.sampler)
    else:
        assert calls < guided_calls < 2 * calls
        assert planned_nfe(task, batch.sampler) is None


def test_at_scale_1_there_is_no_guide() -> None:
    def one(sde: SDE) -> White:
        return White(sde, 0.2, 0.5)

    task = build_task("guided", guide="other", scale=1)
    batch, plain = batch_of("vp", one), batch_of("vp", one)
    images, calls = counted_run(task, batch)
    assert torch.equal(images, run(build_task("generate"), plain))
    assert calls == planned_nfe(task, batch.sampler)


class Shifts(torch.nn.Module):
    """A score of unit variance about a third of the class; about ``null`` without one."""

    def __init__(self, null: float) -> None:
        super().__init__()
        self.null = null

    def forward(self, x: Tensor, label: Tensor, classes: Tensor) -> Tensor:
        means = torch.where(classes < 0, torch.full_like(x[:, 0, 0, 0], self.null), classes / 3)
        return means[:, None, None, None] - x + 0 * label[:, None, None, None]


def conditional(sde: SDE, classes: list[int], *, null: float = -0.5) -> Model:
    options: dict[str, Any] = {"predicts": "score", "labels": "999t", "shape": (3, 4, 4)}
    card = bench.network(Shifts(null), classes=4, null_class=True, **options)
    return load_model(card, sde, CPU, installed()).of_classes(torch.tensor(classes))


def test_classifier_free_guidance() -> None:
    """Scores ``m - x`` of class and none: the guided one is that of ``m_none + scale (m - m_none)``."""
    sampler = pc("vp", "heun", steps=STEPS)
    classes = [0, 3, 1, 3]
    batch = batch_of("vp", lambda sde: conditional(sde, classes))
    task = build_task("guided", guide="none", scale=3.0)
    images, guided_calls = counted_run(task, batch)
    shifted = torch.tensor([-0.5 + 3 * (k / 3 + 0.5) for k in classes])
    alone = batch_of("vp", lambda sde: conditional(sde, [0, 0, 0, 0]))

    class Exact(torch.nn.Module):
        def forward(self, x: Tensor, label: Tensor) -> Tensor:
            return shifted[:, None, None, None] - x + 0 * label[:, None, None, None]

    card = bench.network(Exact(), predicts="score", labels="999t", shape=(3, 4, 4))
    model = load_model(card, sampler.sde, CPU, installed())
    plain = dataclasses.replace(alone, prediction=Prediction(model, sampler.sde))
    expected, calls = counted_run(build_task("generate"), plain)
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-4)
    assert guided_calls == 2 * calls


def test_each_sample_is_guided_at_its_own_time() -> None:
    """An interval holds some of them; two networks count for those alone."""
    vp = pc("vp", steps=3).sde
    guide = Prediction(conditional(vp, [-1, -1, -1]), vp)
    p = Prediction(conditional(vp, [0, 3, 1]), vp).guided(Guidance(guide, 3.0, (0.0, 1.0), unit=1.0))
    x, times = torch.ones(3, 3, 4, 4), torch.tensor([0.1, 0.9, 0.2])
    with torch.no_grad(), counted_evaluations() as evaluations:
        score = p.score(x, times)
    assert (evaluations.count, evaluations.most(3)) == (5, 2)
    means = torch.tensor([-0.5 + 3 * 0.5, 1.0, -0.5 + 3 * (1 / 3 + 0.5)])
    torch.testing.assert_close(score, means.view(-1, 1, 1, 1) - x, rtol=1e-5, atol=1e-5)


def test_a_guide_of_other_coordinates_is_refused() -> None:
    batch = batch_of("vp", lambda sde: White(sde, 0, 1), lambda sde: small_gaussian(sde, 4))
    with pytest.raises(BenchError, match="has other coordinates"):
        run(build_task("guided", guide="other"), batch)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("gmm-cifar10", {"guide": "gmm-cifar10"}, "would be guided by itself"),
        ("gmm-cifar10", {"guide": "none"}, "was not trained without classes"),
        ("edm-imagenet-64-cond-adm", {"guide": "none"}, "was not trained without classes"),
    ],
)
def test_refused_at_planning(name: str, parameters: dict[str, Any], message: str) -> None:
    card: Card = installed().get("checkpoints", name).thing
    with pytest.raises(BenchError, match=message):
        build_task("guided", **parameters).check(card, pc("vp", steps=3))


def test_an_interval_has_a_lower_end_below_its_upper_one() -> None:
    with pytest.raises(BenchError, match=r"guided\.low must lie below guided\.high, not 3 and 2"):
        build_task("guided", low=3.0, high=2.0)


def test_a_run_counts_both_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On closed-form scores, from planning to the record, whose identity holds the guide."""
    monkeypatch.chdir(tmp_path)
    results = bench.run(
        checkpoint="gmm-cifar10",
        task="guided",
        predictor="ddim",
        grid="logsnr",
        steps=5,
        samples=4,
        device="cpu",
    )
    (record,) = results.records
    assert record.status == "finished"
    assert record.cost is not None
    assert (record.cost.nfe, record.planned_nfe) == (10, 10)
    assert "gaussian-cifar10" in record.identity.task.provenance
