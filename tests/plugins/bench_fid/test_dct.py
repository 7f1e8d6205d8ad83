"""The Fréchet distance per coefficient: other batches, other shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import torch

from bench import BenchError, Metric, dct_data, to_dct
from bench.types import Array
from bench_fid.dct import moments_of_card
from tests.support.metrics import context_of, metric_context
from tests.support.plugins import installed


def fd_dct(reference: str = "gaussian-cifar10") -> Metric:
    """The installed metric."""
    metric: Metric = installed().build("metrics", "fd_dct", {"reference": reference})
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
def test_other_shapes_than_the_references_are_refused_at_planning_and_in_batches(
    shape: tuple[int, ...],
) -> None:
    """One of them has as many values as a 3x32x32 image."""
    with pytest.raises(BenchError, match="its reference gaussian-cifar10 is of 3x32x32 items, the "):
        fd_dct().check_reference(shape, metric_context())
    with pytest.raises(BenchError, match="fd_dct takes 3x32x32 images, not "):
        fd_dct().start(metric_context()).update(torch.rand(2, *shape))
    fd_dct().check_reference((3, 32, 32), metric_context())


@pytest.mark.parametrize("shape", [(2,), (2, 8, 8), (4, 8, 8)])
def test_points_and_other_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BenchError, match="it takes images of 1 or 3 channels, not "):
        fd_dct("them").check_reference(shape, context_of(torch.rand(4, *shape)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 5, 12), (3, 6, 10)])
def test_of_images_it_is_the_sum_over_coefficients_without_bias(shape: tuple[int, ...]) -> None:
    """Normal pixels on both sides, independent: in any orthonormal basis the same closed form,
    ``D (m - mu)^2 + D (s - sd)^2``, the mean over repeats of few samples and few images of the reference."""
    rng = np.random.default_rng(0)
    d, (shift, ratio) = math.prod(shape), (0.1, 1.5)
    values = []
    for _ in range(200):
        reference, samples = (torch.from_numpy(rng.normal(size=(n, *shape))) for n in (12, 9))
        state = fd_dct("them").start(context_of(reference))
        state.update(shift + ratio * samples)
        values.append(state.compute().value)
    expected = d * (shift**2 + (ratio - 1) ** 2)
    assert abs(np.mean(values) - expected) < 4 * np.std(values) / math.sqrt(len(values))


@pytest.mark.parametrize("shape", [(1, 6, 9), (3, 8, 5)])
def test_its_moments_are_those_of_the_coefficients(shape: tuple[int, ...]) -> None:
    """Against scipy's DCT of the planes, gray first."""
    reference, samples = (
        torch.rand(40, *shape, generator=torch.Generator().manual_seed(k)).double() for k in (0, 1)
    )

    def coefficients(x: torch.Tensor) -> Array:
        planes = x.numpy()
        if shape[0] == 3:
            r, g, b = planes.transpose(1, 0, 2, 3)
            axes = ((r + g + b) / 3**0.5, (r - g) / 2**0.5, (r + g - 2 * b) / 6**0.5)
            planes = np.stack(axes, axis=1)
        return np.asarray(scipy.fft.dctn(planes, axes=(2, 3), norm="ortho").reshape(len(planes), -1))

    x, y = coefficients(samples), coefficients(reference)
    n = 40
    c4 = math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
    v, w = x.var(axis=0, ddof=1), y.var(axis=0, ddof=1)
    shifts = (x.mean(axis=0) - y.mean(axis=0)) ** 2 - (v + w) / n
    expected = float((shifts + v + w - 2 * np.sqrt(v * w) / c4**2).sum())
    state = fd_dct("them").start(context_of(reference))
    for part in samples.split(15):
        state.update(part)
    assert state.compute().value == pytest.approx(expected, rel=1e-9)


def test_a_mixtures_moments_are_exact() -> None:
    """``E x^2 - (E x)^2`` over its components."""
    card = installed().get("checkpoints", "gmm-cifar10").thing
    data, _ = dct_data(card)
    moments = moments_of_card(card)
    mean, square = (
        sum(w * part for w, part in zip(data.weight, parts, strict=True)).ravel()
        for parts in (data.mean, data.variance + data.mean**2)
    )
    assert len(data.weight) > 1
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.variance, square - mean**2, rtol=1e-8)
    assert moments.n is None


def test_the_label_names_another_reference() -> None:
    assert fd_dct("gmm-cifar10").label == "fd_dct-gmm_cifar10"
    assert fd_dct("cifar10-train").label == fd_dct().label == "fd_dct"


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


def test_a_data_set_of_another_shape_is_refused_before_it_is_fetched() -> None:
    metric: Metric = installed().build("metrics", "fd_dct", {"reference": "cifar10-test"})
    with pytest.raises(BenchError, match=r"^its reference cifar10-test is of 3x32x32 items, .* are 1x8x8"):
        metric.check_reference((1, 8, 8), metric_context())
