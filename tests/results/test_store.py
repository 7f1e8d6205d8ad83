"""Full disks and damaged files; what --rerun, --prune and --dry-run do and leave alone."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bench import Batch, BenchError, Noise, Prediction, Predictor, Register, Step, Tensor, Update, hookimpl
from bench.results.record import BatchFacts
from bench.results.store import Store
from tests.engine.test_load import unfinished
from tests.support.made_up import put, record
from tests.support.runs import computed_batches, exit_status, registry_with

RUN = (
    *("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu"),
    *("--grid", "uniform", "--steps", "30", "--batch-size", "8", "--samples", "16"),
)
TWO = ("--repeats", "2")
Bench = Callable[..., tuple[str, str]]


class Flawed(Predictor):
    """Stays where it is; raises while ``broken``."""

    name = "flawed"
    broken = True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if self.broken:
            raise ValueError("broken")
        p.score(x, step)
        return Update(x, x, None)


class Plugin:
    @hookimpl
    def register_predictors(self, register: Register) -> None:
        register(Flawed)


@pytest.fixture
def bench_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs a command in an empty folder, with the predictor ``flawed``: its output and errors."""
    registry = registry_with(Plugin(), "flawed-plugin", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str, status: int = 0) -> tuple[str, str]:
        code = exit_status(*arguments, registry=registry)
        out, err = capsys.readouterr()
        assert code == status, out + err
        assert "Traceback" not in out + err
        return out, err

    return call


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Every batch that is computed, in order."""
    return computed_batches(monkeypatch)


def places(batches: list[Batch]) -> list[tuple[str, int, int]]:
    """(Predictor, seed, index) of each batch."""
    return [(b.spec.identity.plugins()["predictor"].name, b.spec.seed, b.index) for b in batches]


def records(out: str = "results") -> list[dict[str, Any]]:
    """The records by title and seed."""
    contents = [json.loads(path.read_text()) for path in Path(out, "records").iterdir()]
    return sorted(contents, key=lambda record: (record["title"], record["identity"]["seed"]))


def results(out: str = "results") -> tuple[list[Any], dict[str, bytes]]:
    """Titles, seeds, status and metrics of the records, and the bits of every batch."""
    paths = sorted(Path(out, "samples").glob("*/[!.]*"))
    bits = {f"{p.parent.name}/{p.name}": load_file(p)["images"].numpy().tobytes() for p in paths}
    return [(r["title"], r["identity"]["seed"], r["status"], r.get("metrics")) for r in records(out)], bits


class Disk:
    """A disk with ``room`` bytes left. A file that does not fit is half written, and takes no room."""

    room = 10**12
    written = 0

    def open(self, path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        """In place of `Path.open`."""
        return _File(self, path) if mode == "wb" else open(path, mode, *rest, **named)


class _File(io.FileIO):
    def __init__(self, disk: Disk, path: Path) -> None:
        super().__init__(path, "wb")
        self.disk = disk

    def write(self, content: Any) -> int:
        fits = content[: max(0, self.disk.room)]
        super().write(fits)
        if len(fits) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.disk.room -= len(fits)
        self.disk.written += len(fits)
        return len(fits)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    full_disk = Disk()
    monkeypatch.setattr(Path, "open", lambda path, *rest, **named: full_disk.open(path, *rest, **named))
    return full_disk


def _full(err: str) -> None:
    """The one line on a full disk."""
    (line,) = err.splitlines()
    assert line.startswith("bench: ")
    assert "No space left on device" in line
    assert "results/" in line
    assert line.endswith("what was finished is kept: run the same command again")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.2, 0.35, 0.49, 0.6, 0.8, 0.97])
def test_a_disk_that_fills_after_so_much(
    bench_: Bench, disk: Disk, computed: list[Batch], part: float
) -> None:
    bench_(*RUN, *TWO, "--out", "whole")
    disk.room = int(part * disk.written)
    out, err = bench_(*RUN, *TWO, status=1)
    _full(err)
    assert "failed" not in out
    assert unfinished(Path("results")) == []
    assert all(record["status"] == "finished" for record in records())
    assert list(Path("results/logs").iterdir()) == []
    _, batches = results()
    computed.clear()
    disk.room = 10**12
    out, err = bench_(*RUN, *TWO)
    assert len(computed) == 4 - len(batches)
    assert "damaged" not in out + err
    assert results() == results("whole")
    assert len(Path("results/runs.csv").read_text().splitlines()) == 3


def test_a_disk_whose_fullness_shows_at_the_sync(bench_: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    bench_(*RUN, "--out", "whole")
    with monkeypatch.context() as patched:
        patched.setattr("bench.files.os.fsync", full)
        _full(bench_(*RUN, status=1)[1])
    assert unfinished(Path("results")) == []
    assert records() == []
    bench_(*RUN)
    assert results() == results("whole")


def test_a_disk_too_full_for_a_lock_file(bench_: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("bench.results.claims.os.write", full)
        _full(bench_(*RUN, status=1)[1])
    assert records() == []
    bench_(*RUN)
    assert [record["status"] for record in records()] == ["finished"]


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_cut, _flip])
def test_a_damaged_batch_is_reported_once_and_made_again(
    bench_: Bench, computed: list[Batch], damage: Callable[[Path], None]
) -> None:
    bench_(*RUN, *TWO)
    before, key = results(), records()[0]["key"]
    path = Path("results/samples", key, "00001-8.safetensors")
    damage(path)
    shutil.rmtree("results/records")  # a batch is read where something is still to be measured
    computed.clear()
    out, err = bench_(*RUN, *TWO)
    lines = [line for line in (out + err).splitlines() if "damaged" in line]
    assert lines == [f"notice  {path} is damaged: removed, to be made again"]
    assert places(computed) == [("reverse_diffusion", 0, 1)]
    assert results() == before


def test_a_damaged_record_is_reported_once_and_made_again(bench_: Bench, computed: list[Batch]) -> None:
    bench_(*RUN, *TWO)
    before = results()
    path = Path("results/records", f"{records()[0]['fingerprint']}.json")
    _cut(path)
    damage = f"notice  {path} is damaged (not JSON: "
    computed.clear()
    out, err = bench_(*RUN, *TWO, "--dry-run")
    (line,) = [text for text in (out + err).splitlines() if "damaged" in text]
    assert line.startswith(damage)
    assert line.endswith("): made again by the command that made it")
    assert [text.split()[0] for text in out.splitlines() if "· seed" in text] == ["to", "finished"]
    out, err = bench_(*RUN, *TWO)
    assert [text for text in (out + err).splitlines() if "damaged" in text] == [line]
    assert computed == []
    assert results() == before


def test_leftovers_of_killed_writes_are_removed(bench_: Bench) -> None:
    Path("bench.toml").write_text(
        '[suites.s]\n[[suites.s.cells]]\nsde = "ve"\npredictor = "ancestral"\nsteps = 9'
    )
    suite = (*RUN[:5], "--suite", "s", "--batch-size", "8", "--samples", "16")
    bench_(*suite, "--out", "other")
    files = [path.relative_to("other") for path in Path("other").rglob("*") if path.is_file()]
    finals = [path for path in files if path.suffix != ".lock"]
    assert {path.parts[0] for path in finals} == {"runs.csv", "samples", "records", "images", "suites"}
    for path in finals:
        leftover = Path("results", path).with_name(f".{path.name}.part")
        leftover.parent.mkdir(parents=True, exist_ok=True)
        leftover.write_text("half")
    assert len(unfinished(Path("results"))) == len(finals)
    bench_(*suite)
    assert unfinished(Path("results")) == []


FLAWED = (*RUN, "--predictor", "flawed", "--predictor", "reverse_diffusion")


def test_rerun_missing_leaves_failed_runs_alone(
    bench_: Bench, computed: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench_(*FLAWED, status=1)
    assert [place for place in places(computed) if place[0] == "flawed"] == [("flawed", 0, 0)]
    before = records()
    monkeypatch.setattr(Flawed, "broken", False)
    computed.clear()
    out, _ = bench_(*FLAWED, "--rerun", "missing", status=1)
    assert computed == []
    assert "1 finished, 1 failed" in out
    assert records() == before
    bench_(*FLAWED, *TWO, "--rerun", "missing", status=1)  # what was never run is
    assert sorted(places(computed)) == [
        (name, 1, i) for name in ("flawed", "reverse_diffusion") for i in (0, 1)
    ]
    assert {(r["identity"]["predictor"]["name"], r["identity"]["seed"]): r["status"] for r in records()} == {
        ("flawed", 0): "failed",
        ("flawed", 1): "finished",
        ("reverse_diffusion", 0): "finished",
        ("reverse_diffusion", 1): "finished",
    }


def test_rerun_failed_runs_failed_runs_alone(
    bench_: Bench, computed: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench_(*FLAWED, status=1)
    monkeypatch.setattr(Flawed, "broken", False)
    for rerun in (("--rerun", "failed"), ()):  # it is the default
        computed.clear()
        bench_(*FLAWED, *rerun)
        assert places(computed) == ([("flawed", 0, 0), ("flawed", 0, 1)] if rerun else [])
        assert [record["status"] for record in records()] == ["finished", "finished"]


def test_rerun_all_samples_everything_and_leaves_the_same_bits(
    bench_: Bench, computed: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flawed, "broken", False)
    bench_(*FLAWED)
    before, first = results(), sorted(places(computed))
    times = {path: path.stat().st_mtime_ns for path in Path("results/samples").glob("*/*")}
    assert len(first) == 4
    computed.clear()
    bench_(*FLAWED, "--rerun", "all")
    assert sorted(places(computed)) == first
    assert results() == before
    assert all(path.stat().st_mtime_ns > then for path, then in times.items())
    monkeypatch.setattr(Flawed, "broken", True)
    bench_(*FLAWED, "--rerun", "all", status=1)
    assert [record["status"] for record in records()] == ["failed", "finished"]


def test_a_metric_more_that_fails_takes_nothing_away(bench_: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench_(*RUN)
    before = records()

    def broken(*_: Any) -> None:
        raise ValueError("no features")

    more = (*RUN, "--metric", "fd_cifar10")
    with monkeypatch.context() as patched:
        patched.setattr("bench_fid.frechet.FrechetDistance.update", broken)
        out, _ = bench_(*more, status=1)
    assert "ValueError: no features" in out
    assert "0 finished, 1 failed" in out
    assert records() == before
    bench_(*more)
    (record,) = records()
    assert record["metrics"]["fd_dct"] == before[0]["metrics"]["fd_dct"]
    assert record["metrics"]["fd_cifar10"]["n"] == 16


def test_prune_keeps_the_record_and_not_the_samples(bench_: Bench, computed: list[Batch]) -> None:
    bench_(*RUN, "--out", "kept")
    bench_(*RUN, "--prune")
    assert list(Path("results/samples").glob("*/*")) == []
    assert [path for path in Path("results/samples").iterdir() if path.is_dir()] == []
    (record,) = records()
    assert record["metrics"] == records("kept")[0]["metrics"]
    assert len(list(Path("results/images").iterdir())) == 1
    computed.clear()
    for again in ((), ("--prune",)):
        out, _ = bench_(*RUN, *again)
        assert computed == []
        assert "cached" in out
        assert records() == [record]
    bench_(*RUN, "--samples", "24")
    assert [batch.index for batch in computed] == [0, 1, 2]
    assert sorted(r["samples"] for r in records()) == [16, 24]
    assert results("kept")[1].items() <= results()[1].items()  # the same bits as before they were pruned


def test_prune_beside_a_process_that_prunes(bench_: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path.rmdir

    def rmdir(path: Path) -> None:
        original(path)  # by the other
        original(path)

    monkeypatch.setattr(Path, "rmdir", rmdir)
    bench_(*RUN, "--prune")
    assert [path for path in Path("results/samples").iterdir() if path.is_dir()] == []


def test_prune_takes_samples_of_an_earlier_run_and_leaves_those_of_failed_runs(
    bench_: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench_(*RUN)
    assert len(results()[1]) == 2
    bench_(*RUN, "--prune")
    assert results()[1] == {}

    def broken(*_: Any) -> None:
        raise ValueError("no features")

    monkeypatch.setattr("bench_fid.frechet.FrechetDistance.update", broken)
    bench_(*RUN, "--seed", "1", "--metric", "fd_cifar10", "--prune", status=1)
    assert len(results()[1]) == 2


def test_one_tensor_by_two_names_is_stored_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    images = torch.arange(24.0).reshape(2, 3, 2, 2)
    facts = BatchFacts(nfe=1, seconds=1.0, network_seconds=0.5, warm_seconds=0.0)
    store.write_batch("key", 0, 2, {"images": images, "same": images, "part": images[:, :1]}, facts)
    stored = store.read_batch("key", 0, 2)
    assert stored is not None
    assert torch.equal(stored[0]["images"], images)
    assert torch.equal(stored[0]["same"], images)
    assert torch.equal(stored[0]["part"], images[:, :1])


def test_a_log_may_name_a_file_whose_name_is_not_utf8(tmp_path: Path) -> None:
    path = Store(tmp_path).write_log("0123", "no file a\udcff")
    assert path.read_text() == "no file a\\udcff"


def test_a_record_is_found_by_the_first_digits_of_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for index in (0, 1):
        put(store, record(index))
    assert store.find_record("0000000000000001") == record(1)
    assert store.matching("0000") == [f"{0:016x}", f"{1:016x}"]
    for digits in ("000", "", "../0", "0000*", "00000000000000zz", "0000000000000002"):
        assert store.matching(digits) == []
        with pytest.raises(BenchError, match="bench list runs shows all, --out names another folder"):
            store.find_record(digits)
    with pytest.raises(BenchError, match=f"^'0000' is ambiguous: {0:016x}, {1:016x}; give more digits$"):
        store.find_record("0000")
    for index in range(2, 20):
        put(store, record(index))
    with pytest.raises(BenchError, match=f"{9:016x}, …; give more digits$"):
        store.find_record("0000")
    store.record_path("abcd").write_text("{")
    with pytest.raises(BenchError, match=r"abcd\.json can't be read: the command that made it makes"):
        store.find_record("abcd")


def test_a_batch_that_is_seen_late_is_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.has_batch("key", 0, 2, 0.0)
    facts = BatchFacts(nfe=1, seconds=1.0, network_seconds=1.0, warm_seconds=0.0)
    writer = threading.Timer(0.3, store.write_batch, ("key", 0, 2, {"samples": torch.zeros(2, 1)}, facts))
    writer.start()
    assert store.has_batch("key", 0, 2, 20.0)
    writer.join()
    assert store.has_batch("key", 0, 2, 0.0)
