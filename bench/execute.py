"""Runs a plan: hands its batches to an executor, then measures and records every cell."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import time
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, NotFiniteError
from bench.params import Plugin

if TYPE_CHECKING:
    from torch import Tensor

    from bench.plan import Cell
    from bench.sampling import OnStep
    from bench.score import Model
    from bench.store import Store


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


def _model(cell: Cell, size: int) -> tuple[Model, float]:
    """The cell's loaded checkpoint, kept while cells follow each other on it, and the warm-up's seconds.

    A compiled network, and any on a GPU, is called once before it is timed.
    """
    import torch

    from bench.checkpoints.load import load_model

    sde, device = cell.sampler.sde, torch.device(cell.device)
    key = f"{cell.card.deciding()} {sde.data_range} {cell.device} {cell.precision} {cell.compile}"
    if key in _LOADED:
        return _LOADED[key], 0.0
    _LOADED.clear()
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = cell.precision == "tf32"
    model = load_model(cell.card, sde.data_range, device, precision=cell.precision, compile=cell.compile)
    begun = time.perf_counter()
    if cell.compile or device.type == "cuda":
        with torch.no_grad():  # as the run: a compiled network knows the difference
            model.score(torch.zeros((size, *model.shape), device=device), sde.at(sde.end)).sum().item()
    _LOADED[key] = model
    return model, time.perf_counter() - begun


def sample(job: Job, on_step: OnStep | None = None) -> tuple[Tensor, dict[str, Any]]:
    """Sample one batch: images (B, C, H, W) float32 on the host, and its facts (NFE, seconds).

    Raises `NotFiniteError`, naming the step, where samples are not finite.
    """
    import torch

    from bench.sampling import streams
    from bench.score import Clock, ScoreFunction

    cell = job.cell
    device = torch.device(cell.device)
    model, warm = _model(cell, job.size)
    like = torch.empty((job.size, *model.shape), device=device)

    def run(told: Any, *, watch: bool) -> tuple[Tensor, ScoreFunction]:
        prior, predictor, corrector = streams(cell.seed, job.index, device)
        score = ScoreFunction(model, cell.sampler.sde, Clock(device))
        with torch.no_grad():
            return cell.sampler.run(prior(like), score, predictor, corrector, told, watch=watch), score

    begun = time.perf_counter()
    x, score = run(on_step, watch=False)
    images = model.images(x).float().cpu()
    seconds = time.perf_counter() - begun
    if not bool(images.isfinite().all()):
        run(None, watch=True)
        raise NotFiniteError("in the last conversion to images")
    assert score.clock is not None
    facts = {
        "nfe": score.calls,
        "seconds": seconds,
        "network_seconds": score.clock.seconds(),
        "warm_seconds": warm,
    }
    return images, facts


def run_plan(
    cells: Sequence[Cell], store: Store, executor: Executor, listener: Listener
) -> list[dict[str, Any]]:
    """Run every cell that is not yet recorded; a failing cell is recorded as failed, the others go on."""
    records = []
    for cell in cells:
        with store.locked(cell.key, functools.partial(listener.waiting, cell)):
            found = store.read_record(cell.fingerprint)
            cached = found is not None and found["status"] == "finished" and not _missing(cell, found)
            record = found if cached and found is not None else _run_cell(cell, store, executor, listener)
            if not cached:
                if found is not None and record["status"] == "finished":
                    # metrics taken before on the same samples stay
                    record["metrics"] = found.get("metrics", {}) | record["metrics"]
                store.write_record(record)
        records.append(record)
        store.write_csv()
        listener.cell_done(cell, record, cached=cached)
    return records


def _missing(cell: Cell, record: dict[str, Any]) -> list[str]:
    """Metrics of the cell that its record lacks, or has from other parameters or reference data."""
    return [m.name for m in cell.metrics if record["metrics"].get(m.name, {}).get("with") != _with(m)]


def _with(metric: Any) -> dict[str, Any]:
    return {"parameters": metric.values(), "provenance": metric.provenance()}


def _run_cell(cell: Cell, store: Store, executor: Executor, listener: Listener) -> dict[str, Any]:
    jobs = [Job(cell, index, size) for index, size in cell.batches]
    todo = [job for job in jobs if store.read_batch(cell.key, job.index, job.size) is None]
    listener.cell_started(cell, len(jobs) - len(todo), len(jobs))

    def work(job: Job) -> None:
        images, facts = sample(job, functools.partial(listener.step, job.index))
        store.write_batch(cell.key, job.index, job.size, images, facts)
        listener.batch_done(job.index)

    from bench.provenance import provenance

    record: dict[str, Any] = {
        "fingerprint": cell.fingerprint,
        "title": cell.title,
        "status": "finished",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "samples": cell.samples,
        "identity": cell.identity,
        "provenance": provenance(),
    }
    try:
        executor.run(todo, work)
        record |= _measure(cell, store)
    except Exception as error:
        said = " ".join(f"{error}".split())
        plain = isinstance(error, BenchError | NotFiniteError)
        record |= {"status": "failed", "reason": said if plain else f"{type(error).__name__}: {said}"}
        record["log"] = str(store.write_log(cell.fingerprint, traceback.format_exc()))
    return record


def _measure(cell: Cell, store: Store) -> dict[str, Any]:
    """One pass over the stored batches: cost, every metric, the grid of samples."""
    import torch

    from bench.report.images import grid_png

    device = torch.device(cell.device)
    begun = [(metric, metric.start(device)) for metric in cell.metrics]
    seconds = network = calls = 0.0
    first: list[Tensor] = []
    for images, facts in _stored(cell, store):
        for _, measured in begun:
            measured.add(images)
        seconds += facts["seconds"]
        network += facts["network_seconds"]
        calls += facts["nfe"] * len(images)
        if sum(map(len, first)) < 64:
            first.append(images)
    exact = _exact(cell)
    readings = {}
    for metric, measured in begun:
        reading = measured.result()
        note = reading.note or (f"n below {metric.least}" if reading.n < metric.least else "")
        readings[metric.name] = dataclasses.asdict(reading) | {"note": note, "with": _with(metric)}
        if metric.name in exact:
            readings[metric.name]["exact"] = exact[metric.name]
    nfe = calls / cell.samples
    cost = {
        "nfe": int(nfe) if nfe == int(nfe) else nfe,
        "seconds": seconds,
        "samples_per_second": cell.samples / seconds,
        "network_share": network / seconds,
    }
    picture = store.write_image(cell.fingerprint, grid_png(torch.cat(first)[:64]))
    return {"metrics": readings, "cost": cost, "picture": str(picture)}


def _stored(cell: Cell, store: Store) -> Iterator[tuple[Tensor, dict[str, Any]]]:
    for index, size in cell.batches:
        found = store.read_batch(cell.key, index, size)
        if found is None:
            raise OSError(f"batch {index} of {cell.key} vanished or is damaged: run the same command again")
        yield found


def _exact(cell: Cell) -> dict[str, float]:
    """The exact value of ``fd_dct`` where theory has it: a linear sampler on the Gaussian checkpoint."""
    from bench.exact import exact_fd_dct, linear

    if cell.card.kind != "gaussian" or not linear(cell.sampler):
        return {}
    return {"fd_dct": exact_fd_dct(cell.card, cell.sampler)}
