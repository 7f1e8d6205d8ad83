"""The Fréchet distance per coefficient: other batches, other shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench import BenchError, Metric, dct_data, to_dct
from tests.support.metrics import metric_context
from tests.support.plugins import installed


def fd_dct() -> Metric:
    """The installed metric."""
    metric: Metric = installed().build("metrics", "fd_dct", {})
    return metric


def test_value_does_not_depend_on_the_batches() -> None:
    images = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    values = []
    for sizes in ([40], [7, 20, 13]):
        state = fd_dct().start(metric_context())
        for part in images.split(sizes):
            state.update(part)
        values.append(state.compute().value)
        assert state.compute().n == 40
    assert values[0] == pytest.approx(values[1], rel=1e-9)


@pytest.mark.parametrize("shape", [(3, 16, 16), (3, 64, 64), (1, 32, 32), (3, 16, 64), (3, 12, 256 // 3)])
def test_other_shapes_are_refused_at_planning_and_in_batches(shape: tuple[int, ...]) -> None:
    """One of them has as many values as a 3x32x32 image."""
    task = installed().build("tasks", "generate", {})
    with pytest.raises(BenchError, match="fd_dct takes 3x32x32 images, not "):
        fd_dct().check(task, shape, 1000)
    with pytest.raises(BenchError, match="fd_dct takes 3x32x32 images, not "):
        fd_dct().start(metric_context()).update(torch.rand(2, *shape))
    fd_dct().check(task, (3, 32, 32), 1000)


@pytest.mark.parametrize("n", [2, 64, 1000])
@pytest.mark.parametrize("kind", ["equal images", "one color"])
def test_of_equal_images_it_is_the_offset_and_the_whole_variance(kind: str, n: int) -> None:
    """``sum o^2 + sum V`` in closed form: a sampler that collapsed has no spread at all."""
    generator = torch.Generator().manual_seed(n)
    size = (1, 3, 32, 32) if kind == "equal images" else (1, 3, 1, 1)
    image = torch.rand(size, generator=generator).expand(1, 3, 32, 32)
    data, color = dct_data(installed().get("checkpoints", "gaussian-cifar10").thing)
    offset = to_dct(image.double(), color).numpy()[0] - data.mean[0]
    expected = float((offset**2).sum() + data.variance[0].sum())
    state = fd_dct().start(metric_context())
    for part in image.expand(n, -1, -1, -1).split(max(n // 3, 1)):
        state.update(part)
    result = state.compute()
    assert result.value == pytest.approx(expected, rel=1e-9)
    assert result.error == (0 if n >= 100 else None)
    assert state.leave_one_out() == pytest.approx([expected] * len(state.leave_one_out()), rel=1e-9)


def test_images_of_two_kinds_have_the_variance_of_both() -> None:
    """Low rank: one direction varies, and each batch has one kind of image."""
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    state = fd_dct().start(metric_context())
    for image in images:
        state.update(image.expand(32, -1, -1, -1))
    data, color = dct_data(installed().get("checkpoints", "gaussian-cifar10").thing)
    x, n = to_dct(images.double(), color).numpy(), 64
    offset, variance = x.mean(axis=0) - data.mean[0], (x[0] - x[1]) ** 2 / 4 * n / (n - 1)
    c4 = math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
    spread = variance + data.variance[0] - 2 * np.sqrt(variance * data.variance[0]) / c4
    expected = float((offset**2 - variance / n + spread).sum())
    assert state.compute().value == pytest.approx(expected, rel=1e-9)
    without = [float(((x[i] - data.mean[0]) ** 2).sum() + data.variance[0].sum()) for i in (1, 0)]
    assert state.leave_one_out() == pytest.approx(without, rel=1e-9)
