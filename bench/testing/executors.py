"""Whether an executor computes every batch once, wherever it computes them, and passes failures through.

The work is plain data, so that it can be pickled: it notes each batch in a file of a temporary folder, one
file for each time that the batch is computed.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import secrets
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.engine.executor import Batch, BatchFailure, Executor, Outcome
from bench.events import Emit, Notice, StepDone, silent
from bench.results.run_spec import RunSpec
from bench.testing.context import CheckContext
from bench.testing.duties import parameters
from bench.testing.probe import GAUSSIAN
from bench.testing.report import Finding, guard, verdict

COUNT = 17
"""Batches of the stream, of two runs."""

MANY = 200
"""Batches of a longer stream, more than an executor has workers: it must not take all of them at once."""

FAILING = 3
"""Index of the batches that fail."""


@dataclasses.dataclass(frozen=True)
class NotedWork:
    """Stands in for the computation of a batch: notes it in ``folder``; its outcome says which batch it was.

    ``failing`` and ``interrupted`` are indices of batches that fail and that raise KeyboardInterrupt.
    """

    folder: Path
    failing: int | None = None
    interrupted: int | None = None

    def __call__(self, batch: Batch, emit: Emit = silent, /) -> Outcome:
        """Note the batch. The outcome is a `BatchFailure` in any case: it needs no tensors."""
        (self.folder / f"{batch.name}.{secrets.token_hex(8)}").touch()
        if batch.index == self.interrupted:
            raise KeyboardInterrupt
        return BatchFailure(outcome_text(batch, failing=batch.index == self.failing), log="")

    def counts(self) -> Counter[str]:
        """How often each batch was computed, by name."""
        return Counter(path.name.rpartition(".")[0] for path in self.folder.iterdir())


def outcome_text(batch: Batch, *, failing: bool) -> str:
    """The reason that the outcome of a batch gives."""
    return f"{batch.name} {'failed' if failing else 'computed'}"


class ExecutorCheck:
    """An executor under check, and a stream of batches of two runs.

    Args:
        executor: The executor.
        specs: The runs.
    """

    def __init__(self, executor: Executor, specs: list[RunSpec]) -> None:
        self.executor = executor
        every = [Batch(spec, index) for spec in specs for index in range((COUNT + 1) // 2)]
        self.batches = every[:COUNT]
        self.batches_taken = 0
        self.threads: set[int] = set()

    def stream(self) -> Iterator[Batch]:
        """The batches; counts those that are taken, and the threads that take them."""
        for batch in self.batches:
            self.batches_taken += 1
            self.threads.add(threading.get_ident())
            yield batch

    def mistake(self, work: NotedWork, pairs: list[tuple[Batch, Outcome]], *, failing: bool) -> str:
        """What is wrong with the pairs of the stream, in words; empty where nothing is.

        Args:
            work: The work, which notes what was computed.
            pairs: What the executor yielded.
            failing: Whether to look at the failing batches, or at the others.
        """
        computed, yielded = work.counts(), Counter(batch.name for batch, _ in pairs)
        for number, batch in enumerate(self.batches):
            if (batch.index == work.failing) != failing:
                continue
            for counts, verb in ((computed, "computed"), (yielded, "yielded")):
                count = counts[batch.name]
                if count != 1:
                    return f"batch {number} was " + (f"{verb} {count} times" if count else f"not {verb}")
        for batch, outcome in pairs:
            if (batch.index == work.failing) != failing:
                continue
            reason = outcome_text(batch, failing=failing)
            if not isinstance(outcome, BatchFailure) or outcome.reason != reason:
                return f"{batch.name} was yielded with another outcome: {outcome}"
        unknown = sorted(yielded.keys() - {batch.name for batch in self.batches})
        return f"yielded {unknown[0]}, which is no batch of the stream" if unknown else ""


def check_executor(executor: Executor, context: CheckContext) -> Iterator[Finding]:
    """All checks."""
    case = ExecutorCheck(executor, planned_runs(context))
    yield from guard("parameters", lambda: parameters(executor))
    for name, check in (
        ("every batch once", every_batch),
        ("no batches", no_batches),
        ("interrupted", interrupt),
    ):
        yield from guard(name, functools.partial(_in_folder, check, case))


def _in_folder(
    check: Callable[[ExecutorCheck, Path], Iterator[Finding]], case: ExecutorCheck
) -> Iterator[Finding]:
    # a process that was interrupted may note a last batch while the folder is removed
    with tempfile.TemporaryDirectory(prefix="bench-check-", ignore_cleanup_errors=True) as folder:
        yield from check(case, Path(folder))


def planned_runs(context: CheckContext) -> list[RunSpec]:
    """Two planned runs of nine batches each, as the engine would hand them out."""
    from bench.plan.contexts import MetricContexts
    from bench.plan.planning import Planner
    from bench.plan.settings import Settings

    settings = Settings(
        checkpoint=[GAUSSIAN],
        sde=["vp"],
        predictor=["ddim"],
        steps=2,
        grid="polynomial",
        samples=4 * (COUNT + 1) // 2,
        batch_size=4,
        repeats=2,
        device="cpu",
    )
    runs = Planner(MetricContexts(context.registry, settings.out)).runs(settings)
    return [run for run in runs if isinstance(run, RunSpec)]


def every_batch(case: ExecutorCheck, folder: Path) -> Iterator[Finding]:
    """Every batch of two runs is computed and yielded once, with its own outcome.

    So are those that fail: a failure is an outcome like any other. Batches are taken in the calling thread,
    where the engine locks them.
    """
    work = NotedWork(folder, failing=FAILING)
    outcomes = (
        (batch, outcome)
        for batch, outcome in case.executor.map(work, case.stream())
        if not isinstance(outcome, StepDone | Notice)
    )
    pairs = list(itertools.islice(outcomes, 1))
    ahead = case.batches_taken
    pairs += outcomes
    wrong = case.mistake(work, pairs, failing=False)
    yield verdict("every batch once", not wrong, wrong or f"{COUNT} of {COUNT}", "each batch computed, once")
    wrong = case.mistake(work, pairs, failing=True)
    yield verdict("a failing batch", not wrong, wrong or "its failure is yielded", "its failure is yielded")
    own = case.threads == {threading.get_ident()}
    if ahead == COUNT:
        ahead = taken_ahead(case, NotedWork(folder))
    measured = f"{ahead} taken before the first outcome" if own else "taken in another thread"
    required = "batches are taken in the calling thread, when a worker is free"
    yield verdict("stream", own and ahead < MANY, measured, required, ahead=ahead)


def taken_ahead(case: ExecutorCheck, work: NotedWork) -> int:
    """Of `MANY` batches, how many are taken before the first outcome."""
    taken, ahead = 0, MANY

    def stream() -> Iterator[Batch]:
        nonlocal taken
        for index in range(MANY):
            taken += 1
            yield Batch(case.batches[0].spec, index)

    for _, outcome in case.executor.map(work, stream()):
        if not isinstance(outcome, StepDone | Notice):
            ahead = min(ahead, taken)
    return ahead


def no_batches(case: ExecutorCheck, folder: Path) -> Iterator[Finding]:
    """An empty stream yields nothing and is no error."""
    work = NotedWork(folder)
    pairs = list(case.executor.map(work, iter(())))
    good = not pairs and not work.counts()
    yield verdict("no batches", good, "no outcomes" if good else "an outcome of no batch", "no outcomes")


def interrupt(case: ExecutorCheck, folder: Path) -> Iterator[Finding]:
    """Ctrl-C passes through at once: raised by a batch in this process, else where batches are taken.

    A worker's process must not decide what Ctrl-C does, so that an executor of other processes gets it in the
    main process alone, where it waits for outcomes.
    """
    required = "KeyboardInterrupt passes through"
    work = NotedWork(folder, interrupted=2 if case.executor.in_process else None)
    try:
        for _ in case.executor.map(work, case.stream() if case.executor.in_process else _interrupted(case)):
            pass
    except KeyboardInterrupt:
        again = any(count > 1 for count in work.counts().values())
        measured = "a batch was computed again after Ctrl-C" if again else required
        yield verdict("interrupted", not again, measured, required)
        return
    yield verdict("interrupted", False, "KeyboardInterrupt was swallowed", required)


def _interrupted(case: ExecutorCheck) -> Iterator[Batch]:
    """Two batches, then Ctrl-C in the main process."""
    yield from case.batches[:2]
    raise KeyboardInterrupt
