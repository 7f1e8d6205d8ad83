"""The role Task: what a run does with a sampler, and the context that one batch of it runs in."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from bench.diffusion.condition import Condition
from bench.diffusion.model import Model
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Field, FlowSolver, OnStep
from bench.diffusion.sampler import Sampler
from bench.errors import BenchError
from bench.params import Plugin
from bench.types import JSONValue

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bench.checkpoints.cards import Card
    from bench.data.images import Images


@dataclasses.dataclass(frozen=True)
class BatchContext:
    """One batch of a run, as a task receives it: samples ``first`` to ``first + size - 1`` of the run.

    States are tensors (size, *model.shape) on the SDE's data range, in the checkpoint's coordinates: pixels
    for a network, DCT coefficients for an exact checkpoint. Images are (size, C, H, W) on [0, 1]. `states`
    and ``model.images`` convert between the two. A task draws all randomness from ``noise`` and creates every
    tensor on ``device``: then a batch has the same bits on every worker.

    Args:
        sampler: The run's sampler; ``sampler.sde`` is its SDE, with times from ``sde.end`` (prior) to
            ``sde.eps`` (data).
        prediction: The checkpoint's prediction on that SDE. ``prediction.score(x, level)`` is
            ``grad log p_t(x)``, shaped as x; its calls are counted.
            A class-conditional checkpoint's is that of the class of each sample (``--labels``).
        device: The torch device of the run.
        size: Number of samples in this batch.
        first: Number of the batch's first sample within the run.
        images: The images that the task works on, (size, C, H, W) on [0, 1], a row per sample; must not be
            changed in place. None unless `Task.takes_data`.
        noise: ``noise(role)`` is the batch's random stream of that role, a name that the task chooses, and
            ``noise(role)(x)`` draws standard normal noise shaped as x. One role has one stream.
        on_step: Receives the sampler's progress from `sample` and `integrate`; None for no one.
        watch: Whether the sampler checks after each step that the state is finite.
        load: ``load(name)`` loads another checkpoint, one of `Task.checkpoints`, on the run's SDE, device and
            precision.
    """

    sampler: Sampler
    prediction: Prediction
    device: torch.device
    size: int
    first: int
    images: Tensor | None
    noise: Callable[[str], Noise]
    on_step: OnStep | None = None
    watch: bool = False
    load: Callable[[str], Model] | None = None

    @property
    def model(self) -> Model:
        """The loaded checkpoint, with ``shape``, ``images(x)`` and ``states(images)``."""
        return self.prediction.model

    def prior(self) -> Tensor:
        """The batch's prior noise.

        Returns:
            Standard normal noise z (size, *model.shape); ``sde.prior_std z`` is the state at ``sde.end``. All
            samplers and tasks of a seed start from the same noise.
        """
        import torch

        return self.noise("prior")(torch.empty((self.size, *self.model.shape), device=self.device))

    def states(self) -> Tensor:
        """The batch's `images` as states.

        Returns:
            States (size, *model.shape) on the SDE's data range.
        """
        assert self.images is not None
        return self.model.states(self.images)

    def sample(self, condition: Condition | None = None) -> Tensor:
        """Run the sampler from `prior` to its end.

        Args:
            condition: Guides the score and projects the state after each move; None for no condition.

        Returns:
            States (size, *model.shape), which ``model.images`` converts to images.
        """
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
        """Solve ``dy/dt = field(t, y)`` by the run's `FlowSolver`, for a task that `Task.follows_flow`.

        Args:
            field: The right-hand side.
            y: The value (size, ...) at ``start``; it may hold more than a state.
            start: Time of ``y``.
            end: Time of the result, before or after ``start``.

        Returns:
            The value (size, ...) at ``end``.
        """
        return self.sampler.integrate(field, y, start, end, self.prediction, self.on_step, watch=self.watch)

    def under(self, checkpoint: str) -> BatchContext:
        """The same batch with another checkpoint in place of the run's own.

        Args:
            checkpoint: A name of `Task.checkpoints`.

        Returns:
            A context whose ``prediction`` uses that checkpoint. Its calls are part of the run's NFE.
        """
        assert self.load is not None
        prediction = Prediction(self.load(checkpoint), self.prediction.sde, self.prediction.clock)
        return dataclasses.replace(self, prediction=prediction)


class Task(Plugin):
    """What a run does with a sampler. `run` turns one batch into named tensors, a row per sample.

    A subclass has a ``name``, parameters as typed fields, and the method `run`; everything else has a
    default. Each metric names its ``Metric.inputs`` among the task's ``outputs``. The tensors are stored, so
    that further metrics can be computed later. For example, images with the noise of time t, and what the
    network makes of them, ``E[x0 | x] = (x + sigma^2 score) / alpha``::

        class Denoise(Task):
            name = "denoise"
            outputs = ("images", "noisy")
            takes_data = True

            t: float = param(default=0.2, help="time of the noise", above=0, high=1)

            def run(self, batch: BatchContext) -> dict[str, Tensor]:
                clean = batch.states()
                level = batch.sampler.sde.at(self.t)
                x = level.alpha * clean + level.sigma * batch.noise("noisy")(clean)
                score = batch.prediction.score(x, level)
                mean = (x + level.sigma**2 * score) / level.alpha
                return {"images": batch.model.images(mean), "noisy": batch.model.images(x)}

        @hookimpl
        def register_tasks(register: Register) -> None:
            register(Denoise)

    Register it under the entry-point group ``bench``, run it with ``bench run --task denoise --data ...``,
    and check it with ``bench check denoise``.
    """

    outputs: ClassVar[tuple[str, ...]] = ("images",)
    """Names of the tensors that `run` returns."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """Names of the metrics of its runs unless the user chooses others; empty for the checkpoint's own
    (`Card.metric`)."""
    takes_data: ClassVar[bool] = False
    """Whether it works on images (``--data``). Without a source, an exact checkpoint draws them."""
    follows_flow: ClassVar[bool] = False
    """Whether it integrates the probability flow by a `FlowSolver`; its runs end without a denoising step."""
    default_solver: ClassVar[str | None] = None
    """The solver of its runs where the user chooses no sampler; None for the default predictor."""
    sde_defaults: ClassVar[Mapping[str, JSONValue]] = {}
    """Values of the SDE's parameters that hold unless the user or the checkpoint's card sets them."""

    @property
    def per_image(self) -> int:
        """Number of consecutive samples that are made from each image. Default: 1."""
        return 1

    @property
    def score_calls(self) -> int | None:
        """Network calls that one evaluation of the score takes; None where unknown in advance. Default: 1."""
        return 1

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Names of further checkpoints that `run` loads by `BatchContext.load`. Default: none.

        Their images must have the shape of the run's own checkpoint. The run's fingerprint holds the hashes
        of their files.
        """
        return ()

    def metrics_on(self, card: Card) -> tuple[str, ...]:
        """Names of the metrics of runs on a checkpoint, unless the user chooses others.

        Args:
            card: The run's checkpoint.

        Returns:
            Names of metrics; empty for the checkpoint's own metric. Default: ``metrics``.
        """
        del card
        return self.metrics

    def check(self, card: Card, sampler: Sampler) -> None:
        """Refuse a checkpoint or sampler that the task can't work with; called at planning.

        Args:
            card: The run's checkpoint.
            sampler: The run's sampler.

        Raises:
            BenchError: The task can't work with them; the message, one line, says what to change.
        """

    def check_data(self, data: Images | None, samples: int, batch_size: int) -> None:
        """Refuse images or batches that the task can't work with; called at planning if it `takes_data`.

        Args:
            data: The images; None: an exact checkpoint draws them.
            samples: Number of samples of the run.
            batch_size: Number of samples per batch; the last batch may be smaller.

        Raises:
            BenchError: The task can't work with them; the message, one line, says what to change.
        """

    def exact(self, card: Card, sampler: Sampler) -> dict[str, float]:
        """Values of metrics that theory gives for a sampler on a checkpoint, at the sampler's own steps.

        Args:
            card: The run's checkpoint.
            sampler: The run's sampler.

        Returns:
            Values by the metric's label. Default: empty.
        """
        del card, sampler
        return {}

    def limit(self, card: Card, sampler: Sampler) -> dict[str, float]:
        """Values that metrics tend to as the tolerance of the sampler's solver falls to 0.

        Tables call them so; a value at another tolerance is off by more than its sampling noise.

        Args:
            card: The run's checkpoint.
            sampler: The run's sampler.

        Returns:
            Values by the metric's label. Default: empty.
        """
        del card, sampler
        return {}

    def provenance(self, card: Card) -> dict[str, str]:
        """Everything that decides a batch's numbers besides parameters, sampler and checkpoints.

        Args:
            card: The run's checkpoint.

        Returns:
            Hashes by name, such as those of files, for the run's fingerprint and record. Default: empty.
        """
        del card
        return {}

    def warm(self, batch: BatchContext) -> None:
        """Make the first calls of everything that `run` calls, before `run` is timed: they load and compile.

        Default: one score at the prior.

        Args:
            batch: A batch of the run.
        """
        batch.prediction.score(batch.prior(), batch.prediction.sde.end)

    @abstractmethod
    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        """Process one batch, without gradients; all randomness comes from ``batch.noise``.

        Args:
            batch: The batch.

        Returns:
            A finite tensor (batch.size, ...) for each name of ``outputs``. A further tensor ``exact_NAME`` or
            ``limit_NAME`` (batch.size,) holds the exact value of the metric NAME per sample, or its limit at
            tolerance 0; the mean stands beside that metric's value, as those of `exact` and `limit` do.
        """

    def preview(self, outputs: Mapping[str, Tensor]) -> tuple[Tensor, int] | None:
        """The picture of a run's samples, beside its record.

        Args:
            outputs: The tensors of the run's first samples: at least 64, if it has as many.

        Returns:
            Images (n, C, H, W) on [0, 1] row by row, and the number of columns; None for no picture. Default:
            a square of at most 64 ``images``.
        """
        if "images" not in outputs:
            return None
        images = outputs["images"][:64]
        return images, math.ceil(math.sqrt(len(images)))


def check_task(task: Task, card: Card, sampler: Sampler, others: Sequence[Card] = ()) -> None:
    """Refuse a task, checkpoint and sampler that don't go together.

    Args:
        task: The task.
        card: The run's checkpoint.
        sampler: The run's sampler.
        others: The checkpoints that `Task.checkpoints` names.

    Raises:
        BenchError: They don't go together; the message, one line, says what to change.
    """
    if task.follows_flow and not isinstance(sampler.solver, FlowSolver):
        part = next(p for p in (sampler.solver, sampler.predictor, sampler.corrector) if p is not None)
        solver = "a solver of ODEs by --solver"
        if task.default_solver is not None:
            solver = f"--solver {task.default_solver}"
        raise BenchError(f"{task.name} follows the probability flow: give {solver}, not {part.name}")
    task.check(card, sampler)
    for other in others:
        other.check()
        if other.shape != card.shape:
            sizes = ["x".join(map(str, shape)) for shape in (other.shape, card.shape)]
            raise BenchError(f"{task.name}: {other.name} takes {sizes[0]} images, {card.name} {sizes[1]}")
