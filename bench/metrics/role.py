"""Role Metric: a number that measures the quality of samples."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from bench.params import Plugin
from bench.types import JSONValue

if TYPE_CHECKING:
    from torch import Tensor

    from bench.diffusion.sampler import Sampler
    from bench.metrics.context import MetricContext
    from bench.tasks.role import Task

ValueKind = Literal["distance", "estimate", "share", "score"]
"""What a metric's value is: a ``distance``, at least 0, and 0 for equal distributions; an unbiased
``estimate`` of one, which can be negative; a ``share`` of the samples, from 0 to 1; or a ``score``, any other
number."""


@dataclasses.dataclass(frozen=True)
class CompanionRun:
    """A run that a metric reads beside the measured one: of the same checkpoint, SDE, task, samples, seed and
    batches, and so from the same prior noise, by a solver, in single precision.

    Args:
        solver: Name of the solver.
        parameters: Its parameters; the others keep their defaults.
        denoise: How it ends: ``tweedie`` or ``none``, as in `Sampler`.
        output: Name of the task's output that the metric reads.
    """

    solver: str
    parameters: Mapping[str, JSONValue] = dataclasses.field(default_factory=dict)
    denoise: Literal["tweedie", "none"] = "none"
    output: str = "images"


@dataclasses.dataclass(frozen=True)
class MetricResult:
    """A metric's value on n samples.

    Args:
        value: The value; a run whose value is NaN or infinite fails.
        n: Number of samples that it was computed on.
        error: Standard error of the value; None where the metric has none.
        note: What limits the value, such as too few samples. Tables flag a value that has a note.
        details: Further results for the record, as JSON data. Summaries print two of them: ``interval``, the
            ``low`` and ``high`` of the value's 95 % interval over samples, and ``fit``, the line in 1 / n
            whose limit is the value (``value``, ``slope``, ``points`` (n, value), ``r2``, ``fit_error``) with
            ``at_n``, the value at n samples. With ``minimum_of``, the number of sets of samples whose
            smallest value a paper reports, tables show the smallest over seeds. ``bench fid`` prints
            ``reference_rows``, the number of the reference's images that the value compares with.
        value_kind: What the value is, where it is not what the metric declares: the limit of distances is an
            ``estimate``, since it can be negative.
        floor: Smallest value that the measurement resolves; None where it has no such bound.
    """

    value: float
    n: int
    error: float | None = None
    note: str = ""
    details: Mapping[str, object] = dataclasses.field(default_factory=dict)
    value_kind: ValueKind | None = None
    floor: float | None = None


class MetricState(ABC):
    """A metric under way: batches of samples stream into `update`; `compute` returns the result."""

    @abstractmethod
    def update(self, images: Tensor, /) -> None:
        """Add a batch.

        Args:
            images: Items (B, *shape) on the unit range, such as images (B, C, H, W); not clipped, float32, on
                the host. Where `Metric.inputs` names other outputs of the task, or several, the method takes
                one tensor for each, in that order, and then one for each of `Metric.companions`, of the same
                samples.

        Raises:
            BenchError: The batch can't be measured: it is not finite, or has the wrong shape.
        """

    @abstractmethod
    def compute(self) -> MetricResult:
        """The result over all batches so far.

        Returns:
            Value, number of samples, and what is known of the value's error.

        Raises:
            BenchError: There are too few samples for a value.
        """

    def leave_one_out(self) -> list[float]:
        """Values without each of the `jackknife_groups` of the `update` calls.

        `compare` makes jackknife intervals of them.

        Returns:
            One value per group. Default: empty, for a metric that does not offer them.
        """
        return []


class Metric(Plugin):
    """A number that measures the quality of samples.

    A plugin defines ``name``, `start` and a `MetricState`.
    """

    direction: ClassVar[Literal["lower", "higher"]] = "lower"
    """Which values are better."""
    value_kind: ClassVar[ValueKind] = "score"
    """What the value is. `compare` gives percentages of a ``distance`` alone."""
    axis: ClassVar[Literal["log", "linear"]] = "log"
    """How plots draw the value: a distance on a log axis; a share, a correlation or bits on a linear one."""
    min_samples: ClassVar[int] = 2
    """Smallest number of samples for a meaningful value; tables flag values of fewer samples."""
    bias: ClassVar[str] = ""
    """What is known of the value's bias at n samples, in a few words; empty for nothing."""
    inputs: ClassVar[tuple[str, ...]] = ("images",)
    """Names of the task's outputs (`Task.outputs`) that `MetricState.update` takes, in order."""
    order_matters: ClassVar[bool] = False
    """Whether the value depends on the order of the samples, as a mean over consecutive splits does."""

    @property
    def label(self) -> str:
        """Name of the metric's column in tables and its key in records; values of one label compare.

        Default: the name with the parameters that differ from their defaults.
        """
        return self.tag()

    @property
    def fewest_samples(self) -> int:
        """Smallest number of samples that has a value; planning refuses a run of fewer. Default: 1."""
        return 1

    def check(self, task: Task, shape: tuple[int, ...], samples: int) -> None:
        """Check at planning, before anything is sampled, that the metric has a value on such samples.

        Args:
            task: Task whose outputs are measured.
            shape: Shape of one sample: (C, H, W) of an image, (D,) of a point.
            samples: Number of samples of the run.

        Raises:
            BenchError: The metric has no value on such samples. By default it has one on all.
        """

    def check_reference(self, shape: tuple[int, ...], context: MetricContext) -> None:
        """Check before anything is sampled that samples of a shape can be compared with the reference.

        Args:
            shape: Shape of one sample.
            context: Extractors, and reference items and statistics by name.

        Raises:
            BenchError: They can't; the message does not repeat the metric's name. By default they can.
        """

    def check_sampler(self, sampler: Sampler) -> None:
        """Check at planning, before anything is sampled, that the metric has a value for such a sampler.

        Args:
            sampler: The run's sampler.

        Raises:
            NoValueError: The metric has no value for the sampler. By default it has one for all. A suite
                leaves the metric out of such a run; any other error is a mistake and stops the plan.
        """

    def companions(self, sampler: Sampler) -> Mapping[str, CompanionRun]:
        """Runs that the metric reads beside the measured one.

        The plan adds each of them once for all runs of a checkpoint, SDE, seed and batch size, and they are
        executed first.

        Args:
            sampler: The measured run's sampler.

        Returns:
            Runs by a name of the metric's own, in the order in which `MetricState.update` takes their
            outputs. Default: none.
        """
        del sampler
        return {}

    @classmethod
    def has_companions(cls) -> bool:
        """Whether `companions` is defined: then the metric measures runs alone, not images of any source."""
        return cls.companions is not Metric.companions

    @abstractmethod
    def start(self, context: MetricContext) -> MetricState:
        """Begin a measurement.

        Args:
            context: The device to work on, and extractors and reference statistics by name.

        Returns:
            The state that batches stream into.
        """

    def provenance(self, context: MetricContext) -> dict[str, str]:
        """Hashes of the files that decide the value; values that differ in them do not compare.

        Planning calls it too, so that missing files are reported before anything is sampled.

        Args:
            context: Extractors and reference statistics by name.

        Returns:
            Hashes by name. Default: empty.

        Raises:
            BenchError: A file is missing or damaged.
        """
        del context
        return {}
