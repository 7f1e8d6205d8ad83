"""Samples for checks of metrics: what each output is, and that an amount makes it worse by that much."""

from __future__ import annotations

import functools

import pytest
import torch

from bench import Metric
from bench.testing.samples import COMPLETIONS, Batch, Samples
from tests.support.checks import context
from tests.support.plugins import installed


@functools.cache
def draw(name: str, amount: float = 0.0, count: int = 16) -> Batch:
    metric: Metric = installed().build("metrics", name, {})
    return Samples(metric, context()).draw(count, amount)


def test_images_get_white_noise_of_the_amount() -> None:
    (true,), (noisy,) = draw("fd_dct"), draw("fd_dct", 0.5)
    assert true.shape == (16, 3, 32, 32)
    # 49,152 values: five standard errors of a deviation are 1.6 %
    assert float((noisy - true).std()) == pytest.approx(0.5, rel=0.016)


def test_a_share_of_labels_is_moved() -> None:
    (images, labels), (again, moved) = draw("component_share"), draw("component_share", 0.5)
    assert torch.equal(images, again)
    assert labels.tolist() == [i % 10 for i in range(16)]
    assert set(((moved - labels) % 10).tolist()) == {0, 1}


def test_completions_keep_the_known_half() -> None:
    images, original, known, axes = draw("known_error")
    assert bool((images == original)[known].all())
    differs = ((images != original) & ~known).flatten(1).any(1)
    assert differs.tolist() == [i % COMPLETIONS != 0 for i in range(16)]  # the first is the original itself
    assert float(known.float().mean()) == 0.5
    assert torch.equal(axes[0], torch.eye(3))
    for group in original.split(COMPLETIONS):
        assert bool((group == group[:1]).all())


def test_latents_are_wider_or_apart_by_the_amount() -> None:
    (latents,), (wide,) = draw("latent_fd"), draw("latent_fd", 0.5)
    assert torch.equal(wide, 1.5 * latents)
    one, other = draw("latent_difference", 0.4)
    assert float((one - other).std()) == pytest.approx(0.5, rel=0.016)


def test_companions_follow_the_images() -> None:
    images, fine, coarse = draw("flow_error")
    assert torch.equal(images, fine)
    assert 0 < float((fine - coarse).abs().max()) < 1e-3
