"""The classifier behind ``cifar10-features``: shapes, and logits of its own features."""

from __future__ import annotations

import torch

from bench_fid.network import Cifar10Features


def test_logits_are_the_head_of_rectified_features() -> None:
    torch.manual_seed(0)
    network = Cifar10Features().eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        features, logits = network.features(images), network(images)
        torch.testing.assert_close(logits, network.head(features.relu()))
    assert features.shape == (2, 64)
    assert logits.shape == (2, 10)
    assert (features < 0).any()  # not rectified
