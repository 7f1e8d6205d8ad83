"""Streaming moments, the Fréchet distance, uint8 conversion, the shipped metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from bench import BenchError
from bench.data.pixels import to_uint8
from bench.metrics.frechet import frechet_distance
from bench.metrics.moments import Moments
from tests.support.metrics import metric_context
from tests.support.plugins import installed


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 199), max_size=6), seed=st.integers(0, 1000))
def test_streamed_moments_equal_two_pass(cuts: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(200, 5)) * [1, 10, 0.1, 1, 1] + [0, 100, 0, 1e3, -5]
    moments = Moments()
    for part in generator.permutation(len(parts := np.split(rows, sorted(set(cuts))))):
        moments.add(parts[part])
    assert moments.n == 200
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-10)
    # the covariance of columns of size 1e3 loses (1e3)^2 eps against their spread of one
    np.testing.assert_allclose(moments.covariance(), np.cov(rows.T), rtol=1e-9, atol=1e-9)


def test_frechet_distance_equals_matrix_square_root() -> None:
    generator = np.random.default_rng(0)
    a, b = (generator.normal(size=(300, 20)) @ generator.normal(size=(20, 20)) for _ in range(2))
    ca, cb = np.cov(a.T), np.cov(b.T)
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(ca + cb - 2 * np.real(sqrtm(ca @ cb)))
    assert frechet_distance(a.mean(0), ca, b.mean(0), cb) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_a_set_to_itself_is_zero_whatever_the_rank() -> None:
    rows = np.random.default_rng(0).normal(size=(10, 30))
    mean, covariance = rows.mean(0), np.cov(rows.T)
    # square roots of eigenvalues that are zero up to 30 eps: 30 of them at sqrt(30 eps) each
    assert abs(frechet_distance(mean, covariance, mean, covariance)) < 30 * np.sqrt(30 * np.finfo(float).eps)


def test_frechet_distance_of_gaussians_in_closed_form() -> None:
    one, two = np.diag([1.0, 4.0]), np.diag([9.0, 1.0])
    assert frechet_distance(np.zeros(2), one, np.array([3.0, 0.0]), two) == pytest.approx(
        9 + 4 + 1, rel=1e-12
    )


def test_statistics_of_other_features_are_refused() -> None:
    with pytest.raises(BenchError, match="not the same extractor"):
        frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))


def test_one_sample_and_nan_are_refused() -> None:
    moments = Moments()
    moments.add(np.zeros((1, 3)))
    with pytest.raises(BenchError, match="at least 2"):
        moments.covariance()
    with pytest.raises(BenchError, match="NaN"):
        moments.add(np.full((2, 3), np.nan))


def test_uint8_rounds_and_clips() -> None:
    images = torch.tensor([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.2])
    assert to_uint8(images).tolist() == [0, 0, 0, 1, 255, 255]


@pytest.mark.parametrize("name", ["fd_cifar10", "fd_dct"])
def test_shipped_metrics_do_not_depend_on_the_batches(name: str) -> None:
    images = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    readings = []
    for sizes in ([40], [7, 20, 13]):
        measured = installed().build("metrics", name, {}).start(metric_context())
        for part in images.split(sizes):
            measured.update(part)
        readings.append(measured.compute())
    assert readings[0].n == readings[1].n == 40
    # float32 features of differently sized batches: some 1e-6 relative each
    assert readings[0].value == pytest.approx(readings[1].value, rel=1e-4)


@pytest.mark.parametrize("name", ["fd_cifar10", "fd_dct"])
def test_shipped_metrics_refuse_other_shapes(name: str) -> None:
    measured = installed().build("metrics", name, {}).start(metric_context())
    with pytest.raises(BenchError, match="3x32x32"):
        measured.update(torch.rand(2, 3, 16, 16))


def test_fd_cifar10_tells_worse_images_from_better() -> None:
    """Draws of the mixture fitted to CIFAR-10 are nearer to it than the same draws with noise."""
    from bench.checkpoints.exact import exact_data
    from bench.checkpoints.load import load_model

    card = installed().get("checkpoints", "gmm-cifar10").thing
    model = load_model(card, installed().build("sdes", "ve", {}), torch.device("cpu"))
    data, _ = exact_data(card)
    generator = np.random.default_rng(0)
    k = generator.choice(len(data.weight), size=200, p=data.weight)
    x = data.mean[k] + np.sqrt(data.variance[k]) * generator.normal(size=(200, *model.shape))
    images = model.images(torch.from_numpy(x).float())
    noisy = images + 0.2 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    values = []
    for batch in (images, noisy):
        measured = installed().build("metrics", "fd_cifar10", {}).start(metric_context())
        measured.update(batch)
        values.append(measured.compute().value)
    assert values[0] < values[1]
