"""SIGTERM and SIGHUP stop a command as Ctrl-C does: with a message and an exit status of their own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from bench.cli.console import echo

NAMES = ("SIGTERM", "SIGHUP")
"""The signals that are handled as Ctrl-C is; Windows has no SIGHUP."""
STOPPED = 130
"""What a command returns that was stopped, by whichever signal."""


class Stop:
    """The signal that stopped the command, if one did."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def status(self) -> int:
        """The exit status of a stopped command: 130 after Ctrl-C, otherwise 128 plus the signal's number."""
        return 128 + (self.signal or signal.SIGINT)


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Within the block SIGTERM and SIGHUP raise KeyboardInterrupt; a signal that is ignored stays ignored."""
    stop, process = Stop(), os.getpid()

    def handle(number: int, _: FrameType | None) -> None:
        if os.getpid() != process:  # a forked worker, which its parent ends
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if stop.signal is None:  # a repeated signal does not disturb the cleanup
            stop.signal = number
            raise KeyboardInterrupt

    previous = {}
    if threading.current_thread() is threading.main_thread():
        for name in NAMES:
            number = getattr(signal, name, None)
            # nohup ignores SIGHUP; None is a handler that was not installed from Python
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                previous[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def report_stop(message: str) -> None:
    """Print why the command ends; a terminal that was closed takes no message."""
    with suppress(OSError):
        echo(f"bench: stopped{message}", err=True)
