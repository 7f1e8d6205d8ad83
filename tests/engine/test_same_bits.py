"""The same command gives the same bits, whatever the order of batches or how often it was killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bench import Batch, Executor, Outcome, Register, Sampler, hookimpl
from bench.diffusion.noise import noise_streams
from bench.events import Event, RunWaiting
from bench.reporting.progress import Display
from bench.results.store import Store
from tests.support.runs import exit_status, registry_with

BASE = ("--device", "cpu", "--batch-size", "8")
GAUSSIAN = ("--checkpoint", "gaussian-cifar10")
KNOWN = ("--metric", "known_error")
SAMPLERS = {
    "predictor": (*GAUSSIAN, "--steps", "30"),
    "pc": (*GAUSSIAN, "--steps", "30", "--corrector", "langevin"),
    "ve pc": (*GAUSSIAN, "--steps", "12", "--sde", "ve", "--corrector", "langevin"),
    "solver": (*GAUSSIAN, "--solver", "rk45", "--tol", "1e-2"),
    "inpaint": (*GAUSSIAN, "--task", "inpaint", "--steps", "6", "--corrector", "langevin", *KNOWN),
    "colorize": (*GAUSSIAN, "--task", "colorize", "--steps", "6", "--sde", "ve", *KNOWN),
    "mixture": ("--steps", "30", "--corrector", "annealed_langevin", "--checkpoint", "gmm-cifar10"),
}


Work = Callable[[Batch], Outcome]
Pairs = Iterator[tuple[Batch, Outcome]]


class Backwards(Executor):
    """Runs the batches in reverse order."""

    name = "backwards"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for batch in reversed(list(batches)):
            yield batch, work(batch)


class Threads(Executor):
    """Runs all batches at once, a thread each."""

    name = "threads"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        all_batches = list(batches)
        with ThreadPoolExecutor(len(all_batches) or 1) as pool:
            yield from zip(all_batches, pool.map(work, all_batches), strict=True)


class Executors:
    @hookimpl
    def register_executors(self, register: Register) -> None:
        register(Backwards)
        register(Threads)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> None:
    """``bench run`` in this process, to its end."""
    assert exit_status("run", *BASE, *arguments, registry=registry_with(Executors())) == 0


def images(out: str) -> dict[str, torch.Tensor]:
    """Images of every batch under a results folder, by file."""
    root = Path(out, "samples")
    return {str(p.relative_to(root)): load_file(p)["images"] for p in sorted(root.glob("*/*.safetensors"))}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether the same batches are there with the same bits."""
    return a.keys() == b.keys() and all(
        a[k].shape == b[k].shape and a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a
    )


def metrics(out: str) -> list[dict[str, Any]]:
    """Metrics of every record under a results folder."""
    return [json.loads(p.read_text())["metrics"] for p in sorted(Path(out, "records").glob("*.json"))]


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())
def test_the_same_bits_again_and_in_any_order(sampler: tuple[str, ...]) -> None:
    run(*sampler, "--samples", "28", "--out", "one")
    outputs = images("one")
    assert [len(x) for x in outputs.values()] == [8, 8, 8, 4]
    assert all(bool(x.isfinite().all()) for x in outputs.values())
    for executor in ("local", "backwards", "threads"):
        run(*sampler, "--samples", "28", "--out", executor, "--executor", executor)
        assert same(images(executor), outputs), executor
        assert metrics(executor) == metrics("one")


def test_batches_and_seeds_differ() -> None:
    run(*GAUSSIAN, "--steps", "30", "--samples", "16", "--repeats", "2", "--out", "out")
    outputs = list(images("out").values())
    assert len(outputs) == 4
    for i, x in enumerate(outputs):
        assert all(not torch.equal(x, y) for y in outputs[:i])


def test_all_samplers_start_from_the_same_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    original = Sampler.run

    def spy(self: Sampler, prior: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        seen.setdefault(out, []).append(prior.clone())
        return original(self, prior, *rest, **named)

    monkeypatch.setattr(Sampler, "run", spy)
    for name, sampler in SAMPLERS.items():
        out = name
        run(*sampler, "--samples", "16", "--seed", "5", "--out", out)
    first = seen["predictor"]
    assert len(seen) == len(SAMPLERS)
    assert not torch.equal(first[0], first[1])
    for priors in seen.values():
        assert len(priors) == 2
        assert all(torch.equal(a, b) for a, b in zip(priors, first, strict=True))


def test_streams_depend_on_seed_batch_and_role_alone() -> None:
    like = torch.empty(2, 3, 4, 4)
    drawn = {
        (seed, batch, role): noise(like)
        for seed in (0, 1, 256)
        for batch in (0, 1, 256)
        for role, noise in zip(
            ("prior", "predictor", "corrector"), noise_streams(seed, batch, "cpu"), strict=True
        )
    }
    outputs = list(drawn.values())
    assert len(outputs) == 27
    for i, x in enumerate(outputs):
        assert all(not torch.equal(x, y) for y in outputs[:i])
    (corrector, prior) = noise_streams(1, 256, "cpu", ("corrector", "prior"))
    assert torch.equal(prior(like), drawn[1, 256, "prior"])  # what was drawn before does not matter
    assert torch.equal(corrector(like), drawn[1, 256, "corrector"])
    assert not torch.equal(corrector(like), drawn[1, 256, "corrector"])  # a stream goes on


KILLS = 10
LONG = (
    *("--sde", "ve", "--corrector", "langevin", "--steps", "60", *GAUSSIAN),
    *("--batch-size", "32", "--seed", "2"),
)
WHOLE = ("run", *BASE, *LONG, "--samples", "384", "--out", "killed")
FORKS = """
# Starts the command in a fresh process for every line read, a log's path, without importing torch anew.
import os, sys
import torch
import bench.api.running, bench.reporting.progress, bench.checkpoints.load
from bench.cli import main
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        log = os.open(line.strip(), os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        main(sys.argv[1:])
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def _start(forks: subprocess.Popen[str], log: Path) -> int:
    """Start the command; its process id."""
    assert forks.stdin is not None
    forks.stdin.write(f"{log}\n")
    forks.stdin.flush()
    return _answer(forks)


def _answer(forks: subprocess.Popen[str]) -> int:
    """The next number of the process that forks: a child's id, or its exit status."""
    assert forks.stdout is not None
    return int(forks.stdout.readline())


def _kill_at_work(forks: subprocess.Popen[str], log: Path, root: Path, batches: int, delay: float) -> int:
    """Start the command, kill it ``delay`` seconds after it stored so many new batches; its exit status."""
    expected_files = min(len(_files(root)) + batches, 11)  # of twelve: the last one may never start
    child = _start(forks, log)
    deadline = time.monotonic() + 60
    # the line that is printed last before the first batch
    while (
        "recorded already" not in (log.read_text() if log.exists() else "")
        or len(_files(root)) < expected_files
    ):
        assert time.monotonic() < deadline, "the command does not begin to sample"
        time.sleep(0.002)
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return _answer(forks)


def _files(root: Path) -> dict[str, int]:
    """Stored batches, with the time of their writing."""
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.glob("*/*.safetensors")}


def test_killed_at_ten_random_moments_and_resumed(tmp_path: Path) -> None:
    run(*LONG, "--samples", "32", "--out", "warm")
    begun = time.monotonic()
    run(*LONG, "--samples", "384", "--out", "whole")
    batch = (time.monotonic() - begun) / 12
    expected = images("whole")
    assert len(expected) == 12

    # after none or one more batch, in the middle of the next: by its progress, whatever the machine's load
    draws = random.Random(0)
    moments = [(draws.randint(0, 1), draws.uniform(0, 0.9) * batch) for _ in range(KILLS)]
    root = Path("killed", "samples")
    before: dict[str, int] = {}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    server = [sys.executable, "-c", FORKS, *WHOLE]
    pipe = subprocess.PIPE
    forks = subprocess.Popen(server, env=environment, text=True, stdin=pipe, stdout=pipe)
    with forks:
        for kill, moment in enumerate(moments):
            log = tmp_path / f"{kill}.log"
            status = _kill_at_work(forks, log, root, *moment)
            after = _files(root)
            assert status == -signal.SIGKILL or len(after) == len(expected), log.read_text()
            assert before.items() <= after.items(), "a finished batch was lost or made again"
            outputs = images("killed")  # raises where a file is not whole
            assert same(outputs, {k: v for k, v in expected.items() if k in outputs})
            if kill == KILLS // 2:
                assert len(after) < len(expected), "the kills come too late to show anything"
            before = after
        assert before, "no batch was finished between the kills"
        log = tmp_path / "last.log"
        _start(forks, log)
        assert _answer(forks) == 0, log.read_text()
    assert before.items() <= _files(root).items()
    assert same(images("killed"), expected)
    assert metrics("killed") == metrics("whole")
    leftovers = [p for p in root.rglob("*") if p.is_file() and p.suffix not in (".safetensors", ".lock")]
    assert leftovers == []


def test_a_batch_that_another_process_works_on_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thread holds the lock that another process would hold, until the command waits for it."""
    arguments = ["run", *BASE, *GAUSSIAN, "--grid", "uniform", "--steps", "30", "--samples", "8"]
    assert exit_status(*arguments) == 0
    (batch,) = Path("results/samples").glob("*/*.safetensors")
    batch.unlink()
    (record,) = Path("results/records").iterdir()
    record.unlink()
    name = f"{batch.parent.name}-{batch.stem}"
    locked, waiting = threading.Event(), threading.Event()

    def other() -> None:
        with Store(Path("results")).locked(name):
            locked.set()
            waiting.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    locked.wait()
    draw = Display.__call__

    def draw_and_release(self: Display, event: Event) -> None:
        draw(self, event)
        if isinstance(event, RunWaiting):
            waiting.set()

    monkeypatch.setattr(Display, "__call__", draw_and_release)
    assert exit_status(*arguments) == 0
    thread.join()
    out = capsys.readouterr().out
    assert "waiting for another process" in out
    assert "1 finished, 0 failed" in out
