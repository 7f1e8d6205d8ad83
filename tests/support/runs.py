"""Runs from the command line, in this process: registries with plugins of a test, computed batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bench.engine.batch
from bench import Batch, Outcome, Record
from bench.cli import main
from bench.plugins.registry import Registry
from tests.support.plugins import installed


def registry_with(plugin: object, distribution: str = "plugins-of-test", version: str = "1") -> Registry:
    """The installed plugins, and those of ``plugin``."""
    registry = installed().copy()
    registry.load(plugin, distribution, version)
    assert registry.problems == []
    return registry


def exit_status(*arguments: str, registry: Registry | None = None) -> int:
    """Run ``bench ARGUMENTS``; its exit status."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments), registry=registry)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def computed_batches(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """A list that every batch enters when its computation begins."""
    batches: list[Batch] = []
    original = bench.engine.batch.attempt_batch

    def spy(batch: Batch, **options: Any) -> Outcome:
        batches.append(batch)
        return original(batch, **options)

    monkeypatch.setattr("bench.engine.loop.attempt_batch", spy)
    return batches


def forbid_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the computation of a batch fail the test."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a batch is computed")

    monkeypatch.setattr("bench.engine.loop.attempt_batch", never)


def records_in(out: str | Path = "results") -> list[Record]:
    """The records of a results folder, by title and seed."""
    records = [Record.from_json(path.read_bytes()) for path in Path(out, "records").glob("*.json")]
    return sorted(records, key=lambda record: (record.title, record.seed))
