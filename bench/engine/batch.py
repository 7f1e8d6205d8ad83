"""One batch of a run: a plain function of plain data."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from bench.devices import arithmetic
from bench.diffusion.counting import counted_evaluations
from bench.diffusion.noise import draw_integers, noise_stream
from bench.diffusion.prediction import Clock, Prediction
from bench.engine.executor import Batch, BatchFailure, BatchResult, Outcome
from bench.engine.memory import PeakMemory
from bench.engine.session import Session
from bench.errors import BenchError, NotFiniteError, one_line
from bench.events import Emit, StepDone, silent
from bench.plan.drafting import origin_of
from bench.results.record import BatchFacts
from bench.results.run_spec import RunSpec
from bench.results.store import Store
from bench.tasks.role import BatchContext

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bench.checkpoints.cards import Card
    from bench.diffusion.model import Model
    from bench.diffusion.roles import OnStep


def run_batch(spec: RunSpec, index: int, session: Session | None = None, emit: Emit = silent) -> BatchResult:
    """Compute one batch: prior -> steps -> outputs of the task.

    Args:
        spec: The run.
        index: Number of the batch.
        session: Holds loaded models between batches; None loads the model for this batch alone.
        emit: Receives an event for every step.

    Returns:
        Outputs on the host (floating-point ones as float32), network calls per sample, and seconds.

    Raises:
        ArithmeticError: A sample is NaN or infinite; the message names the step.
        BenchError: The task does not return what it declares, the network was never called, or a plugin
            breaks a rule of its role.
    """
    import torch

    with arithmetic(torch.device(spec.device), tf32=spec.precision == "tf32"):
        return _run_batch(spec, index, session or Session.of_installed(), emit)


def _run_batch(spec: RunSpec, index: int, session: Session, emit: Emit) -> BatchResult:
    import torch

    size, device = spec.batch_samples(index), torch.device(spec.device)
    classes = class_labels(spec, index, device)

    def of_batch(model: Model, card: Card) -> Model:
        return model.of_classes(classes) if card.classes and classes is not None else model

    def other(name: str) -> Model:
        card = next(card for card in spec.others if card.name == name)
        return of_batch(session.other_model(spec, name), card)

    model = of_batch(session.model(spec), spec.card)
    labels = spec.sampler.labels()
    images = session.images(spec, index, size, model)

    def context(on_step: OnStep | None = None, *, watch: bool = False) -> BatchContext:
        return BatchContext(
            sampler=spec.sampler,
            prediction=Prediction(model, spec.sampler.sde, Clock(device), labels),
            device=device,
            size=size,
            first=index * spec.batch_size,
            images=images,
            noise=functools.cache(lambda role: noise_stream(spec.seed, index, role, device)),
            on_step=on_step,
            watch=watch,
            load=other,
        )

    def run(batch: BatchContext) -> dict[str, Tensor]:
        with torch.no_grad():
            return spec.task.run(batch)

    def on_step(done: int, total: int | None, calls: int) -> None:
        emit(StepDone(spec.fingerprint, index, done, total, calls))

    warm_seconds = session.warm_up(spec, context())
    batch = context(on_step)
    memory = PeakMemory(device)
    begin = time.perf_counter()
    with counted_evaluations() as evaluations:
        results = run(batch)
    outputs = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).cpu()
        for name, tensor in results.items()
    }
    seconds = time.perf_counter() - begin
    host_bytes, gpu_bytes = memory.host(), memory.gpu()
    for name in {*spec.task.outputs, *outputs}:
        if name not in outputs or len(outputs[name]) != size:
            raise BenchError(
                f"the task {spec.task.name} returned no {name}, a row for each of {size} samples"
            )
    infinite = [name for name, tensor in outputs.items() if not bool(tensor.isfinite().all())]
    if infinite:
        run(context(watch=True))
        raise NotFiniteError(f"in {infinite[0]}, after the last step")
    if evaluations.count == 0:
        raise BenchError(
            f"the network was never called: neither the task {spec.task.name} nor the sampler asks for a "
            "prediction, so that the outputs are not of the checkpoint"
        )
    clock = batch.prediction.clock
    nfe, most = evaluations.count / size, evaluations.most(size)
    facts = BatchFacts(
        nfe=nfe,
        nfe_max=None if math.isclose(most, nfe) else most,
        seconds=seconds,
        network_seconds=0.0 if clock is None else clock.seconds(),
        warm_seconds=warm_seconds,
        peak_host_bytes=host_bytes,
        peak_gpu_bytes=gpu_bytes,
        part=evaluations.part,
    )
    return BatchResult(outputs, facts)


def class_labels(spec: RunSpec, index: int, device: torch.device | str) -> Tensor | None:
    """The classes of a batch's samples, (size,) integers; None for an unconditional checkpoint.

    Drawn ones derive from (seed, batch) alone.
    """
    import torch

    if spec.labels is None:
        return None
    size, count = spec.batch_samples(index), spec.card.classes
    if spec.labels == "seed":
        return torch.from_numpy(draw_integers(spec.seed, index, "classes", count, size)).to(device)
    first = index * spec.batch_size
    numbers = torch.arange(first, first + size, device=device)
    return numbers % count if spec.labels == "turn" else torch.full_like(numbers, spec.labels)


@functools.cache
def process_session() -> Session:
    """The session of a process that computes batches for another one; nothing else holds it in between."""
    return Session.of_installed()


def attempt_batch_elsewhere(batch: Batch, emit: Emit = silent) -> Outcome:
    """`attempt_batch` in a process of an executor: the model stays loaded from batch to batch."""
    return attempt_batch(batch, emit, process_session())


@dataclasses.dataclass(frozen=True)
class FolderWork:
    """`attempt_batch_elsewhere`, in a process that shares the results folder and writes the batch there.

    Args:
        folder: The results folder, an absolute path.
        worker: Number of the worker, for the batch's facts.
        retries: Number of workers that died of the batch before.
    """

    folder: Path
    worker: int | None = None
    retries: int = 0

    def of_worker(self, worker: int, retries: int) -> FolderWork:
        """The same work, by that worker after so many others."""
        return dataclasses.replace(self, worker=worker, retries=retries)

    def __call__(self, batch: Batch, emit: Emit = silent, /) -> Outcome:
        """Compute a batch and write it; where it can't be written here, the result has the tensors."""
        outcome = attempt_batch_elsewhere(batch, emit)
        if not isinstance(outcome, BatchResult):
            return outcome
        if self.worker is not None:
            outcome = outcome.of_worker(self.worker, self.retries)
        try:
            store = _store(self.folder)
            store.write_batch(batch.spec.key, batch.index, batch.size, outcome.outputs, outcome.facts)
        except (BenchError, OSError):  # such as a full disk of this machine alone
            return outcome
        return dataclasses.replace(outcome, outputs={}, stored=True)


@functools.cache
def _store(folder: Path) -> Store:
    """The results folder, for a process that computes batches."""
    return Store(folder)


def attempt_batch(batch: Batch, emit: Emit = silent, session: Session | None = None) -> Outcome:
    """`run_batch`, with any error as plain data that travels between processes."""
    try:
        return run_batch(batch.spec, batch.index, session, emit)
    except Exception as error:
        return failure_of(error, batch.spec)


def failure_of(error: Exception, spec: RunSpec) -> BatchFailure:
    """An error as plain data: one line that names the plugin that raised it, and the traceback."""
    text = one_line(error)
    reason = text if isinstance(error, BenchError | NotFiniteError) else f"{type(error).__name__}: {text}"
    sampler = spec.sampler
    parts = {
        "task": spec.task,
        "sde": sampler.sde,
        "predictor": sampler.predictor,
        "corrector": sampler.corrector,
        "solver": sampler.solver,
        "grid": sampler.grid if spec.identity.grid is not None else None,
    }
    role = origin_of(error, {role: part for role, part in parts.items() if part is not None})
    if role is not None:
        plugin = spec.identity.plugins()[role]
        reason += f" ({role} {plugin.name} of {plugin.distribution} {plugin.version})"
    reason += "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return BatchFailure(reason, "".join(traceback.format_exception(error)))
