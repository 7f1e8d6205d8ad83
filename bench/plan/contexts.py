"""Metric contexts: one per device, made once."""

from __future__ import annotations

import functools
from pathlib import Path

from bench.devices import choose_device
from bench.events import Emit, silent
from bench.files import user_path
from bench.metrics.context import MetricContext
from bench.plan.fingerprint import plugin_digest
from bench.plan.settings import Settings
from bench.plan.sources import open_images
from bench.plugins.registry import Registry


class MetricContexts:
    """`MetricContext` by device; references may be runs in the results folder.

    Args:
        registry: Plugins by name.
        results: Results folder in which fingerprints are looked up.
        emit: Receives progress of measuring references.
    """

    def __init__(self, registry: Registry, results: Path, emit: Emit = silent) -> None:
        self.registry = registry
        self.results = results
        self.emit = emit
        self._contexts: dict[str, MetricContext] = {}

    def on(self, device: str) -> MetricContext:
        """The context of a device."""
        import torch

        if device not in self._contexts:
            self._contexts[device] = MetricContext(
                self.registry,
                torch.device(device),
                open_images=functools.partial(open_images, results=self.results, registry=self.registry),
                emit=self.emit,
                code_of=functools.partial(plugin_digest, "extractors", registry=self.registry),
            )
        return self._contexts[device]


def metric_context(settings: Settings, registry: Registry, emit: Emit = silent) -> MetricContext:
    """The context of the device and the results folder that the settings name."""
    device = str(choose_device(settings.device))
    return MetricContexts(registry, user_path(settings.out), emit).on(device)
