"""Data sets that a bench.toml names: a folder or an .npz, by splits, wherever a data set's name is."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from bench import BenchError, MetricContext
from bench.data.own import own_dataset
from bench.plan.sources import open_images
from bench.plugins.registry import OWN
from tests.metrics.test_context import Means
from tests.support.images import back, folder, pixels
from tests.support.metrics import CPU
from tests.support.plugins import empty_registry, installed


def test_its_splits_are_folders_and_archives(tmp_path: Path) -> None:
    images = pixels(6)
    paths = {"train": folder(tmp_path / "train", images), "test": tmp_path / "test.npz"}
    np.savez(paths["test"], images[:4])
    registry = empty_registry()
    registry.add("datasets", own_dataset("faces", paths, "mine", ""), OWN, "[datasets.faces]")
    for name, expected in (("faces", images), ("faces-test", images[:4])):
        source = open_images(name, registry=registry)
        assert np.array_equal(back(source), expected)
        assert np.array_equal(back(pickle.loads(pickle.dumps(source))), expected)
    thing = registry.get("datasets", "faces").thing
    assert (thing.licence, thing.source) == ("mine", f"{paths['train']}, {paths['test']}")
    paths["test"].unlink()
    with pytest.raises(BenchError, match=r"faces-test: there is no .*test\.npz, which bench.toml names"):
        open_images("faces-test", registry=registry)


def test_its_statistics_follow_its_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are measured when they are needed, and never those of what was there before."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "x.npz"
    registry = installed().copy()
    registry.add("datasets", own_dataset("faces", {"all": path}, "", ""), OWN, "[datasets.faces]")
    extractor = Means()
    for n in (20, 30):
        np.savez(path, pixels(n))
        statistics = MetricContext(registry, CPU).statistics("faces", extractor)
        np.testing.assert_allclose(statistics.mean, pixels(n).mean(axis=(0, 1, 2)), rtol=1e-6)
        assert statistics.card["n"] == n
