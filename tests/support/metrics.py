"""What metrics use in tests."""

from __future__ import annotations

from typing import Any

import torch

from bench import Emit, Extractor, MetricContext, silent
from bench.plugins.registry import Registry
from tests.support.plugins import installed

CPU = torch.device("cpu")


def metric_context(registry: Registry | None = None, emit: Emit = silent) -> MetricContext:
    """A new context on the CPU, of what is installed unless another registry is given."""
    return MetricContext(installed() if registry is None else registry, CPU, emit=emit)


def extractor_of(name: str, **parameters: Any) -> Extractor:
    """An installed extractor."""
    return metric_context().extractor(name, **parameters)
