"""One batch of a run."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from bench.engine.executor import Job
from bench.errors import BenchError, NotFiniteError

if TYPE_CHECKING:
    from torch import Tensor

    from bench.checkpoints.cards import Card
    from bench.diffusion.model import Model
    from bench.diffusion.roles import OnStep
    from bench.results.run_spec import RunSpec
    from bench.tasks.role import BatchContext, Task


_LOADED: dict[str, Model] = {}
_BESIDE: dict[str, Model] = {}
_WARM: set[tuple[Task, int]] = set()
"""The tasks that the loaded model was called by, each with the sizes of batches."""


def _model(cell: RunSpec) -> Model:
    """The cell's checkpoint, kept while cells follow each other on it."""
    return _loaded(cell, cell.card, _LOADED)


def _loaded(cell: RunSpec, card: Card, kept: dict[str, Model]) -> Model:
    """A checkpoint as the cell asks for it; ``kept`` holds the last one. A new one is not warm."""
    import torch

    from bench.checkpoints.load import load_model
    from bench.plugins.registry import registry

    sde, device = cell.sampler.sde, torch.device(cell.device)
    key = f"{card.deciding()} {sde} {cell.device} {cell.precision} {cell.compile}"
    if key not in kept:
        kept.clear()
        _WARM.clear()
        if device.type == "cuda":
            tf32 = cell.precision == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        kept[key] = load_model(card, sde, device, registry(), precision=cell.precision, compile=cell.compile)
    return kept[key]


def _warmed(task: Task, work: BatchContext) -> float:
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


def _beside(cell: RunSpec, name: str) -> Model:
    """Another checkpoint than the cell's, kept until yet another is asked for."""
    card = next(card for card in cell.others if card.name == name)
    return _loaded(cell, card, _BESIDE)


def sample(job: Job, on_step: OnStep | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Make one batch: what its task leaves, on the host (floats as float32), and its facts (NFE, seconds).

    Raises `NotFiniteError`, naming the step, where it is not finite.
    """
    import torch

    from bench.diffusion.noise import noise_stream
    from bench.diffusion.prediction import Clock, Prediction
    from bench.engine.inputs import task_images
    from bench.tasks.role import BatchContext

    cell = job.cell
    device = torch.device(cell.device)
    model = _model(cell)
    labels = cell.sampler.labels()
    images = task_images(cell, job.index, job.size, model, device)

    def work(told: OnStep | None = None, *, watch: bool = False) -> BatchContext:
        prediction = Prediction(model, cell.sampler.sde, Clock(device), labels)
        noise = functools.cache(lambda role: noise_stream(cell.seed, job.index, role, device))
        first = job.index * cell.batch_size
        load = functools.partial(_beside, cell)
        return BatchContext(
            cell.sampler, prediction, device, job.size, first, images, noise, told, watch, load
        )

    def run(work: BatchContext) -> dict[str, Tensor]:
        with torch.no_grad():
            return cell.task.run(work)

    warm, ours = _warmed(cell.task, work()), work(on_step)
    begun = time.perf_counter()
    made = run(ours)
    left = {name: (t.float() if t.is_floating_point() else t).cpu() for name, t in made.items()}
    seconds = time.perf_counter() - begun
    for name in {*cell.task.outputs, *left}:
        if name not in left or len(left[name]) != job.size:
            raise BenchError(
                f"the task {cell.task.name} left no {name}, a row for each of {job.size} samples"
            )
    bad = [name for name, tensor in left.items() if not bool(tensor.isfinite().all())]
    if bad:
        run(work(watch=True))
        raise NotFiniteError(f"in {bad[0]}, after the last step")
    assert ours.prediction.clock is not None
    facts = {
        "nfe": ours.prediction.calls,
        "seconds": seconds,
        "network_seconds": ours.prediction.clock.seconds(),
        "warm_seconds": warm,
    }
    return left, facts
