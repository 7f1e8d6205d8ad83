"""Roles Task and Condition: what a run does with a sampler, and what changes the sampler's steps."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from bench.diffusion.condition import Condition
from bench.diffusion.model import Model
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Field, FlowSolver, OnStep
from bench.diffusion.sampler import Sampler
from bench.errors import BenchError
from bench.params import Plugin

if TYPE_CHECKING:
    from torch import Tensor

    from bench.checkpoints.cards import Card
    from bench.data.images import Images


@dataclasses.dataclass(frozen=True)
class BatchContext:
    """One batch of a task: ``size`` samples, the first of which is number ``first`` of its cell.

    ``images`` (size, C, H, W) on [0, 1] are those that the task works on, one per sample; None where it takes
    none. ``noise(role)`` is the batch's random stream of that role, the same one whenever it is asked for.
    ``load(name)`` is another checkpoint on the run's SDE, device and precision (`under`).
    """

    sampler: Sampler
    prediction: Prediction
    device: Any
    size: int
    first: int
    images: Tensor | None
    noise: Callable[[str], Noise]
    on_step: OnStep | None = None
    watch: bool = False
    load: Callable[[str], Model] | None = None

    @property
    def model(self) -> Model:
        """The loaded checkpoint."""
        return self.prediction.model

    def prior(self) -> Tensor:
        """Standard normal noise (size, ...), the same for every sampler and task."""
        import torch

        return self.noise("prior")(torch.empty((self.size, *self.model.shape), device=self.device))

    def states(self) -> Tensor:
        """The task's images as states (size, ...)."""
        assert self.images is not None
        return self.model.states(self.images)

    def sample(self, condition: Condition | None = None) -> Tensor:
        """The sampler's run from the prior: states (size, ...)."""
        return self.sampler.run(
            self.prior(),
            self.prediction,
            self.noise("predictor"),
            self.noise("corrector"),
            self.on_step,
            watch=self.watch,
            condition=condition,
            condition_noise=self.noise("condition"),
        )

    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        """y (size, ...) at time ``start`` -> at ``end``, along ``field`` by the run's `FlowSolver`."""
        return self.sampler.integrate(field, y, start, end, self.prediction, self.on_step, watch=self.watch)

    def under(self, checkpoint: str) -> BatchContext:
        """The same work under another checkpoint, whose calls its own ``prediction`` counts."""
        assert self.load is not None
        prediction = Prediction(self.load(checkpoint), self.prediction.sde, self.prediction.clock)
        return dataclasses.replace(self, prediction=prediction)


class Task(Plugin):
    """What a run does with a sampler: `run` makes one batch, named tensors with a row per sample.

    ``leaves`` names them; metrics say by `Metric.inputs` which they take in. ``metrics`` are taken unless
    others are asked for; none stands for the checkpoint's own. ``takes_data``: it works on images
    (``--data``). ``follows_flow``: it integrates the probability flow by a `FlowSolver`, and no denoising
    step ends it. ``sde_defaults``: values of the SDE's parameters where the user gives none.
    """

    outputs: ClassVar[tuple[str, ...]] = ("images",)
    metrics: ClassVar[tuple[str, ...]] = ()
    takes_data: ClassVar[bool] = False
    follows_flow: ClassVar[bool] = False
    sde_defaults: ClassVar[Mapping[str, Any]] = {}

    @property
    def per_image(self) -> int:
        """Samples that are made of each image."""
        return 1

    def metrics_on(self, card: Card) -> tuple[str, ...]:
        """The metrics that are taken on a checkpoint unless others are asked for; default: ``metrics``."""
        del card
        return self.metrics

    def check(self, card: Card, sampler: Sampler) -> None:
        """`BenchError` where the sampler or the checkpoint can't do it."""

    def check_data(self, data: Images | None, samples: int, batch_size: int) -> None:
        """`BenchError` where it can't work on such images (None: draws), or not in such batches."""

    def exact(self, card: Card, sampler: Sampler) -> dict[str, float]:
        """What metrics, by label, are in truth for the sampler on the checkpoint, where theory knows it."""
        del card, sampler
        return {}

    def provenance(self, card: Card) -> dict[str, Any]:
        """What decides a batch besides parameters, sampler and the checkpoint: hashes of files."""
        del card
        return {}

    def warm(self, work: BatchContext) -> None:
        """Call once all that `run` calls, before it is timed: first calls load, compile and choose.

        Default: the score.
        """
        work.prediction.score(work.prior(), work.prediction.sde.end)

    @abstractmethod
    def run(self, work: BatchContext) -> dict[str, Tensor]:
        """One batch: a tensor (size, ...) for each name of ``leaves``.

        A tensor ``exact_NAME`` besides is the truth of NAME per sample, where it is known: its mean becomes
        the exact value of the metric so called.
        """

    def preview(self, left: Mapping[str, Tensor]) -> tuple[Tensor, int] | None:
        """Images (n, C, H, W) on [0, 1] of the record's picture, and its columns; None: no picture.

        ``left`` are the cell's first 64 samples, or more. Default: a square of the images.
        """
        if "images" not in left:
            return None
        images = left["images"][:64]
        return images, math.ceil(math.sqrt(len(images)))


def check_task(task: Task, card: Card, sampler: Sampler) -> None:
    """`BenchError` where task, checkpoint and sampler don't go together."""
    if task.follows_flow and not isinstance(sampler.solver, FlowSolver):
        given = next(p.name for p in (sampler.solver, sampler.predictor, sampler.corrector) if p is not None)
        raise BenchError(f"{task.name} follows the probability flow: give --solver rk45, not {given}")
    task.check(card, sampler)
