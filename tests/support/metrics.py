"""What metrics use in tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch

from bench import Emit, Extractor, Images, MetricContext, silent
from bench.plugins.registry import Registry
from tests.support.plugins import installed

CPU = torch.device("cpu")


def metric_context(registry: Registry | None = None, emit: Emit = silent) -> MetricContext:
    """A new context on the CPU, of what is installed unless another registry is given."""
    return MetricContext(installed() if registry is None else registry, CPU, emit=emit)


def extractor_of(name: str, **parameters: Any) -> Extractor:
    """An installed extractor."""
    return metric_context().extractor(name, **parameters)


class Items(Images):
    """Items of any shape in memory, on the unit range."""

    kind = "memory"

    def __init__(self, items: torch.Tensor, name: str = "them", batch: int = 250) -> None:
        self._items = items.float()
        super().__init__(name, len(items), tuple(items.shape[1:]), "none: in memory", batch)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self._items.split(self.batch))

    def compute_hash(self, emit: Emit) -> str:
        del emit
        return hashlib.sha256(self._items.numpy().tobytes()).hexdigest()


def context_of(items: torch.Tensor, batch: int = 250) -> MetricContext:
    """A new context in which every name of images stands for these items (n, *shape)."""

    def open_items(name: str, *, emit: Emit = silent) -> Images:
        del emit
        return Items(items, name, batch)

    return MetricContext(installed(), CPU, open_images=open_items)
