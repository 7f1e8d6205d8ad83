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

from tests.cli.test_odd_records import RUN, SUITE
from tests.support.runs import exit_status

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


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(call: Call, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", no_locks)
    for command in (RUN, (*SINGLE, "--steps", "30")):
        text = call(*command, status=2)
        (line,) = _lines(text, "bench: ")
        assert "results/samples can't hold file locks" in line
        assert line.endswith("choose a folder on a local disk by --out")
