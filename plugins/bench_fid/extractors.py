"""Extractors that need no download: a small classifier's features, and the pixels themselves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from bench import Emit, Extract, Extractor, Features, Tensor, WeightsCard, cached_sha256, registry_path

CHUNK = 250
"""Images per pass: the activations of more exceed the processor's cache."""


class Cifar10FeaturesExtractor(Extractor):
    """The 64 penultimate activations of ``cifar10-features``, a small classifier of CIFAR-10."""

    name = "cifar10-features"
    width = 64
    shape = (3, 32, 32)
    has_classes = True

    def _file(self) -> Path:
        return WeightsCard.read(registry_path("features", "cifar10-features.toml")).weights()

    def check(self, emit: Emit) -> None:
        self._file()

    def provenance(self) -> dict[str, str]:
        return {self.name: cached_sha256(self._file())}

    def reference(self, dataset: str, emit: Emit) -> Path | None:
        path = registry_path("stats", f"{dataset}_{self.name}.npz")
        return path if path.is_file() else None

    def load(self, device: Any) -> Extract:
        import torch
        from safetensors.torch import load_file

        from bench_fid.network import Cifar10Features

        network = Cifar10Features()
        tensors = {k: v.float() for k, v in load_file(self._file()).items()}
        network.load_state_dict(network.state_dict() | tensors)
        network = network.eval().requires_grad_(False).to(device)
        network = network.to(memory_format=torch.channels_last)

        def extract(images: Tensor) -> Features:
            rows, probabilities = [], []
            for part in images.split(CHUNK):
                features = network.features(part.to(device))
                rows.append(features.cpu())
                probabilities.append(network.head(features.relu()).softmax(1).cpu())
            return Features(torch.cat(rows), torch.cat(probabilities))

        return extract


class Pixels(Extractor):
    """The values of an item of any shape: of an image (C, H, W) in 8 bits on [0, 1], of a point (D,) its
    coordinates on the unit range, not clipped."""

    name = "pixels"
    has_classes = False

    def width_of(self, shape: tuple[int, ...]) -> int:
        return math.prod(shape)

    def takes_bytes(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 3

    def load(self, device: Any) -> Extract:
        del device

        def extract(items: Tensor) -> Features:
            rows = items.flatten(1).float()
            return Features(rows if items.is_floating_point() else rows / 255)

        return extract
