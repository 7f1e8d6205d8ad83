"""Metrics that are the mean of a number per image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import BenchError, Metric
from bench_tasks.means import BitsPerDim, RoundTrip
from tests.support.metrics import metric_context

VALUES = torch.tensor([1.0, 2.0, 4.0, 5.0, 8.0, 10.0])


@pytest.mark.parametrize("kind", [BitsPerDim, RoundTrip])
def test_mean_error_and_range(kind: type[Metric]) -> None:
    """``mean +- std / sqrt(n)``, whatever the batches."""
    for size in (1, 4, 6):
        state = kind().start(metric_context())
        for batch in VALUES.split(size):
            state.update(batch)
        result = state.compute()
        assert (result.value, result.n) == (5.0, 6)
        assert result.error == pytest.approx(np.std(VALUES.numpy(), ddof=1) / 6**0.5)
        assert result.details == {"smallest": 1.0, "largest": 10.0}


def test_one_image_has_no_error_and_none_has_no_value() -> None:
    state = BitsPerDim().start(metric_context())
    with pytest.raises(BenchError, match="bits_per_dim needs a number of at least one image"):
        state.compute()
    state.update(VALUES[:1])
    assert (state.compute().value, state.compute().error) == (1.0, None)


def test_leave_one_out_is_the_mean_without_a_batch() -> None:
    state = RoundTrip().start(metric_context())
    assert state.leave_one_out() == []
    for batch in VALUES.split(2):
        state.update(batch)
    assert state.leave_one_out() == [6.75, 5.25, 3.0]
