"""The classifier of noisy images: what it sees at which noise level, and the gradient of its verdicts."""

from __future__ import annotations

import csv
import itertools
import math
import tomllib
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench.checkpoints.networks.classifier import CARD, NoisyClassifier, load_noisy_classifier
from bench.files import REGISTRY
from tests.support.metrics import extractor_of

REFERENCE = REGISTRY.parent / "results" / "reference"
CPU = torch.device("cpu")


def noisy(n: int, sigma: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Made-up noisy images (n, 3, 32, 32) at levels sigma (n,)."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(n, 3, 8, 8, generator=generator, dtype=dtype).repeat_interleave(4, 2)
    noise = torch.randn(n, 3, 32, 32, generator=generator, dtype=dtype)
    return clean.repeat_interleave(4, 3) * 2 - 1 + sigma[:, None, None, None] * noise


def log_p(classifier: NoisyClassifier, x: Tensor, sigma: Tensor) -> Tensor:
    """Sum of ``ln p(y | x)`` over the batch, image i of class i."""
    y = torch.arange(len(x))[:, None] % 10
    return classifier.logits(x, sigma).log_softmax(1).gather(1, y).sum()


def gradient(classifier: NoisyClassifier, x: Tensor, sigma: Tensor) -> Tensor:
    """``d ln p(y | x) / dx``, taken where gradients are off, as samplers run."""
    with torch.no_grad(), torch.enable_grad():
        x = x.detach().requires_grad_()
        (result,) = torch.autograd.grad(log_p(classifier, x, sigma), x)
    return result


def test_the_shipped_classifier_loads_and_is_small() -> None:
    card = tomllib.loads(CARD.read_text())
    (file,) = card["files"]
    assert file["bytes"] == (CARD.parent / file["name"]).stat().st_size <= 4_000_000
    classifier = load_noisy_classifier(CPU)
    assert not classifier.training
    assert {p.dtype for p in classifier.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in classifier.parameters())
    assert "re-encoded copy" in card["data"]


def test_the_card_tells_what_curve_and_figure_tell() -> None:
    card = tomllib.loads(CARD.read_text())
    curve = list(csv.DictReader((CARD.parent / card["training"]["curve"]).read_text().splitlines()))
    assert int(curve[-1]["step"]) == card["training"]["steps"]
    assert float(curve[-1]["held_out_loss_ema"]) == pytest.approx(card["training"]["held_out_loss"])
    rows = list(csv.DictReader((REFERENCE / "noisy-classifier.csv").read_text().splitlines()))
    assert {int(row["n"]) for row in rows} == {card["test"]["images"]}
    for name in ("sigma", "accuracy", "cross_entropy"):
        # made again elsewhere, a float32 sum may differ in its last digits and a verdict in ten thousand
        assert [float(row[name]) for row in rows] == pytest.approx(card["test"][name], abs=5e-4)


def test_more_noise_leaves_less_to_see() -> None:
    """Data processing: the noisier image is made of the less noisy one, so no level beats one below it."""
    rows = list(csv.DictReader((REFERENCE / "noisy-classifier.csv").read_text().splitlines()))
    for before, after in itertools.pairwise(rows):
        for name, sign in (("accuracy", 1), ("cross_entropy", -1)):
            error = math.hypot(float(before[f"{name}_error"]), float(after[f"{name}_error"]))
            assert sign * (float(after[name]) - float(before[name])) < 4 * error
    last = rows[-1]
    assert float(last["cross_entropy"]) < math.log(10) + 4 * float(last["cross_entropy_error"])


def test_the_same_bits_twice() -> None:
    sigma = torch.tensor([0.05, 0.5, 5.0, 50.0])
    x = noisy(4, sigma)
    first, second = (gradient(load_noisy_classifier(CPU), x, sigma) for _ in range(2))
    assert torch.equal(first, second)


def test_memory_format_batch_and_a_single_level_change_nothing() -> None:
    classifier = load_noisy_classifier(CPU)
    sigma = torch.full((4,), 0.7)
    x = noisy(4, sigma)
    logits = classifier.logits(x, sigma)
    # float32 sums in another order: some 2^-24 per layer of some thirty, of logits of order ten
    near: dict[str, Any] = {"rtol": 0, "atol": 1e-4}
    for other in (
        classifier.logits(x.contiguous(memory_format=torch.channels_last), sigma),
        classifier.logits(x, torch.tensor(0.7)),
        torch.cat([classifier.logits(x[i : i + 1], sigma[:1]) for i in range(4)]),
    ):
        torch.testing.assert_close(other, logits, **near)


@pytest.mark.parametrize("sigma", [0.002, 0.1, 1.0, 10.0, 100.0])
def test_gradient_is_that_of_finite_differences(sigma: float) -> None:
    """In float64, along the gradient itself: a central difference errs by O(h^2) and by rounding over h."""
    classifier = load_noisy_classifier(CPU).double()
    levels = torch.full((3,), sigma, dtype=torch.float64)
    x = noisy(3, levels, torch.float64)
    result = gradient(classifier, x, levels)
    # steps in units of the image's own scale, which the network normalizes
    unit, h = result / result.norm() * math.sqrt(sigma**2 + 0.25), 1e-3
    with torch.no_grad():
        differences = [
            (log_p(classifier, x + k * h * unit, levels) - log_p(classifier, x - k * h * unit, levels))
            / (2 * k * h)
            for k in (1, 2)
        ]
    one, two = (float(d) for d in differences)
    slope = float((result * unit).sum())
    # by Richardson the rest is of order h^4, and a difference of the two tells the size of the h^2 term
    assert (4 * one - two) / 3 == pytest.approx(slope, rel=1e-7, abs=abs(one - two) / 10)
    assert one == pytest.approx(slope, rel=1e-3)


def test_gradient_in_float32_is_that_of_float64() -> None:
    classifier, sigma = load_noisy_classifier(CPU), torch.tensor([0.01, 0.3, 3.0, 100.0])
    x = noisy(4, sigma)
    single = gradient(classifier, x, sigma)
    double = gradient(classifier.double(), x.double(), sigma.double())
    norms = double.flatten(1).norm(dim=1)
    # some thirty layers and back, each off by a few of float32's 2^-24
    assert ((single - double).flatten(1).norm(dim=1) < 1e-4 * norms).all()


def samples() -> Tensor:
    """The 64 samples of ``cifar10-tiny`` in the README's picture, uint8: 8 rows, twice as large, 2 apart."""
    with Image.open(REFERENCE / "quick.png") as picture:
        grid = torch.from_numpy(np.array(picture))
    assert grid.shape == (530, 530, 3)
    places = [(2 + 66 * i, 2 + 66 * j) for i in range(8) for j in range(8)]
    return torch.stack([grid[i : i + 64 : 2, j : j + 64 : 2] for i, j in places]).permute(0, 3, 1, 2)


def verdicts(sigma: float) -> tuple[Tensor, Tensor]:
    """Of noisy samples p(y | x) (64, 10), and p(y | x0) by the classifier of ``fd_cifar10``."""
    images = samples()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    x = images.float() / 127.5 - 1 + sigma * noise
    with torch.inference_mode():
        result = load_noisy_classifier(CPU).logits(x, torch.tensor(sigma)).softmax(1)
    independent = extractor_of("cifar10-features").load(CPU)(images).probabilities
    assert independent is not None
    return result, independent


def beyond_chance(sigma: float) -> float:
    """How far the two sets of verdicts go together, in standard deviations of samples paired at random.

    Of rows a and b with their means taken off, ``sum_i a_i b_i`` has over permutations of the rows mean 0 and
    variance ``tr(A'A B'B) / (n - 1)``.
    """
    a, b = (p.double() - p.double().mean(0) for p in verdicts(sigma))
    return float((a * b).sum() / (((a.T @ a) * (b.T @ b)).sum() / (len(a) - 1)).sqrt())


def test_it_agrees_with_an_independent_classifier_where_there_is_something_to_see() -> None:
    assert beyond_chance(0.01) > 4
    assert beyond_chance(0.1) > 4
    assert abs(beyond_chance(100.0)) < 4


def test_buried_in_noise_an_image_tells_nothing() -> None:
    """CIFAR-10's classes are equally common: far out p(y | x) is near a tenth of each, by its divergence."""
    p, _ = verdicts(100.0)
    assert (p * (10 * p).log()).sum(1).mean() < math.log(10) / 50
