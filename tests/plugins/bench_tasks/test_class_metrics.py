"""Metrics by class: shares and distances against what is known of draws and of made-up rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench import BenchError, MetricState
from bench.checkpoints.exact import exact_data
from bench.cli import main
from bench.closed_form.dct import from_dct
from bench.params import Plugin
from bench_tasks.class_metrics import BY_CLASS, ComponentShare, FdComponent, _by_class, _Distance, _Share
from tests.support.plugins import installed


def drawn(metric: Plugin, count: int) -> MetricState:
    """A metric of exact draws of the components, of each as many."""
    data, colour = exact_data(installed().get("checkpoints", "gmm-cifar10").thing)
    generator = torch.Generator().manual_seed(2)
    measured = metric.start("cpu")  # type: ignore[attr-defined]
    for _ in range(count // 500):
        labels = torch.arange(500) % len(data.weight)
        z = torch.randn(500, *data.mean.shape[1:], generator=generator, dtype=torch.float64)
        x = torch.from_numpy(data.mean)[labels] + z * torch.from_numpy(data.variance)[labels].sqrt()
        measured.update(from_dct(x, colour), labels)
    assert isinstance(measured, MetricState)
    return measured


def test_metrics_of_exact_draws() -> None:
    """No distance within four errors, and the share that its documentation tells."""
    distance = drawn(FdComponent(), 2000).compute()
    assert distance.error is not None
    assert abs(distance.value) < 4 * distance.error
    share = drawn(ComponentShare(), 2000)
    found = share.compute()
    assert found.error is not None
    assert abs(found.value - 0.957) < 4 * (found.error + 0.002)
    assert len(share.leave_one_out()) == 4
    assert np.mean(share.leave_one_out()) == pytest.approx(found.value)


def test_distance_is_the_mean_over_classes() -> None:
    """Two classes whose rows are shifted by 1 and by 2 in 3 coordinates of unit variance: (3 + 12) / 2."""
    generator = torch.Generator().manual_seed(3)
    mean, variance = np.zeros((2, 3)), np.ones((2, 3))
    measured = _Distance(lambda images: images.flatten(1).double().numpy(), mean, variance)
    for _ in range(20):
        labels = torch.arange(600) % 2
        z = torch.randn(600, 3, 1, 1, generator=generator)
        measured.update(z + (1 + labels)[:, None, None, None], labels)
    found = measured.compute()
    assert found.error is not None
    assert abs(found.value - 7.5) < 4 * found.error
    with pytest.raises(BenchError, match="of class 2, the reference has classes 0 to 1"):
        measured.update(torch.zeros(1, 3, 1, 1), torch.tensor([2]))
    few = _Distance(lambda images: images.flatten(1).double().numpy(), mean, variance)
    few.update(torch.zeros(3, 3, 1, 1), torch.tensor([0, 0, 1]))
    with pytest.raises(BenchError, match="at least 2 samples of each"):
        few.compute()
    few.update(torch.ones(3, 3, 1, 1), torch.tensor([0, 0, 1]))
    assert (few.compute().error, few.compute().note) == (None, "fewer than 100 samples of a class")


def test_share_counts_by_label() -> None:
    measured = _Share(lambda images: np.asarray(images[:, 0, 0, 0].long().numpy()))
    images = torch.tensor([0.0, 1.0, 1.0, 1.0])[:, None, None, None]
    measured.update(images, torch.tensor([0, 0, 1, 1]))
    found = measured.compute()
    assert (found.value, found.details["by_label"]) == (0.75, {"0": 0.5, "1": 1.0})


def test_reference_by_class_is_of_the_whole_training_set() -> None:
    """5,000 images a class, whose means average to those of the shipped statistics."""
    mean, variance = _by_class(BY_CLASS)
    assert mean.shape == variance.shape == (10, 64)
    with np.load(BY_CLASS.with_name("cifar10-train_cifar10-features.npz")) as whole:
        np.testing.assert_allclose(mean.mean(0), whole["mu"], rtol=1e-4, atol=1e-4)
    with pytest.raises(BenchError, match="missing or damaged: restore it from the project"):
        _by_class(BY_CLASS.with_name("nothing.npz"))


def test_metric_of_labels_needs_a_task_that_leaves_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["run", "--checkpoint", "gmm-cifar10", "--metric", "component_share", "--samples", "4"])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "component_share reads labels, which the task generate does not leave" in line
