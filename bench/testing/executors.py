"""Whether an executor does every job once and lets failures through."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

from bench.engine.executor import Executor, Job
from bench.testing.duties import parameters
from bench.testing.report import Finding, guarded, judged


class _Stop(RuntimeError):
    pass


def executors(executor: Executor) -> Iterator[Finding]:
    """All checks."""
    yield from guarded("parameters", lambda: parameters(executor))
    yield from guarded("every job once", lambda: once(executor))
    yield from guarded("no jobs", lambda: nothing(executor))
    yield from guarded("a failing job", lambda: failing(executor))
    yield from guarded("stopped", lambda: stopped(executor))


def _jobs(count: int) -> list[Job]:
    return [Job(cast(Any, None), index, 4) for index in range(count)]


def _nothing(job: Job) -> None:
    del job


def _counted(done: Counter[int], then: Callable[[Job], None]) -> Callable[[Job], None]:
    lock = threading.Lock()

    def work(job: Job) -> None:
        with lock:
            done[job.index] += 1
        then(job)

    return work


def once(executor: Executor) -> Iterator[Finding]:
    """Of 17 jobs each is done, and none twice."""
    done: Counter[int] = Counter()
    executor.run(_jobs(17), _counted(done, _nothing))
    lost = [i for i in range(17) if not done[i]]
    twice = [i for i, n in done.items() if n > 1]
    said = f"job {lost[0]} was not done" if lost else f"job {twice[0]} was done twice" if twice else ""
    yield judged("every job once", not said, said or "17 of 17", "each job done, once")


def nothing(executor: Executor) -> Iterator[Finding]:
    """No jobs are no work and no error."""
    done: Counter[int] = Counter()
    executor.run([], _counted(done, _nothing))
    yield judged("no jobs", not done, "nothing done", "nothing done")


def failing(executor: Executor) -> Iterator[Finding]:
    """A job that always fails raises its own error, and its neighbours are never done twice."""
    done: Counter[int] = Counter()

    def fail(job: Job) -> None:
        if job.index == 3:
            raise _Stop("job 3 fails")

    try:
        executor.run(_jobs(8), _counted(done, fail))
        said = "its error was swallowed"
    except _Stop:
        twice = [i for i, n in done.items() if n > 1 and i != 3]
        said = f"job {twice[0]} was done twice" if twice else ""
    yield judged("a failing job", not said, said or "its error is raised", "its own error is raised")


def stopped(executor: Executor) -> Iterator[Finding]:
    """Ctrl-C in a job passes through at once."""
    done: Counter[int] = Counter()

    def stop(job: Job) -> None:
        if job.index == 2:
            raise KeyboardInterrupt

    try:
        executor.run(_jobs(8), _counted(done, stop))
        said = "KeyboardInterrupt was swallowed"
    except KeyboardInterrupt:
        said = "tried again after Ctrl-C" if done[2] > 1 else ""
    yield judged("stopped", not said, said or "KeyboardInterrupt passes through", "Ctrl-C passes through")
