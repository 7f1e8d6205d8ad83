"""What metrics may use on each device, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.events import Advance, Event
from bench.plan.contexts import MetricContexts, metric_context
from bench.plan.settings import Settings
from tests.support.plugins import installed
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
