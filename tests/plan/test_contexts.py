"""What metrics may use on each device, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench import Extract, Extractor, Features
from bench.events import Advance, Event
from bench.plan.contexts import MetricContexts, metric_context
from bench.plan.settings import Settings
from tests.support.images import folder, pixels
from tests.support.plugins import hooks, installed
from tests.support.runs import exit_status, records_in


def test_a_device_has_one_context() -> None:
    contexts = MetricContexts(installed(), Path("results"))
    context = contexts.on("cpu")
    assert contexts.on("cpu") is context
    assert context.device == torch.device("cpu")
    assert context.registry is installed()


def test_references_may_be_runs_of_the_results_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = ("run", "--checkpoint", "gaussian-cifar10", "--steps", "30", "--samples", "8", "--batch-size", "4")
    assert exit_status(*run, "--out", "elsewhere", "--device", "cpu") == 0
    (record,) = records_in("elsewhere")
    images = MetricContexts(installed(), Path("elsewhere")).on("cpu").images(record.fingerprint)
    assert images.n == 8
    context = metric_context(Settings(out=Path("elsewhere"), device="cpu"), installed())
    assert context.images(record.fingerprint[:8]).n == 8


def test_progress_of_contexts_reaches_the_channel(tmp_path: Path) -> None:
    events: list[Event] = []
    context = MetricContexts(installed(), tmp_path, events.append).on("cpu")
    context.emit(Advance("hashing", 1, 2, "images"))
    assert events == [Advance("hashing", 1, 2, "images")]


class Colors(Extractor):
    """The mean of each color, times a factor."""

    name = "colors"
    width = 3
    factor = 1.0

    def load(self, device: Any) -> Extract:
        return lambda images: Features(self.factor * images.flatten(2).float().mean(dim=2))


class Doubled(Colors):
    """The same by other code."""

    factor = 2.0


def test_a_reference_of_images_is_measured_anew_by_other_code_of_the_extractor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder(tmp_path / "a", pixels(20, 32))
    means = []
    for extractor in (Colors, Doubled):
        registry = installed().copy()
        registry.load(hooks("extractors", extractor), "test", "1")
        context = MetricContexts(registry, tmp_path).on("cpu")
        means.append(context.statistics(str(tmp_path / "a"), context.extractor("colors")).mean)
    assert means[1] == pytest.approx(2 * means[0])
