"""Commands in processes of their own, to be killed, without importing torch anew for each.

A server (``python -m tests.support.forks``) imports everything once and forks a child per command.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from bench import Batch, Outcome

PAUSE = 0.02
"""Seconds that a child sleeps in every batch, so that a kill can hit one."""
LIMIT = 90
"""Seconds after which a child ends by SIGALRM: nothing hangs."""


class Forks:
    """The client's side of the server: starts commands and waits for them."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks"],
            env=environment,
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def start(self, folder: Path, *arguments: str, log: str = "log", **options: Any) -> int:
        """Start ``bench ARGUMENTS`` in a folder; its process id.

        Its output goes to LOG.out and LOG.err there, a line for every batch that it samples to the file
        ``sampled``. With ``gate`` it begins once that file is there; with ``stall`` it hangs at its first
        batch, where it makes a file of that name; with ``die`` = n its n-th file is half written when it is
        killed.
        """
        return self._ask({"folder": str(folder), "arguments": arguments, "log": log, **options})

    def wait(self, child: int) -> int:
        """The exit status of a child at its end; that of a signal is negative."""
        return self._ask({"child": child})

    def run(self, folder: Path, *arguments: str, log: str = "log") -> int:
        """A command from its start to its end; its exit status."""
        return self.wait(self.start(folder, *arguments, log=log))

    def close(self) -> None:
        """End the server."""
        with self.server:
            assert self.server.stdin is not None
            self.server.stdin.close()

    def _ask(self, request: dict[str, Any]) -> int:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())


def kill(child: int) -> None:
    """End a child by SIGKILL; nothing happens where it has ended."""
    os.kill(child, signal.SIGKILL)  # until its parent waits for it, no other process has its id


def appears(path: Path, text: str = "") -> None:
    """Wait until the file exists and contains the text."""
    deadline = time.monotonic() + LIMIT
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{path}: {text!r} does not appear"
        time.sleep(0.002)


def _child(request: dict[str, Any]) -> None:
    import bench.engine.batch
    import bench.engine.loop
    from bench.cli import main

    os.chdir(request["folder"])
    signal.alarm(LIMIT)
    for stream, name in ((0, os.devnull), (1, f"{request['log']}.out"), (2, f"{request['log']}.err")):
        flags = os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(name, flags), stream)
    original = bench.engine.batch.attempt_batch
    log = os.open("sampled", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def attempt_batch(batch: Batch, **options: Any) -> Outcome:
        if "stall" in request:
            Path(request["stall"]).touch()
            signal.pause()
        os.write(log, f"{batch.spec.key} {batch.index} {os.getpid()}\n".encode())
        time.sleep(PAUSE)
        return original(batch, **options)

    bench.engine.loop.attempt_batch = attempt_batch  # type: ignore[assignment, attr-defined]
    if "die" in request:
        _die_writing(request["die"])
    while "gate" in request and not Path(request["gate"]).exists():
        time.sleep(0.001)
    try:
        main(request["arguments"])
    except SystemExit as stopped:
        sys.stdout.flush()
        os._exit(stopped.code if isinstance(stopped.code, int) else 1)  # taking torch down takes a second


class _Half(io.FileIO):
    """A file of which half is on disk when its process is killed."""

    def write(self, content: Any) -> int:
        super().write(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        return 0


def _die_writing(number: int) -> None:
    original, written = Path.open, 0

    def opened(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        nonlocal written
        written += mode == "wb"
        return (
            _Half(path, "wb") if mode == "wb" and written == number else original(path, mode, *rest, **named)
        )

    Path.open = opened  # type: ignore[method-assign,assignment]


def _serve() -> None:
    # what a command imports in time is imported once, by the server
    import bench.api.running
    import bench.closed_form.moments
    import bench.data.preview
    import bench.engine.loop
    import bench.reporting.suite_tables
    import bench.reporting.terminal  # noqa: F401
    from bench.cli import main
    from bench.results.provenance import provenance

    provenance()  # it is cached: a commit while the tests run would make results differ
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(["run", "--checkpoint", "gaussian-cifar10", "--grid", "logsnr", "--dry-run"])  # hashes the code
    gc.freeze()  # children search no garbage among what they inherit
    for line in sys.stdin:
        request = json.loads(line)
        if "child" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["child"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                _child(request)
        print(answer, flush=True)


if __name__ == "__main__":
    _serve()
