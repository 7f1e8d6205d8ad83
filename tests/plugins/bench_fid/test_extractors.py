"""Extractors without a download: shapes, batches, and what their distance tells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import BenchError, Extractor
from bench.checkpoints.load import load_model
from tests.support.metrics import CPU, extractor_of, metric_context
from tests.support.plugins import installed


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 32, 32), (2,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    extractor = extractor_of("cifar10-features")
    message = f"cifar10-features takes 3x32x32 images, not {'x'.join(map(str, shape))}"
    with pytest.raises(BenchError, match=message):
        extractor.check_shape(shape)
    with pytest.raises(BenchError, match=message):
        metric_context().features(extractor)(torch.rand(2, *shape))
    extractor.check_shape((3, 32, 32))


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 16, 48)])
def test_pixels_take_any_shape(shape: tuple[int, ...]) -> None:
    """Images in 8 bits, points as they are: outside [0, 1] too."""
    items = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    extractor = extractor_of("pixels")
    rows = metric_context().features(extractor)(items).rows
    expected = items if len(shape) == 1 else items.clamp(0, 1).mul(255).round() / 255
    assert torch.equal(rows, expected.flatten(1))
    assert rows.shape[1] == extractor.width_of(shape)


def test_more_features_than_a_covariance_takes_are_refused() -> None:
    message = "pixels has 12288 features of 3x64x64 items, .* sliced_wasserstein and mmd take"
    with pytest.raises(BenchError, match=message):
        metric_context().features(extractor_of("pixels"))(torch.rand(2, 3, 64, 64))


@pytest.mark.parametrize(("name", "channels"), [("inception", 1), ("inception", 3), ("dinov2", 3)])
def test_resizing_extractors_take_any_height_and_width(name: str, channels: int) -> None:
    extractor: Extractor = extractor_of(name)
    extractor.check_shape((channels, 64, 48))
    with pytest.raises(BenchError, match="channels, not 2"):
        extractor.check_shape((2, 64, 48))


def test_pixels_are_the_values_in_their_order() -> None:
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    rows = extractor_of("pixels").load(CPU)(images).rows
    assert torch.equal(rows, images.flatten(1).float() / 255)


def test_features_do_not_depend_on_the_batches() -> None:
    images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    extract = extractor_of("cifar10-features").load(CPU)
    whole = extract(images)
    parts = [extract(part) for part in images.split([7, 20, 13])]
    # float32 sums in another order
    torch.testing.assert_close(torch.cat([part.rows for part in parts]), whole.rows, rtol=1e-4, atol=1e-4)
    assert whole.probabilities is not None
    torch.testing.assert_close(whole.probabilities.sum(dim=1), torch.ones(40))


def test_fd_cifar10_tells_worse_images_from_better() -> None:
    """Draws of the mixture fitted to CIFAR-10 are nearer to it than the same draws with noise."""
    from bench.checkpoints.exact import exact_data

    card = installed().get("checkpoints", "gmm-cifar10").thing
    model = load_model(card, installed().build("sdes", "ve", {}), CPU, installed())
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
