"""Whether a task returns what it declares, the same every time, on an exact checkpoint."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import torch

from bench.checkpoints.cards import Card
from bench.closed_form.mixture import MixtureModel
from bench.diffusion.counting import counted_evaluations
from bench.diffusion.noise import noise_stream
from bench.diffusion.prediction import Prediction
from bench.diffusion.sampler import Sampler
from bench.errors import BenchError
from bench.metrics.role import Metric
from bench.tasks.role import BatchContext, Task, check_task
from bench.testing.context import CheckContext
from bench.testing.duties import parameters
from bench.testing.probe import GAUSSIAN, MIXTURE
from bench.testing.report import Finding, guard, verdict

Outputs = dict[str, torch.Tensor]

UNSEEN = 1e-3
"""Change of completions that rounding in float32 explains, in units of the range."""
OWN = 10
"""Greatest change of other rows over that of an image's own: errors of a solver, whose steps a batch shares,
change alike."""


class TaskCheck:
    """A task under check, an exact checkpoint that it works on, and a sampler.

    Args:
        task: The task.
        context: Where checkpoints and samplers come from.

    Raises:
        BenchError: The task works on no exact checkpoint.
    """

    def __init__(self, task: Task, context: CheckContext) -> None:
        self.task = task
        self.context = context
        self.sampler = self._sampler()
        self.card = self._card()

    def _sampler(self) -> Sampler:
        """A solver of the flow where the task follows it, else ten steps."""
        sde = self.context.sde("vp", **self.task.sde_defaults)
        if self.task.follows_flow:
            return Sampler(sde, solver=self.context.solver("scipy_rk45", tol=1e-2), denoise="none")
        predictor = self.context.predictor("reverse_diffusion")
        return Sampler(sde, predictor=predictor, steps=10, grid=self.context.grid("polynomial"))

    def _card(self) -> Card:
        reason = ""
        for name in (GAUSSIAN, MIXTURE):
            card = self.context.card(name)
            try:
                check_task(self.task, card, self.sampler)
                self.task.check_data(None, 4 * self.task.per_image, 4 * self.task.per_image)
            except BenchError as error:
                reason = f"{error}"
                continue
            return card
        raise BenchError(
            f"{self.task.name} works on no exact checkpoint, so that there is nothing to check: {reason}"
        )

    def _load(self, name: str) -> MixtureModel:
        sde = self.sampler.sde
        data = self.context.truth(name, sde)
        return MixtureModel(data, "cpu", torch.float32, color=None, range_=sde.data_range)

    def batch(self) -> BatchContext:
        """The second batch of four images, each with as many samples as the task makes of one."""
        model, per_image = self._load(self.card.name), self.task.per_image
        images = None
        if self.task.takes_data:
            drawn = model.images(model.draw(4, noise_stream(0, 1, "data", "cpu")))
            images = drawn.repeat_interleave(per_image, dim=0)
        return BatchContext(
            sampler=self.sampler,
            prediction=Prediction(model, self.sampler.sde),
            device=torch.device("cpu"),
            size=4 * per_image,
            first=4 * per_image,
            images=images,
            noise=functools.cache(lambda role: noise_stream(0, 1, role, "cpu")),
            load=self._load,
        )

    def outputs(self, batch: BatchContext | None = None) -> Outputs:
        """What the task returns for a batch."""
        with torch.no_grad():
            return self.task.run(batch or self.batch())


def check_task_plugin(task: Task, context: CheckContext) -> Iterator[Finding]:
    """All checks.

    Raises:
        BenchError: The task works on no exact checkpoint.
    """
    case = TaskCheck(task, context)
    yield from guard("parameters", lambda: parameters(task))
    yield from guard("metrics", lambda: metrics(case))
    yield from guard("warm-up", lambda: warm(case))
    yield from guard("rows", lambda: rows(case))
    yield from guard("same seed, same bits", lambda: determined(case))
    if {"images", "known", "axes"} <= {*task.outputs} and task.takes_data:
        yield from guard("unknown part", lambda: unknown_part(case))
    if task.takes_data:
        yield from guard("own rows", lambda: own_rows(case))
    yield from guard("device", lambda: device(case))
    yield from guard("preview", lambda: preview(case))


def metrics(case: TaskCheck) -> Iterator[Finding]:
    """The task's own metrics take what it returns."""
    names = case.task.metrics_on(case.card) or (case.card.metric,)
    missing = []
    for name in names:
        metric: Metric = case.context.registry.build("metrics", name, {})
        missing += [f"{name} takes {one}" for one in metric.inputs if one not in case.task.outputs]
    measured = missing[0] if missing else ", ".join(names)
    yield verdict("metrics", not missing, measured, "take what the task returns")


def warm(case: TaskCheck) -> Iterator[Finding]:
    """The warm-up calls the network."""
    batch = case.batch()
    with torch.no_grad():
        case.task.warm(batch)
    calls = batch.prediction.calls
    yield verdict("warm-up", calls > 0, f"{calls} network calls", "the network is called")


def rows(case: TaskCheck) -> Iterator[Finding]:
    """All declared outputs, and truths besides; a finite row for each sample; images unchanged."""
    batch, declared = case.batch(), case.task.outputs
    before = None if batch.images is None else batch.images.clone()
    with counted_evaluations() as evaluations:
        outputs = case.outputs(batch)
    wrong = [f"no {name}" for name in declared if name not in outputs]
    wrong += [
        f"{name} is neither declared nor an exact_… or limit_…"
        for name in outputs
        if name not in declared and not name.startswith(("exact_", "limit_"))
    ]
    wrong += [
        f"{len(x)} rows of {name}, not {batch.size}" for name, x in outputs.items() if len(x) != batch.size
    ]
    wrong += [f"{name} is not finite" for name, x in outputs.items() if not bool(x.isfinite().all())]
    wrong += [] if evaluations.count else ["the network is never called"]
    if before is not None and batch.images is not None and not torch.equal(before, batch.images):
        wrong.append("the images were changed in place")
    measured = wrong[0] if wrong else ", ".join(f"{name} {tuple(x.shape)}" for name, x in outputs.items())
    yield verdict("rows", not wrong, measured, "what it declares, finite, a row per sample")


def determined(case: TaskCheck) -> Iterator[Finding]:
    """The same streams give the same bits, whatever the state of torch's global generator."""
    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(1)
        first = case.outputs()
        torch.manual_seed(2)
        second = case.outputs()
    finally:
        torch.random.set_rng_state(state)
    differing = [name for name, x in first.items() if not torch.equal(x, second[name])]
    measured = f"{differing[0]} differs the second time" if differing else "same bits"
    yield verdict("same seed, same bits", not differing, measured, "one seed, one result")


def unknown_part(case: TaskCheck) -> Iterator[Finding]:
    """What is not known of an image, by ``known`` and ``axes``, does not change its completions."""
    first = case.batch()
    assert first.images is not None
    outputs = case.outputs(first)
    axes, mask = outputs["axes"][0], outputs["known"].to(first.images.dtype)
    draws = torch.Generator().manual_seed(7)
    z = torch.randn(4, *first.images.shape[1:], generator=draws).repeat_interleave(case.task.per_image, dim=0)
    hidden = torch.einsum("dc,bdhw->bchw", axes, (1 - mask) * z)
    second = dataclasses.replace(case.batch(), images=first.images + 0.1 * hidden)
    off = float((case.outputs(second)["images"] - outputs["images"]).abs().max())
    measured = f"completions change by {off:.1e} where it changes by {float(0.1 * hidden.abs().max()):.1g}"
    yield verdict("unknown part", off < UNSEEN, measured, "not seen by the sampler", off=off)


def own_rows(case: TaskCheck) -> Iterator[Finding]:
    """Where an image is replaced, its own rows of each output change, and no others `OWN` times as much.

    Rows between two images, and the steps that a solver takes for a whole batch, depend on others too.
    """
    first, size = case.batch(), case.task.per_image
    assert first.images is not None
    images, own = first.images.clone(), slice(size, 2 * size)
    images[own] = images[own].flip(-1, -2)
    outputs, others = case.outputs(first), case.outputs(dataclasses.replace(case.batch(), images=images))
    wrong, changing = [], []
    for name in outputs:
        x, y = outputs[name].double(), others[name].double()
        change = (y - x).abs().reshape(len(x), -1).amax(1)
        if not bool(change.any()):
            continue
        changing.append(name)
        elsewhere = torch.cat([change[: own.start], change[own.stop :]])
        wrong += [name] if float(elsewhere.max()) > OWN * float(change[own].max()) else []
    measured = f"{wrong[0]} changes in other rows" if wrong else f"of {', '.join(changing)}"
    measured = measured if changing else "no output depends on the images"
    yield verdict("own rows", bool(changing) and not wrong, measured, "an image changes its own rows")


def device(case: TaskCheck) -> Iterator[Finding]:
    """No tensor is made on torch's default device: in a run on a GPU that is the host."""
    batch, measured, good = case.batch(), "the batch's device", True
    try:
        with torch.device("meta"):
            elsewhere = [name for name, x in case.outputs(batch).items() if x.device != batch.device]
        if elsewhere:
            measured, good = f"{elsewhere[0]} is on another", False
    except (RuntimeError, NotImplementedError) as error:
        measured, good = f"a tensor is made without a device: {error}".splitlines()[0], False
    yield verdict("device", good, measured, "tensors are made on batch.device")


def preview(case: TaskCheck) -> Iterator[Finding]:
    """Images in whole rows, both of few samples and of more than a preview shows."""
    outputs = case.outputs()
    for copies in (1, 17):
        picture = case.task.preview({name: torch.cat([x] * copies) for name, x in outputs.items()})
        if picture is None:
            continue
        images, columns = picture
        if images.dim() != 4 or images.shape[1] not in (1, 3) or columns < 1 or not len(images):
            measured = f"{tuple(images.shape)} in {columns} columns"
            yield verdict("preview", False, measured, "images (n, C, H, W), and columns")
            return
    none = case.task.preview(outputs) is None
    yield verdict("preview", True, "none" if none else "images", "images, or none")
