"""A FIFO or folder where a file is expected, unreadable files, file systems without locks: one line each."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from bench import BenchError, fetch_once
from tests.cli.test_odd_records import RUN, SUITE
from tests.support.runs import exit_status
from tests.support.served import Served, Server, content, write_card

Call = Callable[..., str]
Place = Callable[[Path], None]
SINGLE = ("run", "--checkpoint", "gaussian-cifar10", "--samples", "4", "--device", "cpu")


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Fails a test that waits for the other end of a FIFO."""

    def late(_: int, __: FrameType | None) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in a folder with the suite ``s``; its output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    Path("bench.toml").write_text(SUITE)

    def run(*arguments: str, status: int = 0) -> str:
        code = exit_status(*arguments)
        out, err = capsys.readouterr()
        assert code == status, out + err
        assert "Traceback" not in out + err
        if status == 2:
            errors = [line for line in err.splitlines() if line.startswith("bench: ")]
            assert len(errors) == 1, err
        return out + err

    return run


def _fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _lines(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if name in line]


both = pytest.mark.parametrize("place", [_fifo, _folder])


@both
def test_in_place_of_a_record(call: Call, place: Place) -> None:
    call(*RUN)
    (path,) = Path("results/records").iterdir()
    place(path)
    for command, status in ((("table", "s", "--no-plots"), 1), ((*RUN, "--dry-run"), 0)):
        (line,) = _lines(call(*command, status=status), str(path))
        assert "can't be read: it is a" in line
    assert "it is a" in call("compare", str(path), "s", status=2)
    if place is _fifo:
        call(*RUN)
        assert path.is_file()
    else:
        assert "records" in call(*RUN, status=1)


@both
def test_in_place_of_a_planned_suite_or_a_batch(call: Call, place: Place) -> None:
    call(*RUN)
    (plan,) = Path("results/suites/s").iterdir()
    place(plan)
    text = call("table", "s", "--no-plots", status=2)
    assert len(_lines(text, str(plan))) == 1
    assert "no plan of suite 's' in results can be read" in text
    (record,) = Path("results/records").iterdir()
    batch = sorted(Path("results/samples").glob("*/[0-9]*"))[0]
    place(batch)
    record.unlink()
    if place is _folder:
        plan.rmdir()
        assert "Is a directory" in call(*RUN, status=1)
    else:
        assert len(_lines(call(*RUN), str(batch))) == 1
        assert batch.is_file()


@both
def test_in_place_of_bench_toml_and_cards(call: Call, place: Place) -> None:
    place(Path("bench.toml"))
    assert "bench.toml" in call(*SINGLE, status=2)
    if place is _folder:
        Path("bench.toml").rmdir()
    else:
        Path("bench.toml").unlink()
    Path("bench.toml").write_text('cards = ["cards"]')
    Path("cards").mkdir()
    place(Path("cards/mine.toml"))
    assert len(_lines(call("list", "checkpoints"), "mine.toml")) == 1


@both
def test_in_place_of_images_and_statistics(call: Call, place: Place) -> None:
    place(Path("x.npz"))
    place(Path("x.json"))
    Path("images").mkdir()
    place(Path("images/a.png"))
    np.savez("good.npz", np.zeros((4, 32, 32, 3), np.uint8))
    measure = ("--metric", "fd_cifar10", "--device", "cpu")
    for source in ("x.npz", "x.json", "images"):
        call("fid", source, *measure, status=2)
        call(*SINGLE, "--task", "interpolate", "--data", source, status=2)
    call("fid", "good.npz", *measure, "--reference", "x.npz", status=2)
    call("stats", "show", "x.npz", status=2)
    place(Path("x.csv"))
    call("compare", "x.csv", "x.csv", status=2)


def test_an_unreadable_record(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call(*RUN)
    (path,) = Path("results/records").iterdir()

    def denied(file: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))

    with monkeypatch.context() as patched:
        patched.setattr("bench.results.store.read_file", lambda *arguments: denied(arguments[0]))
        (line,) = _lines(call(*RUN, "--dry-run"), str(path))
    assert line.endswith("can't be read: Permission denied")


def test_a_results_folder_needs_no_file_locks(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    call(*RUN)
    assert len(list(Path("results/records").iterdir())) > 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_cache_without_locks(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Checkpoints and metrics' weights: the folder, the reason and the remedy, and nothing is fetched."""

    def no_locks(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    with Server() as server:
        server.files["one.bin"] = Served(content())
        card = write_card(tmp_path / "cards", "one", [{"name": "one.bin", "url": server.url("one.bin")}])
        Path("bench.toml").write_text('cards = ["cards"]')
        card.write_text(card.read_text().replace('format = "fake"', 'format = "edm"'))
        monkeypatch.setattr("fcntl.flock", no_locks)
        lines = [
            *_lines(call("checkpoints", "pull", "one", status=1), "bench: "),
            *_lines(call("checkpoints", "import", str(card), "--card", "one", status=2), "bench: "),
        ]
        with pytest.raises(BenchError) as caught:
            fetch_once(server.url("one.bin"), tmp_path / "weights" / "one.bin")
        assert server.files["one.bin"].requests == []
    for line in (*lines, str(caught.value)):
        assert f"{tmp_path}/cache/locks can't hold file locks ({os.strerror(number)})" in line
        assert line.endswith("set BENCH_CACHE to a folder on a local disk")
    assert len(lines) == 2


def test_a_link_in_place_of_a_lock_file(call: Call, tmp_path: Path) -> None:
    """Planted in a results folder or in the cache, it does not make or empty a file elsewhere."""
    call(*RUN)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (record,) = Path("results/records").iterdir()
    for target in (precious, tmp_path / "new"):
        lock = Path("results/samples/.csv.lock")
        lock.symlink_to(target)
        assert "is a link, not a lock file: remove it" in call(*RUN, status=2)
        lock.unlink()
        lock = Path(f"results/samples/.{record.stem}.lock")
        lock.symlink_to(target)
        record.unlink(missing_ok=True)
        assert "is a link, not a lock file: remove it" in call(*RUN, status=2)
        lock.unlink()
        locks = tmp_path / "cache" / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        (locks / "weights.bin.lock").symlink_to(target)
        with pytest.raises(BenchError, match="is a link, not a lock file: remove it"):
            fetch_once("http://127.0.0.1:1/x", tmp_path / "weights.bin")
        (locks / "weights.bin.lock").unlink()
    assert precious.read_text() == "precious"
    assert not (tmp_path / "new").exists()
