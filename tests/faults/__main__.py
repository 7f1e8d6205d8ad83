"""Faults at random moments: nothing lost, nothing done twice but what was in flight, the same CSV.

    python -m tests.faults --repeat 20 [--fault worker …] [--seed 0]

One command is run without a fault; then each fault strikes it anew, at a moment drawn at random, as often as
asked. A repetition whose command ended before its fault is drawn again, and fails at the last of `ATTEMPTS`.
A command that the fault ended is run again. The samples must have the bits of the first, the CSV its
bytes but for the columns of `MACHINE`, and no batch may be written twice beyond those in flight.
Faults of Ray's processes want Ray installed, and are left out with a line where it is not.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import importlib.util
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.paths import ROOT

BATCHES = 8
RUN = (
    *("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", "--steps", "300", "--batch-size", "16"),
    *("--samples", str(16 * BATCHES), "--predictor", "reverse_diffusion", "--corrector", "langevin"),
)
LIMIT = 600.0
"""Seconds that one command may take."""
MACHINE = {
    "samples_per_second",
    "network_share",
    "seconds",
    "peak_host_bytes",
    "peak_gpu_bytes",
    "created",
    "commit",
    "dirty",
}
"""Columns of the CSV that tell time, memory and the state of the checkout."""
ATTEMPTS = 10
"""Moments that are drawn for a repetition until the fault strikes."""
DRIVER_TIMES = 0.5
"""Greatest number of seconds between the batch after which a fault is due and the fault."""


class FaultError(Exception):
    """What a fault broke."""


@dataclasses.dataclass
class Case:
    """One repetition: a results folder, the moment of the fault, and what it struck."""

    out: Path
    log: Path
    draw: random.Random
    struck: bool = False

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start the command."""
        path = os.pathsep.join([str(ROOT / "tests/faults/hooks"), *filter(None, sys.path)])
        variables = os.environ | {"PYTHONPATH": path, "FAULT_LOG": str(self.log)} | environment
        command = [sys.executable, "-m", "bench", *RUN, "--out", str(self.out), *arguments]
        with self.errors.open("ab") as stderr:
            return subprocess.Popen(
                command, env=variables, stdout=subprocess.DEVNULL, stderr=stderr, cwd=self.out.parent
            )

    @property
    def errors(self) -> Path:
        """The file of what the commands print as errors."""
        return self.log.with_suffix(".err")

    def moment(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for a random number of batches on disk and a random time; False where it ended before."""
        due = self.draw.randrange(BATCHES)
        while len(self.batches()) < due and process.poll() is None:
            time.sleep(0.01)
        time.sleep(self.draw.uniform(0.0, DRIVER_TIMES))
        return process.poll() is None

    def batches(self) -> list[Path]:
        """The batches on disk."""
        return sorted(self.out.glob("samples/*/*.safetensors"))


def finish(process: subprocess.Popen[bytes], status: int | None = 0) -> None:
    """Wait for a command; its exit status must be that one, or any for None."""
    try:
        code = process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise FaultError(f"the command took more than {LIMIT:g} s") from None
    if status is not None and code != status:
        raise FaultError(f"the command ended with status {code}")


def processes(parent: int, text: str) -> list[int]:
    """Descendants of a process (of any, for 0) whose command line holds a text."""
    numbers = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().decode(errors="replace")
            above = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if text in line and (not parent or above == parent):
            numbers.append(int(path.name))
    return sorted(numbers)


def strike(case: Case, process: subprocess.Popen[bytes], text: str, sent: int) -> None:
    """Send a signal to a random worker of a command, at a random moment."""
    if case.moment(process):
        end = time.monotonic() + LIMIT
        while not (numbers := processes(process.pid, text)) and time.monotonic() < end:
            if process.poll() is not None:
                return
            time.sleep(0.01)
        try:
            os.kill(case.draw.choice(numbers), sent)
        except ProcessLookupError:
            return
        case.struck = True


def kill_worker(case: Case) -> None:
    """SIGKILL of a worker of ``--workers 2``."""
    process = case.start("--workers", "2")
    strike(case, process, "bench_local.worker", signal.SIGKILL)
    finish(process)


def hang_worker(case: Case) -> None:
    """SIGSTOP of a worker: no sign of life."""
    process = case.start("--workers", "2", "-P", "executor.patience=20")
    strike(case, process, "bench_local.worker", signal.SIGSTOP)
    finish(process)


def kill_driver(case: Case) -> None:
    """SIGKILL of the command, which is run again."""
    process = case.start("--workers", "2")
    if case.moment(process):
        process.kill()
        case.struck = True
    finish(process, None)
    finish(case.start("--workers", "2"))


def fill_disk(case: Case) -> None:
    """ENOSPC from the write of a random batch on; the command ends with an error, and is run again.

    Two workers that write at once may both be in time, so that the last batch is not the one.
    """
    process = case.start("--workers", "2", FAULT_DISK=str(case.draw.randrange(1, BATCHES)))
    finish(process, None)
    if process.returncode == 0:
        raise FaultError("the disk was full, and the command ended with status 0")
    case.struck = True
    finish(case.start("--workers", "2"))


def two_drivers(case: Case, **second: str) -> None:
    """Two commands on one folder, the second at a random moment."""
    environment = {name: value for name, value in second.items() if name == "FAULT_FLOCK"}
    first = case.start(**environment)
    if case.moment(first):
        case.struck = True
    finish(case.start(**second))
    finish(first)


def shift_clock(case: Case) -> None:
    """Two commands on one folder, one of which has its clocks an hour ahead."""
    two_drivers(case, FAULT_CLOCK="3600")


def lose_locks(case: Case) -> None:
    """Two commands on one folder where ``flock`` does nothing."""
    two_drivers(case, FAULT_FLOCK="1")


class OnRay:
    """Faults of Ray's processes, on a cluster of three nodes that is started once."""

    def __init__(self) -> None:
        from tests.support.ray_nodes import Nodes

        self.nodes = Nodes(2)

    def start(self, case: Case) -> subprocess.Popen[bytes]:
        """The command, with two actors."""
        return case.start(
            *("--executor", "ray", "--workers", "2", "-P", f"executor.address={self.nodes.address}")
        )

    def kill_actor(self, case: Case) -> None:
        """SIGKILL of an actor's process."""
        process = self.start(case)
        if case.moment(process):
            numbers = processes(0, "ray::Actor")
            if numbers:
                os.kill(case.draw.choice(numbers), signal.SIGKILL)
                case.struck = True
        finish(process)

    def kill_raylet(self, case: Case) -> None:
        """SIGKILL of a node's raylet, once a batch is done; another node takes its place afterwards.

        A command that finds one node alone refuses to start two workers.
        """
        process = self.start(case)
        if case.moment(process) and case.batches():
            self.nodes.kill_raylet(case.draw.choice(self.nodes.others))
            case.struck = True
        finish(process)
        if case.struck:
            self.nodes.others.append(self.nodes.add())


def samples_of(folder: Path) -> dict[str, dict[str, bytes]]:
    """The bytes of every tensor, by file and name."""
    from safetensors.torch import load_file

    return {
        str(path.relative_to(folder)): {name: t.numpy().tobytes() for name, t in load_file(path).items()}
        for path in sorted(folder.glob("samples/*/*.safetensors"))
    }


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The rows of the CSV without the columns of `MACHINE`."""
    with (folder / "runs.csv").open(newline="") as handle:
        return [{key: row[key] for key in row if key not in MACHINE} for row in csv.DictReader(handle)]


def check(case: Case, reference: Path, in_flight: int) -> None:
    """Compare a folder with the one of the command without a fault."""
    if samples_of(case.out) != samples_of(reference):
        raise FaultError("samples are missing, or have other bits")
    rows, expected = rows_of(case.out), rows_of(reference)
    if rows != expected:
        texts = [
            f"{key} {b[key]!r}, not {a[key]!r}"
            for a, b in zip(expected, rows, strict=False)
            for key in a
            if a[key] != b[key]
        ]
        raise FaultError(
            f"runs.csv has {len(rows)} rows, not {len(expected)}, and other values: {'; '.join(texts)}"
        )
    written = Counter(case.log.read_text().split())
    twice = sum(count - 1 for count in written.values())
    if twice > in_flight:
        raise FaultError(f"{twice} batches were written twice, more than the {in_flight} in flight")


def repeat(run: Callable[[Case], None], reference: Path, folder: Path, name: str, in_flight: int) -> None:
    """One repetition: attempts until the fault strikes, each compared with the command without a fault."""
    for attempt in range(ATTEMPTS):
        text = f"{name} {attempt}"
        place = folder / text.replace(" ", "-")
        case = Case(place, place.with_suffix(".log"), random.Random(text))
        try:
            run(case)
            check(case, reference, in_flight)
        except FaultError as error:
            lines = case.errors.read_text(errors="replace").splitlines()
            raise FaultError(f"{error}; its last lines: {lines[-2:]}") from error
        if case.struck:
            return
    raise FaultError(f"the command ended before the fault in each of {ATTEMPTS} attempts")


FAULTS: dict[str, tuple[Callable[[Case], None], int]] = {
    "worker killed": (kill_worker, 0),
    "worker hung": (hang_worker, 0),
    "driver killed": (kill_driver, 0),
    "disk full": (fill_disk, 0),
    "two drivers": (two_drivers, 0),
    "clocks an hour apart": (shift_clock, 0),
    "no locks": (lose_locks, 0),
}
"""Each fault, and how many batches may be written twice: a batch is written once its lock is held."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the faults; the exit status is 1 if one broke something."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=20, help="repetitions of each fault")
    parser.add_argument("--fault", action="append", metavar="NAME", help="this fault alone; repeatable")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    options = parser.parse_args(arguments)
    faults = dict(FAULTS)
    on_ray = None
    if importlib.util.find_spec("ray") is None:
        print("ray is not installed: its faults are left out")
    elif not options.fault or any(name in options.fault for name in ("ray actor killed", "raylet killed")):
        on_ray = OnRay()
        faults |= {"ray actor killed": (on_ray.kill_actor, 0), "raylet killed": (on_ray.kill_raylet, 0)}
    unknown = sorted(set(options.fault or ()) - faults.keys())
    if unknown:
        parser.error(f"unknown fault {unknown[0]!r}: {', '.join(faults)}")
    broken = 0
    try:
        with tempfile.TemporaryDirectory(prefix="bench-faults-") as name:
            folder = Path(name)
            whole = Case(folder / "whole", folder / "whole.log", random.Random(0))
            finish(whole.start())
            for fault, (run, in_flight) in faults.items():
                if options.fault and fault not in options.fault:
                    continue
                passed = 0
                for number in range(options.repeat):
                    try:
                        repeat(run, whole.out, folder, f"{options.seed} {fault} {number}", in_flight)
                        passed += 1
                    except FaultError as error:
                        print(f"{fault}, repetition {number}: {error}")
                broken += options.repeat - passed
                print(f"{fault:22} struck, and {passed} of {options.repeat} as without it", flush=True)
    finally:
        if on_ray is not None:
            on_ray.nodes.stop()
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
