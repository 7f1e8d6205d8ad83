"""Signals that stop a command: message, cursor, exit status, and what is kept."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cli.stopping import Stop, report_stop, stop_signals

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
RUN = (
    *("run", "--checkpoint", "gaussian-cifar10", "--predictor", "ancestral", "--device", "cpu"),
    *("--grid", "uniform", "--steps", "2000"),
)
SHOWN, HIDDEN = b"\x1b[?25h", b"\x1b[?25l"


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from bench.cli import main; main()", *arguments]


def _wait_for(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def no_signal_is_ignored() -> Iterator[None]:
    """As in a terminal, also where the tests run by nohup or in the background; children inherit it."""
    default = dict.fromkeys(SIGNALS, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in default.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.2)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises_and_handlers_come_back(number: int) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    with stop_signals() as stop:
        with pytest.raises(KeyboardInterrupt):
            _send(number)
        if number != signal.SIGINT:
            _send(number)  # once more, in the middle of the cleanup
    assert stop.status == SIGNALS[signal.Signals(number)]
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_takes_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("click.echo", closed)
    report_stop("")
    assert Stop().status == 130


@pytest.mark.parametrize(("number", "status"), SIGNALS.items())
def test_a_stopped_run_claims_nothing_where_no_batch_was_finished(
    tmp_path: Path, number: int, status: int
) -> None:
    """On a terminal: the cursor is shown again."""
    ours, theirs = pty.openpty()
    command = _command(*RUN, "--samples", "2048", "--batch-size", "2048")
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "250"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        text, sent = b"", False
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    text += os.read(ours, 65536)
                except OSError:  # the other end is closed
                    break
            if b"step " in text and not sent:
                process.send_signal(number)
                sent = True
        try:
            assert process.wait(10) == status
        finally:
            process.kill()  # nothing happens where it has ended
    os.close(ours)
    assert b"bench: stopped; no batch was finished\r\n" in text
    assert text.rfind(SHOWN) > text.rfind(HIDDEN) > 0
    assert b"Traceback" not in text
    assert not list(tmp_path.glob("results/samples/*/*"))


def test_a_stopped_run_says_how_many_batches_are_on_disk(tmp_path: Path) -> None:
    arguments = (*RUN, "--samples", "400", "--batch-size", "2")
    with subprocess.Popen(
        _command(*arguments), cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        _wait_for(lambda: len(list(tmp_path.glob("results/samples/*/[0-9]*"))) >= 3)
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    batches = len(list(tmp_path.glob("results/samples/*/[0-9]*")))
    (line,) = err.splitlines()
    assert line.startswith(f"bench: stopped; {batches} of 200 batches of gaussian-cifar10")
    assert line.endswith("are on disk: run the same command again to go on")
