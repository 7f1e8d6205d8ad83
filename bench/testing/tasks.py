"""Whether a task leaves what it declares, the same whenever it is asked, on an exact checkpoint."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import cast

import torch

from bench.checkpoints.cards import Card
from bench.closed_form.mixture import MixtureModel
from bench.diffusion.noise import noise_stream
from bench.diffusion.prediction import Prediction
from bench.diffusion.sampler import Sampler
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.metrics.role import Metric
from bench.plugins.registry import registry
from bench.tasks.role import BatchContext, Task, check_task
from bench.testing.duties import parameters
from bench.testing.probe import GAUSSIAN, MIXTURE, truth
from bench.testing.report import Finding, guarded, judged

Left = dict[str, torch.Tensor]


def tasks(task: Task) -> Iterator[Finding]:
    """All checks; `BenchError` where the task can't work on exact checkpoints."""
    card, sampler = _ground(task)
    yield from guarded("parameters", lambda: parameters(task))
    yield from guarded("metrics", lambda: metrics(task, card))
    yield from guarded("warm-up", lambda: warm(task, card, sampler))
    yield from guarded("rows", lambda: rows(task, card, sampler))
    yield from guarded("same seed, same bits", lambda: determined(task, card, sampler))
    yield from guarded("device", lambda: device(task, card, sampler))
    yield from guarded("preview", lambda: preview(task, card, sampler))


def _ground(task: Task) -> tuple[Card, Sampler]:
    """An exact checkpoint that the task works on, and a sampler: a solver of the flow, or ten steps."""
    found = registry()
    sde = cast(SDE, found.build("sdes", "vp", dict(task.sde_defaults)))
    if task.follows_flow:
        sampler = Sampler(sde, solver=found.build("solvers", "scipy_rk45", {"tol": 1e-2}), denoise="none")
    else:
        predictor = found.build("predictors", "reverse_diffusion", {})
        sampler = Sampler(sde, predictor=predictor, steps=10, grid="polynomial")
    refused = ""
    for name in (GAUSSIAN, MIXTURE):
        card = cast(Card, found.get("checkpoints", name).thing)
        try:
            check_task(task, card, sampler)
            task.check_data(None, 4 * task.per_image, 4 * task.per_image)
        except BenchError as error:
            refused = f"{error}"
            continue
        return card, sampler
    raise BenchError(
        f"{task.name} works on no exact checkpoint, so that there is nothing to check: {refused}"
    )


def _work(task: Task, card: Card, sampler: Sampler) -> BatchContext:
    """The second batch of four images, of which each has as many samples as the task makes of one."""
    sde, size = sampler.sde, 4 * task.per_image

    def load(name: str) -> MixtureModel:
        data = truth(name, sde)
        return MixtureModel(data, "cpu", torch.float32, color=None, range_=sde.data_range)

    model, noise = load(card.name), functools.cache(lambda role: noise_stream(0, 1, role, "cpu"))
    images = None
    if task.takes_data:
        drawn = model.images(model.draw(4, noise_stream(0, 1, "data", "cpu")))
        images = drawn.repeat_interleave(task.per_image, dim=0)
    prediction = Prediction(model, sde)
    return BatchContext(sampler, prediction, torch.device("cpu"), size, size, images, noise, load=load)


def _left(task: Task, work: BatchContext) -> Left:
    with torch.no_grad():
        return task.run(work)


def metrics(task: Task, card: Card) -> Iterator[Finding]:
    """The metrics that it is measured by read what it leaves."""
    names = task.metrics_on(card) or (card.metric,)
    known = {name: cast(Metric, registry().build("metrics", name, {})).inputs for name in names}
    lost = [
        f"{name} reads {one}" for name, reads in known.items() for one in reads if one not in task.outputs
    ]
    yield judged("metrics", not lost, lost[0] if lost else ", ".join(names), "read what the task leaves")


def warm(task: Task, card: Card, sampler: Sampler) -> Iterator[Finding]:
    """Something is called."""
    work = _work(task, card, sampler)
    with torch.no_grad():
        task.warm(work)
    yield judged(
        "warm-up",
        work.prediction.calls > 0,
        f"{work.prediction.calls} network calls",
        "the network is called",
    )


def rows(task: Task, card: Card, sampler: Sampler) -> Iterator[Finding]:
    """All that it declares, and truths besides; a finite row for each sample; images as they were."""
    work = _work(task, card, sampler)
    before = None if work.images is None else work.images.clone()
    left = _left(task, work)
    wrong = [f"no {name}" for name in task.outputs if name not in left]
    wrong += [
        f"{name} is neither declared nor an exact_…"
        for name in left
        if name not in task.outputs and not name.startswith("exact_")
    ]
    wrong += [f"{len(t)} rows of {name}, not {work.size}" for name, t in left.items() if len(t) != work.size]
    wrong += [f"{name} is not finite" for name, t in left.items() if not bool(t.isfinite().all())]
    if before is not None and work.images is not None and not torch.equal(before, work.images):
        wrong.append("the images were changed in place")
    said = wrong[0] if wrong else ", ".join(f"{name} {tuple(t.shape)}" for name, t in left.items())
    yield judged("rows", not wrong, said, "what it declares, finite, a row per sample")


def determined(task: Task, card: Card, sampler: Sampler) -> Iterator[Finding]:
    """The same streams give the same bits, whatever torch's global generator does."""
    kept, found = torch.random.get_rng_state(), list[Left]()
    try:
        for seed in (1, 2):
            torch.manual_seed(seed)
            found.append(_left(task, _work(task, card, sampler)))
    finally:
        torch.random.set_rng_state(kept)
    other = [name for name, t in found[0].items() if not torch.equal(t, found[1][name])]
    said = f"{other[0]} is another the second time" if other else "same bits"
    yield judged("same seed, same bits", not other, said, "one seed, one result")


def device(task: Task, card: Card, sampler: Sampler) -> Iterator[Finding]:
    """No tensor is made on torch's default device: on a GPU's run that would be the host's."""
    work, said = _work(task, card, sampler), "as it was given"
    try:
        with torch.device("meta"):
            lost = [name for name, t in _left(task, work).items() if t.device != work.device]
        said = f"{lost[0]} is on another" if lost else said
    except (RuntimeError, NotImplementedError) as error:
        lost, said = ["all"], f"a tensor is made without a device: {error}".splitlines()[0]
    yield judged("device", not lost, said, "tensors are made on work.device")


def preview(task: Task, card: Card, sampler: Sampler) -> Iterator[Finding]:
    """Of few samples, and of more than a picture shows: images, in whole rows."""
    left = _left(task, _work(task, card, sampler))
    for copies in (1, 17):
        many = {name: torch.cat([t] * copies) for name, t in left.items()}
        made = task.preview(many)
        if made is None:
            continue
        images, columns = made
        if images.dim() != 4 or images.shape[1] not in (1, 3) or columns < 1 or not len(images):
            said = f"{tuple(images.shape)} in {columns} columns"
            yield judged("preview", False, said, "images (n, C, H, W), and columns")
            return
    yield judged("preview", True, "none" if task.preview(left) is None else "images", "images, or none")
