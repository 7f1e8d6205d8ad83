"""64 workers and 100,000 batches of mixed cost by a simulated clock: makespan, memory and time of the engine.

    python -m tests.benchmarks.simulation results/reference

writes simulation.csv. The engine hands out, takes and records the batches as it does in a run; batches last
as long as a simulated clock says, nothing is sampled, and samples are kept as marks in memory. Eight numbers
of steps differ 200-fold in cost, batches of a run by a fifth, and a worker that changes the checkpoint loads
it. The bound is the work of all batches, without loading, over the workers, or the longest batch.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import heapq
import itertools
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bench import Batch, BatchResult, Executor, Outcome, Work
from bench.engine.ledger import Ledger, record_header
from bench.engine.loop import Engine
from bench.engine.session import Session
from bench.plan.forecast import Forecast
from bench.plan.settings import Settings
from bench.results.batches import Batches
from bench.results.record import BatchFacts, Record
from bench.results.run_spec import RunSpec
from bench.results.store import Store
from tests.support import made_up
from tests.support.plans import QUICK, contexts, plan
from tests.support.plugins import installed

if TYPE_CHECKING:
    from torch import Tensor

    from bench.results.store import Lock

WORKERS, SEEDS, BATCHES, STRIDE = 64, 5, 1250, 10_000
STEPS = (10, 20, 50, 100, 200, 500, 1000, 2000)
CHECKPOINTS = ("gaussian-cifar10", "gmm-cifar10")
PACE, LOAD, SPREAD = 0.01, 5.0, 0.2
"""Seconds of a batch per step, seconds to load a checkpoint, and standard deviation of a batch's log cost."""

FACTS = BatchFacts(nfe=1, seconds=1.0, network_seconds=0.5, warm_seconds=0.0)
OUTPUTS = {"images": torch.zeros(1, 1)}


class _Unlocked:
    """The lock of a batch that no other process wants."""

    def release(self) -> None:
        """Nothing is held."""


class MarkStore(Store):
    """A results folder that keeps no samples, only which batches it has, a byte for each."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.marks: dict[str, bytearray] = {}

    def try_lock(self, name: str) -> Lock | None:
        return _Unlocked()  # type: ignore[return-value]

    def write_batch(
        self, key: str, index: int, size: int, outputs: Mapping[str, Tensor], facts: BatchFacts
    ) -> Path:
        self.marks[key][index] = 1
        return self.root

    def read_batch(self, key: str, index: int, size: int) -> tuple[dict[str, Tensor], BatchFacts] | None:
        return (OUTPUTS, FACTS) if self.marks[key][index] else None

    def stored_batches(self, key: str, batches: Batches) -> bytearray:
        return bytearray(self.marks.setdefault(key, bytearray(len(batches))))


class UnmeasuredLedger(Ledger):
    """The engine's ledger, with records that hold no metric."""

    def write_finished(self, spec: RunSpec) -> Record:
        return record_header(spec, spec.task.outputs, "finished", spec.planned_nfe)


@dataclasses.dataclass(frozen=True)
class Mark:
    """Batches so far, processor seconds of the engine and greatest memory of the process in bytes by then."""

    batches: int
    seconds: float
    memory: int


@dataclasses.dataclass
class Log:
    """Seconds of the simulated makespan, of all batches and of the longest one; and the engine's marks."""

    span: float = 0.0
    work: float = 0.0
    longest: float = 0.0
    marks: list[Mark] = dataclasses.field(default_factory=list)

    @property
    def bound(self) -> float:
        """Seconds below which no order gets: the work over the workers, or the longest batch."""
        return max(self.work / WORKERS, self.longest)

    @property
    def slices(self) -> list[float]:
        """The engine's seconds per batch between the marks."""
        times = [0.0, *(mark.seconds for mark in self.marks)]
        return [(after - before) / STRIDE for before, after in itertools.pairwise(times)]


class SimulatedWorkers(Executor):
    """Workers of a simulated clock: each takes the next batch when it is free."""

    name = "simulated"
    in_process = True
    at_once = WORKERS

    @functools.cached_property
    def log(self) -> Log:
        """What happened."""
        return Log()

    def map(self, work: Work, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Outcome]]:
        generator = random.Random(0)
        held = [""] * WORKERS
        busy: list[tuple[float, int, Batch]] = []
        begin, done, now = time.process_time(), 0, 0.0
        result = BatchResult(OUTPUTS, FACTS)
        free = list(range(WORKERS))
        stream = iter(batches)
        while True:
            for worker, batch in zip(list(free), itertools.islice(stream, len(free)), strict=False):
                seconds = PACE * (batch.spec.planned_nfe or 0) * generator.lognormvariate(0.0, SPREAD)
                self.log.work += seconds
                self.log.longest = max(self.log.longest, seconds)
                name = batch.spec.card.name
                seconds += LOAD if held[worker] != name else 0.0
                held[worker] = name
                heapq.heappush(busy, (now + seconds, worker, batch))
                free.remove(worker)
            if not busy:
                break
            now, worker, batch = heapq.heappop(busy)
            free.append(worker)
            done += 1
            if done % STRIDE == 0:
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
                self.log.marks.append(Mark(done, time.process_time() - begin, memory))
            yield batch, result
        self.log.span = now


def forecast_of(runs: list[RunSpec]) -> Forecast:
    """What earlier records of the same samplers tell: the mean cost of a batch of each run."""
    base = made_up.record().cost
    assert base is not None
    records = []
    for spec in runs:
        nfe = float(spec.planned_nfe or 0)
        cost = base.model_copy(update={"nfe": nfe, "seconds": PACE * nfe * spec.samples / spec.batch_size})
        changes = {"identity": spec.identity, "samples": spec.samples, "cost": cost}
        records.append(made_up.record().model_copy(update=changes))
    forecast = Forecast(len(runs), records, at_once=WORKERS)
    for spec in runs:
        forecast.add(spec, spec.samples, float(spec.planned_nfe or 0))
    return forecast


def simulate(root: Path, *, batches: int = BATCHES, seeds: int = SEEDS, known: bool = True) -> Log:
    """Run all batches by the simulated clock.

    Args:
        root: Results folder of the records.
        batches: Batches per run.
        seeds: Runs per checkpoint and number of steps.
        known: Whether earlier records tell what a batch costs.

    Returns:
        The makespan, its bound, and the engine's time and memory.
    """
    settings = QUICK | {
        "samples": batches,
        "batch_size": 1,
        "repeats": seeds,
        "grid": "logsnr",
        "metric": ["none"],
    }
    runs = [
        run
        for steps in STEPS
        for name in CHECKPOINTS
        for run in plan(Settings.model_validate(settings | {"checkpoint": [name], "steps": steps}))
    ]
    workers = SimulatedWorkers()
    forecast = forecast_of(runs) if known else Forecast(len(runs), at_once=WORKERS)
    store = MarkStore(root)
    engine = Engine(store, workers, Session(installed()), contexts(), forecast=forecast)
    engine.ledger = UnmeasuredLedger(store, contexts(), "failed", workers.name)
    records = engine.execute(runs)
    assert all(record.status == "finished" for record in records)
    return workers.log


def write(folder: Path) -> None:
    """Simulate with and without earlier records; write ``folder / simulation.csv``."""
    rows = []
    for known in (True, False):
        with tempfile.TemporaryDirectory() as root:
            log = simulate(Path(root), known=known)
        for mark, seconds in zip(log.marks, log.slices, strict=True):
            rows.append(
                {
                    "costs": "by records" if known else "unknown",
                    "batches": mark.batches,
                    "engine_us_per_batch": f"{seconds * 1e6:.0f}",
                    "peak_memory_mib": f"{mark.memory / 2**20:.0f}",
                    "makespan_s": f"{log.span:.1f}",
                    "bound_s": f"{log.bound:.1f}",
                    "ratio": f"{log.span / log.bound:.4f}",
                }
            )
    with (folder / "simulation.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print((folder / "simulation.csv").read_text())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
