"""Runs a plan: hands its batches to an executor, then measures and records every cell."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import time
import traceback
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import BenchError, NotFiniteError, StoreError
from bench.measure import metric_facts, readings, with_exact
from bench.params import Plugin
from bench.sampling import PartError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from bench.cell import Cell
    from bench.checkpoints.cards import Card
    from bench.sampling import OnStep
    from bench.score import Model
    from bench.store import Store
    from bench.tasks import Task, Work


Rerun = Literal["missing", "failed", "all"]
"""Which cells to run: those never run; those and the failed ones; all of them anew."""

PICTURED = 64
"""Samples that a record's picture is made of, at least."""

CSV_EVERY = 20.0
"""Seconds between updates of runs.csv while a plan runs; it is made anew at the end too."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One batch of a cell: the unit of work."""

    cell: Cell
    index: int
    size: int


class Executor(Plugin):
    """Hands out batches. ``work(job)`` samples one and stores it; jobs are independent of each other."""

    @abstractmethod
    def run(self, jobs: Sequence[Job], work: Callable[[Job], None]) -> None:
        """Do all jobs, in any order; the first failure is raised."""


class Listener:
    """What a run tells as it goes; the command line draws it. All methods do nothing here."""

    def waiting(self, cell: Cell) -> None:
        """Another process is at work on the cell; it is waited for."""

    def cell_started(self, cell: Cell, cached: int, batches: int) -> None:
        """A cell begins with ``cached`` of its ``batches`` on disk."""

    def step(self, batch: int, done: int, total: int | None, calls: int) -> None:
        """``done`` of ``total`` steps of the batch are behind us (a solver: total None), in so many calls."""

    def batch_done(self, batch: int) -> None:
        """A batch is on disk."""

    def cell_done(self, cell: Cell, record: dict[str, Any], *, cached: bool) -> None:
        """A cell is recorded, or was found recorded."""


_LOADED: dict[str, Model] = {}
_BESIDE: dict[str, Model] = {}
_WARM: set[tuple[Task, int]] = set()
"""The tasks that the loaded model was called by, each with the sizes of batches."""


def _model(cell: Cell) -> Model:
    """The cell's checkpoint, kept while cells follow each other on it."""
    return _loaded(cell, cell.card, _LOADED)


def _loaded(cell: Cell, card: Card, kept: dict[str, Model]) -> Model:
    """A checkpoint as the cell asks for it; ``kept`` holds the last one. A new one is not warm."""
    import torch

    from bench.checkpoints.load import load_model

    sde, device = cell.sampler.sde, torch.device(cell.device)
    key = f"{card.deciding()} {sde} {cell.device} {cell.precision} {cell.compile}"
    if key not in kept:
        kept.clear()
        _WARM.clear()
        if device.type == "cuda":
            tf32 = cell.precision == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        kept[key] = load_model(card, sde, device, precision=cell.precision, compile=cell.compile)
    return kept[key]


def _warmed(task: Task, work: Work) -> float:
    """The warm-up's seconds: `Task.warm` on each size of batch, before it is timed."""
    import torch

    if (task, work.size) in _WARM:
        return 0.0
    begun = time.perf_counter()
    with torch.no_grad():
        task.warm(work)
    if work.device.type == "cuda":
        torch.cuda.synchronize(work.device)
    _WARM.add((task, work.size))
    return time.perf_counter() - begun


def _beside(cell: Cell, name: str) -> Model:
    """Another checkpoint than the cell's, kept until yet another is asked for."""
    from bench.plugins import registry

    return _loaded(cell, registry().get("checkpoints", name).thing, _BESIDE)


def sample(job: Job, on_step: OnStep | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Make one batch: what its task leaves, on the host (floats as float32), and its facts (NFE, seconds).

    Raises `NotFiniteError`, naming the step, where it is not finite.
    """
    import torch

    from bench.inputs import task_images
    from bench.sampling import stream
    from bench.score import Clock, ScoreFunction
    from bench.tasks import Work

    cell = job.cell
    device = torch.device(cell.device)
    model = _model(cell)
    labels = cell.sampler.labels()
    images = task_images(cell, job.index, job.size, model, device)

    def work(told: OnStep | None = None, *, watch: bool = False) -> Work:
        score = ScoreFunction(model, cell.sampler.sde, Clock(device), labels)
        noise = functools.cache(lambda role: stream(cell.seed, job.index, role, device))
        first = job.index * cell.batch_size
        load = functools.partial(_beside, cell)
        return Work(cell.sampler, score, device, job.size, first, images, noise, told, watch, load)

    def run(work: Work) -> dict[str, Tensor]:
        with torch.no_grad():
            return cell.task.run(work)

    warm, ours = _warmed(cell.task, work()), work(on_step)
    begun = time.perf_counter()
    made = run(ours)
    left = {name: (t.float() if t.is_floating_point() else t).cpu() for name, t in made.items()}
    seconds = time.perf_counter() - begun
    for name in {*cell.task.leaves, *left}:
        if name not in left or len(left[name]) != job.size:
            raise BenchError(
                f"the task {cell.task.name} left no {name}, a row for each of {job.size} samples"
            )
    bad = [name for name, tensor in left.items() if not bool(tensor.isfinite().all())]
    if bad:
        run(work(watch=True))
        raise NotFiniteError(f"in {bad[0]}, after the last step")
    assert ours.score.clock is not None
    facts = {
        "nfe": ours.score.calls,
        "seconds": seconds,
        "network_seconds": ours.score.clock.seconds(),
        "warm_seconds": warm,
    }
    return left, facts


def run_plan(
    cells: Sequence[Cell],
    store: Store,
    executor: Executor,
    listener: Listener,
    rerun: Rerun = "failed",
    *,
    prune: bool = False,
) -> list[dict[str, Any]]:
    """Run every cell that ``rerun`` asks for; a failing cell is recorded as failed, the others go on.

    Several processes may run on one store: a batch that another is at work on is passed over, and its
    cell is come back to. ``prune`` removes a cell's samples once it is recorded.
    """
    records: dict[int, dict[str, Any]] = {}
    fresh: set[Path] = set()
    pending = list(enumerate(cells))
    written = time.monotonic()
    try:
        while pending:
            left = []
            for place, cell in pending:
                record, busy = _advance(cell, store, executor, listener, rerun, fresh)
                if record is None:
                    left.append((place, cell, busy))
                    continue
                records[place] = record
                if prune and record["status"] == "finished":
                    store.prune(cell.key, cell.batches)
                if time.monotonic() - written > CSV_EVERY:
                    store.write_csv()
                    written = time.monotonic()
            if len(left) == len(pending):
                _, cell, busy = left[0]
                with store.locked(busy, functools.partial(listener.waiting, cell)):
                    pass
            pending = [(place, cell) for place, cell, _ in left]
    finally:
        store.write_csv()
    return [records[place] for place in range(len(cells))]


def _advance(
    cell: Cell, store: Store, executor: Executor, listener: Listener, rerun: Rerun, fresh: set[Path]
) -> tuple[dict[str, Any] | None, str]:
    """Do of a cell what no other process is doing: its record, or None and the lock that is in the way.

    ``fresh`` collects the batches made by this run: with ``all``, no other will do.
    """

    def recorded() -> dict[str, Any] | None:
        found = store.read_record(cell.fingerprint)
        if found is None or rerun == "all":
            return None
        if found["status"] == "finished":
            return None if missing_metrics(cell, found) else found
        return found if rerun == "missing" else None

    found = recorded()
    if found is not None:
        listener.cell_done(cell, found, cached=True)
        return found, ""
    jobs = [Job(cell, index, size) for index, size in cell.batches]

    def there(job: Job) -> bool:
        if rerun == "all" and store.batch_path(cell.key, job.index, job.size) not in fresh:
            return False
        return store.read_batch(cell.key, job.index, job.size) is not None

    todo = [job for job in jobs if not there(job)]
    listener.cell_started(cell, len(jobs) - len(todo), len(jobs))
    busy: dict[str, Job] = {}

    def work(job: Job) -> None:
        name = f"{cell.key}-{job.index:05d}-{job.size}"
        with store.tried(name) as ours:
            if not ours:
                busy[name] = job
                return
            if not there(job) and recorded() is None:
                left, facts = sample(job, functools.partial(listener.step, job.index))
                fresh.add(store.write_batch(cell.key, job.index, job.size, left, facts))
        listener.batch_done(job.index)

    try:
        executor.run(todo, work)
    except StoreError:
        raise
    except Exception as error:
        with store.locked(cell.fingerprint, functools.partial(listener.waiting, cell)):
            return _failed(cell, store, listener, error, rerun), ""
    # what another process was at may be done by now
    still = [name for name, job in busy.items() if not there(job)]
    if still:
        return None, still[0]
    with store.locked(cell.fingerprint, functools.partial(listener.waiting, cell)):
        found = recorded()
        if found is not None:  # by another process, meanwhile
            listener.cell_done(cell, found, cached=True)
            return found, ""
        try:
            record = _header(cell) | _measure(cell, store)
        except StoreError:
            raise
        except Exception as error:
            return _failed(cell, store, listener, error, rerun), ""
        before = store.read_record(cell.fingerprint)
        if before is not None and before["status"] == "finished" and rerun != "all":
            # metrics taken before on the same samples stay
            record["metrics"] = before["metrics"] | record["metrics"]
        store.write_record(record)
    listener.cell_done(cell, record, cached=False)
    return record, ""


def _failed(cell: Cell, store: Store, listener: Listener, error: Exception, rerun: Rerun) -> dict[str, Any]:
    """The record of a failed cell. A finished one stays on disk: what failed is one metric more."""
    said = " ".join(f"{error}".split())
    plain = isinstance(error, BenchError | NotFiniteError)
    origin = _origin(cell, error)
    log = store.write_log(cell.fingerprint, "".join(traceback.format_exception(error)))
    record = _header(cell) | {
        "status": "failed",
        "reason": (said if plain else f"{type(error).__name__}: {said}") + origin,
        "log": str(log),
    }
    before = store.read_record(cell.fingerprint)
    if rerun == "all" or before is None or before["status"] != "finished":
        store.write_record(record)
    listener.cell_done(cell, record, cached=False)
    return record


def _origin(cell: Cell, error: Exception) -> str:
    """Whose code it was that failed, where it was that of one of the cell's plugins: the innermost."""
    parts = {id(cell.plugin(role)): entry for role, entry in cell.entries.items() if role != "sde"}
    frames = (frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__))
    at_fault = [error.part] if isinstance(error, PartError) else [one for one in frames if id(one) in parts]
    if not at_fault or id(at_fault[-1]) not in parts:
        return ""
    entry = parts[id(at_fault[-1])]
    return f" ({entry.kind[:-1]} {entry.name} of {entry.distribution} {entry.version})"


def _header(cell: Cell) -> dict[str, Any]:
    from bench.provenance import provenance

    return {
        "fingerprint": cell.fingerprint,
        "key": cell.key,
        "title": cell.title,
        "status": "finished",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "samples": cell.samples,
        "leaves": list(cell.task.leaves),
        "planned_nfe": cell.planned_nfe,
        "identity": cell.identity,
        "provenance": provenance(),
    }


def missing_metrics(cell: Cell, record: dict[str, Any]) -> list[str]:
    """Metrics of the cell that its record lacks, or has from other parameters or reference data."""
    return [
        m.label for m in cell.metrics if record["metrics"].get(m.label, {}).get("with") != metric_facts(m)
    ]


def _measure(cell: Cell, store: Store) -> dict[str, Any]:
    """One pass over the stored batches: cost, every metric, the grid of samples."""
    import torch

    from bench.report.images import grid_png

    seconds = network = calls = warm = 0.0
    first: list[dict[str, Tensor]] = []
    batches: list[dict[str, Any]] = []
    exact = dict(cell.task.exact(cell.card, cell.sampler))

    def seen(left: dict[str, Tensor], facts: dict[str, Any]) -> None:
        nonlocal seconds, network, calls, warm
        size = cell.batches[len(batches)][1]
        seconds += facts["seconds"]
        network += facts["network_seconds"]
        warm += facts["warm_seconds"]
        calls += facts["nfe"] * size
        for name in left:
            if not name.startswith("exact_"):
                continue
            label = name.removeprefix("exact_")
            exact[label] = exact.get(label, 0.0) + float(left[name].double().sum()) / cell.samples
        if sum(batch["size"] for batch in batches) < PICTURED:
            first.append(left)
        batches.append({"size": size} | {k: facts[k] for k in ("nfe", "seconds", "network_seconds")})

    found = readings(cell.metrics, store, cell.key, cell.batches, torch.device(cell.device), seen)
    nfe = calls / cell.samples
    cost = {
        "nfe": int(nfe) if nfe == int(nfe) else nfe,
        "seconds": seconds,
        "samples_per_second": cell.samples / seconds,
        "network_share": network / seconds,
        "warm_seconds": warm,
    }
    measured = {"metrics": with_exact(found, exact), "exact": exact, "cost": cost, "batches": batches}
    pictured = cell.task.picture({name: torch.cat([left[name] for left in first]) for name in first[0]})
    if pictured is None:
        return measured
    return measured | {"picture": str(store.write_image(cell.fingerprint, grid_png(*pictured)))}
