"""Metrics of latents, on normal latents whose moments are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench import BenchError, Metric, MetricResult, Tensor
from tests.support.flows import normal_latents
from tests.support.metrics import metric_context
from tests.support.plain import plain
from tests.support.plugins import installed


def measure(name: str, *latents: Tensor, parts: int = 1) -> MetricResult:
    """A metric on tensors with a row per image, in several batches."""
    metric: Metric = installed().build("metrics", name, {})
    state = metric.start(metric_context())
    for batch in zip(*(tensor.chunk(parts) for tensor in latents), strict=True):
        state.update(*batch)
    return state.compute()


def test_latent_fd() -> None:
    """Zero for the prior's own draws, within four errors; for others ``m^2 + (s - 1)^2``."""
    z = normal_latents(0)
    result = measure("latent_fd", z, parts=4)
    assert result.error is not None
    assert abs(result.value) < 4 * result.error
    assert result.details["mean_square"] == pytest.approx(float((z**2).mean()), rel=1e-5)
    other = measure("latent_fd", 0.3 + 1.2 * z, parts=3)
    assert other.error is not None
    assert abs(other.value - (0.3**2 + 0.2**2)) < 4 * other.error
    with pytest.raises(BenchError, match="at least 2 images"):
        measure("latent_fd", z[:1])


def test_comparisons_of_latents() -> None:
    """Normal latents of a known correlation: both metrics, their errors, and their values when shuffled."""
    x, e = normal_latents(0), normal_latents(1)
    y = 0.8 * x + 0.6 * e
    d, n = x[0].numel(), len(x)
    result = measure("latent_correlation", x, y, parts=4)
    # the spread of a correlation is (1 - r^2) / sqrt(n), of the mean of d independent ones sqrt(d) less
    spread = (1 - 0.8**2) / math.sqrt(n * d)
    assert abs(result.value - 0.8) < 4 * spread
    assert result.error is not None
    assert 0.5 < result.error / spread < 2
    assert abs(plain(result.details)["shuffled"]) < 4 / math.sqrt(n * d)
    assert plain(result.details)["quantiles"]["5%"] < result.value < plain(result.details)["quantiles"]["95%"]
    for name in ("latent_correlation", "latent_difference"):
        # the same value for any split into batches
        whole, parts = measure(name, x, y), measure(name, x, y, parts=7)
        assert parts.value == pytest.approx(whole.value, rel=1e-12)
        assert parts.error == pytest.approx(whole.error, rel=1e-9)
        assert parts.details["shuffled"] == pytest.approx(whole.details["shuffled"], rel=1e-9)
    a, b = (z.flatten(1).double().numpy() for z in (x, y))
    for other, expected in ((b, result.value), (np.roll(b, -1, axis=0), result.details["shuffled"])):
        by_hand = [np.corrcoef(a[:, j], other[:, j])[0, 1] for j in range(d)]
        assert expected == pytest.approx(np.mean(by_hand), rel=1e-9)
    difference = measure("latent_difference", x, y)
    assert difference.value == pytest.approx(np.sqrt(((a - b) ** 2).mean(0)).mean(), rel=1e-12)
    assert difference.error is not None
    assert abs(difference.value - math.sqrt(0.4)) < 4 * difference.error + 0.4 / n
    assert difference.details["shuffled"] == pytest.approx(math.sqrt(2), rel=0.02)
    with pytest.raises(BenchError, match="at least 3 images"):
        measure("latent_difference", x[:2], y[:2])


@pytest.mark.parametrize("n", [3, 40, 1000])
def test_equal_latents(n: int) -> None:
    """``mean m_j^2 + 1``, a correlation of 0, and the difference itself."""
    generator = torch.Generator().manual_seed(n)
    one, two = (torch.randn(1, 3, 4, 4, generator=generator).expand(n, -1, -1, -1) for _ in range(2))
    expected = float((one[0].double() ** 2).mean()) + 1
    for parts in (1, 3):
        assert measure("latent_fd", one, parts=parts).value == pytest.approx(expected, rel=1e-9)
        difference = measure("latent_difference", one, two, parts=parts)
        assert difference.value == pytest.approx(float((one[0] - two[0]).abs().mean()), rel=1e-6)
        for other in (two, one, torch.randn(n, 3, 4, 4, generator=generator)):
            correlation = measure("latent_correlation", one, other, parts=parts)
            assert correlation.value == 0
            assert correlation.error in (None, 0)
            assert plain(correlation.details)["shuffled"] == 0


def test_coordinates_that_are_equal_in_all_images_count_as_zero() -> None:
    x = normal_latents(0)[:200].clone()
    x.flatten(1)[:, : x[0].numel() // 4] = 0.1
    result = measure("latent_correlation", x, 2 * x + 1, parts=3)
    assert result.value == pytest.approx(0.75, rel=1e-6)
    assert measure("latent_correlation", x, x, parts=3).value <= 0.75
