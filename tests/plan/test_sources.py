"""The samples of runs as images; what else a name stands for is data's to say."""

from __future__ import annotations

import functools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import BenchError
from bench.plan.sources import open_images, open_run
from bench.results.identity import with_checksum
from bench.results.store import Store
from tests.support.images import back, error_of, folder, pixels, recorded
from tests.support.plugins import installed


def test_a_run_is_handed_on_as_it_was_stored(tmp_path: Path) -> None:
    batches = [torch.randn(size, 3, 8, 8) for size in (5, 5, 2)]
    store = recorded(tmp_path / "results", batches)
    fingerprint = "0123456789abcdef"
    for name in ("0123", fingerprint, str(store.record_path(fingerprint)), str(store.root)):
        source = open_images(name, batch=3, results=store.root)
        assert (source.kind, source.n, source.shape) == ("run", 12, (3, 8, 8))
        assert source.sizes() == [5, 5, 2]
        assert all(torch.equal(a, b) for a, b in zip(source, batches, strict=True))
    again = recorded(tmp_path / "again", batches, "f" * 16)
    assert open_images(str(again.root)).sha256() == source.sha256()


def test_runs_that_are_refused(tmp_path: Path) -> None:
    batches = [torch.rand(4, 3, 8, 8)]
    store = recorded(tmp_path / "results", batches)
    recorded(tmp_path / "results", batches, "0123456789abcdee")
    message = error_of(store.root)
    assert "holds 2 runs, give the record of one" in message
    assert "0123456789abcdef" in message
    assert "0123456789abcdee" in message
    assert "'0123' is ambiguous: 0123456789abcdee, 0123456789abcdef" in error_of("0123", results=store.root)
    assert "no fingerprint in" in error_of("4444", results=store.root)
    damaged = store.batch_path("key0123456789abcdef", 0, 4)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    assert f"{damaged} is damaged" in error_of("0123456789abcdef", results=store.root)
    damaged.unlink()
    assert "the samples of run 0123456789abcdef are not in" in error_of(
        "0123456789abcdef", results=store.root
    )
    path = store.record_path("0123456789abcdef")
    record = json.loads(path.read_text())
    path.write_bytes(with_checksum(record | {"status": "failed"}))
    assert "run 0123456789abcdef is not finished" in error_of(path)
    path.write_text(json.dumps(record | {"schema_version": 1}))
    assert "of another version of bench (schema 1, not 2)" in error_of(path)
    path.write_text("{")
    assert "can't be read" in error_of(path)
    path.write_text("[]")
    assert "is not a record of bench run" in error_of(path)
    Store(tmp_path / "none")
    assert "there is no finished run in" in error_of(tmp_path / "none")


def test_a_fingerprint_without_results_is_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "'0a1b2c3d' is neither a file or folder nor a data set" in error_of("0a1b2c3d")


def test_a_run_alone_is_opened_by_any_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is called as the fingerprint, such as an export of it, does not hide the run."""
    monkeypatch.chdir(tmp_path)
    store = recorded(tmp_path / "results", [torch.rand(4, 3, 8, 8), torch.rand(1, 3, 8, 8)])
    fingerprint = "0123456789abcdef"
    folder(tmp_path / fingerprint, pixels(2))
    for name in ("0123", fingerprint, str(store.record_path(fingerprint)), "results"):
        run = open_run(name, store.root)
        assert (run.fingerprint, run.n, run.sizes()) == (fingerprint, 5, [4, 1])
    assert open_images(fingerprint, results=store.root).kind == "folder"
    for name, line in (
        ("nowhere", "'nowhere' is no run: give its fingerprint \\(4 digits of it or more\\), its record"),
        ("", "'' is no run"),
        ("cifar10-train", "'cifar10-train' is no run"),
        (str(tmp_path / fingerprint), "is no run"),
        ("4444", "no fingerprint in"),
    ):
        with pytest.raises(BenchError, match=line):
            open_run(name, store.root)
    with pytest.raises(BenchError, match=r"there are no results in none: bench run makes some"):
        open_run("0123", Path("none"))


@pytest.mark.parametrize("shape", [(), (3, 2, 8, 8)])
def test_samples_that_are_neither_images_nor_points_are_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    store = recorded(tmp_path / "results", [torch.rand(4, *shape)])
    sizes = "x".join(map(str, shape)) or "numbers"
    line = f"the samples of run 0123456789abcdef are {sizes}, neither images nor points"
    assert error_of(store.root) == line


@pytest.mark.parametrize("shape", [(7,), (3, 8), (1, 8, 8), (4, 8, 8)])
def test_samples_of_any_shape_are_a_source(tmp_path: Path, shape: tuple[int, ...]) -> None:
    batch = torch.randn(4, *shape)
    source = open_images("0123", results=recorded(tmp_path / "results", [batch]).root)
    assert source.shape == shape
    assert torch.equal(next(iter(source)), batch)


def test_the_name_of_an_exact_checkpoint_stands_for_its_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever files are there; a path names these. Networks have no draws."""
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "two-moons", pixels(2))
    source = open_images("two-moons", batch=100, registry=installed())
    assert (source.kind, source.name, source.n, source.shape) == ("checkpoint", "two-moons", 10_000, (2,))
    assert open_images("./two-moons", registry=installed()).kind == "folder"
    with pytest.raises(BenchError, match="cifar10-tiny is a network, which has no images of its own: run it"):
        open_images("cifar10-tiny", registry=installed())


def test_a_run_of_a_task_without_images_says_what_it_has(tmp_path: Path) -> None:
    store = recorded(tmp_path / "results", [torch.rand(4, 3, 8, 8)])
    path = store.record_path("0123456789abcdef")
    record = json.loads(path.read_text())
    path.write_bytes(with_checksum(record | {"outputs": ["bits", "calls"]}))
    assert error_of(store.root) == (
        "run 0123456789abcdef has no images: its task made_up returns bits, calls"
    )


def test_a_run_travels_as_names_of_files(tmp_path: Path) -> None:
    batches = [torch.randn(size, 3, 32, 32) for size in (5, 5, 2)]
    store = recorded(tmp_path / "results", batches)
    source = open_images("0123", results=store.root)
    content = pickle.dumps(source)
    assert len(content) < 5000
    copy = pickle.loads(content)
    assert copy.sha256() == source.sha256()
    assert all(torch.equal(a, b) for a, b in zip(copy, batches, strict=True))


def test_other_sources_are_those_of_data(tmp_path: Path) -> None:
    images = pixels(4)
    np.savez(tmp_path / "them.npz", images)
    folder(tmp_path / "abcd", images)
    opener = functools.partial(open_images, results=tmp_path / "results")
    assert np.array_equal(back(opener(str(tmp_path / "them.npz"))), images)
    assert np.array_equal(back(opener(str(tmp_path / "abcd"))), images)
    assert "give a folder of images, an .npz of images, a run's fingerprint" in error_of("some/where")
