"""The Fréchet distance per coefficient: other batches, other shapes."""

from __future__ import annotations

import pytest
import torch

from bench import BenchError, Metric
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
