"""Metrics by class: shares and distances on exact draws and on constructed rows."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import BenchError, Metric, MetricState, wilson_interval
from bench.checkpoints.exact import dct_data
from bench.cli import main
from bench.closed_form.dct import from_dct, to_dct
from bench_tasks.class_metrics import (
    ClassShare,
    ComponentShare,
    DistanceState,
    FdClass,
    FdComponent,
    ShareState,
    by_class_path,
    class_moments,
)
from tests.support.flows import build_task
from tests.support.metrics import metric_context
from tests.support.plugins import installed


def of_draws(metric: Metric, count: int) -> MetricState:
    """A metric of exact draws of the components, the same number of each."""
    data, color = dct_data(installed().get("checkpoints", "gmm-cifar10").thing)
    generator = torch.Generator().manual_seed(2)
    state = metric.start(metric_context())
    for _ in range(count // 500):
        labels = torch.arange(500) % len(data.weight)
        z = torch.randn(500, *data.mean.shape[1:], generator=generator, dtype=torch.float64)
        x = torch.from_numpy(data.mean)[labels] + z * torch.from_numpy(data.variance)[labels].sqrt()
        state.update(from_dct(x, color), labels)  # type: ignore[call-arg]
    return state


def test_metrics_of_exact_draws() -> None:
    """A distance of zero within four errors, and the share that its documentation states."""
    distance = of_draws(FdComponent(), 2000).compute()
    assert distance.error is not None
    assert abs(distance.value) < 4 * distance.error
    share = of_draws(ComponentShare(), 2000)
    result = share.compute()
    assert result.error is not None
    assert abs(result.value - 0.957) < 4 * (result.error + 0.002)
    assert len(share.leave_one_out()) == 4
    assert np.mean(share.leave_one_out()) == pytest.approx(result.value)


def test_distance_is_the_mean_over_classes() -> None:
    """Two classes whose rows are shifted by 1 and by 2 in 3 coordinates of unit variance: (3 + 12) / 2."""
    generator = torch.Generator().manual_seed(3)
    mean, variance = np.zeros((2, 3)), np.ones((2, 3))
    state = DistanceState(lambda images: images.flatten(1).double().numpy(), mean, variance)
    for _ in range(20):
        labels = torch.arange(600) % 2
        z = torch.randn(600, 3, 1, 1, generator=generator)
        state.update(z + (1 + labels)[:, None, None, None], labels)
    result = state.compute()
    assert result.error is not None
    assert abs(result.value - 7.5) < 4 * result.error
    with pytest.raises(BenchError, match="of class 2, the reference has classes 0 to 1"):
        state.update(torch.zeros(1, 3, 1, 1), torch.tensor([2]))
    few = DistanceState(lambda images: images.flatten(1).double().numpy(), mean, variance)
    few.update(torch.zeros(3, 3, 1, 1), torch.tensor([0, 0, 1]))
    with pytest.raises(BenchError, match="at least 2 samples of each"):
        few.compute()
    few.update(torch.ones(3, 3, 1, 1), torch.tensor([0, 0, 1]))
    assert (few.compute().error, few.compute().note) == (None, "fewer than 100 samples of a class")


def test_share_counts_by_label() -> None:
    state = ShareState(lambda images: np.asarray(images[:, 0, 0, 0].long().numpy()))
    images = torch.tensor([0.0, 1.0, 1.0, 1.0])[:, None, None, None]
    state.update(images, torch.tensor([0, 0, 1, 1]))
    result = state.compute()
    assert (result.value, result.details["by_label"]) == (0.75, {"0": 0.5, "1": 1.0})
    assert result.error == math.sqrt(0.75 * 0.25 / 4)
    assert result.details["interval"] == wilson_interval(3, 4)


def test_a_share_of_all_samples_has_an_interval_and_no_error_of_zero() -> None:
    state = ShareState(lambda images: np.zeros(len(images), np.int64))
    state.update(torch.zeros(50, 1, 1, 1), torch.zeros(50, dtype=torch.int64))
    result = state.compute()
    assert (result.value, result.error) == (1, None)
    assert result.details["interval"] == {"low": pytest.approx(50 / (50 + 1.959964**2)), "high": 1.0}


def test_reference_by_class_is_of_the_whole_training_set() -> None:
    """5,000 images a class, whose means average to those of the shipped statistics."""
    path = by_class_path(metric_context())
    mean, variance = class_moments(path)
    assert mean.shape == variance.shape == (10, 64)
    with np.load(path.with_name("cifar10-train_cifar10-features.npz")) as whole:
        np.testing.assert_allclose(mean.mean(0), whole["mu"], rtol=1e-4, atol=1e-4)
    with pytest.raises(BenchError, match="missing or damaged: restore it from the project"):
        class_moments(path.with_name("nothing.npz"))


@pytest.mark.parametrize("kind", ["fifo", "folder", "text", "half an archive"])
def test_statistics_that_are_no_archive_are_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "by-class.npz"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        content = by_class_path(metric_context()).read_bytes()
        path.write_bytes(b"text" if kind == "text" else content[: len(content) // 2])
    with pytest.raises(BenchError, match="missing or damaged: restore it from the project"):
        class_moments(path)


def test_a_metric_of_labels_needs_a_task_that_returns_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["run", "--checkpoint", "gmm-cifar10", "--metric", "component_share", "--samples", "4"])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "component_share reads labels, which the task generate does not return" in line


@pytest.mark.parametrize("kind", [ClassShare, ComponentShare, FdClass, FdComponent])
def test_other_shapes_are_refused_at_planning(kind: type[Metric]) -> None:
    task = build_task("class_conditional")
    kind().check(task, (3, 32, 32), 20)
    with pytest.raises(BenchError, match=f"{kind.name} takes 3x32x32 images, not 3x64x64"):
        kind().check(task, (3, 64, 64), 20)


@pytest.mark.parametrize("kind", [FdClass, FdComponent])
def test_distances_need_two_samples_of_each_class(kind: type[Metric]) -> None:
    kind().check(build_task("class_conditional", label=3), (3, 32, 32), 2)
    with pytest.raises(BenchError, match=f"{kind.name} needs 2 samples or more of each class: --samples 20"):
        kind().check(build_task("class_conditional"), (3, 32, 32), 19)


def test_no_samples_have_no_value() -> None:
    for state in (ComponentShare().start(metric_context()), FdComponent().start(metric_context())):
        with pytest.raises(BenchError, match="at least"):
            state.compute()


def test_metrics_of_an_extractor_take_its_features() -> None:
    """Both on the same images: the shares of ten classes of one image sum to one hit."""
    context = metric_context()
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5)).expand(10, -1, -1, -1)
    labels = torch.arange(10)
    share, distance = ClassShare().start(context), FdClass().start(context)
    for state in (share, distance):
        state.update(images, labels)  # type: ignore[call-arg]
    assert share.compute().value == 0.1
    with pytest.raises(BenchError, match="at least 2 samples of each"):
        distance.compute()
    assert set(FdClass().provenance(context)) == {"cifar10-features", "cifar10-train-by-class"}
    assert set(ClassShare().provenance(context)) == {"cifar10-features"}


def test_equal_images_of_each_class_lack_the_whole_variance() -> None:
    """``|o|^2 + sum V`` of each component, and their mean; NaN where rounding decided the variance."""
    data, color = dct_data(installed().get("checkpoints", "gmm-cifar10").thing)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    offset = to_dct(image.double(), color).numpy() - data.mean
    expected = float(((offset**2).sum((1, 2, 3)) + data.variance.sum((1, 2, 3))).mean())
    state = FdComponent().start(metric_context())
    for _ in range(3):
        state.update(image.expand(200, -1, -1, -1), torch.arange(200) % len(data.weight))  # type: ignore[call-arg]
    assert state.compute().value == pytest.approx(expected, rel=1e-9)


def test_equal_features_of_each_class_lack_the_whole_variance() -> None:
    mean, variance = class_moments(by_class_path(metric_context()))
    image = torch.full((1, 3, 32, 32), 0.3)
    extractor = metric_context().extractor("cifar10-features")
    row = metric_context().features(extractor)(image).rows.double().numpy()
    expected = float((((row - mean) ** 2).sum(1) + variance.sum(1)).mean())
    state = FdClass().start(metric_context())
    for _ in range(2):
        state.update(image.expand(400, -1, -1, -1), torch.arange(400) % 10)  # type: ignore[call-arg]
    result = state.compute()
    # rows of one image in two batches of other sizes differ in the last bits of float32
    assert result.value == pytest.approx(expected, rel=1e-4)
