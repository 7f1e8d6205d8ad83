"""What the fuzzers share: cases from a seed, judged in a process of its own.

A command must end with status 0, 1 or 2 and lines without a traceback, within `SECONDS` of processor time and
`MEMORY` above what the process takes before the first case. A case is decided by its seed and number alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NoReturn

SECONDS = 20
MEMORY = 10**9
WAITING = 400.0
"""Seconds after which a process that does not answer is killed, for work that no signal interrupts."""
LONGEST_LINE = 5000
CORPUS = Path(__file__).parent / "corpus"

MakeCase = Callable[[Random, Path], Sequence[Sequence[str]]]
"""Writes the files of a case into a folder, and returns the command lines to run there."""


class _HangError(BaseException):
    """A command took too long."""


def judge(commands: Sequence[Sequence[str]]) -> str:
    """Run command lines in this process and folder; what is wrong, empty where nothing is."""
    for command in commands:
        fault = _fault_of(command)
        if fault:
            return f"bench {' '.join(command)}\n{fault}"
    return ""


def _fault_of(command: Sequence[str]) -> str:
    from bench.cli import main

    def stop(*_: object) -> NoReturn:
        raise _HangError

    out, err = io.StringIO(), io.StringIO()
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(list(command))
    except SystemExit as end:
        status = end.code
    except _HangError:
        return f"took more than {SECONDS} s:\n{traceback.format_exc()}"
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    text = out.getvalue() + err.getvalue()
    if status not in (0, 1, 2):
        return f"status {status!r}:\n{text}"
    if "Traceback" in text or "Warning:" in text:
        return text
    errors = err.getvalue().splitlines()
    if status == 2 and not any(line.startswith(("bench: ", "Usage: ")) for line in errors):
        return f"no message:\n{text}"
    if any(len(line) > LONGEST_LINE for line in errors):
        return f"a line of {max(map(len, errors))} characters:\n{text[:2000]}"
    if any(not character.isprintable() for line in errors for character in line if character != "\t"):
        return f"unprintable characters:\n{text!r}"
    return ""


@contextlib.contextmanager
def _in_case_folder(
    seed: int, number: int, make_case: MakeCase
) -> Iterator[tuple[Path, Sequence[Sequence[str]]]]:
    """A new current folder with the files of a case, and its commands."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        commands = make_case(Random(f"{seed} {number}"), folder)
        before = Path.cwd()
        os.environ["BENCH_CACHE"] = str(folder / "cache")
        os.chdir(folder)
        try:
            yield folder, commands
        finally:
            os.chdir(before)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _work(connection: Connection, seed: int, first: int, make_case: MakeCase, failures: Path) -> None:
    """Judge cases from ``first`` on, telling the number of each that begins; end after a failure."""
    import torch

    import bench.api.running  # noqa: F401

    torch.set_num_threads(1)
    os.environ["COLUMNS"] = "200"
    with _in_case_folder(seed, 0, make_case) as (_, commands):
        judge(commands)  # so that what is loaded once does not count
    pages = Path("/proc/self/statm").read_text().split()
    limit = int(pages[0]) * resource.getpagesize() + 4 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    base = _peak()
    number = first
    while True:
        connection.send((number, ""))
        with _in_case_folder(seed, number, make_case) as (folder, commands):
            fault = judge(commands)
            if not fault and _peak() - base > MEMORY:
                lines = "\n".join(" ".join(command) for command in commands)
                fault = f"took {(_peak() - base) / 1e9:.1f} GB:\n{lines}"
            if fault:
                shutil.copytree(folder, failures / f"{seed}-{number}", dirs_exist_ok=True, symlinks=True)
                connection.send((number, fault))
                return
        number += 1


def fuzz(
    make_case: MakeCase, *, seed: int, seconds: float, failures: Path, first: int = 1, most: int | None = None
) -> tuple[int, dict[int, str]]:
    """Judge cases for some seconds, or ``most`` of them.

    Returns:
        The number of cases, and what is wrong by the number of the case.
    """
    faults: dict[int, str] = {}
    count, number = 0, first
    context = multiprocessing.get_context("spawn")
    begin: float | None = None
    while (begin is None or time.monotonic() - begin < seconds) and (most is None or count < most):
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(there, seed, number, make_case, failures), daemon=True)
        process.start()
        there.close()
        running = 0
        try:
            while (begin is None or time.monotonic() - begin < seconds) and (most is None or count <= most):
                if not here.poll(WAITING):
                    faults[running] = f"did not answer for {WAITING:g} s"
                    break
                running, fault = here.recv()
                begin = begin or time.monotonic()
                if fault:
                    faults[running] = fault
                    break
                count += 1
        except EOFError:
            process.join(10)
            faults[running] = f"the process ended with status {process.exitcode}"
        finally:
            process.kill()
            process.join()
        number = running + 1
    return count if most is None else min(count, most), faults


def run(name: str, make_case: MakeCase) -> None:
    """The command of a fuzzer."""
    parser = argparse.ArgumentParser(description=f"Fuzz {name}.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="judge this case alone")
    parser.add_argument(
        "--failures", type=Path, default=Path("fuzz-failures"), help="folder of failing inputs"
    )
    options = parser.parse_args()
    failures = options.failures.absolute() / name
    if options.case is not None:
        shutil.rmtree(failures / f"{options.seed}-{options.case}", ignore_errors=True)
    first, most = (1, None) if options.case is None else (options.case, 1)
    count, faults = fuzz(
        make_case, seed=options.seed, seconds=60 * options.minutes, failures=failures, first=first, most=most
    )
    for number, fault in faults.items():
        print(f"\ncase {number}: {fault}")
        print(f"files: {failures / f'{options.seed}-{number}'}")
        print(f"again: python -m tests.fuzz.{name} --seed {options.seed} --case {number}")
    print(f"{count} cases of seed {options.seed}, {len(faults)} failed")
    sys.exit(bool(faults))
