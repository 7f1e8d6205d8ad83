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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bench import Executor, Job, Register, Sampler, hookimpl
from bench.cli import main
from bench.diffusion.noise import noise_streams
from tests.support.plugins import installed

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


class Backwards(Executor):
    """Runs the batches in reverse order."""

    name = "backwards"

    def run(self, jobs: Sequence[Job], work: Callable[[Job], None]) -> None:
        for job in reversed(jobs):
            work(job)


class Threads(Executor):
    """Runs all batches at once, a thread each."""

    name = "threads"

    def run(self, jobs: Sequence[Job], work: Callable[[Job], None]) -> None:
        threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class Executors:
    @hookimpl
    def register_executors(self, register: Register) -> None:
        register(Backwards)
        register(Threads)


@pytest.fixture(autouse=True)
def _with_executors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed().copy()
    found.load(Executors(), "executors-of-test", "1")
    assert found.problems == []
    monkeypatch.setattr("bench.cli.run.registry", lambda: found)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> None:
    """``bench run`` in this process, to its end."""
    with pytest.raises(SystemExit) as stop:
        main(["run", *BASE, *arguments])
    assert stop.value.code == 0


def images(out: str) -> dict[str, torch.Tensor]:
    """Images of every batch under a results folder, by file."""
    root = Path(out, "samples")
    return {str(p.relative_to(root)): load_file(p)["images"] for p in sorted(root.glob("*/*.safetensors"))}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether the same batches are there with the same bits."""
    return a.keys() == b.keys() and all(
        a[k].shape == b[k].shape and a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a
    )


def readings(out: str) -> list[dict[str, Any]]:
    """Metrics of every record under a results folder."""
    return [json.loads(p.read_text())["metrics"] for p in sorted(Path(out, "records").glob("*.json"))]


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())
def test_the_same_bits_again_and_in_any_order(sampler: tuple[str, ...]) -> None:
    run(*sampler, "--samples", "28", "--out", "one")
    found = images("one")
    assert [len(x) for x in found.values()] == [8, 8, 8, 4]
    assert all(bool(x.isfinite().all()) for x in found.values())
    for executor in ("local", "backwards", "threads"):
        run(*sampler, "--samples", "28", "--out", executor, "--executor", executor)
        assert same(images(executor), found), executor
        assert readings(executor) == readings("one")


def test_batches_and_seeds_differ() -> None:
    run(*GAUSSIAN, "--steps", "30", "--samples", "16", "--repeats", "2", "--out", "out")
    found = list(images("out").values())
    assert len(found) == 4
    for i, x in enumerate(found):
        assert all(not torch.equal(x, y) for y in found[:i])


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
    found = list(drawn.values())
    assert len(found) == 27
    for i, x in enumerate(found):
        assert all(not torch.equal(x, y) for y in found[:i])
    (corrector, prior) = noise_streams(1, 256, "cpu", ("corrector", "prior"))
    assert torch.equal(prior(like), drawn[1, 256, "prior"])  # whatever else was drawn before
    assert torch.equal(corrector(like), drawn[1, 256, "corrector"])
    assert not torch.equal(corrector(like), drawn[1, 256, "corrector"])  # a stream goes on


KILLS = 10
LONG = (
    *("--sde", "ve", "--corrector", "langevin", "--steps", "120", *GAUSSIAN),
    *("--batch-size", "64", "--seed", "2"),
)
WHOLE = ("run", *BASE, *LONG, "--samples", "768", "--out", "killed")
FORKS = """
# Starts the command in a fresh process for every line read, a log's path, without importing torch anew.
import os, sys
import torch
import bench.plan.planning, bench.engine.loop, bench.cli.progress, bench.checkpoints.load
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


def _python(code: str, **pipes: Any) -> subprocess.Popen[str]:
    """A Python process of its own that runs ``code`` with the long command as its arguments."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen([sys.executable, "-c", code, *WHOLE], env=environment, text=True, **pipes)


def _kill_at_work(forks: subprocess.Popen[str], log: Path, root: Path, batches: int, delay: float) -> int:
    """Start the command, kill it ``delay`` seconds after it stored so many new batches; its exit status."""
    wanted = min(len(_files(root)) + batches, 11)  # of twelve: it must not be waited for in vain
    assert forks.stdin is not None
    assert forks.stdout is not None
    forks.stdin.write(f"{log}\n")
    forks.stdin.flush()
    child = int(forks.stdout.readline())
    deadline = time.monotonic() + 60
    # the line that is printed last before the first batch
    while "loading" not in (log.read_text() if log.exists() else "") or len(_files(root)) < wanted:
        assert time.monotonic() < deadline, "the command does not begin to sample"
        time.sleep(0.002)
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return int(forks.stdout.readline())


def _files(root: Path) -> dict[str, int]:
    """Stored batches, with the time of their writing."""
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.glob("*/*.safetensors")}


def test_killed_at_ten_random_moments_and_resumed(tmp_path: Path) -> None:
    run(*LONG, "--samples", "64", "--out", "warm")
    begun = time.monotonic()
    run(*LONG, "--samples", "768", "--out", "whole")
    batch = (time.monotonic() - begun) / 12
    expected = images("whole")
    assert len(expected) == 12

    # after none or one more batch, in the middle of the next: by its progress, whatever the machine's load
    draws = random.Random(0)
    moments = [(draws.randint(0, 1), draws.uniform(0, 0.9) * batch) for _ in range(KILLS)]
    root = Path("killed", "samples")
    before: dict[str, int] = {}
    forks = _python(FORKS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with forks:
        for kill, moment in enumerate(moments):
            log = tmp_path / f"{kill}.log"
            status = _kill_at_work(forks, log, root, *moment)
            after = _files(root)
            assert status == -signal.SIGKILL or len(after) == len(expected), log.read_text()
            assert before.items() <= after.items(), "a finished batch was lost or made again"
            found = images("killed")  # raises where a file is not whole
            assert same(found, {k: v for k, v in expected.items() if k in found})
            if kill == KILLS // 2:
                assert len(after) < len(expected), "the kills come too late to show anything"
            before = after
    assert before, "no batch was finished between the kills"

    last = _python("from bench.cli import main; main()", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out, _ = last.communicate(timeout=120)
    assert last.returncode == 0, out
    assert before.items() <= _files(root).items()
    assert same(images("killed"), expected)
    assert readings("killed") == readings("whole")
    left = [p for p in root.rglob("*") if p.is_file() and p.suffix not in (".safetensors", ".lock")]
    assert left == []


def test_a_batch_that_another_process_is_at_work_on_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lock that another process would hold is held by a thread, which lets go once it is waited for."""
    from bench.cli.progress import Progress

    from bench.results.store import Store

    monkeypatch.chdir(tmp_path)
    arguments = ["run", *BASE, *GAUSSIAN, "--grid", "uniform", "--steps", "30", "--samples", "8"]
    with pytest.raises(SystemExit):
        main(arguments)
    (batch,) = Path("results/samples").glob("*/*.safetensors")
    batch.unlink()
    (record,) = Path("results/records").iterdir()
    record.unlink()
    name = f"{batch.parent.name}-{batch.stem}"
    held, let_go = threading.Event(), threading.Event()

    def other() -> None:
        with Store(Path("results")).locked(name):
            held.set()
            let_go.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    said = Progress.waiting

    def waiting(self: Progress, cell: Any) -> None:
        said(self, cell)
        let_go.set()

    monkeypatch.setattr(Progress, "waiting", waiting)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    thread.join()
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "waiting for another process" in out
    assert "1 finished, 0 failed" in out
